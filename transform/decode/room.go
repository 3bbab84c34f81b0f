package decode

import "fmt"

// A room is what is left of an event's bounds while it is decoded. Binary
// formats need it: a list of a million empty objects may be a few bytes.
type room struct {
	values int // how many more there may be
	depth  int // how much deeper it may go
}

// container is what a list or an object counts for in values: about its share
// of memory.
const container = 8

// take makes room for so many values.
func (r *room) take(values int) error {
	if r.values -= values; r.values < 0 {
		return &Error{TooLarge: true, Text: "the event has more values than the limit on bytes; raise decode.max_bytes or send less"}
	}
	return nil
}

// enter makes room for a list or an object, one level deeper; leave goes back.
func (r *room) enter(at int) error {
	if r.depth == 0 {
		return &Error{Offset: at, Text: "the event is nested too deep; flatten it or raise decode.max_depth"}
	}
	r.depth--
	return r.take(container)
}

func (r *room) leave() { r.depth++ }

// An input is a payload that is read from its front.
type input struct {
	in   []byte
	at   int // next byte
	room room
}

func (r *input) fail(format string, args ...any) error {
	return &Error{Offset: r.at, Text: fmt.Sprintf(format, args...)}
}

// next steps over so many bytes and returns them.
func (r *input) next(n int, what string) ([]byte, error) {
	if n < 0 || n > len(r.in)-r.at {
		return nil, r.fail("the value ends too early: %s does not fit in; is this its schema?", what)
	}
	r.at += n
	return r.in[r.at-n : r.at], nil
}
