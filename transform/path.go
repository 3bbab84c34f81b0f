package transform

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leadsink/leadsink/transform/decode"
)

// names are what expressions can refer to, in the order of the roots.
var names = []string{"event", "key", "headers", "topic", "partition", "offset", "timestamp"}

// A root is where a path begins: an index into names.
type root int

const (
	rootEvent root = iota
	rootKey
	rootHeaders
	rootTopic
	rootPartition
	rootOffset
	rootTimestamp
)

// A scope is the record that expressions are evaluated for.
type scope struct {
	record *Record
	event  any
	steps  int // of loops in expressions, for this record
}

// value returns what a root stands for.
func (s *scope) value(r root) any {
	switch r {
	case rootEvent:
		return s.event
	case rootKey:
		if s.record.Key == nil {
			return nil
		}
		return string(s.record.Key)
	case rootHeaders:
		headers := make(map[string]any, len(s.record.Headers))
		for _, h := range s.record.Headers {
			headers[h.Key] = headerValue(h)
		}
		return headers
	case rootTopic:
		return s.record.Topic
	case rootPartition:
		return int(s.record.Partition)
	case rootOffset:
		return int(s.record.Offset)
	case rootTimestamp:
		return s.record.Timestamp
	}
	panic("transform: unknown root")
}

// header returns the last header of that name: where Kafka clients read one,
// they read the last.
func (s *scope) header(name string) any {
	for _, h := range slices.Backward(s.record.Headers) {
		if h.Key == name {
			return headerValue(h)
		}
	}
	return nil
}

func headerValue(h Header) any {
	if h.Value == nil {
		return nil
	}
	return string(h.Value)
}

// A path is a root and the names and positions that lead to a value, such as
// event.items[0].price. Most expressions are nothing else, so paths are
// followed without the expression machine.
type path struct {
	root  root
	steps []any // string or int
}

// in returns the path's value, nil if something on the way is missing or null.
func (p *path) in(s *scope) (any, error) {
	steps := p.steps
	var at any
	if name, ok := first(steps).(string); ok && p.root == rootHeaders {
		at, steps = s.header(name), steps[1:]
	} else {
		at = s.value(p.root)
	}
	for i, step := range steps {
		next, err := member(at, step)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", &path{p.root, p.steps[:len(p.steps)-len(steps)+i]}, err)
		}
		at = next
	}
	return at, nil
}

func first(steps []any) any {
	if len(steps) == 0 {
		return nil
	}
	return steps[0]
}

// String returns the path as an expression.
func (p *path) String() string {
	var text strings.Builder
	text.WriteString(names[p.root])
	for _, step := range p.steps {
		if name, ok := step.(string); ok {
			text.WriteString("." + name)
		} else {
			fmt.Fprintf(&text, "[%d]", step)
		}
	}
	return text.String()
}

// member returns a field of an object or an element of a list, nil if there is
// none; negative positions count from the end.
func member(of, step any) (any, error) {
	switch of := of.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		if name, ok := step.(string); ok {
			return of[name], nil
		}
		return nil, fmt.Errorf("it is an object and its fields have names, got %s", kindOf(step))
	case []any:
		i, ok := step.(int)
		if !ok {
			return nil, fmt.Errorf("it is a list and its elements have positions, got %s", kindOf(step))
		}
		if i < 0 {
			i += len(of)
		}
		if i < 0 || i >= len(of) {
			return nil, nil
		}
		return of[i], nil
	}
	return nil, fmt.Errorf("it is %s and has no fields or elements", kindOf(of))
}

// kindOf names what a value is, for people.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case string:
		return "text"
	case int, float64, decode.Number:
		return "a number"
	case time.Time:
		return "a time"
	case time.Duration:
		return "a duration"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a %T", v)
}
