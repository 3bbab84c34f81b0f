package config

import (
	"errors"
	"strings"
	"testing"
)

// Whatever form YAML lets an expression have, the caret is below the word that
// is wrong.
func TestAPlaceInAnExpressionIsFoundInEveryFormOfYAML(t *testing.T) {
	for name, written := range map[string]string{
		"plain":                      "event.type == nope",
		"plain, spaces at the end":   "event.type == nope   ",
		"plain over lines":           "event.type ==\n          1 or\n\n          event.other == nope",
		"single quotes":              `'event.a == "it''s" or event.b == nope'`,
		"single quotes over lines":   "'event.a ==\n\n          \"it''s\" or\n          nope'",
		"double quotes":              `"event.a == \"x\" or\u0020event.b == \x27y\x27 or nope"`,
		"double quotes over lines":   "\"event.a == \\\"x\\\"\n          or event.b \\\n            or nope\"",
		"an escaped end of line":     `"event.a == 1\n or nope"`,
		"a literal block":            "|\n          event.a == 1\n            or nope",
		"a literal block, stripped":  "|-\n\n          event.a == 1\n\n            or nope\n",
		"a folded block":             ">\n          event.a == 1\n          or event.b\n\n          or nope\n",
		"a folded block, more lines": ">-\n          event.a == 1\n            or event.b == \"ü\"\n          or nope\n",
		"letters of several bytes":   `'event.a == "äöü😀" or nope'`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, strings.Replace(minimal, "activity: 320", "activity: 320\n      when: "+written, 1))
			all, ok := errors.AsType[*Errors](err)
			if !ok || len(all.List) != 1 {
				t.Fatalf("got %v, want one error", err)
			}
			lines := strings.Split(err.Error(), "\n")
			line, caret := lines[len(lines)-2], lines[len(lines)-1]
			if at := string([]rune(line)[strings.Index(caret, "^"):]); !strings.HasPrefix(at, "nope") {
				t.Errorf("the caret is at %q in\n%v", at, err)
			}
		})
	}
}
