package transform

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
)

// maxPattern bounds the instructions of a compiled pattern: matching may take
// as many steps for every character.
const maxPattern = 1000

// A pattern is what matches() compares text with.
type pattern struct {
	*regexp.Regexp
	size int // in instructions
}

func newPattern(source string) (*pattern, error) {
	tree, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			return nil, fmt.Errorf("the pattern cannot be read: %s: %s", e.Code, e.Expr)
		}
		return nil, fmt.Errorf("the pattern cannot be read: %w", err)
	}
	size := instructions(tree)
	if size > maxPattern {
		return nil, fmt.Errorf("the pattern is too large: it takes %d steps for a character, of at most %d", size, maxPattern)
	}
	re, err := regexp.Compile(source)
	if err != nil {
		return nil, fmt.Errorf("the pattern cannot be read: %w", err)
	}
	return &pattern{re, size}, nil
}

// instructions returns about how many instructions a pattern has once its
// repetitions are written out, without writing them out.
func instructions(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(1, re.Min, re.Max)
	}
	return min(n, 1<<30)
}
