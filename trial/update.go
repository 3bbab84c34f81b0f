package trial

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/leadsink/leadsink/config"
)

// Update rewrites what failed cases expect into what came. Only their lines change: comments, order and the writing of all else
// stay. A list of activities of another length, and what is not written in
// block style, is written anew as a whole. The files are written only if all cases of
// all of them pass afterwards, and ask what they asked; results are those of Test,
// one list for each file, and are brought up to date.
func (t *Trial) Update(all []*Cases, results [][]Result) error {
	texts := make([]string, len(all))
	for i, c := range all {
		var err error
		if texts[i], err = t.revise(c, results[i]); err != nil {
			return err
		}
	}
	for i, c := range all {
		if texts[i] == "" {
			continue
		}
		if err := config.WriteText(c.path, []byte(texts[i])); err != nil {
			return fmt.Errorf("write %s: %w; see whether its folder can be written to", c.path, err)
		}
		for j := range results[i] {
			r := &results[i][j]
			r.Updated, r.Passed = !r.Passed, true
		}
	}
	return nil
}

// revise returns the file of the cases as it is to be, "" where it can stay.
func (t *Trial) revise(c *Cases, results []Result) (string, error) {
	r := newRevision(c)
	for i := range results {
		if result := &results[i]; !result.Passed {
			if err := r.rewrite(i, result.outcome); err != nil {
				return "", fmt.Errorf("%s:%d: %w", result.File, result.Line, err)
			}
		}
	}
	if len(r.edits) == 0 {
		return "", nil
	}
	text := r.text()
	again, err := parseCases(c.path, []byte(text), false)
	if err == nil {
		err = sameBut(c, again, results)
	}
	if err == nil {
		for _, result := range t.Test(again) {
			if !result.Passed {
				err = fmt.Errorf("%q would not pass", result.Name)
				break
			}
		}
	}
	if err != nil {
		return "", fmt.Errorf("%s cannot be rewritten where it stands; write its expectations in block style, without anchors: %w", c.path, err)
	}
	return text, nil
}

// sameBut tells what differs between the cases before and after, but for what is
// expected where the results are failures.
func sameBut(before, after *Cases, results []Result) error {
	if len(before.list) != len(after.list) {
		return fmt.Errorf("%d cases would become %d", len(before.list), len(after.list))
	}
	for i := range before.list {
		was, is := before.list[i], after.list[i]
		if !results[i].Passed {
			was, is = was.asked(), is.asked()
		}
		record, again := before.input(i, ""), after.input(i, "")
		record.From, again.From = "", "" // the line may be another
		if !reflect.DeepEqual(was, is) || !reflect.DeepEqual(record, again) {
			return fmt.Errorf("more of %q would change than what it expects", was.Name)
		}
	}
	return nil
}

// asked is the case without what it expects.
func (one testCase) asked() testCase {
	one.Activities, one.Filtered, one.Dead, one.Halts = nil, false, expectedReason{}, expectedReason{}
	return one
}

// A revision is a file's lines with what is to be in their place.
type revision struct {
	c     *Cases
	lines []string
	eol   string
	edits []edit
}

// An edit replaces the lines from first on, before last, by others.
type edit struct {
	first, last int // from 0
	lines       []string
}

func newRevision(c *Cases) *revision {
	r := &revision{c: c, eol: "\n"}
	text := string(c.file.Text())
	if strings.Contains(text, "\r\n") {
		r.eol, text = "\r\n", strings.ReplaceAll(text, "\r\n", "\n")
	}
	r.lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return r
}

// text is the file with the edits. They are made from the end, so that the lines
// of those before stay what they are: of those at one line, what replaces goes
// before what is put in front of it.
func (r *revision) text() string {
	slices.Reverse(r.edits)
	slices.SortStableFunc(r.edits, func(a, b edit) int { return cmp.Or(b.first-a.first, b.last-a.last) })
	lines := r.lines
	for _, e := range r.edits {
		lines = slices.Concat(lines[:e.first], e.lines, lines[e.last:])
	}
	return strings.Join(lines, r.eol) + r.eol
}

// rewrite makes a case expect what came.
func (r *revision) rewrite(i int, o Outcome) error {
	node := r.c.file.Node(key(i))
	all := mappings(node)
	if all == nil || isFlow(node) {
		return fmt.Errorf("the case is not written in block style; write a line for each of its keys")
	}
	indent := strings.Repeat(" ", column(all[0])-1)
	has := r.c.has(key(i)+".", expectations)
	if len(has) == 0 {
		last := r.end(all[len(all)-1])
		r.edits = append(r.edits, edit{last, last, indented(indent, o.Lines())})
		return nil
	}
	at := all[slices.IndexFunc(all, func(e *ast.MappingValueNode) bool { return e.Key.GetToken().Value == has[0] })]
	var done bool
	switch {
	case has[0] == "activities" && o.Fate == Sent:
		done = r.activities(at.Value, o.Activities)
	case has[0] == string(o.Fate) && o.Reason != nil:
		done = r.mapping(at.Value, o.Reason.entries())
	}
	if !done {
		r.replace(at, indented(indent, o.Lines()))
	}
	return nil
}

// activities rewrites a list of as many activities, and reports whether it could.
func (r *revision) activities(n ast.Node, want []Activity) bool {
	list, ok := n.(*ast.SequenceNode)
	if !ok || list.IsFlowStyle || len(list.Values) != len(want) {
		return false
	}
	before := len(r.edits)
	for i := range want {
		if !r.mapping(list.Values[i], want[i].entries()) {
			r.edits = r.edits[:before]
			return false
		}
	}
	return true
}

// mapping rewrites a mapping, and reports whether it could.
func (r *revision) mapping(n ast.Node, want []entry) bool {
	all := mappings(n)
	if len(all) == 0 || isFlow(n) {
		return false
	}
	before := len(r.edits)
	indent := strings.Repeat(" ", column(all[0])-1)
	wanted := func(e *ast.MappingValueNode) int {
		return slices.IndexFunc(want, func(w entry) bool { return w.key == e.Key.GetToken().Value })
	}
	last := -1 // the line after what stands before a new key
	for _, w := range want {
		i := slices.IndexFunc(all, func(e *ast.MappingValueNode) bool { return e.Key.GetToken().Value == w.key })
		switch {
		case i < 0 && last < 0:
			r.edits = r.edits[:before]
			return false // nothing stands before it, but perhaps the dash of a list
		case i < 0:
			r.edits = append(r.edits, edit{last, last, indented(indent, w.lines())})
		default:
			r.value(all[i], w, indent)
			last = r.end(all[i])
		}
	}
	for i, e := range all {
		if wanted(e) >= 0 {
			continue
		}
		if i == 0 { // the dash of a list may stand before it
			r.edits = r.edits[:before]
			return false
		}
		r.replace(e, nil)
	}
	return true
}

// value rewrites the value of a key, if it is another.
func (r *revision) value(e *ast.MappingValueNode, want entry, indent string) {
	if want.texts != nil {
		inner := make([]entry, len(want.texts))
		for i, t := range want.texts {
			inner[i] = entry{key: t.Name, text: written(t.Text)}
		}
		if r.mapping(e.Value, inner) {
			return
		}
	} else if scalar, ok := e.Value.(ast.ScalarNode); ok && e.Value.Type() != ast.LiteralType && r.end(e) == line(e)+1 {
		if written(scalar.GetToken().Value) == want.text {
			return
		}
		text := []rune(r.lines[line(e)])
		from := min(e.Value.GetToken().Position.Column-1, len(text))
		r.edits = append(r.edits, edit{line(e), line(e) + 1, []string{string(text[:from]) + want.text + comment(string(text[from:]))}})
		return
	}
	r.replace(e, indented(indent, want.lines()))
}

// comment returns what follows a value on its line, with the space before.
func comment(text string) string {
	end := 0 // of a quoted value, at its last quote
	switch {
	case strings.HasPrefix(text, `"`):
		for end = 1; end < len(text) && text[end] != '"'; end++ {
			if text[end] == '\\' {
				end++
			}
		}
	case strings.HasPrefix(text, "'"):
		for end = 1; end < len(text) && (text[end] != '\'' || strings.HasPrefix(text[end:], "''")); end++ {
			if text[end] == '\'' {
				end++
			}
		}
	}
	text = text[min(end, len(text)):]
	before, _, found := strings.Cut(text, " #")
	if !found {
		return ""
	}
	return text[len(strings.TrimRight(before, " ")):]
}

// replace puts lines in the place of a key with its value.
func (r *revision) replace(e *ast.MappingValueNode, lines []string) {
	if depth := column(e) - 1; len(lines) > 0 {
		lines[0] = r.lines[line(e)][:depth] + lines[0][depth:] // with the dash of a list
	}
	r.edits = append(r.edits, edit{line(e), r.end(e), lines})
}

// end is the line after a key and its value: what stands deeper belongs to it,
// and so does a list that stands as deep. Empty lines and comments at its end do not.
func (r *revision) end(e *ast.MappingValueNode) int {
	depth := column(e) - 1
	_, isList := e.Value.(*ast.SequenceNode)
	end := after(e)
	for i := end; i < len(r.lines); i++ {
		text := strings.TrimLeft(r.lines[i], " ")
		indent := len(r.lines[i]) - len(text)
		switch {
		case text == "", text[0] == '#':
			continue
		case indent > depth, isList && indent == depth && strings.HasPrefix(text, "-"):
			end = i + 1
			continue
		}
		break
	}
	return end
}

// after is the line after the last token of a value: what looks like a comment
// before it is text. It is 0 where nothing is written.
func after(n ast.Node) int {
	switch n := n.(type) {
	case *ast.MappingNode:
		if n.IsFlowStyle {
			return n.End.Position.Line
		}
		return after(n.Values[len(n.Values)-1])
	case *ast.SequenceNode:
		if n.IsFlowStyle {
			return n.End.Position.Line
		}
		return after(n.Values[len(n.Values)-1])
	case *ast.MappingValueNode:
		return max(line(n)+1, after(n.Value))
	case *ast.AnchorNode:
		return after(n.Value)
	case *ast.LiteralNode: // its text has no place that can be relied on
		text := n.Value.GetToken().Origin
		if !strings.Contains(n.Start.Value, "+") {
			text = strings.TrimRight(text, " \n")
			if text != "" {
				text += "\n"
			}
		}
		return n.Start.Position.Line + strings.Count(text, "\n")
	case ast.ScalarNode:
		if n.Type() != ast.NullType {
			t := n.GetToken()
			return t.Position.Line + strings.Count(strings.TrimSpace(t.Origin), "\n")
		}
	}
	return 0
}

// mappings returns the keys of a mapping, nil for another node.
func mappings(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

func isFlow(n ast.Node) bool {
	m, ok := n.(*ast.MappingNode)
	return ok && m.IsFlowStyle
}

// line is that of a key, from 0.
func line(e *ast.MappingValueNode) int { return e.Key.GetToken().Position.Line - 1 }

// column is that of a key, from 1.
func column(e *ast.MappingValueNode) int { return e.Key.GetToken().Position.Column }
