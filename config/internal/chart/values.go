// Package chart describes the values of the Helm chart from its values.yaml and the comments there.
package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/leadsink/leadsink/config/internal/reference"
)

// A Value is one key of values.yaml.
type Value struct {
	Name    string
	Path    string // from the root
	Meaning string // the comment above it; "" for a section
	Types   []string
	Words   []string // for a text: the words that there are, nil for any
	Default any      // as encoding/json would read it
	Values  []Value  // of a section, which has no others
}

// Values reads values.yaml. A mapping without a comment is a section, whose
// keys have comments of their own; a mapping with one is a value that may hold
// anything.
func Values(text []byte) ([]Value, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) != 1 {
		return nil, fmt.Errorf("values.yaml holds %d documents; write one", len(file.Docs))
	}
	return section(file.Docs[0].Body, strings.Split(string(text), "\n"), "")
}

func section(node ast.Node, lines []string, path string) ([]Value, error) {
	var pairs []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return nil, fmt.Errorf("values.yaml: %s has no comment and is no mapping; say above it what it means", path)
	}
	var all []Value
	for _, pair := range pairs {
		name := pair.Key.String()
		v := Value{
			Name:    name,
			Path:    strings.TrimPrefix(path+"."+name, "."),
			Meaning: comment(lines, pair.Key.GetToken().Position.Line),
		}
		var err error
		if v.Meaning == "" {
			v.Values, err = section(pair.Value, lines, v.Path)
		} else {
			err = v.read(pair.Value)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// comment returns what stands in the lines just above one.
func comment(lines []string, line int) string {
	text := ""
	for i := line - 2; i >= 0; i-- {
		above, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "#")
		if !ok {
			break
		}
		text = strings.TrimSpace(above) + " " + text
	}
	return strings.TrimSpace(text)
}

// typeGiven is how a comment says what a value without a default may be.
var typeGiven = regexp.MustCompile(`^\(whole number\) `)

// read finds the types that a value may have in its default.
func (v *Value) read(node ast.Node) error {
	text, err := yaml.YAMLToJSON([]byte(node.String()))
	if err != nil {
		return fmt.Errorf("values.yaml: %s: %w", v.Path, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v.Default); err != nil {
		return fmt.Errorf("values.yaml: %s: %w", v.Path, err)
	}
	switch v.Default.(type) {
	case bool:
		v.Types = []string{"boolean"}
	case json.Number:
		v.Types = []string{"integer"}
	case string:
		v.Types, v.Words = []string{"string"}, reference.Words(v.Meaning)
	case []any:
		v.Types = []string{"array"}
	case map[string]any:
		v.Types = []string{"object"}
	default:
		given := typeGiven.FindString(v.Meaning)
		if given == "" {
			return fmt.Errorf("values.yaml: %s has no default; begin its comment with (whole number)", v.Path)
		}
		v.Types, v.Meaning = []string{"integer", "null"}, strings.TrimPrefix(v.Meaning, given)
	}
	return nil
}
