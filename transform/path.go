package transform

import (
	"fmt"
	"strings"
	"time"

	"github.com/leadsink/leadsink/transform/decode"
)

// names are what expressions can refer to, in the order of the roots; the last
// two only in a rule with each.
var names = []string{"event", "key", "headers", "topic", "partition", "offset", "timestamp", "item", "index"}

// everywhere is how many of the names are known in all rules.
const everywhere = int(rootItem)

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
	rootItem
	rootIndex
)

// A scope is the record that expressions are evaluated for.
type scope struct {
	record *Record
	event  any
	item   any // the element that a rule with each is at
	index  int

	// What was made of the record once, so that no loop makes it again.
	key, headers any

	steps int // taken by all expressions
	made  int // bytes of text made by all expressions
}

// value returns what a root stands for.
func (s *scope) value(r root) any {
	switch r {
	case rootEvent:
		return s.event
	case rootKey:
		if s.key == nil && s.record.Key != nil {
			s.key = string(s.record.Key)
		}
		return s.key
	case rootHeaders:
		if s.headers == nil {
			headers := make(map[string]any, len(s.record.Headers))
			for _, h := range s.record.Headers { // of several with one name the last, as Kafka clients read them
				headers[h.Key] = headerValue(h)
			}
			s.headers = headers
		}
		return s.headers
	case rootTopic:
		return s.record.Topic
	case rootPartition:
		return int(s.record.Partition)
	case rootOffset:
		return int(s.record.Offset)
	case rootTimestamp:
		return s.record.Timestamp
	case rootItem:
		return s.item
	case rootIndex:
		return s.index
	}
	panic("transform: unknown root")
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
	at := s.value(p.root)
	for i, step := range p.steps {
		next, err := member(at, step)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", &path{p.root, p.steps[:i]}, err)
		}
		at = next
	}
	return at, nil
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
