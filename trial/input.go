package trial

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leadsink/leadsink/transform"
)

// Bounds of what is read.
const (
	maxInput   = 64 << 20 // bytes
	maxRecords = 100_000
)

// Timestamp is that of a record for which nobody says one, so that every try of
// it gives the same.
var Timestamp = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// An Input is a record to be tried, and where it comes from.
type Input struct {
	transform.Record
	From  string // FILE:LINE, FILE[INDEX] or TOPIC/PARTITION@OFFSET
	event bool   // the value is the event in JSON, whatever decode.format is
}

// FromTopic returns records that were read from topics.
func FromTopic(records []transform.Record) []Input {
	inputs := make([]Input, len(records))
	for i, r := range records {
		inputs[i] = Input{Record: r, From: fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)}
	}
	return inputs
}

// ReadEvents reads events: one JSON document that is an event or a list of
// events, or lines with an event each. A line that is no JSON is an input like any
// other, for it may come; a file named .json has to be one document. Topic and timestamp
// are those of like, offsets count from 0.
func ReadEvents(name string, r io.Reader, like transform.Record) ([]Input, error) {
	all, err := read(name, r)
	if err != nil {
		return nil, err
	}
	inputs := make([]Input, len(all))
	for i, one := range all {
		inputs[i] = Input{Record: like, From: one.from, event: true}
		inputs[i].Offset, inputs[i].Value = int64(i), one.text
	}
	return inputs, nil
}

// ReadRecords reads records, in one JSON document or in lines as ReadEvents
// does. Each is an object with value or value_base64, and perhaps key or key_base64,
// headers, topic, partition, offset and timestamp; what is left out is that of like. A value
// that is text is taken as it is, null is a tombstone, and another one stands for
// its JSON.
func ReadRecords(name string, r io.Reader, like transform.Record) ([]Input, error) {
	all, err := read(name, r)
	if err != nil {
		return nil, err
	}
	inputs := make([]Input, len(all))
	for i, one := range all {
		like.Offset = int64(i)
		record, err := readRecord(one.text, like)
		if err != nil {
			return nil, fmt.Errorf("%s: not a record: %w", one.from, err)
		}
		inputs[i] = Input{Record: record, From: one.from}
	}
	return inputs, nil
}

// A piece is a part of a file.
type piece struct {
	from string
	text []byte
}

// read takes a file apart.
func read(name string, r io.Reader) ([]piece, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case len(text) > maxInput:
		return nil, fmt.Errorf("%s is larger than %d MiB; take a part of it", name, maxInput>>20)
	}
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	var pieces []piece
	switch {
	case len(text) == 0:
	case json.Valid(text) && text[0] == '[':
		var elements []json.RawMessage
		if err := json.Unmarshal(text, &elements); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		for i, element := range elements {
			pieces = append(pieces, piece{fmt.Sprintf("%s[%d]", name, i), element})
		}
	case json.Valid(text):
		pieces = []piece{{name + ":1", text}}
	case strings.EqualFold(filepath.Ext(name), ".json"):
		return nil, notJSON(name, text)
	default:
		for i, line := range bytes.Split(text, []byte("\n")) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				pieces = append(pieces, piece{fmt.Sprintf("%s:%d", name, i+1), line})
			}
		}
	}
	switch {
	case len(pieces) == 0:
		return nil, fmt.Errorf("%s is empty; write one event per line, or a list of events", name)
	case len(pieces) > maxRecords:
		return nil, fmt.Errorf("%s has more than %d records; take a part of it", name, maxRecords)
	}
	return pieces, nil
}

// notJSON says where a text stops being JSON.
func notJSON(name string, text []byte) error {
	err := json.Unmarshal(text, new(json.RawMessage))
	line, column := 1, 1
	if at, ok := errors.AsType[*json.SyntaxError](err); ok {
		before := text[:min(int(max(at.Offset-1, 0)), len(text))]
		line += bytes.Count(before, []byte("\n"))
		column += utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	}
	return fmt.Errorf("%s:%d:%d: not JSON: %w; correct it, or name a file of one event per line .jsonl", name, line, column, err)
}

// A recordForm is how a record is written in JSON.
type recordForm struct {
	Topic       string             `json:"topic"`
	Partition   int32              `json:"partition"`
	Offset      int64              `json:"offset"`
	Timestamp   time.Time          `json:"timestamp"`
	Key         *string            `json:"key,omitempty"`
	KeyBase64   []byte             `json:"key_base64,omitempty"`
	Headers     map[string]*string `json:"headers,omitempty"` // of several with one name the last
	Value       json.RawMessage    `json:"value,omitempty"`
	ValueBase64 []byte             `json:"value_base64,omitempty"`
}

func readRecord(text []byte, like transform.Record) (transform.Record, error) {
	form := recordForm{Topic: like.Topic, Partition: like.Partition, Offset: like.Offset, Timestamp: like.Timestamp}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&form); err != nil {
		return transform.Record{}, fmt.Errorf("%w; a record has value or value_base64, and perhaps key, key_base64, headers, topic, partition, offset and timestamp, as 2026-01-31T00:00:00Z", err)
	}
	r := transform.Record{
		Topic: form.Topic, Partition: form.Partition, Offset: form.Offset, LeaderEpoch: -1, Timestamp: form.Timestamp,
		Key: form.KeyBase64, Value: form.ValueBase64,
	}
	if form.Key != nil {
		r.Key = []byte(*form.Key)
	}
	for _, name := range slices.Sorted(maps.Keys(form.Headers)) { // the same order every time
		value := form.Headers[name]
		h := transform.Header{Key: name}
		if value != nil {
			h.Value = []byte(*value)
		}
		r.Headers = append(r.Headers, h)
	}
	switch {
	case form.Value == nil && form.ValueBase64 == nil:
		return r, errors.New(`it has no value; write "value", which is null for a tombstone, or leave --records out if this is an event`)
	case form.Value != nil && form.ValueBase64 != nil:
		return r, errors.New("it has value and value_base64; write one of the two")
	case form.Value == nil, string(form.Value) == "null":
	case form.Value[0] == '"':
		var text string
		if err := json.Unmarshal(form.Value, &text); err != nil {
			return r, err
		}
		r.Value = []byte(text)
	default:
		r.Value = form.Value
	}
	return r, nil
}

// MarshalJSON writes the record in the form that ReadRecords reads. White space
// in a JSON value may become other white space.
func (in Input) MarshalJSON() ([]byte, error) {
	form := recordForm{Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Timestamp: in.Timestamp.UTC()}
	switch {
	case in.Key == nil:
	case utf8.Valid(in.Key):
		form.Key = new(string(in.Key))
	default:
		form.KeyBase64 = in.Key
	}
	for _, h := range in.Headers {
		if form.Headers == nil {
			form.Headers = map[string]*string{}
		}
		form.Headers[h.Key] = nil
		if h.Value != nil {
			form.Headers[h.Key] = new(strings.ToValidUTF8(string(h.Value), "\ufffd"))
		}
	}
	switch {
	case in.Value == nil:
		form.Value = json.RawMessage("null")
	case !utf8.Valid(in.Value):
		form.ValueBase64 = in.Value
	case json.Valid(in.Value) && strings.IndexByte("{[", in.Value[0]) >= 0:
		form.Value = in.Value
	default:
		form.Value = quoted(string(in.Value))
	}
	return marshal(form)
}

// quoted returns text as a JSON string.
func quoted(text string) []byte {
	b, err := marshal(text)
	if err != nil {
		panic(err) // a string can always be written
	}
	return b
}

// marshal is json.Marshal without the care for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
