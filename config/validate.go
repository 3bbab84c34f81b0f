package config

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform"
	"github.com/leadsink/leadsink/transform/decode"
)

// Validate returns what is wrong with the values of the document, each by
// itself and together.
func (doc *Document) Validate() []setting.Problem {
	var all []setting.Problem
	all = append(all, doc.own()...)
	for _, section := range []struct {
		key      string
		problems []setting.Problem
	}{
		{"decode", decodeProblems(doc.Decode)},
		{"transform", transformProblems(doc.Transform)},
		{"leadsquared", doc.LeadSquared.Budget.Validate()},
		{"leadsquared", doc.LeadSquared.Batch.Validate()},
		{"delivery", doc.Delivery.Validate()},
		{"telemetry", doc.Telemetry.Validate()},
		{"log", doc.Log.Validate()},
	} {
		all = append(all, setting.Under(section.key, section.problems)...)
	}
	return append(all, doc.together()...)
}

func decodeProblems(c decode.Config) []setting.Problem {
	var all []setting.Problem
	for _, p := range c.Validate() {
		all = append(all, setting.Problem{Key: p.Key, Text: p.Text + "; " + p.Advice})
	}
	return all
}

func transformProblems(c transform.Config) []setting.Problem {
	var all []setting.Problem
	for _, p := range c.Validate() {
		all = append(all, setting.Problem{Key: p.Key, Text: p.Text + "; " + p.Advice, Line: p.Line, Column: p.Column})
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
	if doc.Receipts.Topic != "" {
		all = append(all, setting.Problem{Key: "receipts.topic", Text: "comes with a later version; leave it out"})
	}
	return all
}

// together returns what is wrong between values of different sections.
func (doc *Document) together() []setting.Problem {
	var all []setting.Problem
	wrong := func(key, format string, args ...any) {
		all = append(all, setting.Problem{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	delivery, batch := &doc.Delivery, &doc.LeadSquared.Batch
	if delivery.Window < batch.Batch {
		wrong("delivery.window", "%d records never fill a batch of %d; write at least leadsquared.batch", delivery.Window, batch.Batch)
	}
	return all
}

// validate reports what Validate returns, with the places.
func (d *decoder) validate(doc *Document) {
	faulty := make(map[string]bool) // a value that could not be read still has its default
	for _, e := range d.errs {
		faulty[e.Key] = true
	}
	for _, p := range doc.Validate() {
		if faulty[p.Key] {
			continue
		}
		line, column := d.locate(p)
		d.at(line, column, p.Key, p.Text)
	}
}

// locate returns where a problem is: the place within the value, the value,
// or where the key is missing the section around it.
func (d *decoder) locate(p setting.Problem) (line, column int) {
	key := p.Key
	at, ok := d.places[key]
	if ok && at.value != nil {
		if p.Line > 0 || p.Column > 0 {
			return d.within(at.value, max(1, p.Line), max(1, p.Column))
		}
		if _, _, scalar := scalarText(at.value); !scalar && at.key != nil {
			at.value = at.key
		}
		pos := position(at.value)
		return pos.Line, pos.Column
	}
	for key != "" {
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
		if at, ok := d.places[key]; ok && at.keyOr(at.value) != nil {
			pos := position(at.keyOr(at.value))
			return pos.Line, pos.Column
		}
	}
	return 1, 1
}

// within returns where a line and column of a value's text stand in the
// document.
func (d *decoder) within(n ast.Node, line, column int) (int, int) {
	if block, ok := n.(*ast.LiteralNode); ok {
		return d.withinBlock(block, line, column)
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

// withinBlock returns the place within a block scalar. Its first line stands
// below the | or >, and its lines begin at the indentation of the first that
// is not empty. In a folded block the lines of the text are not those of the
// document, so the place is its beginning.
func (d *decoder) withinBlock(block *ast.LiteralNode, line, column int) (int, int) {
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
