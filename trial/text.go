package trial

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Texts are named texts in order.
type Texts []Text

// A Text is a text with its name.
type Text struct{ Name, Text string }

// MarshalJSON writes an object that keeps the order.
func (t Texts) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, one := range t {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, quoted(one.Name)...), ':'), quoted(one.Text)...)
	}
	return append(b, '}'), nil
}

// Lines returns what would become of the record in the words of a test's
// expectation, as lines of YAML. All text in it can be printed.
func (o *Outcome) Lines() []string {
	switch o.Fate {
	case Sent:
		lines := []string{"activities:"}
		for i := range o.Activities {
			lines = append(lines, indented("  ", item(o.Activities[i].lines()))...)
		}
		return lines
	case Filtered:
		return []string{"filtered: true"}
	case Dead, Halts:
		return append([]string{string(o.Fate) + ":"}, indented("  ", o.Reason.lines())...)
	}
	panic("trial: no lines for fate " + string(o.Fate))
}

// An entry is a key with a text, or with texts below it.
type entry struct {
	key   string
	text  string // as it is written
	texts Texts
}

func (e entry) lines() []string {
	if e.texts == nil {
		return []string{written(e.key) + ": " + e.text}
	}
	lines := []string{e.key + ":"}
	for _, t := range e.texts {
		lines = append(lines, "  "+written(t.Name)+": "+written(t.Text))
	}
	return lines
}

// entries are the keys of an activity in the order of writing. Of those but lead
// and activity, empty ones are left out.
func (a *Activity) entries() []entry {
	var all []entry
	add := func(key, text string) {
		if text != "" {
			all = append(all, entry{key: key, text: written(text)})
		}
	}
	add("rule", a.Rule)
	all = append(all, entry{key: "lead", text: written(a.Lead)}, entry{key: "activity", text: strconv.Itoa(a.Code)})
	add("note", a.Note)
	add("owner", a.Owner)
	add("at", a.At)
	if len(a.Fields) > 0 {
		all = append(all, entry{key: "fields", texts: a.Fields})
	}
	if len(a.Attributes) > 0 {
		all = append(all, entry{key: "attributes", texts: a.Attributes})
	}
	add("marker", a.Marker)
	return all
}

func (a *Activity) lines() []string { return linesOf(a.entries()) }

func (r *Reason) entries() []entry {
	var all []entry
	for _, e := range []entry{{key: "class", text: r.Class}, {key: "rule", text: r.Rule}, {key: "message", text: r.Message}} {
		if e.text != "" {
			all = append(all, entry{key: e.key, text: written(e.text)})
		}
	}
	return all
}

func (r *Reason) lines() []string { return linesOf(r.entries()) }

func linesOf(entries []entry) []string {
	var lines []string
	for _, e := range entries {
		lines = append(lines, e.lines()...)
	}
	return lines
}

func indented(by string, lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = by + line
	}
	return out
}

// item makes lines an element of a list.
func item(lines []string) []string {
	out := indented("  ", lines)
	out[0] = "- " + lines[0]
	return out
}

// unquoted is text that YAML takes as it is, wherever it stands.
var unquoted = regexp.MustCompile(`^[\p{L}\p{N}_/](?:[ :]?[\p{L}\p{N}_./@+(),;=&%$!?~-])*$`)

// written returns the text as it is written in YAML, on one line and without
// what would steer a terminal.
func written(text string) string {
	switch strings.ToLower(text) {
	case "null", "true", "false":
		return strconv.Quote(text)
	}
	if unquoted.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}

// printable returns the text with what would steer a terminal in the form that
// JSON has for it.
func printable(text string) string {
	if !strings.ContainsFunc(text, steers) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !steers(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func steers(r rune) bool { return !unicode.IsPrint(r) }

// Counted returns "1 record", "2 records".
func Counted(n int, word string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(word, "y"):
		word = strings.TrimSuffix(word, "y") + "ies"
	default:
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}
