package transform

import "github.com/expr-lang/expr/ast"

// lookupName is called like a function, but its table is found before anything
// runs: lookup("owners", key, default).
const lookupName = "lookup"

// tablePrefix begins the names that tables have in the checker, where a lookup
// is a field of an object; no user can write them.
const tablePrefix = "$table."

// lookupIn returns the parts of a lookup, nil for another node. The default
// is nil where there is none.
func lookupIn(node ast.Node) (name string, key, otherwise ast.Node) {
	n, ok := node.(*ast.CallNode)
	if !ok {
		return "", nil, nil
	}
	if callee, ok := n.Callee.(*ast.IdentifierNode); !ok || callee.Value != lookupName {
		return "", nil, nil
	}
	if len(n.Arguments) == 3 {
		otherwise = n.Arguments[2]
	}
	return n.Arguments[0].(*ast.StringNode).Value, n.Arguments[1], otherwise
}

// checkedLookup makes lookups what the checker knows the types of.
type checkedLookup struct{}

// Visit implements ast.Visitor.
func (checkedLookup) Visit(node *ast.Node) {
	name, key, otherwise := lookupIn(*node)
	if key == nil {
		return
	}
	text := call("string", key)
	text.SetLocation(key.Location())
	found := ast.Node(&ast.MemberNode{Node: &ast.IdentifierNode{Value: tablePrefix + name}, Property: text})
	patchLookup(node, found, otherwise)
}

// runningLookup makes lookups calls with the table itself.
type runningLookup struct{ tables map[string]*table }

// Visit implements ast.Visitor.
func (w runningLookup) Visit(node *ast.Node) {
	name, key, otherwise := lookupIn(*node)
	if key == nil {
		return
	}
	patchLookup(node, call(callLookup, &ast.ConstantNode{Value: w.tables[name]}, key), otherwise)
}

func patchLookup(node *ast.Node, found, otherwise ast.Node) {
	if otherwise != nil {
		found.SetLocation((*node).Location())
		found = &ast.BinaryNode{Operator: "??", Left: found, Right: otherwise}
	}
	ast.Patch(node, found)
}
