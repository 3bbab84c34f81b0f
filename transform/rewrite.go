package transform

import (
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
)

// Names of functions that only a rewriter puts into an expression: a user
// cannot write them.
const (
	callPath   = "$path"   // a path's value
	callMember = "$member" // a field or element
	callPlain  = "$plain"  // a number for arithmetic
	callTruth  = "$truth"  // a condition
	callList   = "$list"   // what a loop goes over
	callWhole  = "$whole"  // a list that is gone over as a whole
	callStep   = "$step"   // counts a turn of a loop
	callEqual  = "$equal"
	callDiffer = "$differ"
	callSlice  = "$slice" // a part of a text or list
	callPlus   = "$plus"
	callMinus  = "$minus"
	callTimes  = "$times"
)

// operators are the functions behind the names above, for one scope.
func operators(s *scope) []expr.Option {
	return []expr.Option{
		expr.Function(callPath, func(args ...any) (any, error) { return args[0].(*path).in(s) }),
		expr.Function(callMember, func(args ...any) (any, error) { return member(args[0], args[1]) }),
		expr.Function(callPlain, func(args ...any) (any, error) { return plain(args[0]), s.spendOn(args[0]) }),
		expr.Function(callTruth, func(args ...any) (any, error) { return truth(args[0]) }),
		expr.Function(callList, list),
		expr.Function(callWhole, func(args ...any) (any, error) { return args[0], s.spendOn(args[0]) }),
		expr.Function(callStep, func(args ...any) (any, error) { return args[0], s.spend(1) }),
		expr.Function(callEqual, func(args ...any) (any, error) { return equal(args[0], args[1]), nil }),
		expr.Function(callDiffer, func(args ...any) (any, error) { return !equal(args[0], args[1]), nil }),
		expr.Function(callSlice, slice),
		expr.Function(callPlus, plus),
		expr.Function(callMinus, minus),
		expr.Function(callTimes, times),
	}
}

// A rewriter changes a checked expression so that it does what the document
// promises where expr alone would not: a missing field is null instead of a
// panic, null counts as false, numbers keep their digits until something is
// calculated with them, sums do not overflow in silence, and loops and texts
// are bounded. It visits inner nodes before outer ones.
type rewriter struct {
	root ast.Node // what was visited last, in the end the whole expression
}

// Visit implements ast.Visitor.
func (w *rewriter) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if r := slices.Index(names, n.Value); r >= 0 {
			ast.Patch(node, pathCall(&path{root: root(r)}))
		}
	case *ast.ChainNode:
		*node = n.Node // every step is optional already
	case *ast.MemberNode:
		rewriteMember(node, n)
	case *ast.SliceNode:
		ast.Patch(node, call(callSlice, n.Node, orNil(n.From), orNil(n.To)))
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			wrap(callTruth, &n.Node)
		} else {
			wrap(callPlain, &n.Node)
		}
	case *ast.BinaryNode:
		rewriteBinary(node, n)
	case *ast.ConditionalNode:
		wrap(callTruth, &n.Cond)
	case *ast.BuiltinNode:
		rewriteBuiltin(n)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == "join" {
			wrap(callWhole, &n.Arguments[0])
		}
	}
	w.root = *node
}

func rewriteMember(node *ast.Node, n *ast.MemberNode) {
	var step any
	switch property := n.Property.(type) {
	case *ast.StringNode:
		step = property.Value
	case *ast.IntegerNode:
		step = property.Value
	}
	if p := pathOf(n.Node); p != nil && step != nil {
		ast.Patch(node, pathCall(&path{p.root, append(slices.Clip(p.steps), step)}))
		return
	}
	ast.Patch(node, call(callMember, n.Node, n.Property))
}

func rewriteBinary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "+":
		ast.Patch(node, call(callPlus, n.Left, n.Right))
	case "-":
		ast.Patch(node, call(callMinus, n.Left, n.Right))
	case "*":
		ast.Patch(node, call(callTimes, n.Left, n.Right))
	case "and", "&&", "or", "||":
		wrap(callTruth, &n.Left)
		wrap(callTruth, &n.Right)
	case "==", "!=":
		// A number never equals text, true, false or null, however it is kept.
		if hasNoNumber(n.Left) || hasNoNumber(n.Right) {
			return
		}
		name := callEqual
		if n.Operator == "!=" {
			name = callDiffer
		}
		wrap(callWhole, &n.Left)
		ast.Patch(node, call(name, n.Left, n.Right))
	case "<", ">", "<=", ">=", "/", "%", "**", "^", "in":
		wrap(callPlain, &n.Left)
		wrap(callPlain, &n.Right)
	}
}

// loops are the builtins that go over a list; keeping are those that hand its
// elements on as they are.
var (
	loops   = []string{"all", "none", "any", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count", "sum", "sortBy"}
	keeping = []string{"filter", "map", "find", "findLast", "first", "last", "take", "reverse"}
)

// rewriteBuiltin prepares a builtin's arguments: its condition is counted, and
// what it calculates with is plain.
func rewriteBuiltin(n *ast.BuiltinNode) {
	for i := range n.Arguments {
		predicate, ok := n.Arguments[i].(*ast.PredicateNode)
		if !ok {
			if i == 0 && slices.Contains(loops, n.Name) {
				wrap(callList, &n.Arguments[i])
			}
			if n.Name == "reverse" {
				wrap(callWhole, &n.Arguments[i])
			}
			if !slices.Contains(keeping, n.Name) {
				wrap(callPlain, &n.Arguments[i])
			}
			continue
		}
		switch n.Name {
		case "map":
		case "sum", "sortBy":
			wrap(callPlain, &predicate.Node)
		default:
			wrap(callTruth, &predicate.Node)
		}
		ast.Patch(&predicate.Node, call(callStep, predicate.Node))
	}
}

func orNil(n ast.Node) ast.Node {
	if n == nil {
		return &ast.NilNode{}
	}
	return n
}

func hasNoNumber(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.BoolNode, *ast.NilNode:
		return true
	}
	return false
}

// wrap puts a call around a node that may need it.
func wrap(name string, node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode:
		if name != callTruth {
			return
		}
	case *ast.BoolNode, *ast.NilNode:
		return
	case *ast.BinaryNode:
		switch n.Operator {
		case "==", "!=", "<", ">", "<=", ">=", "and", "&&", "or", "||", "in", "contains", "startsWith", "endsWith", "matches":
			return // true or false in any case
		}
	}
	ast.Patch(node, call(name, *node))
}

func call(name string, args ...ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
}

func pathCall(p *path) ast.Node { return call(callPath, &ast.ConstantNode{Value: p}) }

// pathOf returns the path that a node stands for, nil if it is something else.
func pathOf(n ast.Node) *path {
	if c, ok := n.(*ast.CallNode); ok {
		if callee, ok := c.Callee.(*ast.IdentifierNode); ok && callee.Value == callPath {
			return c.Arguments[0].(*ast.ConstantNode).Value.(*path)
		}
	}
	return nil
}
