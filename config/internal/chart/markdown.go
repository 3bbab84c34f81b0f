package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// begins is the line of the README below which everything is generated.
const begins = "<!-- Generated from values.yaml by go generate ./config. Change the comments there. -->\n"

// Markdown returns the README with the table of the values in its place.
func Markdown(readme []byte, values []Value) ([]byte, error) {
	written, _, ok := bytes.Cut(readme, []byte(begins))
	if !ok {
		return nil, errors.New("the chart's README has no line " + strings.TrimSpace(begins))
	}
	b := bytes.NewBuffer(bytes.Clone(written))
	b.WriteString(begins + "\n| value | default | meaning |\n|---|---|---|\n")
	return b.Bytes(), rows(b, values)
}

func rows(b *bytes.Buffer, values []Value) error {
	for _, v := range values {
		if v.Meaning == "" {
			if err := rows(b, v.Values); err != nil {
				return err
			}
			continue
		}
		fallback := ""
		if v.Default != nil {
			text, err := json.Marshal(v.Default)
			if err != nil {
				return err
			}
			fallback = "`" + string(text) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", v.Path, cell(fallback), cell(v.Meaning))
	}
	return nil
}

// cell keeps a bar in a text from ending the table's cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
