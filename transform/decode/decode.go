// Package decode turns the bytes of a record into an event.
//
// An event is made of nil, bool, string, int, Number, time.Time, []any and
// map[string]any, and of float64 for what is no finite number. Whole numbers
// that fit 64 bits are an int; every other number is a Number, which keeps its
// digits. Times come from formats that know them; JSON has none.
package decode

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/leadsink/leadsink/config/setting"
)

// A Config is the document's decode section.
type Config struct {
	// Format of the records' values: json, avro, protobuf, json_schema or
	// cloudevents. avro, protobuf and json_schema are records that name their
	// schema as Confluent's serializers do, and need a registry.
	Format string `yaml:"format"`
	// Envelope around the rows of a database: debezium, for the change events of
	// a Debezium connector, with their schema or without it. Empty: none.
	Envelope string `yaml:"envelope"`
	// Registry is where the schemas of avro, protobuf and json_schema are kept: a
	// schema registry with Confluent's interface.
	Registry RegistryConfig `yaml:"registry"`
	// MaxBytes is the largest value that is decoded; a larger record is an
	// error of class too_large, which transform.on_error decides about. From 1B
	// to 64MiB. An event has at most so many values, too: a binary format may
	// hold more of them than bytes.
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
	case "json", "cloudevents":
		if c.Registry != (RegistryConfig{}) {
			problems = append(problems, Problem{"registry", "has no effect, for " + c.Format + " has no schemas", "remove it, or write format: avro, protobuf or json_schema"})
		}
	case "avro", "protobuf", "json_schema":
		problems = append(problems, c.Registry.validate()...)
	default:
		problems = append(problems, Problem{"format", fmt.Sprintf("%q is not a format", c.Format), "write json, avro, protobuf, json_schema or cloudevents"})
	}
	if c.Envelope != "" && c.Envelope != "debezium" {
		problems = append(problems, Problem{"envelope", fmt.Sprintf("%q is not an envelope", c.Envelope), "write debezium, or leave it out"})
	}
	if c.MaxBytes < 1 || c.MaxBytes > largestMaxBytes {
		problems = append(problems, Problem{"max_bytes", fmt.Sprintf("%d bytes is out of range", c.MaxBytes), "write a size from 1B to 64MiB"})
	}
	if c.MaxDepth < 1 || c.MaxDepth > largestMaxDepth {
		problems = append(problems, Problem{"max_depth", fmt.Sprintf("%d is out of range", c.MaxDepth), "write a whole number from 1 to 1000"})
	}
	return problems
}

// Schemas reports whether the format's schemas are kept in a registry.
func (c Config) Schemas() bool {
	return c.Format == "avro" || c.Format == "protobuf" || c.Format == "json_schema"
}

// Headers are those of a record, in their order. Kafka allows a name to occur several times.
type Headers = iter.Seq2[string, []byte]

// A Decoder decodes values as a Config says. It is used by one goroutine at a
// time and keeps nothing of what it is given.
type Decoder struct {
	config  Config
	schemas *schemas
}

// NewDecoder returns a decoder. One whose format has schemas needs Use.
func NewDecoder(c Config) *Decoder {
	return &Decoder{config: c, schemas: newSchemas(c.Format)}
}

// Use tells where the schemas are. It is called before the first Prepare.
func (d *Decoder) Use(r Registry) { d.schemas.registry = r }

// Prepare makes sure that Decode has what it needs for the record, which may
// mean asking the registry. An error says in words what it waits for: nobody
// can tell now what the record holds, and it is to be tried again, later.
func (d *Decoder) Prepare(ctx context.Context, value []byte, headers Headers) error {
	if value == nil || !d.config.Schemas() {
		return nil
	}
	id, _, err := d.frame(value, headers)
	if err != nil {
		return nil //nolint:nilerr // Decode says so
	}
	return d.schemas.get(ctx, id)
}

// Tombstone reports whether a record holds no event because its value is null.
func (d *Decoder) Tombstone(value []byte, headers Headers) bool {
	// A CloudEvent without data is all in its headers.
	return value == nil && (d.config.Format != "cloudevents" || !isBinary(headers))
}

// Decode returns the event in the value of a record, which may be in part in
// its headers. Its errors are *Error. Where the format has schemas, Prepare
// comes first.
func (d *Decoder) Decode(value []byte, headers Headers) (any, error) {
	if int64(len(value)) > int64(d.config.MaxBytes) {
		return nil, &Error{
			TooLarge: true,
			Text:     fmt.Sprintf("the value has %d bytes, the limit is %d; raise decode.max_bytes or send less", len(value), d.config.MaxBytes),
		}
	}
	event, err := d.event(value, headers)
	if err == nil && d.config.Envelope == "debezium" {
		return debezium(event)
	}
	return event, err
}

func (d *Decoder) event(value []byte, headers Headers) (any, error) {
	switch d.config.Format {
	case "json":
		return JSON(value, d.config.MaxDepth)
	case "cloudevents":
		return cloudEvent(value, headers, d.config.MaxDepth)
	}
	id, payload, err := d.frame(value, headers)
	if err != nil {
		return nil, err
	}
	s, err := d.schemas.known(id)
	if err != nil {
		return nil, err
	}
	event, err := s.event(payload, room{values: int(d.config.MaxBytes), depth: d.config.MaxDepth})
	if err, ok := err.(*Error); ok && !err.TooLarge { //nolint:errorlint // ours, never wrapped
		err.Offset += len(value) - len(payload)
	}
	return event, err
}

// An Error says why a value is not an event. It quotes none of the value.
type Error struct {
	TooLarge bool   // the value is longer than the limit, or holds more values
	Offset   int    // of the byte where decoding stopped, from 0; negative where there is none
	Field    string // where it stands in the event, by the schema's names; "" if that is not known
	Text     string // what is wrong, and what to do
}

// Error returns the text, with the place where one is known.
func (e *Error) Error() string {
	if e.TooLarge || e.Offset < 0 {
		return e.Text
	}
	if e.Field != "" {
		return fmt.Sprintf("byte %d, %s: %s", e.Offset, e.Field, e.Text)
	}
	return fmt.Sprintf("byte %d: %s", e.Offset, e.Text)
}

// within puts a step of the schema's in front of an error's field.
func within(step string, err error) error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // ours, never wrapped
		if e.Field != "" && !strings.HasPrefix(e.Field, "[") {
			step += "."
		}
		e.Field = step + e.Field
	}
	return err
}
