package chart

import (
	"encoding/json"
	"fmt"

	"github.com/leadsink/leadsink/config/internal/reference"
)

type object = map[string]any

// Schema returns the chart's values.schema.json, in which the value config is
// what the document's schema says. It is of draft 7, which every Helm reads.
func Schema(values []Value, document []byte) ([]byte, error) {
	var inner object
	if err := json.Unmarshal(document, &inner); err != nil {
		return nil, fmt.Errorf("the document's schema: %w", err)
	}
	root := schemaOf(values)
	root["$schema"] = "http://json-schema.org/draft-07/schema#"
	root["title"] = "values of leadsink's chart"
	root["$defs"] = inner["$defs"]
	properties := root["properties"].(object)
	config := properties["config"].(object)
	config["properties"], config["additionalProperties"] = inner["properties"], false
	properties["global"] = object{"type": "object", "description": "What a chart around this one gives all of its charts."}
	return reference.JSON(root)
}

func schemaOf(values []Value) object {
	properties := object{}
	for _, v := range values {
		if v.Meaning == "" {
			properties[v.Name] = schemaOf(v.Values)
			continue
		}
		p := object{"type": v.Types, "description": v.Meaning, "default": v.Default}
		if v.Words != nil {
			p["enum"] = v.Words
		}
		properties[v.Name] = p
	}
	return object{"type": "object", "properties": properties, "additionalProperties": false}
}
