package transform

import (
	"errors"
	"fmt"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm/runtime"
)

// Names of functions that only a rewriter puts into an expression: a user
// cannot write them.
const (
	callPath   = "$path"   // a path's value
	callMember = "$member" // a field or element
	callPlain  = "$plain"  // a number for arithmetic
	callTruth  = "$truth"  // a condition
	callList   = "$list"   // what a loop goes over
	callStep   = "$step"   // counts a turn of a loop
	callSlice  = "$slice"  // a part of a text or list
	callPlus   = "$plus"
	callMinus  = "$minus"
	callTimes  = "$times"
)

// maxSteps bounds the turns of all loops in all expressions for one record.
const maxSteps = 1_000_000

// operators are the functions behind the names above, for one scope.
func operators(s *scope) []expr.Option {
	steps := func(args ...any) (any, error) {
		if s.steps++; s.steps > maxSteps {
			return nil, errors.New("the rules take more than a million steps over this event's lists; loop over less")
		}
		return args[0], nil
	}
	return []expr.Option{
		expr.Function(callPath, func(args ...any) (any, error) { return args[0].(*path).in(s) }),
		expr.Function(callMember, func(args ...any) (any, error) { return member(args[0], args[1]) }),
		expr.Function(callPlain, func(args ...any) (any, error) { return plain(args[0]), nil }),
		expr.Function(callTruth, func(args ...any) (any, error) { return truth(args[0]) }),
		expr.Function(callList, list),
		expr.Function(callStep, steps),
		expr.Function(callSlice, slice),
		expr.Function(callPlus, plus),
		expr.Function(callMinus, minus),
		expr.Function(callTimes, times),
	}
}

// list returns what a loop can go over: null is an empty list.
func list(args ...any) (any, error) {
	switch v := args[0].(type) {
	case []any:
		return v, nil
	case nil:
		return []any{}, nil
	}
	return nil, fmt.Errorf("a list was expected, it is %s", kindOf(args[0]))
}

// slice returns v[from:to], of text by characters; null stays null, and bounds
// outside are moved inside.
func slice(args ...any) (any, error) {
	bound := func(v any, n, otherwise int) (int, error) {
		i, ok := v.(int)
		switch {
		case v == nil:
			return otherwise, nil
		case !ok:
			return 0, fmt.Errorf("a position is a whole number, not %s", kindOf(v))
		case i < 0:
			i += n
		}
		return min(max(i, 0), n), nil
	}
	var characters []rune
	n := 0
	switch v := args[0].(type) {
	case nil:
		return nil, nil
	case string:
		characters = []rune(v)
		n = len(characters)
	case []any:
		n = len(v)
	default:
		return nil, fmt.Errorf("only text and lists have parts, it is %s", kindOf(v))
	}
	from, err := bound(args[1], n, 0)
	if err != nil {
		return nil, err
	}
	to, err := bound(args[2], n, n)
	if err != nil {
		return nil, err
	}
	from = min(from, to)
	if v, ok := args[0].([]any); ok {
		return v[from:to], nil
	}
	return string(characters[from:to]), nil
}

var errOverflow = errors.New("the result does not fit 64 bits, and digits would be lost; use float() where that is meant")

// plus adds without losing digits and without making text of any length.
func plus(args ...any) (any, error) {
	a, b := plain(args[0]), plain(args[1])
	switch x := a.(type) {
	case int:
		if y, ok := b.(int); ok {
			if sum := x + y; (sum > x) == (y > 0) {
				return sum, nil
			}
			return nil, errOverflow
		}
	case string:
		y, ok := b.(string)
		if !ok {
			return nil, fmt.Errorf("text + %s: make it text with string(), and give null a default with ??", kindOf(b))
		}
		if len(x)+len(y) > maxText {
			return nil, errTooLong
		}
		return x + y, nil
	}
	return runtime.Add(a, b), nil
}

func minus(args ...any) (any, error) {
	a, b := plain(args[0]), plain(args[1])
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			if difference := x - y; (difference < x) == (y > 0) {
				return difference, nil
			}
			return nil, errOverflow
		}
	}
	return runtime.Subtract(a, b), nil
}

func times(args ...any) (any, error) {
	a, b := plain(args[0]), plain(args[1])
	if x, ok := a.(int); ok {
		if y, ok := b.(int); ok {
			product := x * y
			if x == 0 || (product/x == y && (x != -1 || product == -y && (y == 0 || product != y))) {
				return product, nil
			}
			return nil, errOverflow
		}
	}
	return runtime.Multiply(a, b), nil
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
		if !hasNoNumber(n.Left) && !hasNoNumber(n.Right) {
			wrap(callPlain, &n.Left)
			wrap(callPlain, &n.Right)
		}
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
		if name == callPlain {
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
