package transform

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"

	"github.com/leadsink/leadsink/config/setting"
)

// maxNodes and maxSource bound an expression: its parts, and its bytes (brackets
// are no parts, but the parser goes one level deeper at each).
const (
	maxNodes  = 1000
	maxSource = 16 << 10
)

// builtins are the functions of expr that expressions may call. The others
// read the clock, make text or lists of any length, quote values in errors, or
// are replaced by functions of the same name.
var builtins = []string{
	"len", "all", "none", "any", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count", "sum", "sortBy",
	"abs", "ceil", "floor", "round", "max", "min", "mean", "median", "first", "last", "take", "sort", "reverse",
	"hasPrefix", "hasSuffix", "indexOf", "lastIndexOf", "trimPrefix", "trimSuffix",
}

// language returns what every expression is compiled with.
func language() []expr.Option {
	options := []expr.Option{expr.MaxNodes(maxNodes)}
	for _, f := range builtin.Builtins {
		if !slices.Contains(builtins, f.Name) {
			options = append(options, expr.DisableBuiltin(f.Name))
		}
	}
	return options
}

// A wanted says what the value of an expression is used for.
type wanted int

const (
	wantText wanted = iota
	wantTruth
	wantCode
	wantTime
)

// checkExpression finds what is wrong with an expression, given the type of
// the event. The options are those of a checked compilation. A nil problem means
// nothing, and there is the expression's tree with its types.
func checkExpression(source string, want wanted, options []expr.Option) (checked ast.Node, found *Problem) {
	defer func() {
		if p := recover(); p != nil { // expr's checker does not contain its panics
			found = &Problem{Line: 1, Column: 1, Text: fmt.Sprintf("the checker stumbled over it: %v", p), Advice: "write it another way, and report this"}
		}
	}()
	if strings.TrimSpace(source) == "" {
		return nil, &Problem{Text: "the expression is empty", Advice: "write an expression, or leave the key out"}
	}
	if len(source) > maxSource || !utf8.ValidString(source) {
		return nil, &Problem{Text: "the expression is longer than 16 KiB or not valid UTF-8", Advice: "make it shorter"}
	}
	config := conf.CreateNew()
	for _, option := range options {
		option(config)
	}
	for name := range config.Disabled {
		delete(config.Builtins, name)
	}
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, explain(err, tree, source)
	}
	if p := refuse(tree.Node, source); p != nil {
		return nil, p
	}
	if _, err := checker.Check(tree, config); err != nil {
		return nil, explain(err, tree, source)
	}
	if p := misused(tree.Node, want); p != nil {
		p.Line, p.Column = 1, 1
		return nil, p
	}
	return tree.Node, nil
}

// misused reports a value that cannot be used for what is wanted, where its
// type is known.
func misused(node ast.Node, want wanted) *Problem {
	n := node.Nature()
	if n.IsUnknown(new(nature.Cache)) || n.Nil {
		return nil
	}
	got := natureName(n)
	switch want {
	case wantTruth:
		if !n.IsBool() {
			return &Problem{Text: "it is " + got + ", not true or false", Advice: "compare it with something, such as event.type == \"order.placed\""}
		}
	case wantCode:
		if !n.IsInteger {
			return &Problem{Text: "it is " + got + ", not a whole number", Advice: "write the code of the activity type, such as 320"}
		}
		if literal, ok := node.(*ast.IntegerNode); ok && literal.Value < 1 {
			return &Problem{Text: fmt.Sprintf("%d is not the code of an activity type", literal.Value), Advice: "write a whole number above 0"}
		}
	case wantTime:
		if !n.IsTime() && !n.IsString() {
			return &Problem{Text: "it is " + got + ", not a time", Advice: "read text with time(), numbers with unix() or unixMilli()"}
		}
	case wantText:
		if n.IsArray() {
			return &Problem{Text: "it is a list, which has no text", Advice: "pick an element such as [0], or make it text with join()"}
		}
		if n.IsMap() {
			return &Problem{Text: "it is an object, which has no text", Advice: "pick one of its fields"}
		}
		if n.IsDuration() {
			return &Problem{Text: "it is a duration, which has no text", Advice: "add it to a time"}
		}
	}
	return nil
}

func natureName(n *nature.Nature) string {
	switch {
	case n.IsBool():
		return "true or false"
	case n.IsString():
		return "text"
	case n.IsNumber():
		return "a number"
	case n.IsTime():
		return "a time"
	case n.IsArray():
		return "a list"
	case n.IsMap():
		return "an object"
	}
	return n.String()
}

// place returns the line and column of an offset in characters, from 1.
func place(source string, offset int) (line, column int) {
	line, column = 1, 1
	for _, r := range source {
		if offset--; offset < 0 {
			break
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

// refuse finds what expr can do and leadsink does not allow.
func refuse(node ast.Node, source string) *Problem {
	w := refusal{source: source}
	ast.Walk(&node, &w)
	return w.found
}

type refusal struct {
	source string
	found  *Problem // the first
}

func (w *refusal) add(node ast.Node, text, advice string) {
	if w.found == nil {
		w.found = &Problem{Text: text, Advice: advice}
		w.found.Line, w.found.Column = place(w.source, node.Location().From)
	}
}

// Visit implements ast.Visitor.
func (w *refusal) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			w.add(n, "$env is not available", "name what you need: "+strings.Join(names, ", "))
		}
	case *ast.BinaryNode:
		if n.Operator == ".." {
			w.add(n, "ranges are not available, so that no expression uses memory without bound", "loop over a list of the event")
		}
		if n.Operator == "matches" {
			if _, ok := n.Right.(*ast.StringNode); !ok {
				w.add(n, "the pattern of matches is not a literal", "write the pattern in quotes")
			}
		}
	case *ast.BuiltinNode:
		// The parser knows those with a predicate even where they are disabled.
		if !slices.Contains(builtins, n.Name) {
			w.add(n, n.Name+" is not available", adviseName(n.Name))
		}
	case *ast.CallNode:
		if _, ok := n.Callee.(*ast.IdentifierNode); !ok {
			w.add(n, "only functions can be called, by their names", "use a function of docs/mapping.md, such as formatTime(timestamp, \"2006\")")
		}
	case *ast.BytesNode:
		w.add(n, "byte literals are not available", "write text in quotes")
	}
}

// explain turns an error of expr into a problem with advice.
func explain(err error, tree *parser.Tree, source string) *Problem {
	p := &Problem{Line: 1, Column: 1, Text: err.Error(), Advice: "docs/mapping.md shows what expressions can do"}
	at, ok := errors.AsType[*file.Error](err)
	if !ok {
		return p
	}
	p.Line, p.Column = place(source, at.From)
	p.Text = strings.TrimSpace(at.Message)
	if name, ok := strings.CutPrefix(p.Text, "unknown name "); ok {
		p.Text, p.Advice = name+" is not known here", adviseName(name)
		if _, ok := builtin.Index[name]; ok {
			p.Text = name + " is not available"
		}
		return p
	}
	if name, ok := strings.CutPrefix(p.Text, "unknown field "); ok {
		p.Text = fmt.Sprintf("the sample has no field %s here", name)
		p.Advice = adviseField(name, fieldsAt(tree, at.From))
		return p
	}
	switch {
	case strings.Contains(p.Text, "exceeds maximum"):
		p.Text, p.Advice = fmt.Sprintf("the expression has more than %d parts", maxNodes), "make it shorter"
	case strings.Contains(p.Text, "not terminated"):
		p.Text, p.Advice = "the text does not end", "close the quote"
	case strings.Contains(p.Text, "mismatched type"):
		p.Advice = "both sides must be of kinds that go together; string(), int(), float() and time() convert"
	case strings.Contains(p.Text, `Operator("=")`):
		p.Advice = "compare with =="
	case strings.Contains(p.Text, "EOF"), strings.Contains(p.Text, "unexpected end"):
		p.Text, p.Advice = "the expression ends too early", "complete it"
	case strings.Contains(p.Text, "arguments to call"), strings.Contains(p.Text, "as argument"), strings.Contains(p.Text, "number of arguments"):
		p.Advice = "docs/mapping.md shows how each function is called"
	case strings.Contains(p.Text, "has no field"):
		p.Text = strings.Replace(p.Text, "type string has", "text has", 1)
		p.Advice = "only objects have fields; look at the sample"
	}
	return p
}

func adviseName(name string) string {
	switch name {
	case "now", "date":
		return "the clock is not available, so that a record always gives the same activities; use timestamp or time()"
	case "get":
		return "write event.a.b or event[\"a\"]: what is missing is null"
	}
	if _, ok := builtin.Index[name]; ok {
		return "see docs/mapping.md for the functions there are"
	}
	candidates := slices.Concat(names, builtins)
	for _, f := range functions {
		candidates = append(candidates, f.name)
	}
	if near := setting.Nearest(name, candidates); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "there are " + strings.Join(names, ", ") + ", and the functions of docs/mapping.md; text is written in quotes"
}

// adviseField says which field was meant, or which there are.
func adviseField(name string, fields []string) string {
	if near := setting.Nearest(name, fields); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if len(fields) == 0 {
		return "add the field to the sample if events can have it"
	}
	const most = 10
	more := ""
	if len(fields) > most {
		fields, more = fields[:most], ", ..."
	}
	return "there are " + strings.Join(fields, ", ") + more + "; add it to the sample if events can have it"
}

// fieldsAt returns the fields of the object whose field is named at an offset.
func fieldsAt(tree *parser.Tree, offset int) []string {
	w := fieldSearch{offset: offset}
	ast.Walk(&tree.Node, &w)
	return w.fields
}

type fieldSearch struct {
	offset int
	fields []string
}

// Visit implements ast.Visitor.
func (w *fieldSearch) Visit(node *ast.Node) {
	if m, ok := (*node).(*ast.MemberNode); ok && m.Property.Location().From == w.offset {
		if n := m.Node.Nature(); n.TypeData != nil {
			w.fields = slices.Sorted(maps.Keys(n.Fields))
		}
	}
}

// environment returns the names that expressions can refer to with their
// types; the event's is that of the samples.
func environment(sample any) types.Map {
	var event types.Type = types.Any
	if sample != nil {
		samples, ok := sample.([]any)
		if !ok {
			samples = []any{sample}
		}
		var s shape
		for _, one := range samples {
			s.add(one)
		}
		event = s.typ()
	}
	return types.Map{
		"event": event, "key": types.String, "headers": types.Map{types.Extra: types.String}, "topic": types.String,
		"partition": types.Int, "offset": types.Int, "timestamp": timeType,
	}
}

// untyped returns the same names with types that promise nothing: any of them
// may be null or of another kind when the rules run.
func untyped() types.Map {
	env := make(types.Map)
	for _, name := range names {
		env[name] = types.Any
	}
	return env
}
