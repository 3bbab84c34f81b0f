package transform

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/expr-lang/expr/vm/runtime"

	"github.com/leadsink/leadsink/transform/decode"
)

// maxSteps bounds what all expressions do for one record: the turns of loops,
// the elements of lists that are gone over inside, calls, each KiB of text that is
// read, and more of them for a pattern. maxMade bounds the bytes of the text that they make.
const (
	maxSteps = 1_000_000
	maxMade  = 16 << 20
)

// spend counts steps.
func (s *scope) spend(steps int) error {
	if s.steps += steps; s.steps > maxSteps {
		return errors.New("the rules take more than a million steps over this event's lists and texts; loop over less")
	}
	return nil
}

// spendOn counts what is gone through where a value is read to its end.
func (s *scope) spendOn(v any) error {
	switch v := v.(type) {
	case string:
		return s.spend(len(v) >> 10)
	case []any:
		if err := s.spend(len(v)); err != nil {
			return err
		}
		for _, element := range v {
			if err := s.spendOn(element); err != nil {
				return err
			}
		}
	case map[string]any:
		if err := s.spend(len(v)); err != nil {
			return err
		}
		for _, field := range v {
			if err := s.spendOn(field); err != nil {
				return err
			}
		}
	}
	return nil
}

// spendOnElements counts the elements of a list that are handed on as they are.
func (s *scope) spendOnElements(v any) error {
	if list, ok := v.([]any); ok {
		return s.spend(len(list))
	}
	return nil
}

// equal compares values, both of which are counted first: either may be large.
func (s *scope) equal(a, b any) (bool, error) {
	if err := s.spendOn(a); err != nil {
		return false, err
	}
	if err := s.spendOn(b); err != nil {
		return false, err
	}
	return equal(a, b), nil
}

// in reports whether a list has an element, or an object a field; null has none.
func (s *scope) in(args ...any) (any, error) {
	for _, arg := range args {
		if err := s.spendOn(arg); err != nil {
			return nil, err
		}
	}
	switch v := args[1].(type) {
	case nil:
		return false, nil
	case []any:
		return slices.ContainsFunc(v, func(element any) bool { return equal(element, args[0]) }), nil
	case map[string]any:
		name, ok := args[0].(string)
		if !ok && args[0] != nil {
			return nil, fmt.Errorf("the fields of an object have names, got %s; make it text with string()", kindOf(args[0]))
		}
		_, found := v[name]
		return found && ok, nil
	}
	return nil, fmt.Errorf("in takes a list or an object, it is %s; look for a part of text with contains", kindOf(args[1]))
}

// member counts a name that was made, which is read to its end.
func (s *scope) member(args ...any) (any, error) {
	if err := s.spendOn(args[1]); err != nil {
		return nil, err
	}
	return member(args[0], args[1])
}

// making counts text that was made.
func (s *scope) making(v any, err error) (any, error) {
	if text, ok := v.(string); ok {
		if s.made += len(text); s.made > maxMade {
			return nil, errors.New("the rules make more than 16 MiB of text of this event; truncate() it")
		}
	}
	return v, err
}

// counted makes a function count what it reads and makes.
func (s *scope) counted(f func(...any) (any, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if err := s.spend(1); err != nil {
			return nil, err
		}
		for _, arg := range args {
			if err := s.spendOn(arg); err != nil {
				return nil, err
			}
		}
		v, err := s.making(f(args...))
		if err != nil {
			return nil, err
		}
		return v, s.spendOnElements(v)
	}
}

// match reports whether text matches a pattern; null matches none.
func (s *scope) match(args ...any) (any, error) {
	if args[0] == nil {
		return false, nil
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("matches takes text, it is %s; make it text with string()", kindOf(args[0]))
	}
	p := args[1].(*pattern)
	if err := s.spend(1 + len(text)*p.size>>8); err != nil {
		return nil, err
	}
	return p.MatchString(text), nil
}

// lookup returns the row of a table; there is none for null.
func (s *scope) lookup(t *table, key any) (any, error) {
	if key == nil {
		return nil, nil
	}
	name, err := text(key)
	if err != nil {
		return nil, fmt.Errorf("lookup: the key: %w", err)
	}
	if err := s.spend(1 + len(name)>>10 + len(t.as.columns)); err != nil {
		return nil, err
	}
	return t.find(name), nil
}

// list returns what a loop goes over, and counts its turns: null is an empty list.
func (s *scope) list(args ...any) (any, error) {
	switch v := args[0].(type) {
	case []any:
		return v, s.spend(len(v))
	case nil:
		return []any{}, nil
	}
	return nil, fmt.Errorf("a list was expected, it is %s", kindOf(args[0]))
}

// equal compares exactly where both sides are whole numbers of any length.
func equal(a, b any) bool {
	switch x := a.(type) {
	case int:
		if y, ok := b.(decode.Number); ok && y.Whole() {
			return false // it is beyond every int
		}
	case decode.Number:
		switch y := b.(type) {
		case int:
			if x.Whole() {
				return false
			}
		case decode.Number:
			if x.Whole() && y.Whole() {
				return x.String() == y.String()
			}
		}
	case []any:
		if y, ok := b.([]any); ok {
			return slices.EqualFunc(x, y, equal)
		}
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			return maps.EqualFunc(x, y, equal)
		}
	}
	return runtime.Equal(plain(a), plain(b))
}

// slice returns v[from:to], of text by characters; null stays null, and bounds
// outside are moved inside.
func slice(args ...any) (any, error) {
	bound := func(v any, n, otherwise int) (int, error) {
		i, ok := v.(int)
		switch {
		case v == nil:
			return otherwise, nil
		case !ok:
			return 0, fmt.Errorf("a position is a whole number, not %s", kindOf(v))
		case i < 0:
			i += n
		}
		return min(max(i, 0), n), nil
	}
	var characters []rune
	n := 0
	switch v := args[0].(type) {
	case nil:
		return nil, nil
	case string:
		characters = []rune(v)
		n = len(characters)
	case []any:
		n = len(v)
	default:
		return nil, fmt.Errorf("only text and lists have parts, it is %s", kindOf(v))
	}
	from, err := bound(args[1], n, 0)
	if err != nil {
		return nil, err
	}
	to, err := bound(args[2], n, n)
	if err != nil {
		return nil, err
	}
	from = min(from, to)
	if v, ok := args[0].([]any); ok {
		return v[from:to], nil
	}
	return string(characters[from:to]), nil
}

var errOverflow = errors.New("the result does not fit 64 bits, and digits would be lost; use float() where that is meant")

// plus adds without losing digits and without making text of any length.
func plus(a, b any) (any, error) {
	a, b = plain(a), plain(b)
	switch x := a.(type) {
	case int:
		if y, ok := b.(int); ok {
			if sum := x + y; (sum > x) == (y > 0) {
				return sum, nil
			}
			return nil, errOverflow
		}
	case string:
		y, ok := b.(string)
		if !ok {
			return nil, fmt.Errorf("text + %s: make it text with string(), and give null a default with ??", kindOf(b))
		}
		if len(x)+len(y) > maxText {
			return nil, errTooLong
		}
		return x + y, nil
	}
	return runtime.Add(a, b), nil
}

func minus(a, b any) (any, error) {
	a, b = plain(a), plain(b)
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			if difference := x - y; (difference < x) == (y > 0) {
				return difference, nil
			}
			return nil, errOverflow
		}
	}
	return runtime.Subtract(a, b), nil
}

func times(a, b any) (any, error) {
	a, b = plain(a), plain(b)
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			// The division overflows too where -1 meets the smallest number.
			product := x * y
			if x == 0 || product/x == y && (x != -1 || y != math.MinInt) {
				return product, nil
			}
			return nil, errOverflow
		}
	}
	return runtime.Multiply(a, b), nil
}

// sum adds the numbers of a list, as plus does.
func sum(list any) (any, error) {
	elements, ok := list.([]any)
	if !ok {
		return nil, fmt.Errorf("sum: a list was expected, it is %s", kindOf(list))
	}
	total := any(0)
	for i, element := range elements {
		switch plain(element).(type) {
		case int, float64:
		default:
			return nil, fmt.Errorf("sum: element %d is %s, not a number", i, kindOf(element))
		}
		var err error
		if total, err = plus(total, element); err != nil {
			return nil, err
		}
	}
	return total, nil
}
