package config

import (
	"fmt"
	"maps"
	"strings"
	"unicode"
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
	faulty := maps.Clone(d.open) // what could not be read still has its default
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
		if d.beforeComment(at.value) {
			p.Text += "; YAML takes what is behind # for a comment, so put the expression in quotes"
		}
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
	d.errs = append(d.errs, &Error{File: d.file, Line: 1, Column: 1, Key: short(p.Key), Text: p.Text})
}

// beforeComment reports whether a value without quotes ends at a comment: in
// expressions # is an element of a list.
func (d *decoder) beforeComment(n ast.Node) bool {
	t := n.GetToken()
	return t.Next != nil && t.Next.Type == token.CommentType && t.Next.Position.Line == t.Position.Line
}

// inside returns where a line and column of a value's text stand in the
// document. YAML folds lines, indents them and escapes characters, so both are
// read side by side: what is not white space is the same in both.
func (d *decoder) inside(n ast.Node, line, column int) (int, int) {
	text, _, _ := scalarText(n)
	text = strings.TrimRightFunc(text, unicode.IsSpace) // behind it there is nothing to point at
	r := reader{lines: d.lines, line: position(n).Line - 1, column: position(n).Column - 1, next: plain}
	if block, ok := n.(*ast.LiteralNode); ok {
		r.line, r.column = position(block).Line, 0 // below the | or >
	} else if t := n.GetToken().Type; t == token.DoubleQuoteType {
		r.next, r.column = doubleQuoted, r.column+1
	} else if t == token.SingleQuoteType {
		r.next, r.column = singleQuoted, r.column+1
	} else {
		// White space at the end of the line shifts what the parser says.
		word, _, _ := strings.Cut(text, " ")
		for r.column > 0 && !strings.HasPrefix(r.rest(), word) {
			r.column--
		}
	}
	for i, c := range text {
		if line == 1 && column == 1 {
			if !unicode.IsSpace(c) {
				r.skip()
			}
			break
		}
		r.pass(c)
		switch {
		case line == 1:
			column--
		case text[i] == '\n':
			line--
		}
	}
	return r.line + 1, r.column + 1
}

// A reader goes through a value in the document as the text that it stands for
// is gone through.
type reader struct {
	lines        []string
	line, column int              // from 0
	next         func(string) int // length in bytes of the first character's form
}

// pass goes past what stands for a character of the text.
func (r *reader) pass(c rune) {
	escaped := r.escapes() && strings.HasPrefix(r.rest(), `\`)
	if unicode.IsSpace(c) && !escaped {
		r.skip()
		return
	}
	r.skip()
	if rest := r.rest(); rest != "" {
		r.column += utf8.RuneCountInString(rest[:r.next(rest)])
	}
}

// escapes reports whether a backslash has a meaning.
func (r *reader) escapes() bool { return r.next(`\n`) > 1 }

// skip goes past white space and ends of lines.
func (r *reader) skip() {
	for r.line < len(r.lines) {
		rest := r.rest()
		trimmed := strings.TrimLeft(rest, " \t")
		if trimmed != "" && (trimmed != `\` || !r.escapes()) { // which would join it with the next line
			r.column += utf8.RuneCountInString(rest) - utf8.RuneCountInString(trimmed)
			return
		}
		if r.line+1 == len(r.lines) {
			return
		}
		r.line, r.column = r.line+1, 0
	}
}

// rest returns what follows in the line.
func (r *reader) rest() string {
	if r.line >= len(r.lines) {
		return ""
	}
	row := []rune(r.lines[r.line])
	return string(row[min(r.column, len(row)):])
}

// plain returns the length of the first character.
func plain(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// singleQuoted returns the length of the first character's form in single
// quotes, where a quote is written twice.
func singleQuoted(s string) int {
	if strings.HasPrefix(s, "''") {
		return 2
	}
	return plain(s)
}

// doubleQuoted returns the length of the first character's form in double
// quotes, where it may be escaped.
func doubleQuoted(s string) int {
	if s[0] != '\\' || len(s) < 2 {
		return plain(s)
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
