package transform

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leadsink/leadsink/transform/decode"
)

// A guide is docs/mapping.md.
type guide struct {
	text   string
	blocks []string // fenced, without their fences
}

func readGuide(t *testing.T) guide {
	t.Helper()
	text, err := os.ReadFile("../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	g := guide{text: string(text)}
	for _, m := range regexp.MustCompile("(?s)\n```[a-z]*\n(.*?)```\n").FindAllStringSubmatch(g.text, -1) {
		g.blocks = append(g.blocks, m[1])
	}
	if len(g.blocks) < 5 {
		t.Fatalf("the guide has only %d blocks", len(g.blocks))
	}
	return g
}

func (g guide) config(t *testing.T) Config {
	t.Helper()
	document := struct {
		Transform Config `yaml:"transform"`
	}{Default()}
	if err := yaml.UnmarshalWithOptions([]byte(g.blocks[0]), &document, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return document.Transform
}

func (g guide) sample(t *testing.T) any {
	t.Helper()
	sample, err := decode.JSON([]byte(g.blocks[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return sample
}

func (g guide) record() *Record {
	return &Record{
		Topic: "crm.events", Key: []byte("L1"), Headers: []Header{{"source", []byte("shop")}},
		Timestamp: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC), Value: []byte(g.blocks[1]),
	}
}

func TestTheGuidesExampleIsTrue(t *testing.T) {
	g := readGuide(t)
	cfg, sample := g.config(t), g.sample(t)
	_, problems := Compile(cfg, decode.Default(), sample)
	if len(problems) != 1 || "transform."+problems[0].Error() != strings.TrimSpace(g.blocks[2]) {
		t.Error(problems)
	}
	cfg.Rules[0].Note = `"Order " + string(event.order.id)`
	if !strings.Contains(g.text, "`note: '"+cfg.Rules[0].Note+"'`") {
		t.Error("the guide mends the note differently")
	}
	rules, problems := Compile(cfg, decode.Default(), sample)
	if problems != nil {
		t.Fatal(problems)
	}
	var want []Activity
	if err := json.Unmarshal([]byte(g.blocks[3]), &want); err != nil {
		t.Fatal(err)
	}
	m := rules.Map(g.record())
	if diff := cmp.Diff(want, m.Activities, cmpopts.IgnoreFields(Activity{}, "Marker")); diff != "" {
		t.Error(diff, m.Reason)
	}
	cfg.Rules[0].Lead = "event.lead.idd"
	_, problems = Compile(cfg, decode.Default(), sample)
	if len(problems) != 1 || "transform."+problems[0].Error() != strings.TrimSpace(g.blocks[4]) {
		t.Error(problems)
	}
}

func TestTheGuidesExpressionsGiveTheirResults(t *testing.T) {
	g := readGuide(t)
	rows := regexp.MustCompile("(?m)\\| `([^`]+)` \\| `([^`]+)` \\|$").FindAllStringSubmatch(g.text, -1)
	if len(rows) < 30 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows {
		cfg := Default()
		cfg.Rules = []Rule{{Lead: "event.lead.id", Activity: "1", Note: row[1]}}
		rules, problems := Compile(cfg, decode.Default(), g.sample(t))
		if problems != nil {
			t.Error(row[1], problems)
			continue
		}
		m := rules.Map(g.record())
		if m.Decision != Send || m.Activities[0].Note != row[2] {
			t.Errorf("%s: got %v, want %s", row[1], m, row[2])
		}
	}
}

func TestTheGuideNamesEveryFunction(t *testing.T) {
	g := readGuide(t)
	for _, f := range functions {
		if !strings.Contains(g.text, "\n| `"+f.name+"` | ") {
			t.Errorf("%s has no row", f.name)
		}
	}
	_, list, _ := strings.Cut(g.text, "From expr there are ")
	list, _, _ = strings.Cut(list, ".\n")
	var named []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(list, -1) {
		named = append(named, m[1])
	}
	if diff := cmp.Diff(builtins, named); diff != "" {
		t.Error(diff)
	}
}

func TestEntriesKeepTheirOrderThroughYAML(t *testing.T) {
	const document = "fields:\n  b: event.b\n  a: 5\n  c: true\nattributes:\n  z: '\"x\"'\n  y: 1.25\n"
	var got Rule
	if err := yaml.UnmarshalWithOptions([]byte(document), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	want := Rule{Fields: Entries{{"b", "event.b"}, {"a", "5"}, {"c", "true"}}, Attributes: Entries{{"z", `"x"`}, {"y", "1.25"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	written, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	got = Rule{}
	if err := yaml.Unmarshal(written, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := yaml.Unmarshal([]byte("fields: {a: [1]}"), &got); err == nil || !strings.Contains(err.Error(), "a is not an expression; write one in quotes") {
		t.Error(err)
	}
	if err := yaml.Unmarshal([]byte("fields: {a: null}"), &got); err == nil || !strings.Contains(err.Error(), "a is not an expression; write one in quotes") {
		t.Error(err)
	}
}
