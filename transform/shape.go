package transform

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/types"

	"github.com/leadsink/leadsink/transform/decode"
)

var timeType = types.TypeOf(time.Time{})

// A shape is what is known of a value: what its samples have in common, or
// what a schema says. That it may be null goes without saying.
type shape struct {
	anything                                    bool // a schema that allows every kind
	boolean, text, whole, decimal, list, object bool

	words   []string          // the texts there are, sorted; nil: any
	element *shape            // of list
	fields  map[string]*shape // of object
	others  *shape            // fields of an object that fields does not name; nil: there are none
}

// add takes a sample in.
func (s *shape) add(v any) {
	switch v := v.(type) {
	case bool:
		s.boolean = true
	case string:
		s.text = true
	case int:
		s.whole = true
	case decode.Number:
		s.decimal = true
	case []any:
		if s.list = true; s.element == nil {
			s.element = new(shape)
		}
		for _, element := range v {
			s.element.add(element)
		}
	case map[string]any:
		if s.object = true; s.fields == nil {
			s.fields = make(map[string]*shape)
		}
		for name, value := range v {
			if s.fields[name] == nil {
				s.fields[name] = new(shape)
			}
			s.fields[name].add(value)
		}
	}
}

// kinds returns how many kinds the value may have.
func (s *shape) kinds() int {
	n := 0
	for _, is := range []bool{s.boolean, s.text, s.whole || s.decimal, s.list, s.object} {
		if is {
			n++
		}
	}
	return n
}

// typ returns the type for the check: any where samples differ or say nothing.
func (s *shape) typ() types.Type {
	if s == nil || s.anything || s.kinds() != 1 {
		return types.Any
	}
	switch {
	case s.boolean:
		return types.Bool
	case s.text && s.words != nil:
		return wordType(s.words)
	case s.text:
		return types.String
	case s.decimal:
		return types.Float64
	case s.whole:
		return types.Int
	case s.list:
		return types.Array(s.element.typ())
	}
	fields := make(types.Map)
	for name, field := range s.fields {
		fields[name] = field.typ()
	}
	if len(fields) == 0 || s.others != nil {
		fields[types.Extra] = s.others.typ()
	}
	return fields
}

// either returns the shape of a value that has one of two shapes.
func either(a, b *shape) *shape {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	s := &shape{
		anything: a.anything || b.anything,
		boolean:  a.boolean || b.boolean, text: a.text || b.text, whole: a.whole || b.whole,
		decimal: a.decimal || b.decimal, list: a.list || b.list, object: a.object || b.object,
		element: either(a.element, b.element), others: either(a.others, b.others), fields: merge(a.fields, b.fields, either),
	}
	for name := range s.fields {
		if a.fields[name] == nil && a.anything || b.fields[name] == nil && b.anything {
			s.fields[name] = either(s.fields[name], &shape{anything: true})
		}
	}
	switch {
	case s.anything:
	case !a.text:
		s.words = b.words
	case !b.text:
		s.words = a.words
	case a.words != nil && b.words != nil:
		s.words = slices.Compact(slices.Sorted(slices.Values(slices.Concat(a.words, b.words))))
	}
	return s
}

// both returns the shape of a value that has two shapes at once.
func both(a, b *shape) *shape {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	if a.anything {
		a, b = b, a
	}
	s := &shape{
		anything: a.anything, boolean: a.boolean, text: a.text, whole: a.whole, decimal: a.decimal, list: a.list, object: a.object,
		words: a.words, element: both(a.element, b.element), others: both(a.others, b.others), fields: merge(a.fields, b.fields, both),
	}
	if !b.anything {
		number := b.whole || b.decimal
		s.boolean, s.text, s.list, s.object = a.boolean && b.boolean, a.text && b.text, a.list && b.list, a.object && b.object
		s.whole, s.decimal = a.whole && number || a.decimal && b.whole, a.decimal && b.decimal
	}
	switch {
	case s.words == nil:
		s.words = b.words
	case b.words != nil:
		s.words = slices.DeleteFunc(slices.Clone(s.words), func(w string) bool { return !slices.Contains(b.words, w) })
	}
	return s
}

func merge(a, b map[string]*shape, with func(a, b *shape) *shape) map[string]*shape {
	if a == nil {
		return maps.Clone(b)
	}
	all := maps.Clone(a)
	for name, field := range b {
		all[name] = with(a[name], field)
	}
	return all
}

// A wordType is the type of text that is one of a few words. The checker takes
// it for text; the words are where only wordsOf looks.
type wordType []string

// Nature implements types.Type.
func (w wordType) Nature() nature.Nature {
	n := nature.FromType(types.String.Nature().Type)
	n.TypeData = &nature.TypeData{Fields: make(map[string]nature.Nature, len(w))}
	for _, word := range w {
		n.Fields[word] = nature.Nature{}
	}
	return n
}

// Equal implements types.Type.
func (w wordType) Equal(t types.Type) bool { return types.String.Equal(t) }

// String implements types.Type.
func (w wordType) String() string { return types.String.String() }

// wordsOf returns the words that text of a nature is one of, nil for any text.
func wordsOf(n *nature.Nature) []string {
	if !n.IsString() || n.TypeData == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(n.Fields))
}

// A natureType is the type of what was checked before.
type natureType struct{ of nature.Nature }

// Nature implements types.Type.
func (t natureType) Nature() nature.Nature { return t.of }

// Equal implements types.Type.
func (t natureType) Equal(other types.Type) bool { return t == other }

// String implements types.Type.
func (t natureType) String() string { return t.of.String() }
