// Package decode turns the bytes of a record into an event.
//
// An event is made of nil, bool, string, int, Number, []any and
// map[string]any. Whole numbers that fit 64 bits are an int; every other number
// is a Number, which keeps its digits.
package decode

import (
	"fmt"

	"github.com/leadsink/leadsink/config/setting"
)

// A Config is the document's decode section.
type Config struct {
	// Format of the records' values: json. (avro, protobuf, json_schema and
	// cloudevents come with later versions.)
	Format string `yaml:"format"`
	// MaxBytes is the largest value that is decoded; a larger record is an
	// error of class too_large, which transform.on_error decides about. From 1B
	// to 64MiB.
	MaxBytes setting.Size `yaml:"max_bytes"`
	// MaxDepth is how deep lists and objects may be nested, 1 to 1000.
	MaxDepth int `yaml:"max_depth"`
}

// Bounds of what a document may ask for.
const (
	largestMaxBytes = 64 << 20
	largestMaxDepth = 1000
)

// Default returns the section as it is when the document does not mention it:
// JSON of at most 1 MiB, nested at most 64 deep.
func Default() Config {
	return Config{Format: "json", MaxBytes: 1 << 20, MaxDepth: 64}
}

// A Problem is a key of the section whose value cannot be used.
type Problem struct {
	Key    string // relative to the section, such as "max_depth"
	Text   string // what is wrong
	Advice string // what to do
}

// Error returns the problem in one line.
func (p Problem) Error() string { return p.Key + ": " + p.Text + "; " + p.Advice }

// Validate returns everything that is wrong with the section, nil if nothing is.
func (c Config) Validate() []Problem {
	var problems []Problem
	switch c.Format {
	case "json":
	case "avro", "protobuf", "json_schema", "cloudevents":
		problems = append(problems, Problem{"format", fmt.Sprintf("%q comes with a later version", c.Format), "this one decodes json"})
	default:
		problems = append(problems, Problem{"format", fmt.Sprintf("%q is not a format", c.Format), "write json"})
	}
	if c.MaxBytes < 1 || c.MaxBytes > largestMaxBytes {
		problems = append(problems, Problem{"max_bytes", fmt.Sprintf("%d bytes is out of range", c.MaxBytes), "write a size from 1B to 64MiB"})
	}
	if c.MaxDepth < 1 || c.MaxDepth > largestMaxDepth {
		problems = append(problems, Problem{"max_depth", fmt.Sprintf("%d is out of range", c.MaxDepth), "write a whole number from 1 to 1000"})
	}
	return problems
}

// Decode returns the event in the value of a record. Its errors are *Error.
func (c Config) Decode(value []byte) (any, error) {
	if int64(len(value)) > int64(c.MaxBytes) {
		return nil, &Error{
			TooLarge: true,
			Text:     fmt.Sprintf("the value has %d bytes, the limit is %d; raise decode.max_bytes or send less", len(value), c.MaxBytes),
		}
	}
	return JSON(value, c.MaxDepth)
}

// An Error says why a value is not an event. It quotes none of the value.
type Error struct {
	TooLarge bool   // the value is longer than the limit
	Offset   int    // of the byte where decoding stopped, from 0
	Text     string // what is wrong, and what to do
}

// Error returns the text, with the offset where one is known.
func (e *Error) Error() string {
	if e.TooLarge {
		return e.Text
	}
	return fmt.Sprintf("byte %d: %s", e.Offset, e.Text)
}
