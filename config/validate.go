package config

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform/decode"
)

// Validate returns what is wrong with the values of the document, each by
// itself and together.
func (doc *Document) Validate() []setting.Problem {
	all := doc.single()
	for _, r := range doc.together() {
		all = append(all, r.Problem)
	}
	return all
}

// single returns what is wrong with the values of each section by itself.
func (doc *Document) single() []setting.Problem {
	all := doc.own()
	for _, section := range []struct {
		key      string
		problems []setting.Problem
	}{
		{"kafka", doc.Kafka.Validate()},
		{"decode", decodeProblems(doc.Decode)},
		{"leadsquared", doc.LeadSquared.Client.Validate()},
		{"leadsquared", doc.LeadSquared.Budget.Validate()},
		{"leadsquared", doc.LeadSquared.Batch.Validate()},
		{"delivery", doc.Delivery.Validate()},
		{"admin", doc.Admin.Validate()},
		{"telemetry", doc.Telemetry.Validate()},
		{"log", doc.Log.Validate()},
	} {
		all = append(all, setting.Under(section.key, section.problems)...)
	}
	_, rules := doc.Rules()
	return append(all, rules...)
}

func decodeProblems(c decode.Config) []setting.Problem {
	var all []setting.Problem
	for _, p := range c.Validate() {
		all = append(all, setting.Problem{Key: p.Key, Text: p.Text + "; " + p.Advice})
	}
	return all
}

// own returns what is wrong with the values that are config's own.
func (doc *Document) own() []setting.Problem {
	var all []setting.Problem
	if doc.Name == "" {
		all = append(all, setting.Problem{Key: "name", Text: "is empty; give the connector a name, or leave the key out for leadsink"})
	}
	if doc.StartTimeout <= 0 {
		all = append(all, setting.Problem{Key: "start_timeout", Text: fmt.Sprintf("%s leaves no time to start; write a duration above 0s, for instance 2m", doc.StartTimeout)})
	}
	return all
}

// validate reports what Validate returns, with the places.
func (d *decoder) validate(doc *Document) {
	faulty := make(map[string]bool) // what could not be read still has its default
	for _, e := range d.errs {
		faulty[e.Key] = true
	}
	var wrong []string
	for _, p := range doc.single() {
		if !within(p.Key, faulty) {
			d.problem(p, p.Key)
			wrong = append(wrong, p.Key)
		}
	}
	for _, key := range wrong {
		faulty[key] = true
	}
	for _, r := range doc.together() {
		switch _, mentioned := d.places[r.Key]; {
		case within(r.Key, faulty), within(r.other, faulty):
		case mentioned:
			d.problem(r.Problem, r.Key)
		default:
			d.problem(r.Problem, r.other)
		}
	}
}

// within reports whether the key or a section around it is among the keys.
func within(key string, keys map[string]bool) bool {
	for ; key != ""; key = around(key) {
		if keys[key] {
			return true
		}
	}
	return keys[""]
}

// around returns the key of the section or list around a key.
func around(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

// problem reports a problem at the place of the key: the place within the
// value, the value, or where the key is missing the section around it.
func (d *decoder) problem(p setting.Problem, key string) {
	at := d.places[key]
	switch {
	case at.value != nil && (p.Line > 0 || p.Column > 0):
		line, column := d.inside(at.value, max(1, p.Line), max(1, p.Column))
		d.at(line, column, p.Key, p.Text)
		return
	case at.value != nil:
		if _, _, scalar := scalarText(at.value); scalar || at.key == nil {
			d.report(p.Key, at.value, p.Text)
			return
		}
	}
	for ; key != ""; key = around(key) {
		if at := d.places[key]; at.key != nil {
			d.report(p.Key, at.key, p.Text)
			return
		}
	}
	// Nothing of it is in the document, so there is no line to show.
	d.errs = append(d.errs, &Error{File: d.file, Line: 1, Column: 1, Key: p.Key, Text: p.Text})
}

// inside returns where a line and column of a value's text stand in the
// document.
func (d *decoder) inside(n ast.Node, line, column int) (int, int) {
	if block, ok := n.(*ast.LiteralNode); ok {
		return d.insideBlock(block, line, column)
	}
	pos := position(n)
	if line > 1 || pos.Line < 1 || pos.Line > len(d.lines) {
		return pos.Line, pos.Column
	}
	row := []rune(d.lines[pos.Line-1])
	if pos.Column > len(row) {
		return pos.Line, pos.Column
	}
	rest := string(row[pos.Column-1:])
	offset := column - 1
	switch n.GetToken().Type {
	case token.DoubleQuoteType:
		offset = quotedOffset(rest, offset, doubleQuoted)
	case token.SingleQuoteType:
		offset = quotedOffset(rest, offset, singleQuoted)
	}
	return pos.Line, min(pos.Column+offset, len(row)+1)
}

// insideBlock returns the place within a block scalar. Its first line stands
// below the | or >, and its lines begin at the indentation of the first that
// is not empty. In a folded block the lines of the text are not those of the
// document, so the place is its beginning.
func (d *decoder) insideBlock(block *ast.LiteralNode, line, column int) (int, int) {
	first := position(block).Line // index of the line after it
	if block.Start.Type != token.LiteralType {
		line, column = 1, 1
	}
	for _, text := range d.lines[min(first, len(d.lines)):] {
		if strings.TrimSpace(text) != "" {
			indent := len(text) - len(strings.TrimLeft(text, " "))
			return first + line, indent + column
		}
	}
	return first, position(block).Column
}

// quotedOffset returns how many characters of the source, from the opening
// quote on, precede the given number of characters of the text.
func quotedOffset(source string, characters int, next func(string) int) int {
	rest := source[1:]
	for ; characters > 0 && rest != ""; characters-- {
		rest = rest[next(rest):]
	}
	return utf8.RuneCountInString(source) - utf8.RuneCountInString(rest)
}

// singleQuoted returns the length of the first character's form in single
// quotes, where a quote is written twice.
func singleQuoted(s string) int {
	if strings.HasPrefix(s, "''") {
		return 2
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// doubleQuoted returns the length of the first character's form in double
// quotes, where it may be escaped.
func doubleQuoted(s string) int {
	if s[0] != '\\' || len(s) < 2 {
		_, n := utf8.DecodeRuneInString(s)
		return n
	}
	n := 2
	switch s[1] {
	case 'x':
		n = 4
	case 'u':
		n = 6
	case 'U':
		n = 10
	}
	return min(n, len(s))
}
