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

// closest returns the candidate that a mistyped word most likely means, or ""
// if none is near. Of equally near ones the first in order counts.
func closest(word string, candidates []string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, candidate := range candidates {
		if d := distance(word, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance counts the insertions, deletions, changes and swaps of neighbours
// that make a into b.
func distance(a, b string) int {
	before, above := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}
