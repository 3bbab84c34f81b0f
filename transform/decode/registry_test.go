package decode

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A shelf is a registry in memory.
type shelf struct {
	byID    map[string]Schema // by number, or globally unique id
	subject map[string]Schema // by NAME/VERSION
	broken  error             // every answer
	asked   int
}

func (s *shelf) find(in map[string]Schema, key string) (Schema, error) {
	s.asked++
	found, ok := in[key]
	switch {
	case s.broken != nil:
		return Schema{}, s.broken
	case !ok:
		return Schema{}, ErrNoSchema
	}
	return found, nil
}

func (s *shelf) ByID(_ context.Context, id int) (Schema, error) {
	return s.find(s.byID, fmt.Sprint(id))
}

func (s *shelf) ByGUID(_ context.Context, guid string) (Schema, error) {
	return s.find(s.byID, guid)
}

func (s *shelf) ByVersion(_ context.Context, subject string, version int) (Schema, error) {
	return s.find(s.subject, fmt.Sprintf("%s/%d", subject, version))
}

func decoderOf(format string, r Registry) *Decoder {
	c := Default()
	c.Format = format
	d := NewDecoder(c)
	d.Use(r)
	return d
}

// framed is a value with a schema's number in front of it.
func framed(id byte, payload string) []byte { return append([]byte{0, 0, 0, 0, id}, payload...) }

// read prepares and decodes.
func read(t *testing.T, d *Decoder, value []byte, headers Headers) (any, error) {
	t.Helper()
	if err := d.Prepare(t.Context(), value, headers); err != nil {
		t.Fatal(err)
	}
	return d.Decode(value, headers)
}

func TestRecordsNameTheirSchema(t *testing.T) {
	const guid = "00010203-0405-0607-0809-0a0b0c0d0e0f"
	named := "\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
	proto := Schema{Format: "protobuf", Text: `syntax = "proto3"; message A { string a = 1; } message B { string b = 1; }`}
	r := &shelf{byID: map[string]Schema{
		"1": {Format: "avro", Text: `"string"`}, "2": proto, guid: proto, "3": {Format: "json_schema", Text: `{"type":"integer"}`},
		"4": {Format: "avro", Text: `{"type":"nothing"}`}, "5": {Format: "THRIFT"},
	}}
	for _, c := range []struct {
		format  string
		value   []byte
		headers Headers
		want    any
	}{
		{"avro", framed(1, "\x02a"), none, "a"},
		{"protobuf", framed(2, "\x02\x02\x0a\x01x"), none, map[string]any{"b": "x"}},
		{"protobuf", []byte("\x0a\x01x"), pairs(guidHeader, named+"\x02\x02"), map[string]any{"b": "x"}},
		{"protobuf", []byte("\x0a\x01x"), pairs(guidHeader, "\x01old", guidHeader, named+"\x02\x02"), map[string]any{"b": "x"}},
		{"protobuf", framed(2, "\x02\x02\x0a\x01x"), nullAfter(guidHeader, named), map[string]any{"b": "x"}},
		{"json_schema", framed(3, "7"), none, 7},
		{"avro", framed(1, "\x04a"), none, "byte 6: the value ends too early: a string does not fit in; is this its schema?"},
		{"json_schema", framed(3, `{"a"`), none, "byte 9: the document ends too early: a colon was expected"},
		{"json_schema", framed(3, `"secret"`), none, "byte 5: the event breaks its JSON Schema at #/type; correct the producer or the schema"},
		{"avro", []byte("{}"), none, "byte 0: a 0 and the four bytes of a schema id were expected; is it written by a serializer of a schema registry? see decode.format (avro)"},
		{"avro", []byte{0, 0, 0, 1}, none, "byte 0: a 0 and the four bytes of a schema id were expected; is it written by a serializer of a schema registry? see decode.format (avro)"},
		{"avro", []byte{0, 0x80, 0, 0, 0, 2, 'a'}, none, "byte 1: no registry gives a schema the id 2147483648; is it written by a serializer of a schema registry? see decode.format (avro)"},
		{"avro", []byte("x"), pairs(guidHeader, "\x01short"), "the header __value_schema_id holds no schema id; a 1 and 16 bytes were expected"},
		{"avro", framed(2, "x"), none, "schema 2: it is a schema of protobuf; decode.format is avro"},
		{"avro", framed(5, "x"), none, "schema 5: it is a schema of THRIFT; decode.format is avro"},
	} {
		got, err := read(t, decoderOf(c.format, r), c.value, c.headers)
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s %q: %s", c.format, c.value, diff)
		}
	}
	if _, err := read(t, decoderOf("avro", r), framed(4, "x"), none); err == nil || !strings.HasPrefix(err.Error(), "schema 4: it cannot be used: ") {
		t.Error(err)
	}
	if _, err := decoderOf("avro", nil).Decode(framed(1, "x"), none); err == nil || err.Error() != "schema 1 was not asked for; is there a registry?" {
		t.Error(err)
	}
}

// nullAfter is a header with a value, and again without one.
func nullAfter(name, value string) Headers {
	return func(yield func(string, []byte) bool) { _ = yield(name, []byte(value)) && yield(name, nil) }
}

func TestASchemaIsAskedForOnce(t *testing.T) {
	r := &shelf{byID: map[string]Schema{"1": {Format: "avro", Text: `"string"`}, "2": {Format: "avro", Text: `"nothing"`}}}
	d := decoderOf("avro", r)
	for range 10 {
		_, _ = read(t, d, framed(1, "\x02a"), none)
		_, _ = read(t, d, framed(2, "\x02a"), none) // one that cannot be used will not get better
	}
	if r.asked != 2 {
		t.Errorf("the registry was asked %d times for two schemas", r.asked)
	}
	for i := 3; i < 3*mostSchemas; i++ {
		r.byID[fmt.Sprint(i)] = Schema{Format: "avro", Text: `"string"`}
		value := []byte{0, 0, 0, byte(i >> 8), byte(i), 2, 'a'}
		if got, err := read(t, d, value, none); got != "a" || err != nil {
			t.Fatal(got, err)
		}
	}
	if n := len(d.schemas.kept); n > mostSchemas {
		t.Errorf("%d schemas are kept, at most %d should be", n, mostSchemas)
	}
}

func TestNobodyKnowsIsNotTheSameAsThereIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &shelf{byID: map[string]Schema{}, broken: errors.New("down")}
		d := decoderOf("avro", r)
		value := framed(1, "\x02a")
		for range 100 {
			if err := d.Prepare(t.Context(), value, none); err == nil || err.Error() != "schema 1: down" {
				t.Fatalf("%v, want to be told to try again", err)
			}
		}
		r.broken = nil
		for i := 1; i < unknownTries; i++ {
			if err := d.Prepare(t.Context(), value, none); err == nil || err.Error() != "schema 1: the registry has no such schema yet" {
				t.Fatalf("question %d: %v, want to be told to try again", i, err)
			}
		}
		const want = "schema 1: the registry has no such schema; look for the producer's registry and contexts, or register the schema again"
		asked := r.asked
		for range 3 {
			if _, err := read(t, d, value, none); err == nil || err.Error() != want {
				t.Fatalf("%v, want %s", err, want)
			}
		}
		if r.asked != asked+1 {
			t.Errorf("asked %d times more for a schema that is unknown, want once", r.asked-asked)
		}
		r.byID["1"] = Schema{Format: "avro", Text: `"string"`}
		time.Sleep(unknownFor)
		if got, err := read(t, d, value, none); got != "a" || err != nil {
			t.Errorf("%v, %v; want the schema found that was registered meanwhile", got, err)
		}
	})
}

// Records that are no records of a serializer name another unknown schema each.
func TestManyUnknownSchemasDoNotStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &shelf{byID: map[string]Schema{}}
		d := decoderOf("avro", r)
		numbered := func(i int) []byte { return []byte{0, 0, 0, byte(i >> 8), byte(i), 2, 'a'} }
		for i := range mostSchemas {
			r.byID[fmt.Sprint(i)] = Schema{Format: "avro", Text: `"string"`}
			if got, err := read(t, d, numbered(i), none); got != "a" || err != nil {
				t.Fatal(got, err)
			}
		}
		const unknown = 2 * mostSchemas
		waits := func(from, to int) (n int) {
			for i := from; i < to; i++ {
				for d.Prepare(t.Context(), numbered(i), none) != nil {
					n++
				}
				if _, err := d.Decode(numbered(i), none); err == nil || !strings.Contains(err.Error(), "the registry has no such schema; ") {
					t.Fatalf("schema %d: %v", i, err)
				}
			}
			return n
		}
		const most = mostPatience * (unknownTries - 1)
		r.asked = 0
		if n := waits(unknown, unknown+100); n != most || r.asked != 100+most {
			t.Errorf("%d waits and %d questions for 100 unknown schemas, want %d and %d", n, r.asked, most, 100+most)
		}
		time.Sleep(unknownFor - time.Second)
		if n := waits(unknown+100, unknown+110); n != 0 {
			t.Errorf("%d waits within the minute, want none", n)
		}
		time.Sleep(time.Second)
		if n := waits(unknown+110, unknown+120); n != most {
			t.Errorf("%d waits a minute later, want %d", n, most)
		}
		r.asked = 0
		for i := range mostSchemas {
			_, _ = read(t, d, numbered(i), none)
		}
		if n := len(d.schemas.kept); r.asked != 0 || n > mostSchemas+1 {
			t.Errorf("%d schemas were dropped for unknown ones, and %d are kept", r.asked, n)
		}
	})
}

func TestReferencesAreFollowedAndBounded(t *testing.T) {
	order := Schema{
		Format: "json_schema", Text: `{"type":"object","properties":{"lead":{"$ref":"lead.json"},"at":{"$ref":"https://example.com/time.json#/$defs/t"}}}`,
		References: []Reference{{"lead.json", "lead", 1}, {"https://example.com/time.json", "time", 2}},
	}
	r := &shelf{byID: map[string]Schema{"1": order}, subject: map[string]Schema{
		"lead/1": {Format: "json_schema", Text: `{"type":"object","required":["id"]}`, References: []Reference{{"https://example.com/time.json", "time", 2}}},
		"time/2": {Format: "json_schema", Text: `{"$defs":{"t":{"type":"string"}}}`},
	}}
	d := decoderOf("json_schema", r)
	if got, err := read(t, d, framed(1, `{"lead":{"id":1},"at":"x"}`), none); err != nil {
		t.Error(got, err)
	}
	if _, err := read(t, d, framed(1, `{"lead":{}}`), none); err == nil || !strings.Contains(err.Error(), "breaks its JSON Schema at #/required") {
		t.Error(err)
	}
	if _, err := read(t, d, framed(1, `{"at":1}`), none); err == nil || !strings.Contains(err.Error(), "breaks its JSON Schema at #/$defs/t/type") {
		t.Error(err)
	}

	// One that refers to what is not there, to a file of this machine, to itself, to too much.
	r.byID["2"] = Schema{Format: "json_schema", Text: `{}`, References: []Reference{{"x", "gone", 1}}}
	r.byID["3"] = Schema{Format: "json_schema", Text: `{"$ref":"file:///etc/hostname"}`}
	r.byID["4"] = Schema{Format: "json_schema", Text: `{}`, References: []Reference{{"loop", "loop", 1}}}
	r.subject["loop/1"] = Schema{Format: "json_schema", Text: `{}`, References: []Reference{{"loop", "loop", 1}}}
	many := Schema{Format: "json_schema", Text: `{}`}
	for i := range mostReferences + 1 {
		many.References = append(many.References, Reference{fmt.Sprint(i), "time", 2})
	}
	r.byID["5"] = many
	for range unknownTries - 1 {
		if err := d.Prepare(t.Context(), framed(2, "1"), none); err == nil || err.Error() != "schema 2: its reference x, version 1 of subject gone: the registry has no such schema yet" {
			t.Error(err)
		}
	}
	for id, want := range map[byte]string{2: "its reference x, version 1 of subject gone", 3: "the schema does not name it as a reference", 5: "more than 200 references"} {
		if _, err := read(t, d, framed(id, "1"), none); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v, want %s", id, err, want)
		}
	}
	if got, err := read(t, d, framed(4, "1"), none); got != 1 || err != nil {
		t.Error(got, err)
	}
}

func TestReferencesByRelativeNameFollowTheID(t *testing.T) {
	for name, c := range map[string]struct{ root, lead string }{
		"the root's id": {`{"$id":"https://example.com/v1/order.json","properties":{"lead":{"$ref":"lead.json"}}}`, `{"properties":{"at":{"$ref":"parts/time.json#/$defs/t"}}}`},
		"each an id": {
			`{"$id":"https://example.com/v1/order.json","properties":{"lead":{"$ref":"lead.json"}}}`,
			`{"$id":"https://other.example.com/lead.json","properties":{"at":{"$ref":"parts/time.json#/$defs/t"}}}`,
		},
		"the reference's id": {`{"properties":{"lead":{"$ref":"lead.json"}}}`, `{"$id":"https://other.example.com/lead.json","properties":{"at":{"$ref":"parts/time.json#/$defs/t"}}}`},
		"ids of a path":      {`{"$id":"/v1/order.json","properties":{"lead":{"$ref":"lead.json"}}}`, `{"$id":"/v2/lead.json","properties":{"at":{"$ref":"parts/time.json#/$defs/t"}}}`},
		"draft 4":            {`{"$schema":"http://json-schema.org/draft-04/schema#","id":"https://example.com/order.json","properties":{"lead":{"$ref":"lead.json"}}}`, `{"properties":{"at":{"$ref":"parts/time.json#/$defs/t"}}}`},
	} {
		r := &shelf{
			byID: map[string]Schema{"1": {Format: "json_schema", Text: c.root, References: []Reference{{"lead.json", "lead", 1}}}},
			subject: map[string]Schema{
				"lead/1": {Format: "json_schema", Text: c.lead, References: []Reference{{"parts/time.json", "time", 1}}},
				"time/1": {Format: "json_schema", Text: `{"$defs":{"t":{"type":"string"}}}`},
			},
		}
		d := decoderOf("json_schema", r)
		if _, err := read(t, d, framed(1, `{"lead":{"at":"x"}}`), none); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := read(t, d, framed(1, `{"lead":{"at":1}}`), none); err == nil || !strings.Contains(err.Error(), "breaks its JSON Schema at #/$defs/t/type") {
			t.Errorf("%s: %v, want the referenced schema to be looked at", name, err)
		}
	}
}

func TestNumbersKeepTheirDigitsThroughAJSONSchema(t *testing.T) {
	r := &shelf{byID: map[string]Schema{"1": {Format: "json_schema", Text: `{"properties":{"a":{"type":"integer"},"b":{"type":"number","multipleOf":0.01},"c":{"uniqueItems":true}}}`}}}
	got, err := read(t, decoderOf("json_schema", r), framed(1, `{"a":123456789012345678901,"b":1299.50,"c":[1,1.5,"x",{"d":2.5}]}`), none)
	want := map[string]any{
		"a": Number{"123456789012345678901", 123456789012345678901}, "b": Number{"1299.50", 1299.5},
		"c": []any{1, Number{"1.5", 1.5}, "x", map[string]any{"d": Number{"2.5", 2.5}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Number{})); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// No text of a schema and no value panics, or takes memory without bound.
func FuzzSchemas(f *testing.F) {
	f.Add(uint8(0), `{"type":"array","items":{"type":"record","name":"R","fields":[{"name":"a","type":["null","R"]}]}}`, []byte{2, 0, 0})
	f.Add(uint8(0), `["null",{"type":"fixed","name":"F","size":2147483647}]`, []byte{2, 1})
	f.Add(uint8(1), `syntax = "proto3"; message M { M m = 1; map<string, M> n = 2; oneof o { int32 a = 3; } }`, []byte{0, 10, 0})
	f.Add(uint8(1), `edition = "2023"; message M { repeated int32 a = 1 [features.repeated_field_encoding = EXPANDED]; }`, []byte{0, 8, 1})
	f.Add(uint8(2), `{"$ref":"#","pattern":"(a|b)*","items":{"$ref":"#"}}`, []byte(`[[1],"a"]`))
	formats := []string{"avro", "protobuf", "json_schema"}
	f.Fuzz(func(t *testing.T, which uint8, text string, payload []byte) {
		format := formats[int(which)%len(formats)]
		c := Default()
		c.Format, c.MaxBytes, c.MaxDepth = format, 10_000, 8
		d := NewDecoder(c)
		d.Use(&shelf{byID: map[string]Schema{"1": {Format: format, Text: text}}})
		value := framed(1, string(payload))
		if err := d.Prepare(t.Context(), value, none); err != nil {
			t.Fatal(err)
		}
		event, err := d.Decode(value, none)
		if err == nil {
			inBounds(t, event, 10_000, 8)
		} else if _, ok := errors.AsType[*Error](err); !ok {
			t.Fatalf("a %T", err)
		} else if strings.Contains(err.Error(), "a fault of its own") {
			t.Fatal(err)
		}
	})
}
