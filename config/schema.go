package config

import (
	_ "embed"
	"slices"
)

//go:generate go run ./internal/generate

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema of the document.
func Schema() []byte { return slices.Clone(schema) }
