package decode

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

const leadProto = `syntax = "proto3";
package crm;
message Lead { string id = 1; optional int32 score = 2; }
`

const orderProto = `syntax = "proto3";
package shop;
import "crm/lead.proto";
import "confluent/meta.proto";
import "confluent/type/decimal.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";

message Empty {}
message Order {
  option (confluent.message_meta) = { doc: "an order" };
  enum State { NEW = 0; SENT = 1; }
  message Line { string sku = 1; uint32 qty = 2; repeated Line parts = 3; }
  uint64 id = 1;
  int64 number = 2;
  sint64 balance = 3;
  fixed64 big = 4;
  sfixed32 little = 5;
  double weight = 6;
  float ratio = 7;
  bool paid = 8;
  string note = 9;
  optional string coupon = 10;
  bytes raw = 11;
  State state = 12;
  repeated Line lines = 13;
  repeated int32 counts = 14;
  map<string, int64> tags = 15;
  map<int32, Line> by_number = 16;
  crm.Lead lead = 17;
  oneof payment { string card = 18; Line bill = 19; }
  google.protobuf.Timestamp at = 20;
  google.protobuf.Duration took = 21;
  google.protobuf.Struct extra = 22;
  google.protobuf.Int64Value count = 23;
  confluent.type.Decimal total = 24;
  repeated State states = 25;
  google.protobuf.Value any = 26;
  sint32 diff = 27;
  uint32 small = 28;
  repeated google.protobuf.BoolValue flags = 29;
}
`

func mustProtobuf(t testing.TB) protobufFile {
	t.Helper()
	s, err := protobufSchema(t.Context(), orderProto, []resolved{{"crm/lead.proto", leadProto}})
	if err != nil {
		t.Fatal(err)
	}
	return s.(protobufFile)
}

// orderMessage is what the JSON says, as a message of the file's.
func orderMessage(t testing.TB, f protobufFile, text string) *dynamicpb.Message {
	t.Helper()
	m := dynamicpb.NewMessage(f.messages.ByName("Order"))
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

const orderJSON = `{"id": "18446744073709551615", "number": "-1234567890123456789", "balance": "-3", "big": "1234567890123456789", "little": -5,
	"weight": 0.1, "ratio": 0.1, "paid": true, "note": "Zürich", "coupon": "", "raw": "/wA=", "state": "SENT",
	"lines": [{"sku": "A-1", "qty": 4294967295, "parts": [{"sku": "B-7"}]}, {}], "counts": [1, -1, 0], "tags": {"a": "1", "": "2"},
	"byNumber": {"-1": {"sku": "C"}, "0": {}}, "lead": {"id": "L1"}, "bill": {"sku": "D"}, "at": "2026-11-23T09:30:00.123456789Z",
	"took": "-1.5s", "extra": {"a": [null, 1.5, "x", true, {"b": {}}]}, "count": "0", "total": {"value": "AfvQ", "scale": 2},
	"states": ["SENT", 7], "any": null, "diff": -9, "small": 1, "flags": [true, false]}`

func TestAProtobufRecordBecomesAnEvent(t *testing.T) {
	f := mustProtobuf(t)
	payload, err := proto.Marshal(orderMessage(t, f, orderJSON))
	if err != nil {
		t.Fatal(err)
	}
	event, err := f.event(append([]byte{2, 2}, payload...), roomy)
	if err != nil {
		t.Fatal(err)
	}
	line := func(sku string, qty int, parts ...any) map[string]any {
		return map[string]any{"sku": sku, "qty": qty, "parts": append([]any{}, parts...)}
	}
	want := map[string]any{
		"id": Number{"18446744073709551615", math.MaxUint64}, "number": -1234567890123456789, "balance": -3, "big": 1234567890123456789, "little": -5,
		"weight": Number{"0.1", 0.1}, "ratio": Number{"0.1", 0.1}, "paid": true, "note": "Zürich", "coupon": "", "raw": "/wA=", "state": "SENT",
		"lines": []any{line("A-1", 4294967295, line("B-7", 0)), line("", 0)}, "counts": []any{1, -1, 0}, "tags": map[string]any{"a": 1, "": 2},
		"by_number": map[string]any{"-1": line("C", 0), "0": line("", 0)}, "lead": map[string]any{"id": "L1"}, "bill": line("D", 0),
		"at": time.Date(2026, 11, 23, 9, 30, 0, 123456789, time.UTC), "took": Number{"-1.5", -1.5},
		"extra": map[string]any{"a": []any{nil, Number{"1.5", 1.5}, "x", true, map[string]any{"b": map[string]any{}}}},
		"count": 0, "total": Number{"1300.00", 1300}, "states": []any{"SENT", 7}, "any": nil, "diff": -9, "small": 1, "flags": []any{true, false},
	}
	if diff := cmp.Diff(want, event, cmp.AllowUnexported(Number{})); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNotOnTheWireIsItsDefault(t *testing.T) {
	f := mustProtobuf(t)
	event, err := f.event([]byte{2, 2}, roomy)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": 0, "number": 0, "balance": 0, "big": 0, "little": 0, "weight": Number{"0", 0}, "ratio": Number{"0", 0}, "paid": false, "note": "",
		"raw": "", "state": "NEW", "lines": []any{}, "counts": []any{}, "tags": map[string]any{}, "by_number": map[string]any{}, "states": []any{},
		"diff": 0, "small": 0, "flags": []any{},
	}
	if diff := cmp.Diff(want, event, cmp.AllowUnexported(Number{})); diff != "" {
		t.Error(diff)
	}
}

func TestTheIndexesChooseTheMessage(t *testing.T) {
	f := mustProtobuf(t)
	for in, want := range map[string]any{
		"\x00":                  map[string]any{},
		"\x02\x00":              map[string]any{},
		"\x04\x02\x00\x0a\x01A": map[string]any{"sku": "A", "qty": 0, "parts": []any{}},
		"\x02\x04":              "byte 2: the schema has no such message; is this its schema?",
		"\x02\x01":              "byte 2: the schema has no such message; is this its schema?",
		"\x04\x02\x02":          "byte 3: the schema has no such message; is this its schema?",
		"\x04\x02":              "byte 2: the indexes of the message cannot be read; is it written by a serializer of a schema registry?",
		"\x01":                  "byte 1: the indexes of the message cannot be read; is it written by a serializer of a schema registry?",
		"":                      "byte 0: the indexes of the message cannot be read; is it written by a serializer of a schema registry?",
	} {
		got, err := f.event([]byte(in), roomy)
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

func TestOlderAndOddProtobufIsRead(t *testing.T) {
	s, err := protobufSchema(t.Context(), `syntax = "proto2";
		message M {
			required string a = 1;
			optional int32 b = 2 [default = 5];
			repeated int32 c = 3;
			repeated group G = 4 { optional string x = 1; }
			enum E { ONE = 1; TWO = 2; }
			optional E e = 5;
			oneof o { string l = 6; string r = 7; }
			extensions 100 to 200;
		}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := []byte{0}
	in = protowire.AppendTag(in, 3, protowire.BytesType) // packed, though the schema does not say so
	in = protowire.AppendBytes(in, []byte{1, 2})
	in = append(in, 0x18, 3)                              // and then not
	in = append(in, 0x23, 0x0a, 1, 'x', 0x24)             // a group
	in = append(in, 0x23, 0x2b, 0x0a, 1, 'y', 0x2c, 0x24) // and one with a group that is not known
	in = append(in, 0x28, 2, 0x32, 1, 'l', 0x3a, 1, 'r')  // of a oneof the last one counts
	in = append(in, 0xa2, 6, 1, 'e', 0xaa, 0x3f, 1, 'u')  // an extension, and a field that is not known
	in = append(in, 0x15, 1, 2, 3, 4)                     // a known field in another form
	got, err := s.event(in, roomy)
	want := map[string]any{"c": []any{1, 2, 3}, "g": []any{map[string]any{"x": "x"}, map[string]any{}}, "e": "TWO", "r": "r"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestWhatIsNoProtobufIsExplainedWithItsPlace(t *testing.T) {
	f := mustProtobuf(t)
	for in, want := range map[string]string{
		"\x6a\x05\x0a\x01A":                "byte 3, lines[0]: the value ends too early: a field does not fit in; is this its schema?",
		"\x6a\x03\x0a\x01\xff":             "byte 6, lines[0].sku: the text is not valid UTF-8; encode it as UTF-8",
		"\x6a\x00\x6a\x03\x0a\x05A":        "byte 7, lines[1].sku: the value ends too early: a field does not fit in; is this its schema?",
		"\x08":                             "byte 3, id: a number cannot be read; is this its schema?",
		"\x21\x01":                         "byte 3, big: the value ends too early: a number does not fit in; is this its schema?",
		"\x2d\x01":                         "byte 3, little: the value ends too early: a number does not fit in; is this its schema?",
		"\x7a\x03\x0a\x05k":                "byte 5, tags[]: the value ends too early: a field does not fit in; is this its schema?",
		"\x03":                             "byte 2: a field was expected; is this its schema?",
		"\x0b":                             "byte 3: a field cannot be read; is this its schema?",
		"\x00":                             "byte 2: a field was expected; is this its schema?",
		"\xc2\x01\x05\x0a\x00\x18\xd2\x0f": "byte 10, total: the decimal is too large or has too many digits; send it as text",
	} {
		if _, err := f.event(append([]byte{2, 2}, in...), roomy); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", in, err, want)
		}
	}
}

func TestHostileProtobufIsRefusedBeforeItTakesMemory(t *testing.T) {
	f := mustProtobuf(t)
	deep := []byte{}
	for range 100 {
		deep = protowire.AppendBytes([]byte{0x1a}, deep)
	}
	deep = protowire.AppendBytes([]byte{0x6a}, deep)
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"empty messages":     {[]byte(strings.Repeat("\x6a\x00", 500_000)), "the event has more values"},
		"packed numbers":     {append(protowire.AppendVarint([]byte{0x72}, 2_000_000), make([]byte, 2_000_000)...), "the event has more values"},
		"entries of a map":   {[]byte(strings.Repeat("\x82\x01\x00", 500_000)), "the event has more values"},
		"a message too deep": {deep, "byte"},
		"a length of 2^63":   {[]byte("\x4a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "does not fit in"},
	} {
		if _, err := f.event(append([]byte{2, 2}, c.in...), roomy); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASchemaThatIsNoProtobufIsExplained(t *testing.T) {
	for text, want := range map[string]string{
		`syntax = "proto3"; message M { string a = 1`:       "syntax error",
		`syntax = "proto3"; import "x.proto"; message M {}`: "x.proto",
		`syntax = "proto3"; message M { Missing a = 1; }`:   "Missing",
		strings.Repeat(`message M{`, 10_000):                "",
	} {
		if _, err := protobufSchema(t.Context(), text, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s: %v", text, err)
		}
	}
}

// What Protobuf's own library decodes, leadsink decodes to the same, as far as JSON
// can tell; it never panics and keeps its bounds.
func FuzzProtobuf(f *testing.F) {
	file := mustProtobuf(f)
	payload, err := proto.Marshal(orderMessage(f, file, orderJSON))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", string(payload), string(payload[:40]), "\x6a\x05\x0a\x01A", "\x6a\x00\x6a\x00", "\x72\x03\x01\x02\x03\x70\x01",
		"\x7a\x05\x0a\x01k\x10\x01", "\x92\x01\x01c\x9a\x01\x00", "\xd2\x01\x02\x08\x00", "\xb2\x01\x07\x0a\x05\x0a\x01a\x12\x00",
	} {
		f.Add([]byte(seed))
	}
	order := file.messages.ByName("Order")
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := file.event(append([]byte{2, 2}, in...), room{values: 10_000, depth: 8})
		if err == nil {
			inBounds(t, got, 10_000, 8)
		} else if e, ok := errors.AsType[*Error](err); !ok || e.Offset < 0 || e.Offset > len(in)+2 {
			t.Fatalf("%v: %d bytes", err, len(in))
		}
		m := dynamicpb.NewMessage(order)
		if unmarshal(in, m) != nil {
			return
		}
		// Written anew, so that nothing comes in parts.
		again, err := proto.Marshal(m)
		if err != nil {
			return
		}
		got, err = file.event(append([]byte{2, 2}, again...), room{values: 100_000, depth: 30})
		if err != nil {
			if !strings.Contains(err.Error(), "nested") && !strings.Contains(err.Error(), "values") && !strings.Contains(err.Error(), "digits") {
				t.Fatalf("refused what Protobuf accepts: %v", err)
			}
			return
		}
		if object := got.(map[string]any); !asMessage(object, m) {
			t.Fatalf("got  %#v\nwant %v", object, m)
		}
	})
}

// unmarshal reads a message by Protobuf's own library, whose dynamic messages
// panic at a map entry of the wrong kind.
func unmarshal(in []byte, m proto.Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(in, m)
}

// asMessage reports whether an event is what Protobuf's library has read, for
// the fields that are neither messages nor maps of them.
func asMessage(got map[string]any, want protoreflect.Message) bool {
	fields := want.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		v, there := got[string(f.Name())]
		switch {
		case there != (want.Has(f) || !f.HasPresence()):
			return false
		case !there:
		case f.IsMap():
			if len(v.(map[string]any)) != want.Get(f).Map().Len() {
				return false
			}
		case f.IsList():
			list, l := v.([]any), want.Get(f).List()
			if len(list) != l.Len() {
				return false
			}
			for j := range list {
				if f.Message() == nil && !asScalar(f, list[j], l.Get(j)) {
					return false
				}
			}
		case f.Message() != nil:
			if object, ok := v.(map[string]any); ok && f.Message().ParentFile().Package() != "google.protobuf" && !asMessage(object, want.Get(f).Message()) {
				return false
			}
		case !asScalar(f, v, want.Get(f)):
			return false
		}
	}
	return true
}

func asScalar(f protoreflect.FieldDescriptor, got any, want protoreflect.Value) bool {
	switch w := want.Interface().(type) {
	case int32:
		return got == int(w)
	case int64:
		return got == int(w)
	case uint32:
		return got == int(w)
	case uint64:
		text, err := json.Marshal(got)
		return err == nil && string(text) == want.String()
	case float32:
		return asFloat(got, float64(w), 32)
	case float64:
		return asFloat(got, w, 64)
	case []byte:
		return got == base64Text(w)
	case protoreflect.EnumNumber:
		if v := f.Enum().Values().ByNumber(w); v != nil {
			return got == string(v.Name())
		}
		return got == int(w)
	default:
		return got == w
	}
}
