package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config/setting"
)

// What a mapping makes of events can be tried where nobody knows the keys.
func TestWhatOtherSectionsNeedMayBeMissing(t *testing.T) {
	const text = `name: ${env:NAME}
kafka:
  brokers: ["${env:BROKER}"]
  topics: ["${env:TOPIC}"]
  group: leadsink
  tls: {enabled: true, ca_file: none.pem}
transform:
  rules:
    - lead: event.lead.id
      activity: 320
leadsquared:
  host: ${env:EMPTY}
  access_key: ${env:KEY}
  secret_key: ${file:/none}
  timeout: ${env:TIMEOUT}
  ca_file: none.pem
`
	lookup := func(name string) (string, bool) { return "", name == "EMPTY" }
	doc, open, err := parse("leadsink.yaml", []byte(text), lookup, []string{"transform", "decode"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"kafka.brokers[0]", "kafka.tls.ca_file", "kafka.topics[0]", "leadsquared.access_key", "leadsquared.ca_file",
		"leadsquared.host", "leadsquared.secret_key", "leadsquared.timeout", "name",
	}, open); diff != "" {
		t.Error(diff)
	}
	if doc.LeadSquared.Client.Timeout != Default().LeadSquared.Client.Timeout {
		t.Errorf("what is open has not its default: %v", doc.LeadSquared.Client.Timeout)
	}
	for _, c := range []struct{ was, is, key string }{
		{"timeout: ${env:TIMEOUT}", "timeout: 1ms", "leadsquared.timeout"},
		{"group: leadsink", "grop: leadsink", "kafka.grop"},
		{"group: leadsink", `group: "${envGROUP}"`, "kafka.group"},
		{"transform:\n", "transform:\n  sample: none.json\n", "transform.sample"},
		{"transform:\n", "transform:\n  otherwise: ${env:POLICY}\n", "transform.otherwise"},
		{"transform:\n", "decode: {max_depth: \"${env:DEPTH}\"}\ntransform:\n", "decode.max_depth"},
		{"  access_key: ${env:KEY}\n", "", "leadsquared.access_key"},
	} {
		_, _, err := parse("leadsink.yaml", []byte(strings.Replace(text, c.was, c.is, 1)), lookup, []string{"transform", "decode"})
		all, ok := errors.AsType[*Errors](err)
		if !ok || len(all.List) != 1 && c.key != "kafka.grop" || !slices.ContainsFunc(all.List, func(e *Error) bool { return e.Key == c.key }) {
			t.Errorf("%s: %v, want an error of %s alone", c.is, err, c.key)
		}
	}
	if _, _, err := parse("leadsink.yaml", []byte(text), lookup, []string{"transform", "kafka"}); err == nil || !strings.Contains(err.Error(), "BROKER is not set") || strings.Contains(err.Error(), "KEY") {
		t.Errorf("with kafka needed: %v", err)
	}
}

type anything struct {
	Event setting.JSON `yaml:"event"`
	Name  string       `yaml:"name"`
}

func TestAnyYAMLBecomesJSONWithItsDigits(t *testing.T) {
	for text, want := range map[string]string{
		"event: {id: 1234567890123456789012, total: 1299.50, ok: yes, no: true, none: null, empty: }": `{"id":1234567890123456789012,"total":1299.50,"ok":"yes","no":true,"none":null,"empty":null}`,
		"event:\n  lines:\n    - sku: A-1\n      qty: 2\n    - &b {sku: \"<é&>\"}\n    - *b\n":        `{"lines":[{"sku":"A-1","qty":2},{"sku":"<é&>"},{"sku":"<é&>"}]}`,
		"event: 2026-11-23T09:30:00Z":          `"2026-11-23T09:30:00Z"`,
		"event: '12'":                          `"12"`,
		"event: |\n  two\n  lines\n":           `"two\nlines\n"`,
		"event: []":                            `[]`,
		"event: {1: a, 'b c': -2.5e-3}":        `{"1":"a","b c":-2.5e-3}`,
		"event: \"\\u0007\\\"${env:HOME}\\t\"": `"\u0007\"${env:HOME}\t"`,
	} {
		var got anything
		f := ParseFile("f.yaml", "the guide", []byte(text), &got)
		if err := f.Err(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if string(got.Event) != want {
			t.Errorf("%s: got %s, want %s", text, got.Event, want)
		}
	}
}

func TestAFileIsReadAsStrictlyAsTheDocument(t *testing.T) {
	for text, want := range map[string]string{
		"evnt: 1":                           "f.yaml:1:1: evnt: there is no such key; did you mean event?",
		"xyz: 1":                            "f.yaml:1:1: xyz: there is no such key; leave it out, or see the guide for the keys",
		"event: {a: 1, a: 2}":               "f.yaml:1:15: event.a: occurs twice, first in line 1; leave one out",
		"event: {a: {b: 0x1F}}":             `f.yaml:1:16: event.a.b: "0x1F" is not a number in JSON; write its decimal digits, or put it into quotes`,
		"event: {a: [1, .inf]}":             `f.yaml:1:16: event.a[1]: ".inf" is not a number in JSON`,
		"event: !!binary aGk=":              "f.yaml:1:8: event: YAML tags have no meaning here; leave !!binary out",
		"event: *a":                         "f.yaml:1:8: event: nothing above is marked &a",
		"event: &a {b: *a}":                 "more than 100000 values with its aliases",
		"name: [a]":                         "f.yaml:1:7: name: is a list; write text",
		"":                                  "f.yaml: the document is empty; see the guide",
		"event: {<<: {a: 1}}":               "is not a key that can be read",
		strings.Repeat("# filler\n", 1<<17): "larger than 1 MiB",
	} {
		err := ParseFile("f.yaml", "the guide", []byte(text), new(anything)).Err()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %.200v, want %s", text, err, want)
		}
	}
	if _, err := ReadText(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml: cannot be read: no such file") {
		t.Errorf("got %v", err)
	}
}

func TestAFileTellsWhereItsKeysAre(t *testing.T) {
	var got anything
	f := ParseFile("f.yaml", "the guide", []byte("# a comment\nname: a\nevent: {b: 1}\n"), &got)
	if !f.Has("event") || f.Has("nam") || f.Line("event") != 3 || f.Line("nam") != 0 || f.Node("nam") != nil || f.Node("name").String() != "a" {
		t.Errorf("event in line %d", f.Line("event"))
	}
	f.Report("event", "is wrong; mend it")
	if err := f.Err(); err == nil || err.Error() != "f.yaml:3:1: event: is wrong; mend it\n    event: {b: 1}\n    ^" {
		t.Errorf("got %v", err)
	}
}

func TestAFileIsWrittenWholeThroughItsLinkWithItsMode(t *testing.T) {
	folder := t.TempDir()
	path, link := filepath.Join(folder, "tests.yaml"), filepath.Join(folder, "link.yaml")
	check := func(want string, mode os.FileMode) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("it holds %q, %v; want %q", got, err, want)
		}
		if stat, err := os.Lstat(path); err != nil || stat.Mode() != mode {
			t.Errorf("mode %v, %v; want %v", stat.Mode(), err, mode)
		}
	}
	if err := WriteText(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	check("new", 0o644)
	if err := errors.Join(os.Chmod(path, 0o600), os.Symlink("tests.yaml", link), WriteText(link, []byte("again"))); err != nil {
		t.Fatal(err)
	}
	check("again", 0o600)
	if target, err := os.Readlink(link); err != nil || target != "tests.yaml" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if all, err := os.ReadDir(folder); err != nil || len(all) != 2 {
		t.Errorf("there are %v, %v", all, err)
	}
}

func TestAFileThatCannotBeWrittenStaysAsItIs(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, strings.Repeat("n", 250)) // no longer name fits beside it
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{path, folder, filepath.Join(folder, "none", "tests.yaml")} {
		if err := WriteText(wrong, []byte("new")); err == nil {
			t.Errorf("%.60s is written", wrong)
		}
	}
	got, err := os.ReadFile(path)
	all, _ := os.ReadDir(folder)
	if err != nil || string(got) != "old" || len(all) != 1 {
		t.Errorf("it holds %q, %v, beside %v", got, err, all)
	}
}

// An alias of what it stands in makes keys that are longer than the file.
func TestALongKeyIsToldByItsEnds(t *testing.T) {
	end := strings.Repeat("é", 119)
	for _, c := range []struct{ text, key string }{
		{"event: &a {long: *a}", "event" + strings.Repeat(".long", 23) + "…" + strings.Repeat(".long", 24)},
		{"event: {" + strings.Repeat("n", 300) + end + ": .inf}", "event." + strings.Repeat("n", 114) + "…n" + end},
		{"event: {" + strings.Repeat("n", 234) + ": .inf}", "event." + strings.Repeat("n", 234)},
	} {
		f := ParseFile("f.yaml", "the guide", []byte(c.text), &anything{})
		all, ok := errors.AsType[*Errors](f.Err())
		if !ok || len(all.List) != 1 || all.List[0].Key != c.key || len(all.Error()) > 1000 {
			t.Errorf("%.40s: got %.2000v", c.text, f.Err())
		}
	}
}
