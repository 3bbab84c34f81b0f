package decode

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/avro"
)

// An avroType is a parsed Avro schema in the form that reading needs. Its
// decode reads one value.
//
// Values are read here and not by the avro module, which parses the schema:
// what an event may take is bounded over all of its values, and a value becomes
// what expressions work with at once.
type avroType struct {
	kind     string // a word of the Avro specification
	logical  string // that applies to the kind, or ""
	scale    int    // of a decimal
	size     int    // of a fixed
	symbols  []string
	fields   []avroField
	element  *avroType   // of an array or a map
	branches []*avroType // of a union
}

type avroField struct {
	name string
	typ  *avroType
}

// avroSchema reads a schema, after those that it refers to.
func avroSchema(text string, references []resolved) (schema, error) {
	var cache avro.SchemaCache
	c := avroCompiler{named: make(map[string]*avroType)}
	var last *avroType
	for _, source := range append(references, resolved{text: text}) {
		parsed, err := cache.Parse(written(source.text), avro.WithLaxNames(nil))
		if err != nil {
			return nil, err
		}
		if last, err = c.compile(parsed.Root(), "", 0); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// written returns a schema without what only those who read with another one
// look at: registries accept there what the avro module does not.
func written(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var schema any
	if err := d.Decode(&schema); err != nil || d.More() {
		return text // the avro module says what is wrong
	}
	strip(schema)
	stripped, err := json.Marshal(schema)
	if err != nil {
		return text
	}
	return string(stripped)
}

// strip takes what written leaves out off a schema, or a field.
func strip(schema any) {
	switch schema := schema.(type) {
	case []any:
		for _, branch := range schema {
			strip(branch)
		}
	case map[string]any:
		for _, name := range []string{"default", "order", "aliases", "doc"} {
			delete(schema, name)
		}
		if schema["logicalType"] == "decimal" && !fitsDecimal(schema) {
			delete(schema, "logicalType") // ignored, says the specification
		}
		if schema["logicalType"] != "decimal" {
			delete(schema, "precision")
			delete(schema, "scale")
		}
		for _, name := range []string{"type", "items", "values", "fields"} {
			strip(schema[name])
		}
	}
}

// fitsDecimal reports whether a decimal has a precision that its type can hold,
// and a scale within it.
func fitsDecimal(schema map[string]any) bool {
	whole := func(name string, missing int) int {
		v, ok := schema[name]
		if !ok {
			return missing
		}
		n, _ := v.(json.Number)
		i, err := strconv.Atoi(string(n))
		if err != nil {
			return -1
		}
		return i
	}
	precision, scale := whole("precision", 0), whole("scale", 0)
	if precision < 1 || scale < 0 || scale > precision {
		return false
	}
	if schema["type"] != "fixed" {
		return true
	}
	bits := 8*float64(whole("size", 0)) - 1
	return precision <= int(math.Log10(2)*bits)
}

type avroCompiler struct {
	named map[string]*avroType // by full name
}

// deepestSchema bounds how deep a schema is nested.
const deepestSchema = 1000

func (c *avroCompiler) compile(n *avro.SchemaNode, namespace string, depth int) (*avroType, error) {
	if depth > deepestSchema {
		return nil, fmt.Errorf("it is nested more than %d deep", deepestSchema)
	}
	t := &avroType{kind: n.Type, logical: n.LogicalType, scale: n.Scale, size: n.Size, symbols: n.Symbols}
	switch n.Type {
	case "null", "boolean", "int", "long", "float", "double", "bytes", "string":
		return t, nil
	case "array", "map":
		element := n.Items
		if n.Type == "map" {
			element = n.Values
		}
		var err error
		t.element, err = c.compile(element, namespace, depth+1)
		return t, err
	case "union":
		for i := range n.Branches {
			branch, err := c.compile(&n.Branches[i], namespace, depth+1)
			if err != nil {
				return nil, err
			}
			t.branches = append(t.branches, branch)
		}
		return t, nil
	case "record", "error", "enum", "fixed":
		if n.Type == "error" {
			t.kind = "record"
		}
		name := fullName(n.Name, n.Namespace)
		c.named[name] = t
		namespace, _, _ = cutLast(name)
		for i := range n.Fields {
			f := &n.Fields[i]
			typ, err := c.compile(&f.Type, namespace, depth+1)
			if err != nil {
				return nil, err
			}
			t.fields = append(t.fields, avroField{f.Name, typ})
		}
		return t, nil
	}
	for _, name := range []string{fullName(n.Type, namespace), n.Type} {
		if named := c.named[name]; named != nil {
			return named, nil
		}
	}
	return nil, fmt.Errorf("it names a type that is defined nowhere: %s", n.Type)
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

// cutLast cuts a full name before its last point.
func cutLast(name string) (before, after string, found bool) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:], true
	}
	return "", name, false
}

// event reads the one value that a payload is.
func (t *avroType) event(payload []byte, room room) (any, error) {
	r := &avroReader{input{in: payload, room: room}}
	event, err := r.value(t)
	if err != nil {
		return nil, err
	}
	if r.at < len(r.in) {
		return nil, r.fail("more follows after the event; is this its schema?")
	}
	return event, nil
}

type avroReader struct{ input }

func (r *avroReader) value(t *avroType) (any, error) {
	switch t.kind {
	case "union":
		i, err := r.long()
		if err != nil {
			return nil, err
		}
		if i < 0 || i >= int64(len(t.branches)) {
			return nil, r.fail("the union has no such branch; is this its schema?")
		}
		return r.value(t.branches[i])
	case "record":
		return r.record(t)
	case "array":
		return r.array(t.element)
	case "map":
		return r.mapping(t.element)
	}
	if err := r.room.take(1); err != nil {
		return nil, err
	}
	return r.scalar(t)
}

func (r *avroReader) scalar(t *avroType) (any, error) {
	switch t.kind {
	case "null":
		return nil, nil
	case "boolean":
		b, err := r.next(1, "a boolean")
		if err != nil {
			return nil, err
		}
		return b[0] == 1, nil
	case "int", "long":
		n, err := r.long()
		if err != nil {
			return nil, err
		}
		if t.kind == "int" && (n < math.MinInt32 || n > math.MaxInt32) {
			return nil, r.fail("an int has more than 32 bits; is this its schema?")
		}
		return avroTime(t.logical, n), nil
	case "float":
		b, err := r.next(4, "a float")
		if err != nil {
			return nil, err
		}
		return float(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32), nil
	case "double":
		b, err := r.next(8, "a double")
		if err != nil {
			return nil, err
		}
		return float(math.Float64frombits(binary.LittleEndian.Uint64(b)), 64), nil
	case "string":
		return r.text()
	case "enum":
		i, err := r.long()
		if err != nil {
			return nil, err
		}
		if i < 0 || i >= int64(len(t.symbols)) {
			return nil, r.fail("the enum has no such symbol; is this its schema?")
		}
		return t.symbols[i], nil
	case "bytes":
		b, err := r.bytes("bytes")
		if err != nil {
			return nil, err
		}
		return r.binary(t, b)
	case "fixed":
		b, err := r.next(t.size, "a fixed")
		if err != nil {
			return nil, err
		}
		return r.binary(t, b)
	}
	panic("decode: no Avro type: " + t.kind)
}

// avroTime returns a number as its logical type says.
func avroTime(logical string, n int64) any {
	switch logical {
	case "date":
		return day(int(n))
	case "time-millis":
		return clock(n, time.Millisecond)
	case "time-micros":
		return clock(n, time.Microsecond)
	case "timestamp-millis", "local-timestamp-millis":
		return instant(n, time.Millisecond)
	case "timestamp-micros", "local-timestamp-micros":
		return instant(n, time.Microsecond)
	case "timestamp-nanos", "local-timestamp-nanos":
		return instant(n, time.Nanosecond)
	}
	return int(n)
}

// binary returns bytes as their logical type says.
func (r *avroReader) binary(t *avroType, b []byte) (any, error) {
	switch {
	case t.logical == "decimal":
		return r.decimal(b, t.scale)
	case t.logical == "big-decimal" && t.kind == "bytes":
		inner := &avroReader{input{in: b}}
		unscaled, err := inner.bytes("a big-decimal")
		if err != nil {
			return nil, r.fail("the big-decimal ends too early; is this its schema?")
		}
		scale, err := inner.long()
		if err != nil || scale > math.MaxInt32 || scale < math.MinInt32 {
			return nil, r.fail("the big-decimal has no scale; is this its schema?")
		}
		return r.decimal(unscaled, int(scale))
	case t.logical == "uuid" && len(b) == 16:
		h := hex.EncodeToString(b)
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
	case t.logical == "duration" && len(b) == 12:
		part := func(i int) any { return int(binary.LittleEndian.Uint32(b[4*i:])) }
		return map[string]any{"months": part(0), "days": part(1), "milliseconds": part(2)}, r.room.take(container)
	}
	return base64Text(b), nil
}

func (r *avroReader) decimal(unscaled []byte, scale int) (any, error) {
	n, ok := decimal(unscaled, scale)
	if !ok {
		return nil, r.fail("the decimal is too large or has too many digits; send it as text")
	}
	return n, nil
}

func (r *avroReader) record(t *avroType) (any, error) {
	if err := r.room.enter(r.at); err != nil {
		return nil, err
	}
	defer r.room.leave()
	object := make(map[string]any, len(t.fields))
	for i := range t.fields {
		f := &t.fields[i]
		v, err := r.value(f.typ)
		if err != nil {
			return nil, within(f.name, err)
		}
		object[f.name] = v
	}
	return object, nil
}

func (r *avroReader) array(element *avroType) (any, error) {
	if err := r.room.enter(r.at); err != nil {
		return nil, err
	}
	defer r.room.leave()
	list := []any{}
	err := r.blocks(func() error {
		v, err := r.value(element)
		if err != nil {
			return within(fmt.Sprintf("[%d]", len(list)), err)
		}
		list = append(list, v)
		return nil
	})
	return list, err
}

func (r *avroReader) mapping(element *avroType) (any, error) {
	if err := r.room.enter(r.at); err != nil {
		return nil, err
	}
	defer r.room.leave()
	object := make(map[string]any)
	err := r.blocks(func() error {
		name, err := r.text()
		if err != nil {
			return err
		}
		v, err := r.value(element)
		if err != nil {
			return within("[]", err) // a name in a map is content
		}
		object[name] = v
		return nil
	})
	return object, err
}

// blocks reads the blocks of an array or a map. What a block says of its
// length is believed only one item at a time.
func (r *avroReader) blocks(item func() error) error {
	for {
		n, err := r.long()
		switch {
		case err != nil:
			return err
		case n == 0:
			return nil
		case n < 0: // the block's size in bytes follows, for readers that skip it
			if _, err := r.long(); err != nil {
				return err
			}
			if n = -n; n < 0 {
				return r.fail("a block has too many items; is this its schema?")
			}
		}
		for ; n > 0; n-- {
			if err := item(); err != nil {
				return err
			}
		}
	}
}

func (r *avroReader) long() (int64, error) {
	n, size := binary.Varint(r.in[r.at:])
	switch {
	case size == 0:
		return 0, r.fail("the value ends too early: a number does not fit in; is this its schema?")
	case size < 0:
		return 0, r.fail("a number has more than 64 bits; is this its schema?")
	}
	r.at += size
	return n, nil
}

func (r *avroReader) bytes(what string) ([]byte, error) {
	n, err := r.long()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(r.in)) {
		return nil, r.fail("the value ends too early: %s does not fit in; is this its schema?", what)
	}
	return r.next(int(n), what)
}

func (r *avroReader) text() (string, error) {
	b, err := r.bytes("a string")
	if err != nil {
		return "", err
	}
	return r.utf8(b)
}

// utf8 returns the bytes that were read last as text.
func (r *input) utf8(b []byte) (string, error) {
	if !utf8.Valid(b) {
		r.at -= len(b)
		return "", r.fail("the text is not valid UTF-8; encode it as UTF-8")
	}
	return string(b), nil
}
