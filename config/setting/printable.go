package setting

import (
	"strings"
	"unicode"
)

// Printable returns foreign text so that it can stand in one line of a message: what
// cannot be printed becomes a space.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}
