// Package setting holds the kinds of values that a configuration document has
// and Go lacks: secrets and sizes, and what is wrong with a value.
package setting

// A Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Key is the path of the value within its section, for instance
	// "sasl.username" or "rules[2].fields.mx_Custom_1"; "" for the section itself.
	Key string
	// Text says what is wrong and, after a semicolon, what to do. It holds no secret.
	Text string
	// Line and Column say where in the value's text the problem begins, in
	// lines and characters from 1. Zero means the value as a whole.
	Line, Column int
}

// Under returns the problems with their keys placed below the given key.
func Under(key string, problems []Problem) []Problem {
	out := make([]Problem, len(problems))
	for i, p := range problems {
		p.Key = join(key, p.Key)
		out[i] = p
	}
	return out
}

func join(outer, inner string) string {
	switch {
	case outer == "":
		return inner
	case inner == "", inner[0] == '[':
		return outer + inner
	}
	return outer + "." + inner
}
