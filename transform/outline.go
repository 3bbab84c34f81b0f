package transform

import (
	"fmt"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker/nature"
)

// A Kind is what is known of an expression's value before any record came.
// Whatever its kind, a value may be null.
type Kind int

const (
	KindUnknown Kind = iota // nothing: the sample or schema does not tell
	KindText
	KindWhole   // a whole number
	KindDecimal // a number
	KindTruth   // true or false
	KindTime
)

// A RuleOutline says what a rule writes, for checks against the account.
type RuleOutline struct {
	Name string
	Key  string // of the rule in the section, such as "rules[0]"
	Each bool   // one activity for every element of a list
	Code int    // the activity's code, 0 if it depends on the record

	// Parts of the row; nil where the rule does not give it.
	Lead, Activity, Note, Owner, At, Marker *ValueOutline

	Fields, Attributes []ValueOutline // in the order of the document
}

// A ValueOutline says what an expression gives.
type ValueOutline struct {
	Name string // the schema name of a field, the name of an attribute, else that of the part
	Key  string // in the section, for problems: "rules[0].fields.mx_Custom_1"
	Kind Kind
	// Literals are texts that the expression gives in some case or other, because
	// it says so itself: "a" and "b" for `event.x ? "a" : "b"`.
	Literals []string
	// Constant says that it always gives the one literal.
	Constant bool
}

// Outline returns what each rule writes. The caller owns it.
func (r *Rules) Outline() []RuleOutline {
	outlines := make([]RuleOutline, len(r.rules))
	for i := range r.rules {
		outlines[i] = r.rules[i].outline(fmt.Sprintf("rules[%d]", i))
	}
	return outlines
}

func (r *rule) outline(key string) RuleOutline {
	one := func(e *expression) *ValueOutline {
		if e == nil {
			return nil
		}
		o := e.outline(key)
		return &o
	}
	many := func(list []expression) []ValueOutline {
		var all []ValueOutline
		for i := range list {
			all = append(all, list[i].outline(key))
		}
		return all
	}
	code, _ := r.activity.constant.(int)
	return RuleOutline{
		Name: r.name, Key: key, Code: code,
		Lead: one(r.lead), Activity: one(r.activity), Note: one(r.note), Owner: one(r.owner), At: one(r.at), Marker: one(r.marker),
		Fields: many(r.fields), Attributes: many(r.attributes),
	}
}

func (e *expression) outline(rule string) ValueOutline {
	return ValueOutline{Name: e.name(), Key: rule + "." + e.key, Kind: e.kind, Literals: e.literals, Constant: e.constant != nil}
}

// kindOfNature returns the kind that the check found.
func kindOfNature(n *nature.Nature) Kind {
	switch {
	case n.IsUnknown(new(nature.Cache)):
		return KindUnknown
	case n.IsBool():
		return KindTruth
	case n.IsString():
		return KindText
	case n.IsInteger:
		return KindWhole
	case n.IsNumber():
		return KindDecimal
	case n.IsTime():
		return KindTime
	}
	return KindUnknown
}

// literalsOf returns the texts that an expression may give as they stand in it.
func literalsOf(node ast.Node) []string {
	var value any
	switch n := node.(type) {
	case *ast.StringNode:
		value = n.Value
	case *ast.IntegerNode:
		value = n.Value
	case *ast.FloatNode:
		value = n.Value
	case *ast.BoolNode:
		value = n.Value
	case *ast.ConditionalNode:
		return append(literalsOf(n.Exp1), literalsOf(n.Exp2)...)
	case *ast.BinaryNode:
		if n.Operator == "??" {
			return append(literalsOf(n.Left), literalsOf(n.Right)...)
		}
		return nil
	case *ast.VariableDeclaratorNode:
		return literalsOf(n.Expr)
	default:
		return nil
	}
	s, err := text(value)
	if err != nil {
		return nil
	}
	return []string{s}
}
