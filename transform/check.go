package transform

import (
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
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"

	"github.com/leadsink/leadsink/config/setting"
)

// maxNodes and maxSource bound an expression: its parts, and its bytes (brackets
// are no parts, but the parser goes one level deeper at each).
const (
	maxNodes   = 1000
	maxSource  = 16 << 10
	maxNesting = 100 // of brackets
	maxLoops   = 3   // within one another
)

// builtins are the functions of expr that expressions may call. The others
// read the clock, make text or lists of any length, quote values in errors, or
// are replaced by functions of the same name.
var builtins = []string{
	"len", "all", "none", "any", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count", "sum", "sortBy",
	"abs", "ceil", "floor", "round", "max", "min", "mean", "median", "first", "last", "take", "sort", "reverse",
	"hasPrefix", "hasSuffix", "indexOf", "lastIndexOf", "trimPrefix", "trimSuffix",
}

// options returns what every expression is compiled with.
func options() []expr.Option {
	options := []expr.Option{expr.MaxNodes(maxNodes)}
	for _, f := range builtin.Builtins {
		if !slices.Contains(builtins, f.Name) {
			options = append(options, expr.DisableBuiltin(f.Name))
		}
	}
	return options
}

// A language is what expressions are checked against.
type language struct {
	options []expr.Option
	names   []string          // that are in scope
	tables  map[string]*table // by name
	from    string            // what tells the fields of events: "sample" or "schema"
}

// newLanguage returns the language of all rules without each.
func newLanguage(against any, tables map[string]*table) *language {
	l := &language{options: options(), names: names[:everywhere], tables: tables, from: "sample"}
	if _, ok := against.(*Schema); ok {
		l.from = "schema"
	}
	for _, f := range functions {
		l.options = append(l.options, expr.Function(f.name, f.call, f.types...))
	}
	l.options = append(l.options, expr.Env(l.environment(against)))
	return l
}

// environment returns what expressions can refer to with its types; the
// event's is that of the samples or the schema.
func (l *language) environment(against any) types.Map {
	event := new(shape)
	switch against := against.(type) {
	case *Schema:
		event = against.event
	case []any:
		for _, one := range against {
			event.add(one)
		}
	default:
		event.add(against)
	}
	env := types.Map{
		"event": event.typ(), "key": types.String, "headers": types.Map{types.Extra: types.String}, "topic": types.String,
		"partition": types.Int, "offset": types.Int, "timestamp": timeType,
	}
	for _, t := range l.tables {
		env[tablePrefix+t.name] = t.typ()
	}
	return env
}

// withEach returns the language of a rule for the elements of a checked list.
func (l *language) withEach(list ast.Node, against any) *language {
	each := *l
	each.names = names
	env := l.environment(against)
	env["item"], env["index"] = types.Any, types.Int
	if list != nil && list.Nature().Ref != nil {
		env["item"] = natureType{*list.Nature().Ref}
	}
	each.options = append(slices.Clip(l.options), expr.Env(env))
	return &each
}

// A wanted says what the value of an expression is used for.
type wanted int

const (
	wantText wanted = iota
	wantTruth
	wantCode
	wantTime
	wantList
)

// check finds what is wrong with an expression. A nil problem means nothing,
// and there is the expression's tree with its types.
func (l *language) check(source string, want wanted) (checked ast.Node, found *Problem) {
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
	if at := tooNested(source); at >= 0 {
		p := &Problem{Text: fmt.Sprintf("brackets are nested more than %d deep", maxNesting), Advice: "make it simpler"}
		p.Line, p.Column = place(source, at)
		return nil, p
	}
	config := conf.CreateNew()
	for _, option := range l.options {
		option(config)
	}
	for name := range config.Disabled {
		delete(config.Builtins, name)
	}
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, l.explain(err, tree, source)
	}
	if p := l.refuse(tree.Node, source); p != nil {
		return nil, p
	}
	ast.Walk(&tree.Node, checkedLookup{})
	if _, err := checker.Check(tree, config); err != nil {
		return nil, l.explain(err, tree, source)
	}
	if p := impossible(tree.Node, source); p != nil {
		return nil, p
	}
	if p := misused(tree.Node, want); p != nil {
		p.Line, p.Column = 1, 1
		return nil, p
	}
	return tree.Node, nil
}

// tooNested returns the offset in characters of the bracket that is nested too
// deep, -1 if there is none. Brackets in texts count only as long as they are open.
func tooNested(source string) int {
	depth, at := 0, 0
	quote := rune(0)
	escaped := false
	for _, r := range source {
		switch {
		case escaped:
			escaped = false
		case quote != 0 && r == '\\' && quote != '`':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'' || r == '`':
			quote = r
		case strings.ContainsRune("([{", r):
			if depth++; depth > maxNesting {
				return at
			}
		case strings.ContainsRune(")]}", r):
			depth--
		}
		at++
	}
	return -1
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
	case wantList:
		if !n.IsArray() {
			return &Problem{Text: "it is " + got + ", not a list", Advice: "name a list of the event, such as event.order.lines"}
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
	case n.IsInteger:
		return "a whole number"
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
func (l *language) refuse(node ast.Node, source string) *Problem {
	w := refusal{language: l, source: source, depths: make(map[*ast.PredicateNode]int)}
	ast.Walk(&node, &w)
	return w.found
}

type refusal struct {
	*language
	source string
	depths map[*ast.PredicateNode]int // of the loops within, itself included
	found  *Problem                   // the first
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
			w.add(n, "$env is not available", "name what you need: "+strings.Join(w.names, ", "))
		}
	case *ast.BinaryNode:
		if n.Operator == ".." {
			w.add(n, "ranges are not available, so that no expression uses memory without bound", "loop over a list of the event")
		}
		if n.Operator == "matches" {
			literal, ok := n.Right.(*ast.StringNode)
			if !ok {
				w.add(n, "the pattern of matches is not a literal", "write the pattern in quotes")
				return
			}
			if _, err := newPattern(literal.Value); err != nil {
				w.add(n.Right, err.Error(), "https://pkg.go.dev/regexp/syntax shows how patterns are written")
			}
		}
	case *ast.BuiltinNode:
		// The parser knows those with a predicate even where they are disabled.
		if !slices.Contains(builtins, n.Name) {
			w.add(n, n.Name+" is not available", w.adviseName(n.Name))
		}
		w.order(n)
	case *ast.PredicateNode:
		inner := deepest{depths: w.depths}
		ast.Walk(&n.Node, &inner)
		if w.depths[n] = inner.depth + 1; w.depths[n] > maxLoops {
			w.add(n, fmt.Sprintf("loops are nested more than %d deep, which takes too many steps", maxLoops), "loop over the inner list alone, or let the event's producer flatten it")
		}
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if ok && callee.Value == lookupName {
			w.lookup(n)
		} else if ok {
			w.literals(callee.Value, n.Arguments)
		}
		if !ok {
			w.add(n, "only functions can be called, by their names", "use a function of docs/mapping.md, such as formatTime(timestamp, \"2006\")")
		}
	case *ast.BytesNode:
		w.add(n, "byte literals are not available", "write text in quotes")
	}
}

// order checks that the order of a sort is a literal: expr's error quotes it.
func (w *refusal) order(n *ast.BuiltinNode) {
	at, ok := map[string]int{"sort": 1, "sortBy": 2}[n.Name]
	if !ok || len(n.Arguments) <= at {
		return
	}
	if literal, ok := n.Arguments[at].(*ast.StringNode); !ok || literal.Value != "asc" && literal.Value != "desc" {
		w.add(n.Arguments[at], "the order of "+n.Name+" is neither \"asc\" nor \"desc\"", "write one of them, in quotes; for an order that depends on the event, choose between two lists with ? :")
	}
}

// lookup checks what tells lookup() from the functions: its table is known now.
func (w *refusal) lookup(n *ast.CallNode) {
	if len(n.Arguments) < 2 || len(n.Arguments) > 3 {
		w.add(n, "lookup takes a table's name, a key and perhaps a default", `write lookup("owners", event.region) or lookup("owners", event.region, "none")`)
		return
	}
	literal, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		w.add(n.Arguments[0], "the name of the table is not a literal", "write the name in quotes, as transform.tables has it")
		return
	}
	if w.tables[literal.Value] != nil {
		return
	}
	known := slices.Sorted(maps.Keys(w.tables))
	advice := "name it in transform.tables"
	if near := setting.Nearest(literal.Value, known); near != "" {
		advice = fmt.Sprintf("did you mean %s?", near)
	} else if len(known) > 0 {
		advice = "there are " + strings.Join(known[:min(len(known), 10)], ", ") + "; name it in transform.tables"
	}
	w.add(n.Arguments[0], fmt.Sprintf("there is no table %s", literal.Value), advice)
}

// deepest finds how deep loops are nested in what it visits, given those of
// the inner loops.
type deepest struct {
	depths map[*ast.PredicateNode]int
	depth  int
}

// Visit implements ast.Visitor.
func (d *deepest) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.PredicateNode); ok {
		d.depth = max(d.depth, d.depths[n])
	}
}

// impossible finds comparisons with text that a schema does not have.
func impossible(node ast.Node, source string) *Problem {
	w := comparisons{source: source}
	ast.Walk(&node, &w)
	return w.found
}

type comparisons struct {
	source string
	found  *Problem // the first
}

// Visit implements ast.Visitor.
func (w *comparisons) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.BinaryNode)
	if !ok || w.found != nil {
		return
	}
	switch n.Operator {
	case "==", "!=":
		w.compare(n.Left, n.Right)
		w.compare(n.Right, n.Left)
	case "in":
		if list, ok := n.Right.(*ast.ArrayNode); ok {
			for _, element := range list.Nodes {
				w.compare(n.Left, element)
			}
		}
	}
}

// compare reports a literal that the field cannot equal.
func (w *comparisons) compare(field, with ast.Node) {
	literal, ok := with.(*ast.StringNode)
	if !ok || w.found != nil || !isField(field) {
		return
	}
	words := wordsOf(field.Nature())
	if words == nil || slices.Contains(words, literal.Value) {
		return
	}
	w.found = &Problem{Text: fmt.Sprintf("it is never %q, which the schema does not have", literal.Value), Advice: adviseField(literal.Value, words, "schema")}
	w.found.Line, w.found.Column = place(w.source, literal.Location().From)
}

// isField reports whether an expression is a field of an event and nothing
// else: of `a ?? b` the checker knows only one side.
func isField(node ast.Node) bool {
	_, isMember := node.(*ast.MemberNode)
	for {
		switch n := node.(type) {
		case *ast.ChainNode:
			node = n.Node
			_, isMember = node.(*ast.MemberNode)
		case *ast.MemberNode:
			node = n.Node
		case *ast.IdentifierNode:
			return isMember && slices.Contains(names, n.Value)
		case *ast.PointerNode:
			return isMember
		default:
			return false
		}
	}
}

// untyped returns the names with types that promise nothing: any of them may be
// null or of another kind when the rules run.
func untyped() types.Map {
	env := make(types.Map)
	for _, name := range names {
		env[name] = types.Any
	}
	return env
}
