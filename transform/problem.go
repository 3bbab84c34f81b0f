package transform

import "fmt"

// A Problem is something in the transform section that cannot be used.
type Problem struct {
	// Key is relative to the section, such as "rules[0].fields.mx_Custom_1".
	Key string
	// Line and Column say where in the key's expression, counted from 1 in
	// characters; both are 0 if the problem is no place in an expression.
	Line, Column int
	Text         string // what is wrong
	Advice       string // what to do
}

// Error returns the problem in one line.
func (p Problem) Error() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s; %s", p.Key, p.Text, p.Advice)
	}
	return fmt.Sprintf("%s: %d:%d: %s; %s", p.Key, p.Line, p.Column, p.Text, p.Advice)
}
