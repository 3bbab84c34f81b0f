package transform

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/leadsink/leadsink/transform/decode"
)

// Rules map records to activities. They are made by Compile and used by one
// goroutine at a time.
type Rules struct {
	decode                          decode.Config
	otherwise, onError, onTombstone Decision
	rules                           []rule
	scope                           *scope
	machine                         vm.VM
}

// A rule is compiled; nil expressions were not given.
type rule struct {
	name                                          string
	when, lead, activity, note, owner, at, marker *expression
	fields, attributes                            []expression
}

// An expression is compiled. Exactly one of program, path and constant is used.
type expression struct {
	key      string // within the rule, such as "fields.mx_Custom_1"
	program  *vm.Program
	path     *path
	constant any

	kind     Kind     // of its value, as far as the check knows it
	literals []string // see ValueOutline
}

// Compile makes rules of the document's transform section. Records are decoded
// as the decode section says. Sample is a decoded event, or a list of them; with
// it the names of fields and the kinds of values are checked, nil checks only the
// rest. There are rules if and only if there are no problems; the problems are
// all there are, except that of an expression only the first is told.
func Compile(cfg Config, events decode.Config, sample any) (*Rules, []Problem) {
	c := &compiler{problems: cfg.Validate(), scope: new(scope)}
	c.checked = append(language(), expr.Env(environment(sample)))
	c.running = append(language(), expr.Env(untyped()))
	c.running = append(c.running, operators(c.scope)...)
	for _, f := range functions {
		c.checked = append(c.checked, expr.Function(f.name, f.call, f.types...))
		c.running = append(c.running, expr.Function(f.name, f.call))
	}
	r := &Rules{
		decode:      events,
		otherwise:   decision(cfg.Otherwise),
		onError:     decision(cfg.OnError),
		onTombstone: decision(cfg.Tombstones),
		scope:       c.scope,
	}
	for i, rule := range cfg.Rules {
		r.rules = append(r.rules, c.rule(i, rule))
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return r, nil
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
	checked, running []expr.Option
	scope            *scope
	problems         []Problem
}

func (c *compiler) rule(i int, from Rule) rule {
	prefix := fmt.Sprintf("rules[%d].", i)
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
		name:       from.Name,
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
	if to.name == "" {
		to.name = fmt.Sprintf("rule %d", i+1)
	}
	return to
}

// expression checks and compiles one. Expressions are checked with the types
// of the sample, but compiled without them: an event may differ from the sample, and
// code made for its types would then fail.
func (c *compiler) expression(prefix, key, source string, want wanted) expression {
	e := expression{key: key}
	checked, p := checkExpression(source, want, c.checked)
	if p != nil {
		p.Key = prefix + key
		c.problems = append(c.problems, *p)
		return e
	}
	e.kind, e.literals = kindOfNature(checked.Nature()), literalsOf(checked)
	w := new(rewriter)
	program, err := expr.Compile(source, append(slices.Clip(c.running), expr.Patch(w))...)
	if err != nil {
		p := explain(err, nil, source)
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
