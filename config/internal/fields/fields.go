// Package fields finds the keys of a section of the document in its Go struct.
package fields

import (
	"reflect"
	"strings"
)

// A Field is one key of a section.
type Field struct {
	Key    string
	Struct reflect.StructField // as its own struct declares it
	Owner  reflect.Type        // that struct
	Index  []int               // from the outermost struct
}

// Of returns the keys of a struct by its yaml tags, in their order. The keys of
// an inlined struct are the section's own.
func Of(t reflect.Type) []Field {
	var all []Field
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			for _, inner := range Of(f.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				all = append(all, inner)
			}
		case key != "" && key != "-":
			all = append(all, Field{Key: key, Struct: f, Owner: t, Index: []int{i}})
		}
	}
	return all
}
