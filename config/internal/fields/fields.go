package config

import (
	"reflect"
	"strings"
)

// fields are the keys of a section, in the order of its struct.
type fields struct {
	names  []string
	byName map[string]reflect.StructField // with Index from the outermost struct
}

// fieldsOf returns the keys of a struct by its yaml tags. The keys of an
// inlined struct are the section's own.
func fieldsOf(t reflect.Type) fields {
	all := fields{byName: make(map[string]reflect.StructField)}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			inner := fieldsOf(f.Type)
			for _, name := range inner.names {
				g := inner.byName[name]
				g.Index = append([]int{i}, g.Index...)
				all.add(name, g)
			}
		case name != "" && name != "-":
			all.add(name, f)
		}
	}
	return all
}

func (all *fields) add(name string, f reflect.StructField) {
	all.names = append(all.names, name)
	all.byName[name] = f
}
