// Package reference describes the keys of the document from its Go structs and their comments.
package reference

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/internal/fields"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/transform"
)

// A Key is one key of the document, with the keys below it.
type Key struct {
	Name    string
	Path    string // from the root; the elements of a list are under PATH[]
	Meaning string
	Kind    Kind
	List    bool     // a list of values of that kind
	Words   []string // for Text: the words that there are, nil for any text
	Default string   // as it is written in the document; "" for a section, or no default
	Must    bool     // the document is not valid without it
	Keys    []Key    // for Section
}

// A Kind is what a value looks like in the document.
type Kind string

// The kinds of values.
const (
	Section     Kind = "section"
	Text        Kind = "text"
	Secret      Kind = "secret"
	Path        Kind = "path"
	Expression  Kind = "expression"
	Expressions Kind = "names with expressions"
	Duration    Kind = "duration"
	Size        Kind = "size"
	Limit       Kind = "calls/window"
	DayStart    Kind = "time and zone"
	Proportion  Kind = "part/of"
	Integer     Kind = "whole number"
	Number      Kind = "number"
	Boolean     Kind = "true or false"
)

var kinds = map[reflect.Type]Kind{
	reflect.TypeFor[setting.Secret]():       Secret,
	reflect.TypeFor[setting.Size]():         Size,
	reflect.TypeFor[time.Duration]():        Duration,
	reflect.TypeFor[budget.Limit]():         Limit,
	reflect.TypeFor[budget.DayStart]():      DayStart,
	reflect.TypeFor[connector.Proportion](): Proportion,
	reflect.TypeFor[transform.Entries]():    Expressions,
}

// Keys returns the keys of the document. root is the folder of the module,
// where the comments are read.
func Keys(root string) ([]Key, error) {
	document := config.Default()
	d := describer{comments: comments{root: root}, must: make(map[string]bool)}
	for _, p := range document.Validate() {
		d.must[p.Key] = true
	}
	keys := d.section(reflect.ValueOf(document), "")
	return keys, d.err
}

type describer struct {
	comments comments
	must     map[string]bool // the keys without which the defaults are no document
	err      error
}

// section describes the keys of a struct, whose values are the defaults.
func (d *describer) section(v reflect.Value, path string) []Key {
	var keys []Key
	for _, f := range fields.Of(v.Type()) {
		text, err := d.comments.of(f.Owner, f.Struct.Name)
		if err != nil && d.err == nil {
			d.err = err
		}
		k := Key{
			Name:    f.Key,
			Path:    strings.TrimPrefix(path+"."+f.Key, "."),
			Meaning: meaning(text, f),
		}
		d.value(&k, v.FieldByIndex(f.Index))
		keys = append(keys, k)
	}
	return keys
}

// value describes the value of a key.
func (d *describer) value(k *Key, v reflect.Value) {
	k.Must = d.must[k.Path]
	inner, path := v, k.Path
	if _, special := kinds[v.Type()]; !special && v.Kind() == reflect.Slice {
		k.List = true
		inner, path = reflect.New(v.Type().Elem()).Elem(), path+"[]"
	}
	k.Kind = kind(inner.Type(), path)
	if k.Kind == Section {
		k.Keys = d.section(inner, path)
		return
	}
	if k.Kind == Text {
		k.Words = Words(k.Meaning)
	}
	k.Default = written(v)
}

func kind(t reflect.Type, path string) Kind {
	if k, ok := kinds[t]; ok {
		return k
	}
	switch t.Kind() {
	case reflect.Struct:
		return Section
	case reflect.Bool:
		return Boolean
	case reflect.Int, reflect.Int32, reflect.Int64:
		return Integer
	case reflect.Float64:
		return Number
	}
	switch {
	case strings.HasPrefix(path, "transform.rules[].") && path != "transform.rules[].name":
		return Expression
	case config.IsPath(path):
		return Path
	}
	return Text
}

// written returns a default as it is written in the document, "" for none.
func written(v reflect.Value) string {
	if v.Kind() == reflect.Slice {
		var all []string
		for i := range v.Len() {
			all = append(all, written(v.Index(i)))
		}
		if all == nil {
			return ""
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return setting.Written(time.Duration(v.Int()))
	}
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		text, _ := m.MarshalText()
		return string(text)
	}
	return fmt.Sprint(v.Interface())
}

// meaning is the comment of a field, in which the field is called by its key.
func meaning(text string, f fields.Field) string {
	text = strings.Join(strings.Fields(text), " ")
	if rest, ok := strings.CutPrefix(text, f.Struct.Name+" "); ok {
		return "`" + f.Key + "` " + rest
	}
	return text
}

// The two ways in which comments list words: "a | b: what it is" and "what it
// is: a, b or c."
var (
	alternatives = regexp.MustCompile(`(?:^|[ (])(\w+(?: \| \w+)+)(?:$|[:;.,)])`)
	enumeration  = regexp.MustCompile(`: ((?:\w+, )*\w+ or \w+)(?:$|[;.])`)
)

// Words returns the words that a comment lists, nil if it lists none.
func Words(text string) []string {
	if m := alternatives.FindStringSubmatch(text); m != nil {
		return strings.Split(m[1], " | ")
	}
	if m := enumeration.FindStringSubmatch(text); m != nil {
		return strings.Split(strings.ReplaceAll(m[1], " or ", ", "), ", ")
	}
	return nil
}
