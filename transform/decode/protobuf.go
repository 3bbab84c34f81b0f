package decode

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A protobufFile is a compiled .proto file. Payloads say which of its messages
// they hold.
type protobufFile struct {
	messages protoreflect.MessageDescriptors
}

// protobufSchema compiles a .proto file, with those that it imports. The files
// that come with Protobuf's and Confluent's compilers need not be registered.
func protobufSchema(ctx context.Context, text string, references []resolved) (schema, error) {
	name := "schema.proto"
	files := map[string]string{"confluent/meta.proto": confluentMeta, "confluent/type/decimal.proto": confluentDecimal}
	for _, r := range references {
		files[r.name] = r.text
		if r.name == name {
			name = "of the record/" + name
		}
	}
	files[name] = text
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(files)}),
		MaxParallelism: 1,
	}
	// It only reads from memory: an end of ctx would only look like a bad schema.
	compiled, err := compiler.Compile(context.WithoutCancel(ctx), name)
	if err != nil {
		return nil, err
	}
	return protobufFile{compiled[0].Messages()}, nil
}

// What the schemas of Confluent's serializers import.
const (
	confluentMeta = `syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta {
  string doc = 1;
  map<string, string> params = 2;
  repeated string tags = 3;
}
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
`
	confluentDecimal = `syntax = "proto3";
package confluent.type;
message Decimal {
  bytes value = 1;
  uint32 precision = 2;
  int32 scale = 3;
}
`
)

// event reads the message that a payload holds, after its indexes.
func (f protobufFile) event(payload []byte, room room) (any, error) {
	r := &protobufReader{input{in: payload, room: room}}
	message, err := r.find(f.messages)
	if err != nil {
		return nil, err
	}
	return r.message(message, len(payload))
}

// find reads the indexes that lead to the payload's message: one for each level
// of nesting. A 0 alone is short for the first message of the file.
func (r *protobufReader) find(messages protoreflect.MessageDescriptors) (protoreflect.MessageDescriptor, error) {
	levels, err := r.index()
	if err != nil {
		return nil, err
	}
	var found protoreflect.MessageDescriptor
	for level := int64(0); level == 0 || level < levels; level++ {
		i := int64(0)
		if levels != 0 {
			if i, err = r.index(); err != nil {
				return nil, err
			}
		}
		if i < 0 || i >= int64(messages.Len()) || messages.Get(int(i)).IsMapEntry() {
			return nil, r.fail("the schema has no such message; is this its schema?")
		}
		found = messages.Get(int(i))
		messages = found.Messages()
	}
	return found, nil
}

func (r *protobufReader) index() (int64, error) {
	n, size := binary.Varint(r.in[r.at:])
	if size <= 0 {
		return 0, r.fail("the indexes of the message cannot be read; is it written by a serializer of a schema registry?")
	}
	r.at += size
	return n, nil
}

// wellKnown makes an event's value of a message that stands for one. Numbers
// that are missing are zero. It returns false where it stays an object.
func (r *protobufReader) wellKnown(name protoreflect.FullName, m map[string]any) (any, bool, error) {
	number := func(name string) int64 { n, _ := m[name].(int); return int64(n) }
	switch name {
	case "google.protobuf.Timestamp":
		seconds, nanos := number("seconds"), number("nanos")
		return moment(seconds, nanos, int(seconds)), true, nil
	case "google.protobuf.Duration":
		return seconds(number("seconds"), number("nanos")), true, nil
	case "google.protobuf.Struct":
		return m["fields"], true, nil
	case "google.protobuf.ListValue":
		return m["values"], true, nil
	case "google.protobuf.Value":
		for kind, v := range m { // it has one at most
			if kind == "null_value" {
				break
			}
			return v, true, nil
		}
		return nil, true, nil
	case "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value", "google.protobuf.UInt64Value",
		"google.protobuf.Int32Value", "google.protobuf.UInt32Value", "google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue":
		return m["value"], true, nil
	case "confluent.type.Decimal":
		unscaled, _ := m["value"].(string)
		n, ok := decimal(fromBase64Text(unscaled), int(number("scale")))
		if !ok {
			return nil, true, r.fail("the decimal is too large or has too many digits; send it as text")
		}
		return n, true, nil
	}
	return nil, false, nil
}

// seconds returns a length of time as a number of seconds.
func seconds(whole, nanos int64) any {
	opposed := whole > 0 && nanos < 0 || whole < 0 && nanos > 0
	if nanos == 0 || nanos <= -1e9 || nanos >= 1e9 || opposed || whole < -1<<40 || whole > 1<<40 {
		return int(whole) // whole, or no Duration
	}
	sign := ""
	if whole < 0 || nanos < 0 {
		sign, whole, nanos = "-", -whole, -nanos
	}
	n, _ := newNumber(strings.TrimRight(fmt.Sprintf("%s%d.%09d", sign, whole, nanos), "0"), false)
	return n
}
