package decode

import (
	"encoding/json"
	"iter"
	"testing"
)

// pairs are headers, as name and value in turn.
func pairs(headers ...string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := 0; i < len(headers); i += 2 {
			if !yield(headers[i], []byte(headers[i+1])) {
				return
			}
		}
	}
}

// as decodes in a format that needs no registry, and returns the event as JSON, or
// the error.
func as(t *testing.T, format, envelope, value string, headers Headers) string {
	t.Helper()
	c := Default()
	c.Format, c.Envelope = format, envelope
	event, err := NewDecoder(c).Decode([]byte(value), headers)
	if err != nil {
		return err.Error()
	}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCloudEventsAreObjectsOfTheirAttributesAndData(t *testing.T) {
	required := []string{"ce_specversion", "1.0", "ce_id", "7", "ce_source", "/shop", "ce_type", "order.placed"}
	binary := func(more ...string) Headers { return pairs(append(required[:8:8], more...)...) }
	const attributes = `"id":"7","source":"/shop","specversion":"1.0","type":"order.placed"`
	for name, c := range map[string]struct {
		value   string
		headers Headers
		want    string
	}{
		"binary with JSON": {
			`{"n":1234567890123456789}`, binary("content-type", "application/json; charset=utf-8", "ce_time", "2026-11-23T09:30:00Z", "ce_Region", "in", "trace", "x"),
			`{"data":{"n":1234567890123456789},"datacontenttype":"application/json; charset=utf-8",` + `"id":"7","region":"in","source":"/shop","specversion":"1.0","time":"2026-11-23T09:30:00Z","type":"order.placed"}`,
		},
		"binary without a content type": {`[1]`, binary(), `{"data":[1],` + attributes + `}`},
		"binary with a kind of JSON":    {`1`, binary("Content-Type", "application/vnd.shop+json"), `{"data":1,"datacontenttype":"application/vnd.shop+json",` + attributes + `}`},
		"binary with text":              {"Zürich", binary("content-type", "text/plain"), `{"data":"Zürich","datacontenttype":"text/plain",` + attributes + `}`},
		"binary with bytes":             {"\xff\x00", binary("content-type", "image/png"), `{"data_base64":"/wA=","datacontenttype":"image/png",` + attributes + `}`},
		"binary without data":           {"", binary(), `{` + attributes + `}`},
		"binary with broken JSON":       {`{"a"`, binary(), `byte 4: the document ends too early: a colon was expected`},
		"binary without an id":          {``, pairs("ce_specversion", "1.0", "ce_source", "/shop", "ce_type", "t"), `no CloudEvent: the attribute id is missing; correct the producer`},
		"binary with broken UTF-8":      {``, binary("ce_subject", "\xff"), `a header of the CloudEvent is not valid UTF-8; encode it as UTF-8`},
		"binary of another version":     {``, pairs("ce_specversion", "0.3", "ce_id", "7"), `no CloudEvent of version 1: there is no specversion of it; see decode.format`},
		"structured": {
			`{` + attributes + `,"data":{"a":1.50}}`, pairs("content-type", "application/cloudevents+json; charset=UTF-8"), `{"data":{"a":1.50},` + attributes + `}`,
		},
		"structured without a content type": {`{` + attributes + `,"data":"x"}`, none, `{"data":"x",` + attributes + `}`},
		"structured with JSON in base64":    {`{` + attributes + `,"data_base64":"eyJhIjoxfQ=="}`, none, `{"data":{"a":1},` + attributes + `}`},
		"structured with text in base64":    {`{` + attributes + `,"datacontenttype":"text/plain","data_base64":"WsO8cmljaA=="}`, none, `{"data":"Zürich","datacontenttype":"text/plain",` + attributes + `}`},
		"structured with bytes in base64":   {`{` + attributes + `,"datacontenttype":"image/png","data_base64":"/wA="}`, none, `{"data_base64":"/wA=","datacontenttype":"image/png",` + attributes + `}`},
		"structured with no base64":         {`{` + attributes + `,"data_base64":"?"}`, none, `data_base64 of the CloudEvent is not in base64; correct the producer`},
		"structured without a type":         {`{"specversion":"1.0","id":"1","source":"s","type":""}`, none, `no CloudEvent: the attribute type is missing; correct the producer`},
		"no CloudEvent":                     {`{"a":1}`, none, `no CloudEvent of version 1: there is no specversion of it; see decode.format`},
		"a list":                            {`[]`, none, `byte 0: no CloudEvent: a JSON object was expected; see decode.format`},
		"a batch":                           {`[]`, pairs("content-type", "application/cloudevents-batch+json"), `the CloudEvent is a batch, or not in JSON; send one event per record, as application/cloudevents+json or in binary mode`},
	} {
		if got := as(t, "cloudevents", "", c.value, c.headers); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestANullValueIsATombstoneUnlessItIsACloudEvent(t *testing.T) {
	c := Default()
	c.Format = "cloudevents"
	ce := pairs("ce_specversion", "1.0")
	if d := NewDecoder(c); !d.Tombstone(nil, none) || d.Tombstone(nil, ce) || d.Tombstone([]byte{}, none) {
		t.Error("a CloudEvent without data is a tombstone, or a null value is none")
	}
	if d := NewDecoder(Default()); !d.Tombstone(nil, ce) || d.Tombstone([]byte{}, none) {
		t.Error("a null value is no tombstone, or an empty one is")
	}
}

func TestAChangeEventIsTakenOutOfDebeziumsEnvelope(t *testing.T) {
	const change = `{"after":{"id":1},"before":null,"op":"c","source":{"table":"leads"},"ts_ms":1795426200000}`
	const gone = `{"after":null,"before":{"id":1},"op":"d"}`
	const want = "no change event of Debezium: it names no operation (op); see decode.envelope"
	for in, want := range map[string]string{
		change: change,
		`{"schema":{"type":"struct"},"payload":` + change + `}`: change,
		`{"schema":null,"payload":` + change + `}`:              change,
		gone:                                   gone,
		`{"schema":{},"payload":null}`:         want,
		`{"schema":{},"payload":{"id":1}}`:     want,
		`{"id":1}`:                             want,
		`{"op":""}`:                            want,
		`[1]`:                                  want,
		`{"op":"u","payload":{},"schema":"x"}`: `{"op":"u","payload":{},"schema":"x"}`,
	} {
		if got := as(t, "json", "debezium", in, none); got != want {
			t.Errorf("%s:\n got %s\nwant %s", in, got, want)
		}
	}
}

// Whatever a producer writes, the event is in its bounds or the error is ours.
func FuzzCloudEvents(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"eyJhIjoxfQ=="}`), "", "", "")
	f.Add([]byte(`{"a":[1]}`), "1.0", "application/json", "x")
	f.Add([]byte("\xff"), "1.0", "image/png; a", "")
	f.Add([]byte("x"), "1.0", "text/plain", "\xff")
	f.Fuzz(func(t *testing.T, value []byte, version, contentType, subject string) {
		headers := pairs("content-type", contentType)
		if version != "" {
			headers = pairs("ce_specversion", version, "ce_id", "1", "ce_source", "s", "ce_type", "t", "content-type", contentType, "ce_subject", subject)
		}
		c := Default()
		c.Format, c.MaxDepth = "cloudevents", 8
		event, err := NewDecoder(c).Decode(value, headers)
		if err == nil {
			inBounds(t, event, 2*len(value)+16, 8)
			if event.(map[string]any)["id"] == "" {
				t.Fatal("an event without an id")
			}
		} else if _, ok := err.(*Error); !ok { //nolint:errorlint // what Decode promises
			t.Fatalf("a %T", err)
		}
	})
}
