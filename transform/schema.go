package transform

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform/decode"
)

// maxShapes bounds what a schema may stand for with its references followed: a
// few definitions that name each other twice would double at every step.
const maxShapes = 20_000

// A Schema is what a JSON Schema (2020-12, or an earlier draft) says about the
// names and kinds of events' fields.
type Schema struct{ event *shape }

// ParseSchema reads a JSON Schema. What only restricts values further, such as
// minLength, is left aside: expressions are checked, events are not. The error
// names the first place that cannot be read, as a pointer such as
// #/properties/order.
func ParseSchema(text []byte) (*Schema, error) {
	root, err := decode.JSON(text, 200)
	if err != nil {
		return nil, fmt.Errorf("the file is not JSON: %w; write a JSON Schema", err)
	}
	r := schemaReader{root: root, following: make(map[string]bool)}
	event := r.shape(root, "#")
	if r.err != nil {
		return nil, r.err
	}
	return &Schema{event}, nil
}

type schemaReader struct {
	root      any
	following map[string]bool // references that are being followed
	shapes    int
	err       error // the first
}

// fail notes what is wrong at a place, and returns the shape that says nothing.
func (r *schemaReader) fail(place, format string, args ...any) *shape {
	if r.err == nil {
		r.err = fmt.Errorf("%s: %s", place, fmt.Sprintf(format, args...))
	}
	return &shape{anything: true}
}

// shape returns what a schema says. The keywords of one schema hold together.
func (r *schemaReader) shape(v any, place string) *shape {
	if r.shapes++; r.shapes > maxShapes {
		return r.fail(place, "the schema stands for more than %d values with its references; describe less", maxShapes)
	}
	if r.err != nil {
		return &shape{anything: true}
	}
	if allowed, ok := v.(bool); ok {
		return &shape{anything: allowed}
	}
	schema, ok := v.(map[string]any)
	if !ok {
		return r.fail(place, "it is %s, not a schema; write an object, true or false", kindOf(v))
	}
	s := r.own(schema, place)
	if ref, ok := schema["$ref"]; ok {
		s = both(s, r.reference(ref, place+"/$ref"))
	}
	for i, one := range r.many(schema, "allOf", place) {
		s = both(s, r.shape(one, fmt.Sprintf("%s/allOf/%d", place, i)))
	}
	for _, word := range []string{"anyOf", "oneOf"} {
		var union *shape
		for i, one := range r.many(schema, word, place) {
			union = either(union, r.shape(one, fmt.Sprintf("%s/%s/%d", place, word, i)))
		}
		s = both(s, union)
	}
	// Whichever branch holds, the fields of both can be there.
	if _, ok := schema["if"]; ok {
		branch := func(word string) *shape {
			if v, ok := schema[word]; ok {
				return r.shape(v, place+"/"+word)
			}
			return &shape{anything: true}
		}
		s = both(s, either(branch("then"), branch("else")))
	}
	return s
}

// own returns what the schema says without the schemas that it is put together of.
func (r *schemaReader) own(schema map[string]any, place string) *shape {
	s := new(shape)
	r.kinds(s, schema, place)
	fields := r.object(schema, "properties", place)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if s.fields == nil {
			s.fields = make(map[string]*shape)
		}
		s.fields[name] = r.shape(fields[name], place+"/properties/"+name)
	}
	patterns := r.object(schema, "patternProperties", place)
	for _, pattern := range slices.Sorted(maps.Keys(patterns)) {
		s.others = either(s.others, r.shape(patterns[pattern], place+"/patternProperties/"+pattern))
	}
	// Without a word about other fields they are taken for mistakes.
	if others, ok := schema["additionalProperties"]; ok && others != false {
		s.others = either(s.others, r.shape(others, place+"/additionalProperties"))
	}
	for _, word := range []string{"prefixItems", "items", "additionalItems"} {
		switch items := schema[word].(type) {
		case nil:
		case []any:
			for i, one := range items {
				s.element = either(s.element, r.shape(one, fmt.Sprintf("%s/%s/%d", place, word, i)))
			}
		default:
			if items != false {
				s.element = either(s.element, r.shape(items, place+"/"+word))
			}
		}
	}
	return s
}

var schemaTypes = []string{"string", "number", "integer", "boolean", "array", "object", "null"}

// kinds reads type, enum and const; without them the other keywords tell.
func (r *schemaReader) kinds(s *shape, schema map[string]any, place string) {
	names, listed := schema["type"].([]any)
	if name, ok := schema["type"]; ok && !listed {
		names = []any{name}
	}
	for _, v := range names {
		name, _ := v.(string)
		switch name {
		case "string":
			s.text = true
		case "number":
			s.decimal = true
		case "integer":
			s.whole = true
		case "boolean":
			s.boolean = true
		case "array":
			s.list = true
		case "object":
			s.object = true
		case "null":
		default:
			advice := "write one of " + strings.Join(schemaTypes, ", ")
			if near := setting.Nearest(name, schemaTypes); near != "" {
				advice = fmt.Sprintf("did you mean %s?", near)
			}
			r.fail(place+"/type", "%s is not a type; %s", strconv.Quote(name), advice)
		}
	}
	values, ok := schema["enum"].([]any)
	if v, listed := schema["enum"]; listed && !ok {
		r.fail(place+"/enum", "it is %s; write a list of values", kindOf(v))
	}
	if v, ok := schema["const"]; ok {
		values = []any{v}
	}
	switch {
	case values != nil:
		one := new(shape)
		for _, v := range values {
			one.add(v)
			if word, ok := v.(string); ok && !slices.Contains(one.words, word) {
				one.words = append(one.words, word)
			}
		}
		slices.Sort(one.words)
		if len(names) == 0 {
			*s = *one
		} else {
			*s = *both(s, one)
		}
	case len(names) > 0:
	case schema["properties"] != nil || schema["additionalProperties"] != nil:
		s.object = true
	case schema["items"] != nil || schema["prefixItems"] != nil:
		s.list = true
	default:
		s.anything = true
	}
}

// reference follows a reference into the same file. What refers to itself is
// not described further.
func (r *schemaReader) reference(v any, place string) *shape {
	ref, _ := v.(string)
	if ref != "#" && !strings.HasPrefix(ref, "#/") {
		return r.fail(place, "%s is not a place in this file; put the definition into the file and write #/$defs/NAME", strconv.Quote(ref))
	}
	if r.following[ref] {
		return &shape{anything: true}
	}
	target := r.root
	for _, step := range strings.Split(ref, "/")[1:] {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		var next any
		found := false
		var there []string
		switch at := target.(type) {
		case map[string]any:
			next, found = at[step]
			there = slices.Sorted(maps.Keys(at))
		case []any:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(at) {
				next, found = at[i], true
			}
		}
		if !found {
			advice := "define it in the file"
			if near := setting.Nearest(step, there); near != "" {
				advice = fmt.Sprintf("did you mean %s?", near)
			}
			return r.fail(place, "there is no %s; %s", ref, advice)
		}
		target = next
	}
	r.following[ref] = true
	defer delete(r.following, ref)
	return r.shape(target, ref)
}

// many returns the schemas under a keyword that has a list of them.
func (r *schemaReader) many(schema map[string]any, word, place string) []any {
	v, ok := schema[word]
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		r.fail(place+"/"+word, "it is %s; write a list of schemas", kindOf(v))
	}
	return list
}

// object returns the schemas under a keyword that has them by name.
func (r *schemaReader) object(schema map[string]any, word, place string) map[string]any {
	v, ok := schema[word]
	if !ok {
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		r.fail(place+"/"+word, "it is %s; write an object of schemas by name", kindOf(v))
	}
	return object
}
