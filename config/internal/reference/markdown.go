package reference

import (
	"bytes"
	"fmt"
	"strings"
)

const preamble = `# The configuration document

<!-- Generated from the Go structs by go generate ./config. Change the comments there. -->

Every key, with what its value looks like, its default and its meaning. Unknown keys are errors. A key that is left out
has its default; zero means zero.

- A *duration* is written with its unit: ` + "`500ms`, `5s`, `2m`, `1h`" + `. A *size* is a number of bytes: ` + "`32MiB`, `5MB`, `512`" + `.
- ` + "`${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}`" + ` stand for what a variable or a file holds, in every value except
  the expressions of ` + "`transform.rules`" + `. Relative paths are relative to the document.
- A *secret* that comes from a file is read again when the file changes. No log, error or page shows it.

`

// Markdown returns the reference of the keys.
func Markdown(keys []Key) []byte {
	var b bytes.Buffer
	b.WriteString(preamble)
	var plain []Key
	for _, k := range keys {
		if k.Kind != Section {
			plain = append(plain, k)
		}
	}
	b.WriteString("## At the top\n\n")
	table(&b, plain, "")
	for _, k := range keys {
		if k.Kind == Section {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", k.Name, k.Meaning)
			table(&b, k.Keys, "")
		}
	}
	return b.Bytes()
}

func table(b *bytes.Buffer, keys []Key, prefix string) {
	b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n")
	rows(b, keys, prefix)
}

// rows writes a row for every key, those of sections within below their name.
func rows(b *bytes.Buffer, keys []Key, prefix string) {
	for _, k := range keys {
		name := prefix + k.Name
		if k.Kind == Section {
			if k.List {
				name += "[]"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, shape(k), fallback(k), cell(k.Meaning))
			rows(b, k.Keys, name+".")
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, shape(k), fallback(k), cell(k.Meaning))
	}
}

func shape(k Key) string {
	text := string(k.Kind)
	if k.Words != nil {
		text = "`" + strings.Join(k.Words, "`, `") + "`"
	}
	if k.List {
		text = "list: " + text
	}
	return text
}

func fallback(k Key) string {
	switch {
	case k.Must:
		return "must be given"
	case k.Default == "":
		return ""
	}
	return "`" + k.Default + "`"
}

// cell keeps a bar in a text from ending the table's cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
