package reference

import (
	"bytes"
	"encoding/json"
	"strings"
)

type object = map[string]any

// Schema returns the JSON Schema of a document with the keys. It says which
// keys there are and what their values look like; what fits together is for
// leadsink validate to say.
func Schema(keys []Key) ([]byte, error) {
	root := section(keys)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "leadsink configuration document"
	root["$defs"] = object{"substitution": object{
		"type":        "string",
		"pattern":     `\$\{(env:[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?|file:[^}]+)\}`,
		"description": "${env:NAME}, ${env:NAME:-default} or ${file:PATH}",
	}}
	return JSON(root)
}

// JSON writes a schema as people read it.
func JSON(schema any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func section(keys []Key) object {
	properties := object{}
	for _, k := range keys {
		properties[k.Name] = property(k)
	}
	return object{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
}

func property(k Key) object {
	var p object
	if k.Kind == Section {
		p = section(k.Keys)
	} else {
		p = value(k)
	}
	if k.List {
		p = object{"type": "array", "items": p}
	}
	p["description"] = k.Meaning
	if k.Default != "" {
		p["default"] = typed(k)
	}
	return p
}

// value is the schema of one value, which may stand in a variable or a file.
func value(k Key) object {
	var p object
	switch k.Kind {
	case Expressions:
		return object{"type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean"}}}
	case Expression:
		return object{"type": []string{"string", "number", "boolean"}}
	case Text:
		if k.Words == nil {
			return object{"type": "string"}
		}
		p = object{"enum": k.Words}
	case Secret, Path:
		return object{"type": "string"}
	case Duration:
		p = object{"type": "string", "pattern": `^-?([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$|^0$`}
	case Size:
		p = object{"type": []string{"string", "integer"}, "pattern": `^[0-9]+([KMG]i?B|B)?$`}
	case Limit:
		p = object{"type": "string", "pattern": `^[0-9]+/(day|[0-9a-zµ.]+)$`}
	case DayStart:
		p = object{"type": "string", "pattern": `^[0-9]{1,2}:[0-9]{2} [A-Za-z0-9_+/-]+$`}
	case Proportion:
		p = object{"type": "string", "pattern": `^[0-9]+/[0-9]+$`}
	case Integer:
		p = object{"type": "integer"}
	case Number:
		p = object{"type": "number"}
	case Boolean:
		p = object{"type": "boolean"}
	case Section:
	}
	return object{"anyOf": []any{p, object{"$ref": "#/$defs/substitution"}}}
}

// typed is the default as a JSON value.
func typed(k Key) any {
	if k.List {
		inner := strings.TrimSuffix(strings.TrimPrefix(k.Default, "["), "]")
		return strings.Split(inner, ", ")
	}
	if k.Kind == Integer || k.Kind == Number {
		return json.Number(k.Default)
	}
	if k.Kind == Boolean {
		return k.Default == "true"
	}
	return k.Default
}
