package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/leadsink/leadsink/config/setting"
)

// A File is a YAML file beside the document that is read as strictly: unknown
// keys, keys that are there twice and values of another kind are errors with
// their places. Nothing is substituted in it. It is used by one goroutine.
type File struct {
	d    *decoder
	text []byte
}

// ParseFile reads the text of the file over the target, a pointer to a struct
// with yaml tags. guide is the page that explains the keys. Err tells what is wrong.
func ParseFile(path, guide string, text []byte, target any) *File {
	d := newDecoder(path, text)
	d.guide, d.example = guide, ""
	if root := d.parse(text); root != nil {
		d.decode(root, reflect.ValueOf(target).Elem(), "", true)
	}
	return &File{d, text}
}

// Text returns what the file holds.
func (f *File) Text() []byte { return f.text }

// Has reports whether the key is there, such as "cases[0].event".
func (f *File) Has(key string) bool {
	_, ok := f.d.places[key]
	return ok
}

// Node returns the value of the key, nil if there is none.
func (f *File) Node(key string) ast.Node { return f.d.places[key].value }

// Line returns the line of the key, from 1, or 0 if it is not there.
func (f *File) Line(key string) int {
	if n := f.d.places[key].keyOr(f.d.places[key].value); n != nil {
		return position(n).Line
	}
	return 0
}

// Report notes what is wrong with the key, or with the section around it where
// the key is missing, and what to do.
func (f *File) Report(key, text string) { f.d.problem(setting.Problem{Key: key, Text: text}, key) }

// Err returns everything that is wrong as an *Errors, or nil.
func (f *File) Err() error {
	if len(f.d.errs) == 0 {
		return nil
	}
	return sorted(f.d.errs)
}

// WriteText writes a document, or a file beside it, whole or not at all: until it is
// all there, what the file held stays. A file that is there keeps its mode, and a
// link stays a link to it.
func WriteText(path string, text []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	mode := fs.FileMode(0o644)
	switch stat, err := os.Stat(path); {
	case err == nil && !stat.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	case err == nil:
		mode = stat.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// appendJSON appends the value as JSON.
func (d *decoder) appendJSON(b []byte, n ast.Node, key string) []byte {
	n, ok := d.resolve(n, key)
	if !ok {
		return append(b, "null"...)
	}
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		b = append(b, '{')
		for i, e := range d.entries(n, key, "names with values") {
			if i > 0 {
				b = append(b, ',')
			}
			name := e.Key.GetToken().Value
			b = append(appendText(b, name), ':')
			b = d.appendJSON(b, e.Value, short(child(key, name)))
		}
		return append(b, '}')
	case *ast.SequenceNode:
		b = append(b, '[')
		for i, element := range n.Values {
			if i > 0 {
				b = append(b, ',')
			}
			b = d.appendJSON(b, element, short(fmt.Sprintf("%s[%d]", key, i)))
		}
		return append(b, ']')
	case *ast.NullNode:
		return append(b, "null"...)
	case *ast.BoolNode:
		return strconv.AppendBool(b, n.Value)
	}
	text, quoted, ok := scalarText(n)
	number := false
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		number = true
	case *ast.StringNode: // the YAML library takes what does not fit 64 bits for text
		number = !quoted && strings.Trim(text, "-0123456789") == "" && json.Valid([]byte(text))
	}
	switch {
	case !ok:
		d.report(key, n, "is not a value that JSON has; write text, a number, true, false, null, a list or an object")
	case number && !json.Valid([]byte(text)):
		d.report(key, n, strconv.Quote(text)+" is not a number in JSON; write its decimal digits, or put it into quotes")
	case number:
		return append(b, text...)
	}
	return appendText(b, text)
}

// appendText appends text as a JSON string.
func appendText(b []byte, text string) []byte {
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic(err) // a string can always be written
	}
	return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
}
