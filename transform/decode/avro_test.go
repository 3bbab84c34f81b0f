package decode

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
)

// roomy are bounds that no test meets by chance.
var roomy = room{values: 1 << 20, depth: 64}

// mustAvro compiles a schema and those it refers to.
func mustAvro(t testing.TB, text string, references ...string) schema {
	t.Helper()
	var used []resolved
	for _, r := range references {
		used = append(used, resolved{text: r})
	}
	s, err := avroSchema(text, used)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const orderAvro = `{"type": "record", "name": "Order", "namespace": "shop", "fields": [
	{"name": "id", "type": "long"},
	{"name": "small", "type": "int"},
	{"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}},
	{"name": "tax", "type": {"type": "fixed", "name": "Tax", "size": 4, "logicalType": "decimal", "precision": 9, "scale": 3}},
	{"name": "ratio", "type": "float"},
	{"name": "weight", "type": "double"},
	{"name": "paid", "type": "boolean"},
	{"name": "coupon", "type": ["null", "string"], "default": null},
	{"name": "note", "type": ["null", "string", "long"]},
	{"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "SENT"]}},
	{"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
		{"name": "sku", "type": "string"}, {"name": "state", "type": "State"}, {"name": "next", "type": ["null", "shop.Line"]}]}}},
	{"name": "tags", "type": {"type": "map", "values": "long"}},
	{"name": "raw", "type": "bytes"},
	{"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
	{"name": "day", "type": {"type": "int", "logicalType": "date"}},
	{"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
	{"name": "micros", "type": {"type": "long", "logicalType": "time-micros"}},
	{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
	{"name": "exact", "type": {"type": "long", "logicalType": "timestamp-micros"}},
	{"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-millis"}}
]}`

func orderRecord() map[string]any {
	at := time.Date(2026, 11, 23, 9, 30, 0, 123_000_000, time.UTC)
	return map[string]any{
		"id": int64(1234567890123456789), "small": int32(-7), "total": big.NewRat(-129950, 100), "tax": big.NewRat(1, 8),
		"ratio": float32(0.1), "weight": 1e21, "paid": true, "coupon": nil, "note": int64(5), "state": "SENT",
		"lines": []any{
			map[string]any{"sku": "A-1", "state": "NEW", "next": map[string]any{"sku": "B-7", "state": "SENT", "next": nil}},
		},
		"tags": map[string]any{"a": int64(1)}, "raw": []byte{0xff, 0}, "uuid": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
		"day": at, "clock": 9*time.Hour + 30*time.Minute + 5*time.Millisecond, "micros": time.Microsecond,
		"at": at, "exact": at.Add(456 * time.Microsecond), "local": at,
	}
}

func TestAnAvroRecordBecomesAnEvent(t *testing.T) {
	payload, err := avro.MustParse(orderAvro).Encode(orderRecord())
	if err != nil {
		t.Fatal(err)
	}
	event, err := mustAvro(t, orderAvro).event(payload, roomy)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 9, 30, 0, 123_000_000, time.UTC)
	want := map[string]any{
		"id": 1234567890123456789, "small": -7, "total": Number{"-1299.50", -1299.5}, "tax": Number{"0.125", 0.125},
		"ratio": Number{"0.1", 0.1}, "weight": Number{"1e+21", 1e21}, "paid": true, "coupon": nil, "note": 5, "state": "SENT",
		"lines": []any{
			map[string]any{"sku": "A-1", "state": "NEW", "next": map[string]any{"sku": "B-7", "state": "SENT", "next": nil}},
		},
		"tags": map[string]any{"a": 1}, "raw": "/wA=", "uuid": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
		"day": time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), "clock": "09:30:00.005", "micros": "00:00:00.000001",
		"at": at, "exact": at.Add(456 * time.Microsecond), "local": at,
	}
	if diff := cmp.Diff(want, event, cmp.AllowUnexported(Number{})); diff != "" {
		t.Error(diff)
	}
	if got := event.(map[string]any)["weight"].(Number).String(); got != "1000000000000000000000" {
		t.Error(got)
	}
}

// Registries of other languages accept what has no part in reading a value.
func TestAnAvroSchemaMayBeSloppyWhereNothingIsRead(t *testing.T) {
	field := func(rest string) string {
		return `{"type":"record","name":"R","fields":[{"name":"default",` + rest + `}]}`
	}
	for _, c := range []struct {
		schema, bytes string
		want          any
	}{
		{field(`"type":"int","default":null`), "\x02", 1},
		{field(`"type":"int","default":"0"`), "\x02", 1},
		{field(`"type":["null","int"],"default":1`), "\x02\x02", 1},
		{field(`"type":"int","order":"sideways","doc":1,"aliases":"a b"`), "\x02", 1},
		{field(`"type":{"type":"enum","name":"order","symbols":["default","doc"],"default":"gone","aliases":["R"]}`), "\x02", "doc"},
		{field(`"type":{"type":"array","items":{"type":"map","values":{"type":"bytes","logicalType":"decimal"}}}`), "\x02\x02\x02a\x02\x01\x00\x00", []any{map[string]any{"a": "AQ=="}}},
		{field(`"type":{"type":"bytes","logicalType":"decimal","scale":2}`), "\x02\x01", "AQ=="},
		{field(`"type":{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}`), "\x02\x01", "AQ=="},
		{field(`"type":{"type":"bytes","logicalType":"decimal","precision":"2","scale":1}`), "\x02\x01", "AQ=="},
		{field(`"type":{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":3}`), "\x01", "AQ=="},
		{field(`"type":{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":2,"scale":2}`), "\x01", Number{"0.01", 0.01}},
		{field(`"type":{"type":"bytes","logicalType":"decimal","precision":2}`), "\x02\x01", 1},
		{field(`"type":{"type":"int","precision":"x","scale":{}}`), "\x02", 1},
	} {
		s, err := avroSchema(c.schema, nil)
		if err != nil {
			t.Errorf("%s: %v", c.schema, err)
			continue
		}
		got, err := s.event([]byte(c.bytes), roomy)
		if diff := cmp.Diff(map[string]any{"default": c.want}, got, cmp.AllowUnexported(Number{})); diff != "" || err != nil {
			t.Errorf("%s: %v %s", c.schema, err, diff)
		}
	}
}

func TestAvroValuesKeepWhatTheyAre(t *testing.T) {
	for _, c := range []struct {
		schema string
		bytes  []byte
		want   any
	}{
		{`{"type":"bytes","logicalType":"decimal","precision":40,"scale":0}`, []byte{18, 0x01, 0, 0, 0, 0, 0, 0, 0, 0}, Number{"18446744073709551616", 1 << 64}},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":4}`, []byte{2, 0xff}, Number{"-0.0001", -0.0001}},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, []byte{0}, Number{"0.00", 0}},
		{`{"type":"bytes","logicalType":"big-decimal"}`, []byte{6, 2, 0x0f, 2}, Number{"1.5", 1.5}},
		{`"double"`, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x7f}, math.Inf(1)},
		{`"double"`, []byte{0, 0, 0, 0, 0, 0, 0x08, 0x40}, Number{"3", 3}},
		{`{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}`, []byte("0123456789abcdef"), "30313233-3435-3637-3839-616263646566"},
		{`{"type":"fixed","name":"D","size":12,"logicalType":"duration"}`, []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0}, map[string]any{"months": 1, "days": 2, "milliseconds": 3}},
		{`{"type":"fixed","name":"F","size":2}`, []byte{0, 1}, "AAE="},
		{`{"type":"long","logicalType":"timestamp-nanos"}`, []byte{2}, time.Unix(0, 1).UTC()},
		{`{"type":"long","logicalType":"timestamp-micros"}`, []byte{1}, time.Unix(0, -1000).UTC()},
		{`{"type":"long","logicalType":"timestamp-millis"}`, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, math.MinInt64},
		{`{"type":"int","logicalType":"time-millis"}`, []byte{1}, -1},
		{`{"type":"array","items":"null"}`, []byte{5, 0, 2, 0}, []any{nil, nil, nil, nil}},
	} {
		got, err := mustAvro(t, c.schema).event(c.bytes, roomy)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(Number{})); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", c.schema, err, diff)
		}
	}
}

func TestAvroSchemasReferToOthers(t *testing.T) {
	lead := `{"type":"record","name":"Lead","namespace":"crm","fields":[{"name":"id","type":"string"},{"name":"place","type":"crm.geo.Place"}]}`
	place := `{"type":"record","name":"Place","namespace":"crm.geo","fields":[{"name":"city","type":"string"}]}`
	order := `{"type":"record","name":"Order","namespace":"crm","fields":[{"name":"lead","type":"Lead"},{"name":"place","type":"crm.geo.Place"}]}`
	got, err := mustAvro(t, order, place, lead).event([]byte("\x02L\x02Z\x02B"), roomy)
	want := map[string]any{"lead": map[string]any{"id": "L", "place": map[string]any{"city": "Z"}}, "place": map[string]any{"city": "B"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if _, err := avroSchema(order, nil); err == nil || !strings.Contains(err.Error(), "Lead") {
		t.Error(err)
	}
}

func TestWhatIsNoAvroIsExplainedWithItsPlace(t *testing.T) {
	const list = `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":{"type":"record","name":"S","fields":[
		{"name":"n","type":"int"},{"name":"t","type":"string"}]}}},{"name":"u","type":["null","int"]},{"name":"e","type":{"type":"enum","name":"E","symbols":["X"]}},
		{"name":"m","type":{"type":"map","values":"boolean"}}]}`
	for in, want := range map[string]string{
		"":                                     "byte 0, a: the value ends too early: a number does not fit in; is this its schema?",
		"\x02\x02\x06ab":                       "byte 3, a[0].t: the value ends too early: a string does not fit in; is this its schema?",
		"\x02\x02\x01":                         "byte 3, a[0].t: the value ends too early: a string does not fit in; is this its schema?",
		"\x04\x02\x00\x02\x02\xff":             "byte 5, a[1].t: the text is not valid UTF-8; encode it as UTF-8",
		"\x02\xfe\xff\xff\xff\x1f":             "byte 6, a[0].n: an int has more than 32 bits; is this its schema?",
		"\x02\xff\xff\xff\xff\xff\xff\xff\xff": "byte 1, a[0].n: the value ends too early: a number does not fit in; is this its schema?",
		"\x00\x04":                             "byte 2, u: the union has no such branch; is this its schema?",
		"\x00\x01":                             "byte 2, u: the union has no such branch; is this its schema?",
		"\x00\x00\x02":                         "byte 3, e: the enum has no such symbol; is this its schema?",
		"\x00\x00\x00\x02\x02k":                "byte 6, m[]: the value ends too early: a boolean does not fit in; is this its schema?",
		"\x00\x00\x00\x00\x00":                 "byte 4: more follows after the event; is this its schema?",
		"\x02" + strings.Repeat("\xff", 10) + "\x01": "byte 1, a[0].n: a number has more than 64 bits; is this its schema?",
	} {
		if _, err := mustAvro(t, list).event([]byte(in), roomy); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", in, err, want)
		}
	}
}

func TestHostileAvroIsRefusedBeforeItTakesMemory(t *testing.T) {
	empty := `{"type":"record","name":"E","fields":[]}`
	for name, c := range map[string]struct{ schema, in, want string }{
		"a block of 2^40 nulls":          {`{"type":"array","items":"null"}`, "\x80\x80\x80\x80\x80\x40", "the event has more values"},
		"2^40 empty records":             {`{"type":"array","items":` + empty + `}`, "\x80\x80\x80\x80\x80\x40", "the event has more values"},
		"2^63 items":                     {`{"type":"array","items":"null"}`, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "a block has too many items"},
		"lists of nulls in a list":       {`{"type":"array","items":{"type":"array","items":"null"}}`, "\xa0\x8d\x06" + strings.Repeat("\xa0\x8d\x06\x00", 50_000), "the event has more values"},
		"bytes of 2^40":                  {`"bytes"`, "\x80\x80\x80\x80\x80\x40", "does not fit in"},
		"a record in itself":             {`{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}`, "", "nested too deep"},
		"a list in a list in a list":     {`{"type":"record","name":"R","fields":[{"name":"r","type":{"type":"array","items":"R"}}]}`, strings.Repeat("\x02", 100), "nested too deep"},
		"a decimal of 2^20 digits":       {`{"type":"bytes","logicalType":"decimal","precision":10}`, "\x80\x80\x40" + strings.Repeat("\x7f", 1<<19), "too many digits"},
		"a big-decimal of scale 2^31":    {`{"type":"bytes","logicalType":"big-decimal"}`, "\x0e\x02\x01\xfe\xff\xff\xff\x0f", "too many digits"},
		"a big-decimal of scale -2^31+1": {`{"type":"bytes","logicalType":"big-decimal"}`, "\x0e\x02\x01\xfd\xff\xff\xff\x0f", "too many digits"},
	} {
		s := mustAvro(t, c.schema)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.event([]byte(c.in), roomy)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 100 {
			t.Errorf("%s: took %d MiB", name, took)
		}
	}
}

// fuzzedAvro are schemas that together have every kind of value.
var fuzzedAvro = []string{
	orderAvro,
	`{"type":"array","items":["null",{"type":"map","values":{"type":"array","items":"null"}},"double",{"type":"fixed","name":"F","size":3}]}`,
	`{"type":"record","name":"Tree","fields":[{"name":"l","type":["null","Tree"]},{"name":"v","type":{"type":"bytes","logicalType":"big-decimal"}}]}`,
}

// stricter is what the module alone refuses: a small number in more bytes than it
// needs, more items without bytes than it counts to, and times and decimals that
// its types do not hold.
var stricter = []string{"overflows 32 bits", "zero-byte items", "time-", "range", "decimal"}

// What the avro module decodes, leadsink decodes to the same, and the other way
// round; apart from what is beyond its bounds.
func FuzzAvro(f *testing.F) {
	payload, err := avro.MustParse(orderAvro).Encode(orderRecord())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), payload)
	f.Add(uint8(0), payload[:len(payload)-1])
	f.Add(uint8(1), []byte{6, 0, 2, 2, 2, 'a', 4, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint8(1), []byte("\x80\x80\x80\x80\x80\x40"))
	f.Add(uint8(2), []byte{2, 0, 6, 2, 0x0f, 2, 6, 2, 0x0f, 2})
	var ours []schema
	var theirs []*avro.Schema
	for _, text := range fuzzedAvro {
		ours = append(ours, mustAvro(f, text))
		theirs = append(theirs, avro.MustParse(text))
	}
	f.Fuzz(func(t *testing.T, which uint8, in []byte) {
		i := int(which) % len(ours)
		got, err := ours[i].event(in, room{values: 10_000, depth: 8})
		var want any
		rest, wantErr := theirs[i].Decode(in, &want)
		if err == nil {
			inBounds(t, got, 10_000, 8)
			if wantErr != nil {
				if !slices.ContainsFunc(stricter, func(words string) bool { return strings.Contains(wantErr.Error(), words) }) {
					t.Fatalf("accepted what the module refuses: %v", wantErr)
				}
				return
			}
			if !asAvro(got, want) {
				t.Fatalf("got  %#v\nwant %#v", got, want)
			}
			return
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Offset < 0 || e.Offset > len(in) {
			t.Fatalf("%v: %d bytes", err, len(in))
		}
		if wantErr == nil && len(rest) == 0 && !e.TooLarge && !strings.Contains(e.Text, "nested") && !strings.Contains(e.Text, "UTF-8") && !strings.Contains(e.Text, "digits") {
			t.Fatalf("refused what the module accepts: %v", err)
		}
	})
}

// inBounds fails where an event has more than it may.
func inBounds(t *testing.T, event any, values, depth int) {
	t.Helper()
	var walk func(v any, depth int)
	walk = func(v any, depth int) {
		values--
		if depth < 0 {
			t.Fatal("too deep")
		}
		switch v := v.(type) {
		case []any:
			for _, element := range v {
				walk(element, depth-1)
			}
		case map[string]any:
			for _, field := range v {
				walk(field, depth-1)
			}
		case nil, bool, string, int, Number, time.Time:
		case float64:
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				t.Fatalf("%v is a float64", v)
			}
		default:
			t.Fatalf("a %T in an event", v)
		}
	}
	if walk(event, depth); values < 0 {
		t.Fatal("too many values")
	}
	if text, err := json.Marshal(event); err == nil && !json.Valid(text) {
		t.Fatalf("%s is no JSON", text)
	}
}

// asAvro reports whether an event is what the avro module made of it.
func asAvro(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok || len(object) != len(want) {
			return false
		}
		for name := range want {
			if !asAvro(object[name], want[name]) {
				return false
			}
		}
		return true
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for i := range list {
			if !asAvro(list[i], want[i]) {
				return false
			}
		}
		return true
	case int32:
		return got == int(want)
	case int64:
		return got == int(want)
	case []byte:
		return got == base64Text(want)
	case float32:
		return asFloat(got, float64(want), 32)
	case float64:
		return asFloat(got, want, 64)
	case *big.Rat:
		n, ok := new(big.Rat).SetString(fmt.Sprint(got))
		return ok && n.Cmp(want) == 0
	case json.Number:
		a, okA := new(big.Rat).SetString(fmt.Sprint(got))
		b, okB := new(big.Rat).SetString(want.String())
		return okA && okB && a.Cmp(b) == 0
	case time.Time:
		if n, ok := got.(int); ok {
			return want.Year() < 1 || want.Year() > 9999 || n != 0
		}
		at, ok := got.(time.Time)
		return ok && at.Equal(want)
	case time.Duration:
		if text, ok := got.(string); ok {
			return text == time.Unix(0, 0).UTC().Add(want).Format("15:04:05.999999999")
		}
		_, ok := got.(int)
		return ok && (want < 0 || want >= 24*time.Hour)
	}
	return got == want
}

func asFloat(got any, want float64, bits int) bool {
	if n, ok := got.(Number); ok {
		back, err := json.Number(n.text).Float64()
		if bits == 32 {
			return err == nil && float32(back) == float32(want)
		}
		return err == nil && back == want && n.value == want
	}
	f, ok := got.(float64)
	return ok && (f == want || math.IsNaN(f) && math.IsNaN(want))
}
