package transform

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
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
	example, _, _ := strings.Cut(g.text, "\n## Functions")
	for _, m := range regexp.MustCompile("(?s)\n```[a-z]*\n(.*?)```\n").FindAllStringSubmatch(example, -1) {
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
	cities := filepath.Join(t.TempDir(), "cities.csv")
	if err := os.WriteFile(cities, []byte("code,name\nPUN,Pune\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		cfg := Default()
		cfg.Tables = []Table{{Name: "cities", File: cities}}
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
	all := []string{lookupName}
	for _, f := range functions {
		all = append(all, f.name)
	}
	for _, name := range all {
		if !strings.Contains(g.text, "\n| `"+name+"` | ") {
			t.Errorf("%s has no row", name)
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

// Each recipe is a part of a document, perhaps with a table before it, an event,
// and what the activities made of it hold.
func TestTheCookbooksRecipesDoWhatTheySay(t *testing.T) {
	_, cookbook, _ := strings.Cut(readGuide(t).text, "\n## Cookbook\n")
	cookbook, _, _ = strings.Cut(cookbook, "\n## ")
	recipes := strings.Split(cookbook+"\n", "\n### ")[1:]
	if len(recipes) < 9 {
		t.Fatalf("only %d recipes", len(recipes))
	}
	for _, recipe := range recipes {
		title, _, _ := strings.Cut(recipe, "\n")
		t.Run(title, func(t *testing.T) {
			document := struct {
				Transform Config `yaml:"transform"`
			}{Default()}
			var table string
			var values []string // the event, and the activities
			for _, m := range regexp.MustCompile("(?s)\n```([a-z]+)\n(.*?)```\n").FindAllStringSubmatch(recipe, -1) {
				switch m[1] {
				case "yaml":
					if err := yaml.UnmarshalWithOptions([]byte(m[2]), &document, yaml.Strict()); err != nil {
						t.Fatal(err)
					}
				case "csv":
					table = m[2]
				case "json":
					values = append(values, m[2])
				}
			}
			if len(values) != 2 {
				t.Fatalf("%d blocks of JSON", len(values))
			}
			cfg := document.Transform
			for i := range cfg.Tables {
				cfg.Tables[i].File = filepath.Join(t.TempDir(), cfg.Tables[i].File)
				if err := os.WriteFile(cfg.Tables[i].File, []byte(table), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := readGuide(t).record()
			r.Offset, r.Value = 7, []byte(strings.TrimSpace(values[0]))
			m := compile(t, cfg, values[0]).Map(r)
			said, err := json.Marshal(m.Activities)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []map[string]any
			if err := errors.Join(json.Unmarshal(said, &got), json.Unmarshal([]byte(values[1]), &want)); err != nil {
				t.Fatal(err)
			}
			for i := range got { // the recipe says what matters
				maps.DeleteFunc(got[i], func(key string, _ any) bool { return i >= len(want) || want[i][key] == nil })
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff, m.Reason)
			}
			if title == "An order" {
				if diff := cmp.Diff(orderConfig(), cfg); diff != "" || string(r.Value) != orderEvent {
					t.Errorf("what is measured is another order: %s%s", r.Value, diff)
				}
			}
		})
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
