package transform

import (
	"errors"
	"fmt"
	"math"

	"github.com/expr-lang/expr/vm/runtime"

	"github.com/leadsink/leadsink/transform/decode"
)

// maxSteps bounds the turns of all loops in all expressions for one record, and
// the elements of lists that are gone over inside.
const maxSteps = 1_000_000

// spend counts steps.
func (s *scope) spend(steps int) error {
	if s.steps += steps; s.steps > maxSteps {
		return errors.New("the rules take more than a million steps over this event's lists; loop over less")
	}
	return nil
}

// spendOn counts the elements of a list.
func (s *scope) spendOn(v any) error {
	if list, ok := v.([]any); ok {
		return s.spend(len(list))
	}
	return nil
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
	x, isX := a.(decode.Number)
	y, isY := b.(decode.Number)
	if isX && isY && x.Whole() && y.Whole() {
		return x.String() == y.String()
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
func plus(args ...any) (any, error) {
	a, b := plain(args[0]), plain(args[1])
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

func minus(args ...any) (any, error) {
	a, b := plain(args[0]), plain(args[1])
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

func times(args ...any) (any, error) {
	a, b := plain(args[0]), plain(args[1])
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
