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
	callEqual  = "$equal"
	callDiffer = "$differ"
	callIn     = "$in"
	callSlice  = "$slice" // a part of a text or list
	callPlus   = "$plus"
	callMinus  = "$minus"
	callTimes  = "$times"
	callSum    = "$sum"
	callMatch  = "$match"  // whether text matches a pattern
	callLookup = "$lookup" // a row of a table
)

// operators are the functions behind the names above, for one scope.
func operators(s *scope) []expr.Option {
	return []expr.Option{
		expr.Function(callPath, func(args ...any) (any, error) { return args[0].(*path).in(s) }),
		expr.Function(callMember, s.member),
		expr.Function(callPlain, func(args ...any) (any, error) { return plain(args[0]), s.spendOn(args[0]) }),
		expr.Function(callTruth, func(args ...any) (any, error) { return truth(args[0]) }),
		expr.Function(callList, s.list),
		expr.Function(callWhole, func(args ...any) (any, error) { return args[0], s.spendOnElements(args[0]) }),
		expr.Function(callEqual, func(args ...any) (any, error) { return s.equal(args[0], args[1]) }),
		expr.Function(callDiffer, func(args ...any) (any, error) {
			same, err := s.equal(args[0], args[1])
			return !same, err
		}),
		expr.Function(callIn, s.in),
		expr.Function(callSlice, s.counted(slice)),
		expr.Function(callPlus, func(args ...any) (any, error) { return s.making(plus(args[0], args[1])) }),
		expr.Function(callMinus, func(args ...any) (any, error) { return minus(args[0], args[1]) }),
		expr.Function(callTimes, func(args ...any) (any, error) { return times(args[0], args[1]) }),
		expr.Function(callSum, func(args ...any) (any, error) { return sum(args[0]) }),
		expr.Function(callMatch, s.match),
		expr.Function(callLookup, func(args ...any) (any, error) { return s.lookup(args[0].(*table), args[1]) }),
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
	case *ast.PairNode:
		wrap(callPlain, &n.Key)
	case *ast.ConditionalNode:
		wrap(callTruth, &n.Cond)
	case *ast.BuiltinNode:
		rewriteBuiltin(n)
		if n.Name == "sum" {
			rewriteSum(node, n)
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
		ast.Patch(node, call(name, n.Left, n.Right))
	case "in":
		ast.Patch(node, call(callIn, n.Left, n.Right))
	case "matches":
		// That it is a literal and can be read was checked.
		p, err := newPattern(n.Right.(*ast.StringNode).Value)
		if err != nil {
			panic("transform: " + err.Error())
		}
		ast.Patch(node, call(callMatch, n.Left, &ast.ConstantNode{Value: p}))
	case "<", ">", "<=", ">=", "/", "%", "**", "^", "contains", "startsWith", "endsWith":
		wrap(callPlain, &n.Left)
		wrap(callPlain, &n.Right)
	}
}

// loops are the builtins that go over a list with a condition or expression;
// keeping are the others that hand elements on as they are.
var (
	loops   = []string{"all", "none", "any", "one", "filter", "map", "find", "findIndex", "findLast", "findLastIndex", "count", "sum", "sortBy"}
	keeping = []string{"first", "last", "take", "reverse"}
)

// rewriteSum makes sums of what expr's own would add without looking for overflow.
func rewriteSum(node *ast.Node, n *ast.BuiltinNode) {
	list := n.Arguments[0]
	if len(n.Arguments) == 2 {
		list = &ast.BuiltinNode{Name: "map", Arguments: n.Arguments}
	}
	ast.Patch(node, call(callSum, list))
}

// rewriteBuiltin prepares a builtin's arguments: the turns of a loop are
// counted, conditions may be null, and what is calculated with is plain.
func rewriteBuiltin(n *ast.BuiltinNode) {
	for i := range n.Arguments {
		predicate, isPredicate := n.Arguments[i].(*ast.PredicateNode)
		switch {
		case isPredicate && (n.Name == "sum" || n.Name == "sortBy"):
			wrap(callPlain, &predicate.Node)
		case isPredicate && n.Name != "map":
			wrap(callTruth, &predicate.Node)
		case isPredicate:
		case i == 0 && slices.Contains(loops, n.Name):
			if n.Name == "sum" && len(n.Arguments) == 1 {
				wrap(callPlain, &n.Arguments[i])
			}
			wrap(callList, &n.Arguments[i])
		case slices.Contains(keeping, n.Name):
			wrap(callWhole, &n.Arguments[i])
		default:
			wrap(callPlain, &n.Arguments[i])
		}
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
		case "==", "!=", "<", ">", "<=", ">=", "and", "&&", "or", "||", "contains", "startsWith", "endsWith", "matches":
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
