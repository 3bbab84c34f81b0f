package decode

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A jsonChecker is a compiled JSON Schema. A payload is a JSON document that
// must agree with it.
type jsonChecker struct{ schema *jsonschema.Schema }

// jsonBase is where the schemas of a registry stand for one another.
const jsonBase = "registry:///"

// jsonSchema compiles a JSON Schema, with those that it refers to. Nothing is
// loaded from anywhere else.
func jsonSchema(text string, references []resolved) (schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7) // what Confluent's serializers assume
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	documents := make(registered)
	bases := []*url.URL{baseOf(document)}
	for _, r := range references {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(r.text))
		if err != nil {
			return nil, fmt.Errorf("reference %s: %w", r.name, err)
		}
		documents[r.name] = document
		documents[jsonBase+r.name] = document
		documents[jsonBase+url.PathEscape(r.name)] = document
		bases = append(bases, baseOf(document))
	}
	documents.addRelative(references, bases)
	c.UseLoader(documents)
	const name = jsonBase + "schema of the record"
	if err := c.AddResource(name, document); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, err
	}
	return jsonChecker{compiled}, nil
}

// registered are documents by the addresses under which they may be referred to.
type registered map[string]any

// addRelative adds the addresses by which a document with an id of its own refers
// to another one by name. What has an address already keeps it.
func (r registered) addRelative(references []resolved, bases []*url.URL) {
	for _, base := range bases {
		if base == nil {
			continue
		}
		for _, to := range references {
			name, err := url.Parse(to.name)
			if err != nil {
				continue
			}
			address := base.ResolveReference(name)
			address.Fragment = ""
			if _, ok := r[address.String()]; !ok {
				r[address.String()] = r[to.name]
			}
		}
	}
}

// baseOf returns the address that a document gives itself, nil if it gives none.
func baseOf(document any) *url.URL {
	object, _ := document.(map[string]any)
	for _, name := range []string{"$id", "id"} { // draft 4 has the latter
		if id, ok := object[name].(string); ok {
			if base, err := url.Parse(id); err == nil {
				return (&url.URL{Scheme: "registry", Path: "/"}).ResolveReference(base)
			}
		}
	}
	return nil
}

// Load implements jsonschema.URLLoader.
func (r registered) Load(address string) (any, error) {
	if document, ok := r[address]; ok {
		return document, nil
	}
	return nil, errors.New("the schema does not name it as a reference")
}

func (c jsonChecker) event(payload []byte, room room) (any, error) {
	event, err := JSON(payload, room.depth)
	if err != nil {
		return nil, err
	}
	if err := c.schema.Validate(plainJSON(event)); err != nil {
		return nil, &Error{Text: "the event breaks its JSON Schema" + brokenAt(err) + "; correct the producer or the schema"}
	}
	return event, nil
}

// plainJSON returns a value with its numbers as the checker takes them.
func plainJSON(v any) any {
	switch v := v.(type) {
	case Number:
		return json.Number(v.text)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plainJSON(v[i])
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for name := range v {
			object[name] = plainJSON(v[name])
		}
		return object
	}
	return v
}

// brokenAt says which part of the schema is broken: it holds nothing of the event.
func brokenAt(err error) string {
	broken, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return ""
	}
	for len(broken.Causes) > 0 {
		broken = broken.Causes[0]
	}
	_, at, _ := strings.Cut(broken.SchemaURL, "#")
	if keyword := broken.ErrorKind.KeywordPath(); len(keyword) > 0 {
		at += "/" + strings.Join(keyword, "/")
	}
	return " at #" + at
}
