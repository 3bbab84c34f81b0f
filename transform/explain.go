package transform

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/leadsink/leadsink/config/setting"
)

// explain turns an error of expr into a problem with advice.
func (l *language) explain(err error, tree *parser.Tree, source string) *Problem {
	p := &Problem{Line: 1, Column: 1, Text: err.Error(), Advice: "docs/mapping.md shows what expressions can do"}
	at, ok := errors.AsType[*file.Error](err)
	if !ok {
		return p
	}
	p.Line, p.Column = place(source, at.From)
	p.Text = strings.TrimSpace(at.Message)
	if name, ok := strings.CutPrefix(p.Text, "unknown name "); ok {
		p.Text, p.Advice = name+" is not known here", l.adviseName(name)
		if _, ok := builtin.Index[name]; ok {
			p.Text = name + " is not available"
		}
		return p
	}
	if name, ok := strings.CutPrefix(p.Text, "unknown field "); ok {
		fields, table := fieldsAt(tree, at.From)
		if table != "" {
			p.Text = fmt.Sprintf("the table %s has no column %s", table, name)
			p.Advice = adviseField(name, fields, "table")
			return p
		}
		p.Text = fmt.Sprintf("the %s has no field %s here", l.from, name)
		p.Advice = adviseField(name, fields, l.from)
		return p
	}
	for _, m := range mismatches {
		if parts := m.form.FindStringSubmatch(p.Text); parts != nil {
			words := make([]any, len(parts)-1)
			for i, part := range parts[1:] {
				words[i] = kindWord(part)
			}
			p.Text, p.Advice = fmt.Sprintf(m.text, words...), m.advice
			return p
		}
	}
	switch {
	case strings.Contains(p.Text, "exceeds maximum"):
		p.Text, p.Advice = fmt.Sprintf("the expression has more than %d parts", maxNodes), "make it shorter"
	case strings.Contains(p.Text, "not terminated"):
		p.Text, p.Advice = "the text does not end", "close the quote"
	case strings.Contains(p.Text, "EOF"), strings.Contains(p.Text, "unexpected end"):
		p.Text, p.Advice = "the expression ends too early", "complete it"
	case strings.HasPrefix(p.Text, "unexpected token "):
		_, word, _ := strings.Cut(p.Text, "(")
		word, err := strconv.Unquote(strings.TrimSuffix(word, ")"))
		if err != nil {
			break
		}
		p.Text = word + " is not expected here"
		switch lower := strings.ToLower(word); {
		case word == "=":
			p.Advice = "compare with =="
		case word != lower && slices.Contains([]string{"and", "or", "not", "in"}, lower):
			p.Advice = "write " + lower + " in small letters"
		}
	case strings.HasPrefix(p.Text, "cannot redeclare"):
		p.Advice = "give the variable a name that nothing else has"
	case strings.Contains(p.Text, "arguments to call"), strings.Contains(p.Text, "number of arguments"):
		p.Advice = "docs/mapping.md shows how each function is called"
	}
	return p
}

const convert = "string(), int(), float() and time() convert"

// mismatches are the errors of expr's checker about kinds, in words. The groups
// of a form become the words of its text, Go's types translated.
var mismatches = []struct {
	form         *regexp.Regexp
	text, advice string
}{
	{regexp.MustCompile(`^invalid operation: [!=]= \(mismatched types (.+) and (.+)\)$`), "%s never equals %s", "compare values of one kind; " + convert},
	{regexp.MustCompile(`^invalid operation: (\S+) \(mismatched types (.+) and (.+)\)$`), "%s does not take %s and %s", "both sides must be of kinds that go together; " + convert},
	{regexp.MustCompile(`^invalid operation: (\S+) \(mismatched type (.+)\)$`), "%s does not take %s", "compare it with something"},
	{regexp.MustCompile(`^cannot use (.+) as type (.+) in array$`), "%s is never in a list of %s", "compare values of one kind; " + convert},
	{regexp.MustCompile(`^cannot use (.+) as type (.+) in map key$`), "%s is never among fields, which have names of %s", convert},
	{regexp.MustCompile(`^cannot use (.+) as argument \(type (.+)\) to call (\S+)`), "%[3]s takes %[2]s here, not %[1]s", convert},
	{regexp.MustCompile(`^predicate should return boolean \(got (.+)\)$`), "the condition is %s, not true or false", "compare it with something"},
	{regexp.MustCompile(`^non-bool expression \(type (.+)\) used as condition$`), "the condition is %s, not true or false", "compare it with something"},
	{regexp.MustCompile(`^builtin (\S+) takes only array \(got (.+)\)$`), "%s goes over a list, not %s", "name a list of the event"},
	{regexp.MustCompile(`^array elements can only be selected using an integer \(got (.+)\)$`), "elements of a list have positions, not %s", "pick one such as [0], or take a field of each with map(list, .field)"},
	{regexp.MustCompile(`^cannot use (.+) to get an element from (.+)$`), "%s picks nothing from %s", "fields of objects have names"},
	{regexp.MustCompile(`^cannot slice (.+)$`), "only text and lists have parts, it is %s", convert},
	{regexp.MustCompile(`^type (.+) has no field (\S+)$`), "%s has no field %s", "only objects have fields; look at the sample or schema"},
	{regexp.MustCompile(`^type (.+)\[(.+)\] is undefined$`), "%s has no elements", "only lists and objects have them; look at the sample or schema"},
	{regexp.MustCompile(`^error parsing regexp: (.+)$`), "the pattern cannot be read: %s", "https://pkg.go.dev/regexp/syntax shows how patterns are written"},
}

// kindWord translates a Go type; other words stay as they are.
func kindWord(word string) string {
	switch word {
	case "string":
		return "text"
	case "int":
		return "a whole number"
	case "float64":
		return "a number"
	case "bool":
		return "true or false"
	case "time.Time":
		return "a time"
	case "time.Duration":
		return "a duration"
	case "[]interface {}":
		return "a list"
	case "map[string]interface {}":
		return "an object"
	case "unknown", "interface {}":
		return "any value"
	}
	return word
}

func (l *language) adviseName(name string) string {
	switch name {
	case "now", "date":
		return "the clock is not available, so that a record always gives the same activities; use timestamp or time()"
	case "get":
		return "write event.a.b or event[\"a\"]: what is missing is null"
	case "item", "index":
		return "it is there in a rule with each, for each element of the list"
	}
	if _, ok := builtin.Index[name]; ok {
		return "see docs/mapping.md for the functions there are"
	}
	candidates := slices.Concat(l.names, builtins, []string{lookupName})
	for _, f := range functions {
		candidates = append(candidates, f.name)
	}
	if near := setting.Nearest(name, candidates); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "there are " + strings.Join(l.names, ", ") + ", and the functions of docs/mapping.md; text is written in quotes"
}

// adviseField says which field or word was meant, or which there are in the
// sample, schema or table.
func adviseField(name string, fields []string, in string) string {
	if near := setting.Nearest(name, fields); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	add := "; add it to the " + in + " if events can have it"
	if in == "table" {
		add = ""
	}
	if len(fields) == 0 {
		return strings.TrimPrefix(add, "; ")
	}
	const most = 10
	more := ""
	if len(fields) > most {
		fields, more = fields[:most], ", ..."
	}
	return "there are " + strings.Join(fields, ", ") + more + add
}

// fieldsAt returns the fields of the object whose field is named at an offset,
// and the table that it is a row of.
func fieldsAt(tree *parser.Tree, offset int) (fields []string, table string) {
	w := fieldSearch{offset: offset}
	ast.Walk(&tree.Node, &w)
	return w.fields, w.table
}

type fieldSearch struct {
	offset int
	fields []string
	table  string
}

// Visit implements ast.Visitor.
func (w *fieldSearch) Visit(node *ast.Node) {
	m, ok := (*node).(*ast.MemberNode)
	if !ok || m.Property.Location().From != w.offset || m.Node.Nature() == nil {
		return
	}
	if n := m.Node.Nature(); n.TypeData != nil {
		w.fields = slices.Sorted(maps.Keys(n.Fields))
	}
	if row, ok := m.Node.(*ast.MemberNode); ok {
		if of, ok := row.Node.(*ast.IdentifierNode); ok {
			w.table, _ = strings.CutPrefix(of.Value, tablePrefix)
			if !strings.HasPrefix(of.Value, tablePrefix) {
				w.table = ""
			}
		}
	}
}
