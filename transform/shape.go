package transform

import (
	"time"

	"github.com/expr-lang/expr/types"

	"github.com/leadsink/leadsink/transform/decode"
)

var timeType = types.TypeOf(time.Time{})

// A shape is what samples of a value have in common. Null says nothing.
type shape struct {
	boolean, text, whole, decimal, list, object bool

	element *shape            // of list
	fields  map[string]*shape // of object
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

// typ returns the type for the check: any where samples differ or say nothing.
func (s *shape) typ() types.Type {
	kinds := 0
	for _, is := range []bool{s.boolean, s.text, s.whole || s.decimal, s.list, s.object} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return types.Any
	}
	switch {
	case s.boolean:
		return types.Bool
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
	if len(fields) == 0 {
		fields[types.Extra] = types.Any
	}
	return fields
}
