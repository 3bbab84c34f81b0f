package decode

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON returns the event in one JSON document (RFC 8259) that is nested at most
// maxDepth deep. It accepts what encoding/json accepts and reads it alike,
// except that numbers keep their digits and these are errors: bytes that are not
// valid UTF-8, deeper nesting, and numbers beyond float64 or of more than 1000 digits. Of
// equal names in an object the last counts; half of a surrogate pair becomes
// U+FFFD. Errors are *Error.
func JSON(value []byte, maxDepth int) (any, error) {
	d := decoder{in: value, depth: maxDepth}
	d.space()
	if d.at == len(value) {
		return nil, d.fail("the value is empty; a JSON document was expected")
	}
	event, err := d.value()
	if err != nil {
		return nil, err
	}
	d.space()
	if d.at < len(value) {
		return nil, d.fail("more follows after the JSON document; send one document per record")
	}
	return event, nil
}

// A decoder reads one document in one pass.
type decoder struct {
	in    []byte
	at    int // next byte
	depth int // how much deeper the document may go
}

func (d *decoder) fail(format string, args ...any) error {
	return &Error{Offset: d.at, Text: fmt.Sprintf(format, args...)}
}

// unexpected reports the byte at d.at, or the end.
func (d *decoder) unexpected(wanted string) error {
	if d.at >= len(d.in) {
		return d.fail("the document ends too early: %s was expected", wanted)
	}
	return d.fail("%s was expected; is this JSON?", wanted)
}

func (d *decoder) space() {
	for d.at < len(d.in) {
		switch d.in[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// value reads a value that begins at d.at.
func (d *decoder) value() (any, error) {
	if d.at >= len(d.in) {
		return nil, d.unexpected("a value")
	}
	switch c := d.in[d.at]; {
	case c == '"':
		return d.text()
	case c == '{':
		return d.object()
	case c == '[':
		return d.list()
	case c == '-' || c >= '0' && c <= '9':
		return d.number()
	case c == 't':
		return true, d.word("true")
	case c == 'f':
		return false, d.word("false")
	case c == 'n':
		return nil, d.word("null")
	}
	return nil, d.unexpected("a value")
}

func (d *decoder) word(word string) error {
	if len(d.in)-d.at < len(word) || string(d.in[d.at:d.at+len(word)]) != word {
		return d.unexpected(word)
	}
	d.at += len(word)
	return nil
}

// enter steps over an opening bracket, one level deeper.
func (d *decoder) enter() error {
	if d.depth == 0 {
		return d.fail("the document is nested too deep; flatten it or raise decode.max_depth")
	}
	d.depth--
	d.at++
	d.space()
	return nil
}

// leave steps over the closing bracket if it comes next.
func (d *decoder) leave(bracket byte) bool {
	if d.at < len(d.in) && d.in[d.at] == bracket {
		d.at++
		d.depth++
		return true
	}
	return false
}

func (d *decoder) object() (any, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	object := make(map[string]any)
	if d.leave('}') {
		return object, nil
	}
	for {
		if d.at >= len(d.in) || d.in[d.at] != '"' {
			return nil, d.unexpected("a name in double quotes")
		}
		name, err := d.text()
		if err != nil {
			return nil, err
		}
		d.space()
		if d.at >= len(d.in) || d.in[d.at] != ':' {
			return nil, d.unexpected("a colon")
		}
		d.at++
		d.space()
		if object[name], err = d.value(); err != nil {
			return nil, err
		}
		d.space()
		if d.leave('}') {
			return object, nil
		}
		if d.at >= len(d.in) || d.in[d.at] != ',' {
			return nil, d.unexpected("a comma or }")
		}
		d.at++
		d.space()
	}
}

func (d *decoder) list() (any, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	list := []any{}
	if d.leave(']') {
		return list, nil
	}
	for {
		element, err := d.value()
		if err != nil {
			return nil, err
		}
		list = append(list, element)
		d.space()
		if d.leave(']') {
			return list, nil
		}
		if d.at >= len(d.in) || d.in[d.at] != ',' {
			return nil, d.unexpected("a comma or ]")
		}
		d.at++
		d.space()
	}
}

func (d *decoder) number() (any, error) {
	start, whole := d.at, true
	if d.in[d.at] == '-' {
		d.at++
	}
	if d.at < len(d.in) && d.in[d.at] == '0' {
		d.at++
	} else if !d.digits() {
		return nil, d.unexpected("a digit")
	}
	if d.at < len(d.in) && d.in[d.at] == '.' {
		whole = false
		d.at++
		if !d.digits() {
			return nil, d.unexpected("a digit")
		}
	}
	if d.at < len(d.in) && d.in[d.at]|0x20 == 'e' {
		whole = false
		d.at++
		if d.at < len(d.in) && (d.in[d.at] == '+' || d.in[d.at] == '-') {
			d.at++
		}
		if !d.digits() {
			return nil, d.unexpected("a digit")
		}
	}
	n, ok := newNumber(string(d.in[start:d.at]), whole)
	if !ok {
		d.at = start
		return nil, d.fail("the number is too large or has too many digits; send it as text")
	}
	return n, nil
}

// digits steps over digits and reports whether there were any.
func (d *decoder) digits() bool {
	start := d.at
	for d.at < len(d.in) && d.in[d.at] >= '0' && d.in[d.at] <= '9' {
		d.at++
	}
	return d.at > start
}

// text reads a string that begins at d.at.
func (d *decoder) text() (string, error) {
	d.at++
	start := d.at
	for d.at < len(d.in) {
		switch c := d.in[d.at]; {
		case c == '"':
			d.at++
			return string(d.in[start : d.at-1]), nil
		case c == '\\':
			return d.escaped(start)
		case c < 0x20:
			return "", d.fail("a control character in a string must be escaped")
		case c < utf8.RuneSelf:
			d.at++
		default:
			if err := d.rune(); err != nil {
				return "", err
			}
		}
	}
	return "", d.unexpected("a closing double quote")
}

// rune steps over a character of several bytes.
func (d *decoder) rune() error {
	r, size := utf8.DecodeRune(d.in[d.at:])
	if r == utf8.RuneError && size == 1 {
		return d.fail("the value is not valid UTF-8; encode it as UTF-8")
	}
	d.at += size
	return nil
}

// escaped goes on with a string at its first backslash; the text before it
// begins at start.
func (d *decoder) escaped(start int) (string, error) {
	text := append(make([]byte, 0, d.at-start+32), d.in[start:d.at]...)
	for d.at < len(d.in) {
		switch c := d.in[d.at]; {
		case c == '"':
			d.at++
			return string(text), nil
		case c == '\\':
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, r)
		case c < 0x20:
			return "", d.fail("a control character in a string must be escaped")
		case c < utf8.RuneSelf:
			text = append(text, c)
			d.at++
		default:
			from := d.at
			if err := d.rune(); err != nil {
				return "", err
			}
			text = append(text, d.in[from:d.at]...)
		}
	}
	return "", d.unexpected("a closing double quote")
}

// escape reads one escape sequence, or the two of a surrogate pair.
func (d *decoder) escape() (rune, error) {
	if d.at+1 >= len(d.in) {
		d.at = len(d.in)
		return 0, d.unexpected("an escape sequence")
	}
	switch c := d.in[d.at+1]; c {
	case '"', '\\', '/':
		d.at += 2
		return rune(c), nil
	case 'b':
		d.at += 2
		return '\b', nil
	case 'f':
		d.at += 2
		return '\f', nil
	case 'n':
		d.at += 2
		return '\n', nil
	case 'r':
		d.at += 2
		return '\r', nil
	case 't':
		d.at += 2
		return '\t', nil
	case 'u':
	default:
		return 0, d.unexpected("an escape sequence")
	}
	r := d.unit()
	if r < 0 {
		return 0, d.unexpected("four hexadecimal digits after \\u")
	}
	d.at += 6
	if utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, d.unit()); pair != utf8.RuneError {
			d.at += 6
			return pair, nil
		}
		return utf8.RuneError, nil
	}
	return r, nil
}

// unit returns the \uXXXX at d.at, or -1 if there is none.
func (d *decoder) unit() rune {
	if len(d.in)-d.at < 6 || d.in[d.at] != '\\' || d.in[d.at+1] != 'u' {
		return -1
	}
	for _, c := range d.in[d.at+2 : d.at+6] {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return -1
		}
	}
	n, _ := strconv.ParseUint(string(d.in[d.at+2:d.at+6]), 16, 16)
	return rune(n)
}
