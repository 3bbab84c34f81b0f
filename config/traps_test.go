package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A field that is misspelt in a mapping became null and was sent like that. In
// each place of a rule, and in the document's own keys, it must keep the document
// from loading, with the place and with the name that was meant.
func TestTrapMistypedFieldIsALoadError(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "event.json"), []byte(`{"type":"order","lead":{"id":"L1"},"items":[{"sku":"a"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	right := strings.Replace(minimal, "transform:\n", "transform:\n  sample: event.json\n", 1)
	rule := "    - lead: event.lead.id\n      activity: 320\n"
	parse := func(rule string) error {
		_, err := Parse(filepath.Join(folder, "leadsink.yaml"), []byte(rule))
		return err
	}
	if err := parse(right); err != nil {
		t.Fatalf("the document without a misspelling: %v", err)
	}
	for _, c := range []struct{ was, is, key, meant string }{
		{rule, rule + "      fields: {mx_Custom_1: event.tpye}\n", "transform.rules[0].fields.mx_Custom_1", "did you mean type?"},
		{rule, rule + "      fields: {mx_Custom_1: 'event.items[0].sk'}\n", "transform.rules[0].fields.mx_Custom_1", "did you mean sku?"},
		{rule, rule + "      fields: {mx_Custom_1: 'event.lead.idd ?? \"none\"'}\n", "transform.rules[0].fields.mx_Custom_1", "did you mean id?"},
		{rule, rule + "      note: '\"Order \" + string(event.lead.idd)'\n", "transform.rules[0].note", "did you mean id?"},
		{rule, rule + "      when: event.tpye == \"order\"\n", "transform.rules[0].when", "did you mean type?"},
		{rule, rule + "      at: event.tpye\n", "transform.rules[0].at", "did you mean type?"},
		{"event.lead.id", "evnt.lead.id", "transform.rules[0].lead", "did you mean event?"},
		{"event.lead.id", "event.leed.id", "transform.rules[0].lead", "did you mean lead?"},
		{"    - lead:", "    - leed:", "transform.rules[0].leed", "did you mean lead?"},
	} {
		err := parse(strings.Replace(right, c.was, c.is, 1))
		all, ok := errors.AsType[*Errors](err)
		if !ok {
			t.Errorf("%s: it loads with %v", c.is, err)
			continue
		}
		if !slices.ContainsFunc(all.List, func(e *Error) bool {
			return e.Key == c.key && e.Line > 0 && strings.Contains(e.Text, c.meant)
		}) {
			t.Errorf("%s: %v, want it at %s with the words %q", c.is, err, c.key, c.meant)
		}
	}
}
