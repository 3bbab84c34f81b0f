// Generate writes what is derived from the document's structs: its JSON Schema,
// its reference, and the Helm chart's schema and table of values. It runs in
// the folder config.
package main

import (
	"fmt"
	"os"

	"github.com/leadsink/leadsink/config/internal/chart"
	"github.com/leadsink/leadsink/config/internal/reference"
)

func main() {
	if err := generate(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate() error {
	keys, err := reference.Keys("..")
	if err != nil {
		return err
	}
	schema, err := reference.Schema(keys)
	if err != nil {
		return err
	}
	if err := os.WriteFile("schema.json", schema, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile("../docs/reference.md", reference.Markdown(keys), 0o644); err != nil {
		return err
	}
	made, err := chart.Generate("../deploy", schema)
	if err != nil {
		return err
	}
	for path, text := range made {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
