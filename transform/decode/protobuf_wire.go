package decode

import (
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A protobufReader reads a message of Protobuf's wire format. Values are read
// here and not by dynamicpb, so that what an event may take is bounded over all of
// its values, and a value becomes what expressions work with at once.
type protobufReader struct{ input }

// valueMessage is a step on the way to a value of any kind, no object itself.
const valueMessage = "google.protobuf.Value"

// message reads the fields of a message up to end.
func (r *protobufReader) message(m protoreflect.MessageDescriptor, end int) (any, error) {
	return r.object(m, make(map[string]any), func() (protowire.Number, protowire.Type, bool, error) {
		if r.at == end {
			return 0, 0, false, nil
		}
		number, typ, err := r.tag(end)
		return number, typ, true, err
	}, end)
}

// group reads the fields of a message up to the end of its group.
func (r *protobufReader) group(m protoreflect.MessageDescriptor, of protowire.Number, end int) (any, error) {
	return r.object(m, make(map[string]any), func() (protowire.Number, protowire.Type, bool, error) {
		number, typ, err := r.tag(end)
		if err == nil && typ == protowire.EndGroupType {
			if number != of {
				err = r.fail("a group ends that did not begin; is this its schema?")
			}
			return 0, 0, false, err
		}
		return number, typ, true, err
	}, end)
}

// object reads fields for as long as next gives one.
func (r *protobufReader) object(
	m protoreflect.MessageDescriptor, object map[string]any, next func() (protowire.Number, protowire.Type, bool, error), end int,
) (any, error) {
	if m.FullName() != valueMessage {
		if err := r.room.enter(r.at); err != nil {
			return nil, err
		}
		defer r.room.leave()
	}
	for {
		number, typ, more, err := next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if err := r.field(m.Fields().ByNumber(number), object, number, typ, end); err != nil {
			return nil, err
		}
	}
	if err := r.defaults(m, object); err != nil {
		return nil, err
	}
	if v, ok, err := r.wellKnown(m.FullName(), object); ok {
		return v, err
	}
	return object, nil
}

// defaults adds the fields that the wire leaves out because they have their
// default. A field that tells whether it is there stays missing.
func (r *protobufReader) defaults(m protoreflect.MessageDescriptor, object map[string]any) error {
	fields := m.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		name := string(f.Name())
		if _, ok := object[name]; ok || f.HasPresence() {
			continue
		}
		if err := r.room.take(1); err != nil {
			return err
		}
		switch {
		case f.IsMap():
			object[name] = map[string]any{}
		case f.IsList():
			object[name] = []any{}
		default:
			object[name] = zero(f)
		}
	}
	return nil
}

// zero returns the value of a scalar that is not on the wire.
func zero(f protoreflect.FieldDescriptor) any {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return false
	case protoreflect.StringKind, protoreflect.BytesKind:
		return ""
	case protoreflect.EnumKind:
		return symbol(f, 0)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return float(0, 64)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return nil
	default:
		return 0
	}
}

// field reads one field into the object. One that the schema does not know is
// skipped, as by every reader of Protobuf.
func (r *protobufReader) field(f protoreflect.FieldDescriptor, object map[string]any, number protowire.Number, typ protowire.Type, end int) error {
	if f == nil || !fits(f, typ) {
		size := protowire.ConsumeFieldValue(number, typ, r.in[r.at:end])
		if size < 0 {
			return r.fail("a field cannot be read; is this its schema?")
		}
		r.at += size
		return nil
	}
	name := string(f.Name())
	switch {
	case f.IsMap():
		return within(name, r.entry(f, object, end))
	case f.IsList():
		return r.elements(f, object, typ, end)
	}
	v, err := r.value(f, typ, end)
	if err != nil {
		return within(name, err)
	}
	if one := f.ContainingOneof(); one != nil {
		for i := range one.Fields().Len() { // the last one counts
			delete(object, string(one.Fields().Get(i).Name()))
		}
	}
	object[name] = v
	return nil
}

// wireTypes are how kinds are written.
var wireTypes = map[protoreflect.Kind]protowire.Type{
	protoreflect.BoolKind:     protowire.VarintType,
	protoreflect.EnumKind:     protowire.VarintType,
	protoreflect.Int32Kind:    protowire.VarintType,
	protoreflect.Sint32Kind:   protowire.VarintType,
	protoreflect.Uint32Kind:   protowire.VarintType,
	protoreflect.Int64Kind:    protowire.VarintType,
	protoreflect.Sint64Kind:   protowire.VarintType,
	protoreflect.Uint64Kind:   protowire.VarintType,
	protoreflect.Sfixed32Kind: protowire.Fixed32Type,
	protoreflect.Fixed32Kind:  protowire.Fixed32Type,
	protoreflect.FloatKind:    protowire.Fixed32Type,
	protoreflect.Sfixed64Kind: protowire.Fixed64Type,
	protoreflect.Fixed64Kind:  protowire.Fixed64Type,
	protoreflect.DoubleKind:   protowire.Fixed64Type,
	protoreflect.StringKind:   protowire.BytesType,
	protoreflect.BytesKind:    protowire.BytesType,
	protoreflect.MessageKind:  protowire.BytesType,
	protoreflect.GroupKind:    protowire.StartGroupType,
}

// fits reports whether a field is written as the schema says; numbers in a list
// may stand in one piece.
func fits(f protoreflect.FieldDescriptor, typ protowire.Type) bool {
	want := wireTypes[f.Kind()]
	return typ == want || typ == protowire.BytesType && f.IsList() && want != protowire.StartGroupType
}

// elements reads one element of a list, or several that stand in one piece.
func (r *protobufReader) elements(f protoreflect.FieldDescriptor, object map[string]any, typ protowire.Type, end int) error {
	name := string(f.Name())
	list, ok := object[name].([]any)
	if !ok {
		if err := r.room.enter(r.at); err != nil {
			return within(name, err)
		}
		r.room.leave() // its elements know their own depth
	}
	add := func(typ protowire.Type, end int) error {
		v, err := r.value(f, typ, end)
		if err != nil {
			return within(fmt.Sprintf("%s[%d]", name, len(list)), err)
		}
		list = append(list, v)
		return nil
	}
	if want := wireTypes[f.Kind()]; typ == want {
		if err := add(typ, end); err != nil {
			return err
		}
	} else {
		last, err := r.length(end)
		if err != nil {
			return within(name, err)
		}
		for r.at < last {
			if err := add(want, last); err != nil {
				return err
			}
		}
	}
	object[name] = list
	return nil
}

// entry reads one entry of a map.
func (r *protobufReader) entry(f protoreflect.FieldDescriptor, object map[string]any, end int) error {
	last, err := r.length(end)
	if err != nil {
		return err
	}
	entries, ok := object[string(f.Name())].(map[string]any)
	if !ok {
		if err := r.room.enter(r.at); err != nil {
			return err
		}
		r.room.leave()
		entries = make(map[string]any)
		object[string(f.Name())] = entries
	}
	key := zero(f.MapKey())
	var value any
	there := false
	for r.at < last {
		number, typ, err := r.tag(last)
		if err != nil {
			return err
		}
		switch part := f.Message().Fields().ByNumber(number); {
		case part == nil || !fits(part, typ):
			err = r.field(nil, nil, number, typ, last)
		case number == f.MapKey().Number():
			key, err = r.value(part, typ, last)
		default:
			value, err = r.value(part, typ, last)
			there = true
		}
		if err != nil {
			return within("[]", err) // a name in a map is content
		}
	}
	if !there {
		if value, err = r.absent(f.MapValue()); err != nil {
			return within("[]", err)
		}
	}
	switch k := key.(type) {
	case string:
		entries[k] = value
	case int:
		entries[strconv.Itoa(k)] = value
	case bool:
		entries[strconv.FormatBool(k)] = value
	case Number:
		entries[k.String()] = value
	}
	return nil
}

// absent returns the value of an entry that has none.
func (r *protobufReader) absent(f protoreflect.FieldDescriptor) (any, error) {
	if f.Message() != nil {
		return r.message(f.Message(), r.at)
	}
	return zero(f), r.room.take(1)
}

// value reads one value of a field.
func (r *protobufReader) value(f protoreflect.FieldDescriptor, typ protowire.Type, end int) (any, error) {
	if err := r.room.take(1); err != nil {
		return nil, err
	}
	switch typ {
	case protowire.VarintType:
		n, size := protowire.ConsumeVarint(r.in[r.at:end])
		if size < 0 {
			return nil, r.fail("a number cannot be read; is this its schema?")
		}
		r.at += size
		return varint(f, n), nil
	case protowire.Fixed32Type:
		n, size := protowire.ConsumeFixed32(r.in[r.at:end])
		if size < 0 {
			return nil, r.fail("the value ends too early: a number does not fit in; is this its schema?")
		}
		r.at += size
		switch f.Kind() {
		case protoreflect.FloatKind:
			return float(float64(math.Float32frombits(n)), 32), nil
		case protoreflect.Sfixed32Kind:
			return int(int32(n)), nil
		default:
			return int(n), nil
		}
	case protowire.Fixed64Type:
		n, size := protowire.ConsumeFixed64(r.in[r.at:end])
		if size < 0 {
			return nil, r.fail("the value ends too early: a number does not fit in; is this its schema?")
		}
		r.at += size
		switch f.Kind() {
		case protoreflect.DoubleKind:
			return float(math.Float64frombits(n), 64), nil
		case protoreflect.Sfixed64Kind:
			return int(n), nil
		default:
			return whole(n), nil
		}
	case protowire.StartGroupType:
		return r.group(f.Message(), f.Number(), end)
	default:
		return r.delimited(f, end)
	}
}

// varint returns a number as its kind has it.
func varint(f protoreflect.FieldDescriptor, n uint64) any {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return n != 0
	case protoreflect.EnumKind:
		return symbol(f, protoreflect.EnumNumber(int32(n)))
	case protoreflect.Int32Kind:
		return int(int32(n))
	case protoreflect.Sint32Kind:
		return int(int32(protowire.DecodeZigZag(n & math.MaxUint32)))
	case protoreflect.Uint32Kind:
		return int(uint32(n))
	case protoreflect.Sint64Kind:
		return int(protowire.DecodeZigZag(n))
	case protoreflect.Uint64Kind:
		return whole(n)
	default:
		return int(n)
	}
}

// symbol returns the name of an enum's value, or its number if the schema does
// not know it.
func symbol(f protoreflect.FieldDescriptor, n protoreflect.EnumNumber) any {
	if v := f.Enum().Values().ByNumber(n); v != nil {
		return string(v.Name())
	}
	return int(n)
}

// delimited reads a value that begins with its length.
func (r *protobufReader) delimited(f protoreflect.FieldDescriptor, end int) (any, error) {
	last, err := r.length(end)
	if err != nil {
		return nil, err
	}
	if f.Message() != nil {
		return r.message(f.Message(), last)
	}
	b := r.in[r.at:last]
	r.at = last
	if f.Kind() == protoreflect.StringKind {
		return r.utf8(b)
	}
	return base64Text(b), nil
}

func (r *protobufReader) tag(end int) (protowire.Number, protowire.Type, error) {
	number, typ, size := protowire.ConsumeTag(r.in[r.at:end])
	if size < 0 {
		return 0, 0, r.fail("a field was expected; is this its schema?")
	}
	r.at += size
	return number, typ, nil
}

// length reads a length and returns where what follows ends.
func (r *protobufReader) length(end int) (last int, err error) {
	n, size := protowire.ConsumeVarint(r.in[r.at:end])
	if size < 0 || n > uint64(end-r.at-size) {
		return 0, r.fail("the value ends too early: a field does not fit in; is this its schema?")
	}
	r.at += size
	return r.at + int(n), nil
}
