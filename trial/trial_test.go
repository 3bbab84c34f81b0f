package trial

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
	}
}

// load makes a document of testdata ready.
func load(t *testing.T, name string) *Trial {
	t.Helper()
	doc, _, err := config.LoadFor(filepath.Join("testdata", name), "decode", "transform")
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := New(doc)
	if err != nil {
		t.Fatal(err)
	}
	return mapping
}

func records(t *testing.T) []Input {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	inputs, err := ReadRecords("records.jsonl", bytes.NewReader(text), transform.Record{})
	if err != nil {
		t.Fatal(err)
	}
	return inputs
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

func TestAPreviewShowsWhatWouldBecomeOfEachRecord(t *testing.T) {
	mapping := load(t, "leadsink.yaml")
	mapping.Check = func(a *transform.Activity) []setting.Problem {
		if a.Code != 321 {
			return nil
		}
		return []setting.Problem{{Key: "activity", Text: "321 is no activity type of the account; correct it, or create the type"}}
	}
	p := mapping.Preview("leadsink.yaml", records(t))
	var narrow, wide bytes.Buffer
	if err := p.Print(&narrow, Paper{Width: 80}); err != nil {
		t.Fatal(err)
	}
	golden(t, "preview.txt", narrow.String())
	for line := range strings.Lines(narrow.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && !strings.HasPrefix(line, "  body ") && !strings.Contains(line, "calls would go to") {
			t.Errorf("%d columns: %s", n, line)
		}
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), steers) {
			t.Errorf("it steers a terminal: %q", line)
		}
	}
	if err := p.Print(&wide, Paper{Width: 200, Colour: true}); err != nil {
		t.Fatal(err)
	}
	golden(t, "preview_colour.txt", wide.String())
	golden(t, "preview.json", asJSON(t, p))
}

func TestRecordsAlikeAreComparedByWhatWouldBePosted(t *testing.T) {
	one, other := load(t, "leadsink.yaml"), load(t, "other.yaml")
	c := one.Compare("leadsink.yaml", other, "other.yaml", records(t))
	var b bytes.Buffer
	if err := c.Print(&b, Paper{Width: 100}); err != nil {
		t.Fatal(err)
	}
	golden(t, "diff.txt", b.String())
	golden(t, "diff.json", asJSON(t, c))
	same := one.Compare("leadsink.yaml", one, "leadsink.yaml", records(t))
	b.Reset()
	if err := same.Print(&b, Paper{Width: 100}); err != nil {
		t.Fatal(err)
	}
	if b.String() != "0 of 6 records differ.\n" || same.Summary.Differ != 0 {
		t.Errorf("a document differs from itself:\n%s", b.String())
	}
}

// The bodies are those that the client posts, so only their division into calls
// is looked at here.
func TestMoreActivitiesThanABatchAreSeveralCalls(t *testing.T) {
	mapping := load(t, "leadsink.yaml")
	mapping.doc.LeadSquared.Batch.Batch = 1
	o := mapping.Try(records(t)[0])
	if len(o.Activities) != 2 || len(o.Bodies) != 2 || !strings.Contains(o.Bodies[0], `"ActivityEvent":320`) || !strings.Contains(o.Bodies[1], `"ActivityEvent":321`) {
		t.Errorf("got %q", o.Bodies)
	}
}

func TestAFileOfEventsIsReadInEveryForm(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"a.jsonl", "{\"a\":1}\n\n  {\"b\": 2}\r\nbroken\n", []string{`a.jsonl:1 {"a":1}`, `a.jsonl:3 {"b": 2}`, `a.jsonl:4 broken`}},
		{"a.jsonl", "{\"a\":\n1}", []string{"a.jsonl:1 {\"a\":\n1}"}},
		{"stdin", "[{\"a\":1}, 2]", []string{`stdin[0] {"a":1}`, `stdin[1] 2`}},
		{"a.json", "\ufeff{\"a\":1}\n", []string{`a.json:1 {"a":1}`}},
	} {
		inputs, err := ReadEvents(c.name, strings.NewReader(c.text), transform.Record{Topic: "t"})
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
		var got []string
		for i, in := range inputs {
			got = append(got, in.From+" "+string(in.Value))
			if in.Offset != int64(i) || in.Topic != "t" {
				t.Errorf("%s has the position %s@%d", in.From, in.Topic, in.Offset)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q:\n%s", c.text, diff)
		}
	}
}

func TestInputThatCannotBeReadSaysWhy(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a.jsonl", " \n", "a.jsonl is empty; write one event per line, or a list of events"},
		{"a.json", "[]", "a.json is empty"},
		{"a.json", "{\n  \"é\": oh\n}", "a.json:2:8: not JSON: invalid character 'o' looking for beginning of value; correct it, or name a file of one event per line .jsonl"},
		{"a.json", "{", "a.json:1:1: not JSON: unexpected end of JSON input"},
		{"a.jsonl", strings.Repeat("1\n", maxRecords+1), "a.jsonl has more than 100000 records; take a part of it"},
		{"a.jsonl", strings.Repeat("1234567\n", maxInput/8+1), "a.jsonl is larger than 64 MiB; take a part of it"},
	} {
		_, err := ReadEvents(c.name, strings.NewReader(c.text), transform.Record{})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.40q: got %v, want %s", c.text, err, c.want)
		}
	}
	for text, want := range map[string]string{
		`{"type":"order"}`:                    `r:1: not a record: json: unknown field "type"; a record has value or value_base64, and perhaps key,`,
		`{"key":"a"}`:                         `r:1: not a record: it has no value; write "value", which is null for a tombstone, or leave --records out`,
		`{"value":1,"value_base64":"AA=="}`:   "r:1: not a record: it has value and value_base64; write one of the two",
		`{"value":1,"timestamp":"yesterday"}`: "r:1: not a record: parsing time",
		`[{"value":1}, 2]`:                    "r[1]: not a record: json: cannot unmarshal number",
	} {
		_, err := ReadRecords("r", strings.NewReader(text), transform.Record{})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// What --json shows can be previewed again.
func TestARecordIsReadAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maybe := func(label string) []byte {
			if rapid.Bool().Draw(t, label+" is null") {
				return nil
			}
			text := rapid.OneOf(rapid.StringMatching(`[a-z"\\\x00é]*`), rapid.SampledFrom([]string{"null", "1.50", `"text"`, `{"a":1.10}`, "[ 1]", " {}", "true"})).Draw(t, label)
			if rapid.Bool().Draw(t, label+" is binary") {
				text += "\xff"
			}
			return []byte(text)
		}
		in := Input{Record: transform.Record{
			Topic: "t", Partition: 3, Offset: rapid.Int64Min(0).Draw(t, "offset"), LeaderEpoch: -1,
			Timestamp: time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time")).UTC(), Key: maybe("key"), Value: maybe("value"),
		}}
		if rapid.Bool().Draw(t, "has a header") {
			in.Headers = []transform.Header{{Key: "h", Value: []byte("v")}}
		}
		text, err := marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadRecords("r", bytes.NewReader(text), transform.Record{Topic: "other"})
		if err != nil || len(again) != 1 {
			t.Fatal(err, string(text))
		}
		var compact bytes.Buffer
		if json.Compact(&compact, in.Value) == nil && (in.Value[0] == '{' || in.Value[0] == '[') {
			in.Value = compact.Bytes()
		}
		if diff := cmp.Diff(in.Record, again[0].Record); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	})
}

// What is shown of an activity can be put into a test.
func TestTextIsReadAsItIsWritten(t *testing.T) {
	check := func(text string) string {
		var content struct {
			Cases []testCase `yaml:"cases"`
		}
		lines := []string{"cases:", "  - name: " + written(text), "    headers:", "      " + written(text) + ": " + written(text)}
		f := config.ParseFile("f.yaml", guide, []byte(strings.Join(lines, "\n")+"\n"), &content)
		switch {
		case f.Err() != nil:
			return f.Err().Error()
		case content.Cases[0].Name != text:
			return content.Cases[0].Name
		case text != "" && (content.Cases[0].Headers[0].Name != text || content.Cases[0].Headers[0].Expression != text):
			return content.Cases[0].Headers[0].Name
		}
		return text
	}
	for _, text := range []string{
		"", "null", "True", "no", "~", "a: b", "a #b", "#b", "- a", "0123", "1.50", "1e5", "0x1F", "12:30:00", "2026-03-01 09:30:00", "a:b", "a:", ":a", " a", "a ",
		"Zürich", "*a", "&a", "!a", "|", ">", "@a", "`a", "%a", "{a}", "[a]", "a,b", "it's", `"q"`, "tab\t", "line\nbreak", "\u202e\x00\x7f\u0085\ufeff😀", "https://a.b/?c=d&e=f", "a?", "?a", ".inf", "...", "---", "<<", "=", "a\\b",
	} {
		if got := check(text); got != text {
			t.Errorf("%q, written %s, is read %q", text, written(text), got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z0-9 :#'"{}\[\],&*!|>%@?~.=<-]*`)).Draw(t, "text")
		if got := check(text); got != text {
			t.Errorf("%q, written %s, is read %q", text, written(text), got)
		}
	})
}

func TestADiffLeadsFromTheOneTextToTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c: d", ""}), 0, 8)
		before, after := lines.Draw(t, "before"), lines.Draw(t, "after")
		var was, is []string
		for _, line := range Diff(before, after) {
			switch line[:2] {
			case "- ":
				was = append(was, line[2:])
			case "+ ":
				is = append(is, line[2:])
			case "  ":
				was, is = append(was, line[2:]), append(is, line[2:])
			default:
				t.Fatalf("%q", line)
			}
		}
		if !slices.Equal(was, before) || !slices.Equal(is, after) {
			t.Errorf("%q leads from %q to %q", Diff(before, after), was, is)
		}
	})
}
