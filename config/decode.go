package config

import (
	"encoding"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/leadsink/leadsink/config/internal/fields"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform"
)

// A decoder writes a parsed document over a struct that holds the defaults. It
// does not stop at what is wrong: everything is reported, with its place.
type decoder struct {
	*source
	folder  string // of the document
	lookup  func(name string) (string, bool)
	anchors map[string]ast.Node
	places  map[string]place // by key
	nodes   int              // seen so far, aliases expanded

	needed []string        // sections whose variables and files have to be there; nil: all
	open   map[string]bool // keys of others whose variables or files are missing
}

func newDecoder(file string, text []byte) *decoder {
	return &decoder{
		source:  newSource(file, text),
		folder:  filepath.Dir(file),
		lookup:  func(string) (string, bool) { return "", false },
		anchors: make(map[string]ast.Node),
		places:  make(map[string]place),
		open:    make(map[string]bool),
	}
}

// A place is where a key and its value stand. Of a list's element the key is
// the element.
type place struct{ key, value ast.Node }

var (
	secretType   = reflect.TypeFor[setting.Secret]()
	durationType = reflect.TypeFor[time.Duration]()
	entriesType  = reflect.TypeFor[transform.Entries]()
	jsonType     = reflect.TypeFor[setting.JSON]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// report reports what is wrong with the value at the key.
func (d *decoder) report(key string, n ast.Node, text string) {
	p := position(n)
	d.at(p.Line, p.Column, key, text)
}

// decode writes the node over the target. verbatim text is an expression, or
// part of one: nothing in it is substituted.
func (d *decoder) decode(n ast.Node, target reflect.Value, key string, verbatim bool) {
	n, ok := d.resolve(n, key)
	if !ok {
		return
	}
	d.places[key] = place{d.places[key].key, n}
	kind := target.Kind()
	switch {
	case isScalar(target.Type()):
		d.scalar(n, target, key, verbatim)
	case target.Type() == entriesType:
		d.expressions(n, target, key)
	case target.Type() == jsonType:
		target.Set(reflect.ValueOf(setting.JSON(d.appendJSON(nil, n, key))))
	case kind == reflect.Struct:
		d.section(n, target, key, verbatim)
	case kind == reflect.Slice:
		d.list(n, target, key, verbatim)
	default:
		panic("config: no way to decode " + target.Type().String())
	}
}

// mayStayOpen reports whether nobody needs the value of the key.
func (d *decoder) mayStayOpen(key string) bool {
	return d.needed != nil && !slices.ContainsFunc(d.needed, func(section string) bool { return strings.HasPrefix(key, section+".") })
}

// resolve follows aliases and takes anchors off, within bounds.
func (d *decoder) resolve(n ast.Node, key string) (ast.Node, bool) {
	for {
		d.nodes++
		if d.nodes == maxNodes {
			d.report(key, n, fmt.Sprintf("the document has more than %d values with its aliases; write less", maxNodes))
		}
		if d.nodes >= maxNodes {
			return nil, false
		}
		switch node := n.(type) {
		case *ast.AnchorNode:
			d.anchors[node.Name.GetToken().Value] = node.Value
			n = node.Value
		case *ast.AliasNode:
			name := node.Value.GetToken().Value
			target, ok := d.anchors[name]
			if !ok {
				d.report(key, n, fmt.Sprintf("nothing above is marked &%s; mark the value it stands for, or write the value out", name))
				return nil, false
			}
			n = target
		case *ast.TagNode:
			d.report(key, n, "YAML tags have no meaning here; leave "+node.GetToken().Value+" out")
			return nil, false
		default:
			return n, n != nil
		}
	}
}

// isScalar reports whether values of the type are written as one text.
func isScalar(t reflect.Type) bool {
	if t == secretType || t == durationType || reflect.PointerTo(t).Implements(textType) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64, reflect.Float64:
		return true
	}
	return false
}

// entries returns the keys of a mapping with their values, reporting keys that
// are not text or occur twice.
func (d *decoder) entries(n ast.Node, key, want string) []*ast.MappingValueNode {
	var all []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		all = n.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{n}
	case *ast.NullNode:
	default:
		d.report(key, n, "is "+name(n)+"; write "+want)
	}
	entries := all[:0:0]
	seen := make(map[string]int)
	for _, e := range all {
		scalar, ok := e.Key.(ast.ScalarNode)
		if !ok || e.Key.Type() == ast.MergeKeyType || e.Key.Type() == ast.NullType {
			d.report(key, e.Key, "is not a key that can be read; write KEY: VALUE (merge keys are not supported)")
			continue
		}
		text := scalar.GetToken().Value
		line := position(e.Key).Line
		if first, twice := seen[text]; twice {
			d.report(child(key, text), e.Key, fmt.Sprintf("occurs twice, first in line %d; leave one out", first))
			continue
		}
		seen[text] = line
		entries = append(entries, e)
	}
	return entries
}

// section decodes a mapping into a struct by its yaml tags.
func (d *decoder) section(n ast.Node, target reflect.Value, key string, verbatim bool) {
	known := make(map[string][]int)
	var names []string
	for _, f := range fields.Of(target.Type()) {
		known[f.Key] = f.Index
		names = append(names, f.Key)
	}
	for _, e := range d.entries(n, key, "a section, that is keys with values") {
		text := e.Key.GetToken().Value
		inner := child(key, text)
		index, ok := known[text]
		if !ok {
			d.unknown(inner, text, e.Key, names)
			continue
		}
		d.places[inner] = place{key: e.Key}
		d.decode(e.Value, target.FieldByIndex(index), inner, verbatim || inner == "transform.rules")
	}
}

// unknown reports a key that the section does not have. The line is quoted
// only up to the key: its value may be a secret under a mistyped name.
func (d *decoder) unknown(key, text string, n ast.Node, names []string) {
	advice := "leave it out, or see " + d.guide + " for the keys"
	if near := setting.Nearest(text, names); near != "" {
		advice = "did you mean " + near + "?"
	}
	d.report(key, n, "there is no such key; "+advice)
	e := d.errs[len(d.errs)-1]
	if runes := []rune(e.excerpt); e.Column-1+len([]rune(text)) < len(runes) {
		if before, _, found := strings.Cut(string(runes[e.Column-1:]), ":"); found {
			e.excerpt = string(runes[:e.Column-1]) + before + ": …"
		}
	}
}

// list decodes a sequence. It replaces the default as a whole.
func (d *decoder) list(n ast.Node, target reflect.Value, key string, verbatim bool) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		d.report(key, n, "is "+name(n)+"; write a list: [a, b], or one line for each with - before it")
		return
	}
	list := reflect.MakeSlice(target.Type(), len(sequence.Values), len(sequence.Values))
	for i, element := range sequence.Values {
		inner := fmt.Sprintf("%s[%d]", key, i)
		if element == nil {
			d.report(inner, sequence, "has no value; give one or leave it out")
			continue
		}
		d.places[inner] = place{key: element}
		d.decode(element, list.Index(i), inner, verbatim)
	}
	target.Set(list)
}

// expressions decodes a mapping of the user's own names to expressions, in
// the order of the document.
func (d *decoder) expressions(n ast.Node, target reflect.Value, key string) {
	var list transform.Entries
	for _, e := range d.entries(n, key, "names with expressions") {
		entry := transform.Entry{Name: e.Key.GetToken().Value}
		inner := child(key, entry.Name)
		d.places[inner] = place{key: e.Key}
		d.decode(e.Value, reflect.ValueOf(&entry.Expression).Elem(), inner, true)
		list = append(list, entry)
	}
	target.Set(reflect.ValueOf(list))
}

// scalar decodes one value.
func (d *decoder) scalar(n ast.Node, target reflect.Value, key string, verbatim bool) {
	want := wanted(target.Type())
	text, quoted, ok := scalarText(n)
	switch {
	case n.Type() == ast.NullType:
		d.report(key, d.places[key].keyOr(n), "has no value; write "+want+", or leave the key out")
		return
	case !ok:
		d.report(key, n, "is "+name(n)+"; write "+want)
		return
	}
	parts := []setting.Part{{Text: text}}
	substituted := !verbatim && strings.Contains(text, "${")
	if substituted {
		var unset, problems []string
		parts, unset, problems = d.substitute(text)
		if unset != nil && d.mayStayOpen(key) {
			d.open[key], unset = true, nil
		}
		for _, p := range slices.Concat(unset, problems) {
			d.report(key, n, p)
		}
		if unset != nil || problems != nil || d.open[key] {
			return
		}
	}
	secret, err := setting.SecretFrom(parts...)
	if err != nil && d.mayStayOpen(key) { // only files can be missing
		d.open[key] = true
		return
	}
	if err != nil {
		d.report(key, n, err.Error()+"; see whether the file is there and can be read")
		return
	}
	if target.Type() == secretType {
		if secret.IsZero() && substituted && d.mayStayOpen(key) {
			d.open[key] = true
		}
		target.Set(reflect.ValueOf(secret))
		return
	}
	if text, err = secret.Reveal(); err != nil {
		d.report(key, n, err.Error())
		return
	}
	if text == "" && substituted && d.mayStayOpen(key) {
		d.open[key] = true
		return
	}
	quoted = quoted && !substituted
	if err := d.set(target, key, text, quoted); err != nil {
		problem := err.Error()
		if substituted { // what a variable or a file holds may be secret
			problem = "what is substituted here is not " + want + "; see what the variable or the file holds"
		}
		d.report(key, n, problem)
	}
}

// keyOr returns the key's node, or the other one where there is no key.
func (p place) keyOr(n ast.Node) ast.Node {
	if p.key != nil {
		return p.key
	}
	return n
}

// set converts the text to the target's type. Quoted text is no number.
func (d *decoder) set(target reflect.Value, key, text string, quoted bool) error {
	wrong := fmt.Errorf("%s is not %s; write it without quotes", strconv.Quote(text), wanted(target.Type()))
	if !quoted {
		wrong = fmt.Errorf("%s is not %s", strconv.Quote(text), wanted(target.Type()))
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](target.Addr()); ok {
		return u.UnmarshalText([]byte(text))
	}
	if target.Type() == durationType {
		duration, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration; write a number with its unit, for instance 500ms, 5s, 2m or 1h", text)
		}
		target.SetInt(int64(duration))
		return nil
	}
	switch target.Kind() {
	case reflect.String:
		if IsPath(key) {
			text = d.beside(text)
			if _, err := os.Stat(text); err != nil && d.mayStayOpen(key) {
				d.open[key] = true
				return nil
			}
		}
		target.SetString(text)
	case reflect.Bool:
		if quoted || text != "true" && text != "false" {
			return wrong
		}
		target.SetBool(text == "true")
	case reflect.Float64:
		number, err := strconv.ParseFloat(text, 64)
		if quoted || err != nil {
			return wrong
		}
		target.SetFloat(number)
	default:
		number, err := strconv.ParseInt(text, 10, target.Type().Bits())
		if quoted || err != nil {
			return wrong
		}
		target.SetInt(number)
	}
	return nil
}

// IsPath reports whether the value of the key names a file beside the document.
func IsPath(key string) bool {
	return strings.HasSuffix(key, "_file") || key == "transform.sample" || key == "transform.schema" ||
		strings.HasPrefix(key, "transform.tables[") && strings.HasSuffix(key, ".file")
}

// scalarText returns a scalar as it is written, without quotes. Text is what
// it is: 0123 keeps its zero and 1.50 its places.
func scalarText(n ast.Node) (text string, quoted, ok bool) {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return n.Value.GetToken().Value, true, true
	case ast.ScalarNode:
		t := n.GetToken()
		quoted = t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType
		return t.Value, quoted, true
	}
	return "", false, false
}

// wanted says what a value of the type looks like.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 5s"
	case t == reflect.TypeFor[setting.Size]():
		return "a size such as 32MiB"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "text"
}

// name says in words what a node is.
func name(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "without a value"
	}
	return "one value"
}

// child returns the key of a value within a section.
func child(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
