package trial

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// Diff returns all lines of two texts in order, those of both with "  " before
// them, those of the first alone with "- ", those of the second alone with "+ ".
func Diff(before, after []string) []string {
	if len(before) == 0 || len(after) == 0 {
		return append(indented("- ", before), indented("+ ", after)...)
	}
	text := strings.Join(before, "\n") + "\n"
	edits := udiff.Strings(text, strings.Join(after, "\n")+"\n")
	if len(edits) == 0 {
		return indented("  ", before)
	}
	unified, err := udiff.ToUnifiedDiff("", "", text, edits, len(before)+len(after))
	if err != nil {
		panic("trial: edits that do not fit their own text: " + err.Error())
	}
	var lines []string
	for _, hunk := range unified.Hunks {
		for _, line := range hunk.Lines {
			mark := "  "
			switch line.Kind {
			case udiff.Delete:
				mark = "- "
			case udiff.Insert:
				mark = "+ "
			case udiff.Equal:
			}
			lines = append(lines, mark+strings.TrimSuffix(line.Content, "\n"))
		}
	}
	return lines
}

// A Difference is what two documents make of one record.
type Difference struct {
	Outcome
	Other   Outcome  `json:"other"`
	Differs bool     `json:"differs"`
	Diff    []string `json:"diff,omitempty"` // lines as those of Diff, where they differ
}

// compare tries a record with both documents.
func (t *Trial) compare(other *Trial, in Input) Difference {
	d := Difference{Outcome: t.Try(in), Other: other.Try(in)}
	before, after := d.Lines(), d.Other.Lines()
	if slices.Equal(before, after) { // the requests may still differ
		before, after = d.posted(t), d.Other.posted(other)
	}
	if d.Differs = !slices.Equal(before, after); d.Differs {
		d.Diff = Diff(before, after)
	}
	return d
}

// posted are the calls, taken apart into lines.
func (o *Outcome) posted(t *Trial) []string {
	var lines []string
	for _, body := range o.Bodies {
		var b bytes.Buffer
		if err := json.Indent(&b, []byte(body), "", "  "); err != nil {
			panic("trial: a body that is not JSON: " + err.Error())
		}
		lines = append(lines, "POST "+printable(t.Address()))
		for line := range strings.Lines(b.String()) {
			lines = append(lines, printable(strings.TrimSuffix(line, "\n")))
		}
	}
	return lines
}
