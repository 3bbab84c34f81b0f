package transform

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leadsink/leadsink/transform/decode"
)

const orderSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["type", "lead"],
  "properties": {
    "type": {"enum": ["order.placed", "order.paid", "lead.created"]},
    "lead": {"$ref": "#/$defs/lead"},
    "at": {"type": "string", "format": "date-time"},
    "total": {"type": ["number", "null"]},
    "count": {"type": "integer", "nullable": true},
    "paid": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string"}},
    "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
    "free": {"type": "object"},
    "open": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true},
    "either": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "payment": {"oneOf": [
      {"type": "object", "properties": {"kind": {"const": "card"}, "last4": {"type": "string"}}},
      {"type": "object", "properties": {"kind": {"const": "upi"}, "handle": {"type": "string"}}},
      {"type": "null"}
    ]},
    "base": {"allOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "integer"}}}], "required": ["a"]},
    "branch": {"type": "object", "properties": {"k": {"type": "string"}}, "if": {"properties": {"k": {"const": "x"}}}, "then": {"properties": {"k": {"const": "x"}, "x": {"type": "integer"}}}},
    "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "items": false},
    "tree": {"$ref": "#/$defs/node"}
  },
  "$defs": {
    "lead": {"type": "object", "properties": {"id": {"type": "string"}, "tier": {"type": "string", "enum": ["gold", "silver", null]}}},
    "line": {"type": "object", "properties": {"sku": {"type": "string"}, "qty": {"type": "integer"}, "state": {"enum": ["open", "shipped"]}}},
    "node": {"type": "object", "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}
  }
}`

func schemaOf(t testing.TB, text string) *Schema {
	t.Helper()
	schema, err := ParseSchema([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestExpressionsAreCheckedAgainstASchema(t *testing.T) {
	schema := schemaOf(t, orderSchema)
	const kinds = "; both sides must be of kinds that go together; string(), int(), float() and time() convert"
	const never = "; compare values of one kind; string(), int(), float() and time() convert"
	for source, want := range map[string]string{
		// what is right
		`event.lead.id`: "", `event.total * 2`: "", `event.count + 1`: "", `join(event.tags, ",")`: "", `event.lines[0].sku`: "",
		`event.extra.anything + 1`: "", `event.free.a.b`: "", `event.open.b.c`: "", `event.open.a + "x"`: "", `event.either`: "",
		`event.payment.last4 ?? event.payment.handle`: "", `event.base.a + string(event.base.b)`: "", `event.branch.x + 1`: "",
		`event.branch.k == "y"`: "", `event.pair[0] + 1`: "", `event.tree.children[0].children[0].name`: "",
		`event.type == "order.paid"`: "", `event.type in ["order.paid", "order.placed"]`: "", `(event.lead.tier ?? "none") == "none"`: "",
		`let t = event.lead.tier ?? "none"; t == "none"`: "", `(event.paid ? event.type : "x") == "x"`: "", `lower(event.type) == "x"`: "",
		`event.lead.tier == nil`: "", `map(event.lines, .state ?? "none") | filter(# == "none") | len()`: "",
		// what is not
		`event.tpye`:                         "1:7: the schema has no field tpye here; did you mean type?",
		`event.lead.name`:                    "1:12: the schema has no field name here; there are id, tier; add it to the schema if events can have it",
		`event.payment.first4`:               "1:15: the schema has no field first4 here; there are handle, kind, last4; add it to the schema if events can have it",
		`event.base.price`:                   "1:12: the schema has no field price here; there are a, b; add it to the schema if events can have it",
		`event.lines[0].sk`:                  "1:16: the schema has no field sk here; did you mean sku?",
		`event.lines.sku`:                    "1:13: elements of a list have positions, not text; pick one such as [0], or take a field of each with map(list, .field)",
		`event.total + "x"`:                  "1:13: + does not take a number and text" + kinds,
		`event.at > timestamp`:               "1:10: > does not take text and a time" + kinds,
		`event.paid == "true"`:               "1:12: true or false never equals text" + never,
		`event.count in ["1"]`:               "1:13: a whole number is never in a list of text" + never,
		`event.lead == "x"`:                  "1:12: an object never equals text" + never,
		`event.tags`:                         "1:1: it is a list, which has no text; pick an element such as [0], or make it text with join()",
		`event.type == "order.plced"`:        `1:15: it is never "order.plced", which the schema does not have; did you mean order.placed?`,
		`"x" != event.type`:                  `1:1: it is never "x", which the schema does not have; there are lead.created, order.paid, order.placed; add it to the schema if events can have it`,
		`event.type in ["order.paid", "b"]`:  `1:30: it is never "b", which the schema does not have; there are lead.created, order.paid, order.placed; add it to the schema if events can have it`,
		`event.lead?.tier == "glod"`:         `1:21: it is never "glod", which the schema does not have; did you mean gold?`,
		`event.payment.kind == "cash"`:       `1:23: it is never "cash", which the schema does not have; did you mean card?`,
		`any(event.lines, .state == "opne")`: `1:28: it is never "opne", which the schema does not have; did you mean open?`,
	} {
		t.Run(source, func(t *testing.T) {
			cfg := Default()
			cfg.Rules = []Rule{{Lead: "event.lead.id", Activity: "1", Note: source}}
			_, problems := Compile(cfg, decode.Default(), schema)
			got := ""
			if len(problems) > 0 {
				got = strings.TrimPrefix(problems[0].Error(), "rules[0].note: ")
			}
			if got != want || len(problems) > 1 {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestARuleWithEachIsTypedByTheSchema(t *testing.T) {
	cfg := Default()
	cfg.Rules = []Rule{{Each: "event.lines", When: `item.state == "opne"`, Lead: "event.lead.id", Activity: "item.qty", Note: "item.skuu"}}
	_, problems := Compile(cfg, decode.Default(), schemaOf(t, orderSchema))
	if len(problems) != 2 || problems[0].Advice != "did you mean open?" || problems[1].Advice != "did you mean sku?" {
		t.Error(problems)
	}
}

func TestASchemaThatCannotBeReadSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                                      "the file is not JSON: byte 1: the document ends too early: a name in double quotes was expected; write a JSON Schema",
		`[]`:                                     "#: it is a list, not a schema; write an object, true or false",
		`{"type":"strng"}`:                       `#/type: "strng" is not a type; did you mean string?`,
		`{"type":"record","fields":[]}`:          `#/type: "record" is not a type; write one of string, number, integer, boolean, array, object, null`,
		`{"type":7}`:                             `#/type: "" is not a type; write one of string, number, integer, boolean, array, object, null`,
		`{"properties":{"a":{"properties":[]}}}`: `#/properties/a/properties: it is a list; write an object of schemas by name`,
		`{"properties":{"b":{"items":"x"}}}`:     `#/properties/b/items: it is text, not a schema; write an object, true or false`,
		`{"$ref":"#/$defs/oder","$defs":{"order":{}}}`: `#/$ref: there is no #/$defs/oder; did you mean order?`,
		`{"$ref":"other.json#/x"}`:                     `#/$ref: "other.json#/x" is not a place in this file; put the definition into the file and write #/$defs/NAME`,
		`{"anyOf":[]}`:                                 `#/anyOf: it is a list; write a list of schemas`,
		`{"enum":"x"}`:                                 `#/enum: it is text; write a list of values`,
		`{"allOf":[true,{"oneOf":[{"type":"x"}]}]}`:    `#/allOf/1/oneOf/0/type: "x" is not a type; write one of string, number, integer, boolean, array, object, null`,
	} {
		if _, err := ParseSchema([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// References that double at every step stand for 2^30 values in a few lines.
func TestASchemaCannotMultiplyBeyondTheBound(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
	for i := range 30 {
		fmt.Fprintf(&b, `"d%d":{"properties":{"a":{"$ref":"#/$defs/d%d"},"b":{"$ref":"#/$defs/d%d"}}},`, i, i+1, i+1)
	}
	b.WriteString(`"d30":{"type":"string"}}}`)
	if _, err := ParseSchema([]byte(b.String())); err == nil || !strings.Contains(err.Error(), "more than 20000 values") {
		t.Error(err)
	}
}

func FuzzSchema(f *testing.F) {
	f.Add(orderSchema)
	f.Add(`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#"},true,false]}}}`)
	f.Add(`{"allOf":[{"enum":["a",1,null,{},[]]},{"type":["string","number"]}],"if":{},"then":{"items":[{}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		schema, err := ParseSchema([]byte(text))
		if (schema == nil) == (err == nil) {
			t.Fatalf("schema %v, error %v", schema, err)
		}
		if err != nil {
			return
		}
		cfg := Default()
		cfg.Rules = []Rule{{Each: "event.a", Lead: "event.b.c", Activity: "1", When: `event.type == "x" or item.a in ["b"]`}}
		if rules, problems := Compile(cfg, decode.Default(), schema); (rules == nil) == (problems == nil) {
			t.Fatalf("rules %v, problems %v", rules, problems)
		}
	})
}
