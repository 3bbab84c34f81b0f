package decode

import (
	"encoding/base64"
	"mime"
	"strings"
)

// Headers and attributes of CloudEvents 1.0 and their binding to Kafka.
const (
	attributePrefix = "ce_"
	versionHeader   = "ce_specversion"
	typeHeader      = "content-type"
)

// isBinary reports whether a CloudEvent's attributes are in the headers, and
// its value is the data.
func isBinary(headers Headers) bool {
	_, ok := header(headers, versionHeader)
	return ok
}

// header returns the last header of that name, in whatever case.
func header(headers Headers, name string) (value []byte, ok bool) {
	for n, v := range headers {
		if strings.EqualFold(n, name) {
			value, ok = v, true
		}
	}
	return value, ok
}

// cloudEvent returns an object of the event's attributes, and its data under
// data. Data that is neither JSON nor text is under data_base64.
func cloudEvent(value []byte, headers Headers, maxDepth int) (any, error) {
	mode := structuredEvent
	if isBinary(headers) {
		mode = binaryEvent
	}
	attributes, err := mode(value, headers, maxDepth)
	if err != nil {
		return nil, err
	}
	if version, _ := attributes["specversion"].(string); !strings.HasPrefix(version, "1.") {
		return nil, &Error{Offset: -1, Text: "no CloudEvent of version 1: there is no specversion of it; see decode.format"}
	}
	for _, name := range []string{"id", "source", "type"} {
		if text, ok := attributes[name].(string); !ok || text == "" {
			return nil, &Error{Offset: -1, Text: "no CloudEvent: the attribute " + name + " is missing; correct the producer"}
		}
	}
	return attributes, nil
}

func binaryEvent(value []byte, headers Headers, maxDepth int) (map[string]any, error) {
	attributes := make(map[string]any)
	for key, value := range headers {
		name, ok := strings.CutPrefix(strings.ToLower(key), attributePrefix)
		if !ok || name == "data" || name == "data_base64" {
			continue
		}
		text, err := (&input{}).utf8(value)
		if err != nil {
			return nil, &Error{Offset: -1, Text: "a header of the CloudEvent is not valid UTF-8; encode it as UTF-8"}
		}
		attributes[name] = text
	}
	if contentType, ok := header(headers, typeHeader); ok && contentType != nil {
		attributes["datacontenttype"] = string(contentType)
	}
	if len(value) > 0 {
		if err := putData(attributes, value, maxDepth); err != nil {
			return nil, err
		}
	}
	return attributes, nil
}

func structuredEvent(value []byte, headers Headers, maxDepth int) (map[string]any, error) {
	// Many producers name no content type, so what has none is JSON.
	if contentType, ok := header(headers, typeHeader); ok {
		if media, _, _ := mime.ParseMediaType(string(contentType)); strings.HasPrefix(media, "application/cloudevents") && media != "application/cloudevents+json" {
			return nil, &Error{Offset: -1, Text: "the CloudEvent is a batch, or not in JSON; send one event per record, as application/cloudevents+json or in binary mode"}
		}
	}
	document, err := JSON(value, maxDepth)
	if err != nil {
		return nil, err
	}
	attributes, ok := document.(map[string]any)
	if !ok {
		return nil, &Error{Text: "no CloudEvent: a JSON object was expected; see decode.format"}
	}
	encoded, ok := attributes["data_base64"].(string)
	if !ok {
		return attributes, nil
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, &Error{Offset: -1, Text: "data_base64 of the CloudEvent is not in base64; correct the producer"}
	}
	delete(attributes, "data_base64")
	if err := putData(attributes, data, maxDepth); err != nil {
		return nil, within("data_base64", err)
	}
	return attributes, nil
}

// putData adds the data as its content type says; without one it is JSON.
func putData(attributes map[string]any, data []byte, maxDepth int) error {
	contentType, _ := attributes["datacontenttype"].(string)
	media, _, _ := mime.ParseMediaType(contentType)
	_, subtype, _ := strings.Cut(media, "/")
	switch {
	case contentType == "" || subtype == "json" || strings.HasSuffix(subtype, "+json"):
		document, err := JSON(data, maxDepth-1)
		if err != nil {
			return err
		}
		attributes["data"] = document
	case strings.HasPrefix(media, "text/"):
		text, err := (&input{at: len(data)}).utf8(data)
		if err != nil {
			return err
		}
		attributes["data"] = text
	default:
		attributes["data_base64"] = base64Text(data)
	}
	return nil
}
