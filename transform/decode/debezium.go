package decode

// debezium returns the change event in a value that Debezium wrote: an object
// with op, before, after, source and ts_ms. Where the value carries its schema,
// as Kafka Connect's JSON converter writes it, that is left out.
func debezium(value any) (any, error) {
	object, ok := value.(map[string]any)
	if payload, wrapped := object["payload"]; wrapped {
		if _, described := object["schema"]; described && len(object) == 2 {
			object, ok = payload.(map[string]any)
		}
	}
	if op, named := object["op"].(string); !ok || !named || op == "" {
		return nil, &Error{Offset: -1, Text: "no change event of Debezium: it names no operation (op); see decode.envelope"}
	}
	return object, nil
}
