package transform

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/leadsink/leadsink/transform/decode"
)

// Rules map records to activities. They are made by Compile and used by one
// goroutine at a time.
type Rules struct {
	decode                          *decode.Decoder
	otherwise, onError, onTombstone Decision
	rules                           []rule
	scope                           *scope
	machine                         vm.VM
	tables                          []*table
	refreshed                       time.Time // when the tables' files were last looked at

	// Log is told when a table was read again, or could not be. Nil: slog's default.
	Log *slog.Logger
}

// A rule is compiled; nil expressions were not given.
type rule struct {
	name                                                string
	when, each, lead, activity, note, owner, at, marker *expression
	fields, attributes                                  []expression
	whenOfItem                                          bool // when looks at the elements of each
}

// An expression is compiled. Exactly one of program, path and constant is used.
type expression struct {
	key      string // within the rule, such as "fields.mx_Custom_1"
	program  *vm.Program
	path     *path
	constant any

	checked  ast.Node // with its types
	kind     Kind     // of its value, as far as the check knows it
	literals []string // see ValueOutline
	words    []string // see ValueOutline
}

// Compile makes rules of the document's transform section. Records are decoded
// as the decode section says. Against is a decoded event, a list of them, or a
// *Schema: the names of fields and the kinds of values are checked against it;
// nil checks only the rest. The tables' files are read. There are rules if and
// only if there are no problems; the problems are all there are, except that of
// an expression only the first is told.
func Compile(cfg Config, events decode.Config, against any) (*Rules, []Problem) {
	c := &compiler{problems: cfg.Validate(), scope: new(scope), against: against}
	tables := make(map[string]*table)
	r := &Rules{
		decode:      decode.NewDecoder(events),
		otherwise:   decision(cfg.Otherwise),
		onError:     decision(cfg.OnError),
		onTombstone: decision(cfg.Tombstones),
		scope:       c.scope,
		tables:      c.open(cfg.Tables, tables),
	}
	c.language = newLanguage(against, tables)
	c.running = append(options(), expr.Env(untyped()))
	c.running = append(c.running, operators(c.scope)...)
	for _, f := range functions {
		c.running = append(c.running, expr.Function(f.name, c.scope.counted(f.call)))
	}
	c.running = append(c.running, expr.Patch(runningLookup{tables}))
	for i, rule := range cfg.Rules {
		r.rules = append(r.rules, c.rule(i, rule))
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return r, nil
}

// open reads the tables, and puts them under their names. One that cannot be read
// has no content, so that what else is wrong is found too.
func (c *compiler) open(list []Table, byName map[string]*table) []*table {
	var all []*table
	for i, cfg := range list {
		if cfg.File == "" {
			continue // said before
		}
		t, err := openTable(cfg)
		if err != nil {
			text, advice, _ := strings.Cut(err.Error(), "; ")
			c.problems = append(c.problems, Problem{Key: fmt.Sprintf("tables[%d].file", i), Text: text, Advice: advice})
		}
		byName[cfg.Name] = t
		all = append(all, t)
	}
	return all
}

func decision(word string) Decision {
	switch word {
	case "dead_letter":
		return Bury
	case "halt":
		return Halt
	}
	return Filter
}

type compiler struct {
	*language
	running  []expr.Option
	scope    *scope
	against  any
	problems []Problem
}

func (c *compiler) rule(i int, from Rule) rule {
	prefix := fmt.Sprintf("rules[%d].", i)
	var each *expression
	if from.Each != "" {
		e := c.expression(prefix, "each", from.Each, wantList)
		each = &e
		defer func(outside *language) { c.language = outside }(c.language)
		c.language = c.withEach(e.checked, c.against)
	}
	one := func(key, source string, want wanted) *expression {
		if source == "" {
			return nil
		}
		e := c.expression(prefix, key, source, want)
		return &e
	}
	many := func(key string, entries Entries) []expression {
		var all []expression
		for _, entry := range entries {
			all = append(all, c.expression(prefix, key+"."+entry.Name, entry.Expression, wantText))
		}
		return all
	}
	to := rule{
		name:       from.name(i),
		each:       each,
		when:       one("when", from.When, wantTruth),
		lead:       one("lead", from.Lead, wantText),
		activity:   one("activity", from.Activity, wantCode),
		note:       one("note", from.Note, wantText),
		owner:      one("owner", from.Owner, wantText),
		at:         one("at", from.At, wantTime),
		marker:     one("marker", from.Marker, wantText),
		fields:     many("fields", from.Fields),
		attributes: many("attributes", from.Attributes),
	}
	to.whenOfItem = to.when.mentions("item", "index")
	if each != nil && to.marker != nil && to.marker.checked != nil && !to.marker.mentions("item", "index") {
		c.problems = append(c.problems, Problem{
			Key: prefix + "marker", Line: 1, Column: 1, Text: "it is the same for every element of each",
			Advice: "use item or index in it, or leave it out",
		})
	}
	return to
}

// expression checks and compiles one. Expressions are checked with the types
// of the sample, but compiled without them: an event may differ, and
// code made for its types would then fail.
func (c *compiler) expression(prefix, key, source string, want wanted) expression {
	e := expression{key: key}
	checked, p := c.check(source, want)
	if p != nil {
		p.Key = prefix + key
		c.problems = append(c.problems, *p)
		return e
	}
	e.checked, e.kind, e.literals = checked, kindOfNature(checked.Nature()), literalsOf(checked)
	if isField(checked) {
		e.words = wordsOf(checked.Nature())
	}
	w := new(rewriter)
	program, err := expr.Compile(source, append(slices.Clip(c.running), expr.Patch(w))...)
	if err != nil {
		p := c.explain(err, nil, source)
		p.Key = prefix + key
		c.problems = append(c.problems, *p)
		return e
	}
	switch n := w.root.(type) {
	case *ast.StringNode:
		e.constant = n.Value
	case *ast.IntegerNode:
		e.constant = n.Value
	case *ast.FloatNode:
		e.constant = n.Value
	case *ast.BoolNode:
		e.constant = n.Value
	default:
		if e.path = pathOf(n); e.path == nil {
			e.program = program
		}
	}
	return e
}

// mentions reports whether an expression refers to one of the names. Nil does not.
func (e *expression) mentions(names ...string) bool {
	if e == nil || e.checked == nil {
		return false
	}
	w := mention{names: names}
	ast.Walk(&e.checked, &w)
	return w.found
}

type mention struct {
	names []string
	found bool
}

// Visit implements ast.Visitor.
func (w *mention) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.IdentifierNode); ok && slices.Contains(w.names, n.Value) {
		w.found = true
	}
}
