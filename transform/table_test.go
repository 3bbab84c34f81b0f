package transform

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/transform/decode"
)

const owners = "region,email,team\nnorth,n@example.com,N1\nsouth,\"s@example.com\",\"S, 1\"\n7,x@example.com,X\n"

// tables is a document with one table, in a file of that name and text.
func tables(t testing.TB, name, text string, change func(*Table)) Config {
	t.Helper()
	cfg := Default()
	cfg.Tables = []Table{{Name: "owners", File: filepath.Join(t.TempDir(), name)}}
	cfg.Rules = []Rule{{Name: "r", Lead: `"L"`, Activity: "1", Note: `lookup("owners", event.region).email`}}
	if err := os.WriteFile(cfg.Tables[0].File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	change(&cfg.Tables[0])
	return cfg
}

func TestALookupGivesWhatTheTableHas(t *testing.T) {
	const yaml = "# owners\nnorth: {team: N1, email: n@example.com}\nsouth:\n  email: s@example.com\n  team: 'S, 1'\n007: {email: 1.50, team: true}\n"
	all := func(*Table) {}
	for name, c := range map[string]struct {
		file, text string
		change     func(*Table)
		note       string
		region     string
		want       string
	}{
		"a column":           {"o.csv", owners, all, `lookup("owners", event.region).email`, `"north"`, "n@example.com"},
		"quotes":             {"o.csv", owners, all, `lookup("owners", event.region).team`, `"south"`, "S, 1"},
		"a number":           {"o.csv", owners, all, `lookup("owners", event.region).team`, `7`, "X"},
		"no row":             {"o.csv", owners, all, `lookup("owners", event.region).email`, `"west"`, ""},
		"null":               {"o.csv", owners, all, `lookup("owners", event.region).email`, `null`, ""},
		"a default":          {"o.csv", owners, all, `lookup("owners", event.region).email ?? "all@example.com"`, `"west"`, "all@example.com"},
		"a value":            {"o.csv", owners, func(c *Table) { c.Value = "email" }, `lookup("owners", event.region)`, `"north"`, "n@example.com"},
		"a value's default":  {"o.csv", owners, func(c *Table) { c.Value = "email" }, `lookup("owners", event.region, "none")`, `"west"`, "none"},
		"another key":        {"o.csv", owners, func(c *Table) { c.Key, c.Value = "team", "region" }, `lookup("owners", event.region)`, `"N1"`, "north"},
		"the only value":     {"o.csv", "\ufeffcode,name\nIN,India\n", all, `lookup("owners", event.region)`, `"IN"`, "India"},
		"the key behind":     {"o.csv", "name,code\nIndia,IN\n", func(c *Table) { c.Key = "code" }, `lookup("owners", event.region)`, `"IN"`, "India"},
		"YAML":               {"o.yaml", "IN: India\n91: \"+91\"\nlong: |\n  a\n  b\n", all, `lookup("owners", event.region)`, `91`, "+91"},
		"YAML with columns":  {"o.yml", yaml, all, `lookup("owners", event.region).email`, `"south"`, "s@example.com"},
		"YAML as it is":      {"o.yml", yaml, all, `lookup("owners", event.region).email + lookup("owners", "007").team`, `"007"`, "1.50true"},
		"YAML's value":       {"o.yml", yaml, func(c *Table) { c.Value = "team" }, `lookup("owners", event.region)`, `"south"`, "S, 1"},
		"a pipe":             {"o.csv", owners, all, `(event.region | lower() | trim()) in ["north"] ? lookup("owners", lower(event.region)).team : "-"`, `"NORTH"`, "N1"},
		"in a loop":          {"o.csv", owners, all, `join(map(["north", "south"], lookup("owners", #).team), "+")`, `""`, "N1+S, 1"},
		"for another lookup": {"o.csv", owners, func(c *Table) { c.Value = "team" }, `lookup("owners", lookup("owners", "none", event.region))`, `"north"`, "N1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tables(t, c.file, c.text, c.change)
			cfg.Rules[0].Note = c.note
			m := compile(t, cfg, `[{"region":"x"},{"region":1}]`).Map(record(`{"region":` + c.region + `}`))
			if m.Decision != Send || m.Activities[0].Note != c.want {
				t.Errorf("got %+v, want %q", m, c.want)
			}
		})
	}
}

func TestATableThatCannotBeUsedKeepsTheDocumentFromLoading(t *testing.T) {
	all := func(*Table) {}
	for name, c := range map[string]struct {
		file, text string
		change     func(*Table)
		want       string
	}{
		"no file":            {"o.csv", owners, func(c *Table) { c.File += "x" }, "the file cannot be read: no such file or directory; see whether the path is right and may be read"},
		"another ending":     {"o.txt", owners, all, "the file's name does not end in .csv, .yaml or .yml; name it after what it holds"},
		"empty":              {"o.csv", "", all, "the file is empty; its first line names the columns"},
		"one column":         {"o.csv", "a\n1\n", all, "the first line has 1 columns; name 2 to 100, separated by commas"},
		"a column twice":     {"o.csv", "a,a\n1,2\n", all, "the first line names a column twice, or not at all; give each its own name"},
		"a key twice":        {"o.csv", "a,b\n1,2\n1,3\n", all, "line 3: the key is there before; leave one of them out"},
		"a line too short":   {"o.csv", "a,b\n1\n", all, "line 2, column 1: wrong number of fields; every line has as many values as the first, and text with quotes or commas is in quotes"},
		"an open quote":      {"o.csv", "a,b\n1,\"2\n", all, "line 2, column 6: extraneous or missing \" in quoted-field; every line has as many values as the first, and text with quotes or commas is in quotes"},
		"an unknown key":     {"o.csv", owners, func(c *Table) { c.Key = "regoin" }, "there is no column regoin; did you mean region?"},
		"an unknown value":   {"o.csv", owners, func(c *Table) { c.Value = "phone" }, "there is no column phone; there are region, email, team"},
		"too large":          {"o.csv", "a,b\n1," + strings.Repeat("x", maxCSV), all, "the file is larger than 8 MiB; leave out what is not looked up"},
		"not UTF-8":          {"o.csv", "a,b\n1,\xff\n", all, "the file is not UTF-8 text; save it as UTF-8"},
		"no YAML":            {"o.yaml", "a: [1", all, "line 1: a table is two levels of keys with text; write KEY: VALUE, or KEY: {COLUMN: VALUE}"},
		"YAML of text":       {"o.yaml", "text", all, "the file is no mapping; write KEY: VALUE, one line for each"},
		"YAML twice":         {"o.yaml", "a: 1\na: 2\n", all, "line 2: the key is there before; leave one of them out"},
		"YAML of lists":      {"o.yaml", "a:\n- 1\n", all, "line 2: a table is two levels of keys with text; write KEY: VALUE, or KEY: {COLUMN: VALUE}"},
		"YAML with an alias": {"o.yaml", "a: &x 1\nb: *x\n", all, "line 1: a table is two levels of keys with text; write KEY: VALUE, or KEY: {COLUMN: VALUE}"},
		"YAML of null":       {"o.yaml", "a: 1\nb:\n", all, "line 2: a value is no text; write KEY: VALUE, or KEY: {COLUMN: VALUE}"},
		"YAML too deep":      {"o.yaml", strings.Repeat("{a: ", 5000), all, "line 1: a table is two levels of keys with text; write KEY: VALUE, or KEY: {COLUMN: VALUE}"},
		"YAML of nothing":    {"o.yaml", "a: {}\n", all, "line 1: a value is no text; write KEY: VALUE, or KEY: {COLUMN: VALUE}"},
		"YAML unequal":       {"o.yaml", "a: {x: 1}\nb: {y: 1}\n", all, "line 2: the keys in this entry are others than in the first one; give every entry the same"},
		"YAML columns twice": {"o.yaml", "a: {x: 1, y: 2, x: 3}\n", all, "line 1: a key in this entry is there twice; leave one of them out"},
		"YAML that is none":  {"o.yaml", "a: \"x\nb: 1\n", all, "the file is not YAML: line 1: could not find end character of double-quoted text; write KEY: VALUE, one line for each"},
		"YAML with a key":    {"o.yaml", "a: 1\n", func(c *Table) { c.Key = "a" }, "a YAML file has its keys in front; leave key out"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := Compile(tables(t, c.file, c.text, c.change), decode.Default(), nil)
			if len(problems) != 1 || problems[0].Error() != "tables[0].file: "+c.want {
				t.Errorf("\n got %v\nwant %s", problems, c.want)
			}
		})
	}
}

func TestALookupIsCheckedBeforeTheStart(t *testing.T) {
	for note, want := range map[string]string{
		`lookup("ownrs", key).email`:      `1:8: there is no table ownrs; did you mean owners?`,
		`lookup("cities", key).email`:     `1:8: there is no table cities; there are owners; name it in transform.tables`,
		`lookup(event.table, key)`:        `1:14: the name of the table is not a literal; write the name in quotes, as transform.tables has it`,
		`lookup("owners")`:                `1:1: lookup takes a table's name, a key and perhaps a default; write lookup("owners", event.region) or lookup("owners", event.region, "none")`,
		`lookup("owners", key).emial`:     `1:23: the table owners has no column emial; did you mean email?`,
		`lookup("owners", key).phone`:     `1:23: the table owners has no column phone; there are email, region, team`,
		`lookup("owners", key)`:           `1:1: it is an object, which has no text; pick one of its fields`,
		`lookup("owners", key).email > 1`: `1:29: > does not take text and a whole number; both sides must be of kinds that go together; string(), int(), float() and time() convert`,
		`lokup("owners", key)`:            `1:1: lokup is not known here; did you mean lookup?`,
		`lookup("owners", evnt.x).email`:  `1:18: evnt is not known here; did you mean event?`,
		`$table.owners["north"].email`:    `1:1: $table is not known here; there are event, key, headers, topic, partition, offset, timestamp, and the functions of docs/mapping.md; text is written in quotes`,
	} {
		cfg := tables(t, "o.csv", owners, func(*Table) {})
		cfg.Rules[0].Note = note
		_, problems := Compile(cfg, decode.Default(), nil)
		if len(problems) != 1 || problems[0].Error() != "rules[0].note: "+want {
			t.Errorf("%s\n got %v\nwant %s", note, problems, want)
		}
	}
}

func TestATableIsReadAgainWhenItsFileChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := tables(t, "o.csv", owners, func(*Table) {})
		rules := compile(t, cfg, "")
		var log bytes.Buffer
		rules.Log = slog.New(slog.NewTextHandler(&log, nil))
		// says maps a record and returns the note, and what was logged.
		says := func() (note, logged string) {
			t.Helper()
			log.Reset()
			m := rules.Map(record(`{"region":"north"}`))
			if m.Decision != Send {
				t.Fatal(m.Reason)
			}
			return m.Activities[0].Note, log.String()
		}
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(cfg.Tables[0].File, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(when, note, logged string) {
			t.Helper()
			n, l := says()
			if n != note || (logged == "") != (l == "") || !strings.Contains(l, logged) {
				t.Errorf("%s: the note is %q and the log %q, want %q and %q", when, n, l, note, logged)
			}
		}
		// settle lets a changed file be looked at for the first time.
		settle := func() {
			t.Helper()
			time.Sleep(refreshEvery)
			_, l := says()
			if l != "" {
				t.Errorf("at the first look: %s", l)
			}
			time.Sleep(refreshEvery)
		}
		expect("at first", "n@example.com", "")
		write(strings.Replace(owners, "n@", "new@", 1))
		expect("at once after a change", "n@example.com", "")
		settle()
		expect("later", "new@example.com", "level=INFO")
		write("region,team")
		time.Sleep(refreshEvery)
		expect("while it is being written", "new@example.com", "")
		write("region,team,email\nnorth,N")
		time.Sleep(refreshEvery)
		expect("while more is written", "new@example.com", "")
		write(strings.Replace(owners, "n@", "whole@", 1))
		settle()
		expect("when all is written", "whole@example.com", "level=INFO")
		write(strings.Replace(owners, "n@", "new@", 1))
		if err := os.Chtimes(cfg.Tables[0].File, time.Time{}, time.Now().Add(-refreshEvery)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(refreshEvery)
		expect("long after it was written", "new@example.com", "level=INFO")
		write("region,email\nnorth\n")
		settle()
		expect("after a broken change", "new@example.com", "wrong number of fields")
		time.Sleep(refreshEvery)
		expect("the broken file is said once", "new@example.com", "")
		write("region,team,phone\nnorth,N,1\n")
		settle()
		expect("after a column has gone", "new@example.com", "the column email is gone")
		write("region,email\nnorth,x@example.com\n")
		settle()
		expect("after rows became one value", "new@example.com", "rows are one value")
		if err := os.Remove(cfg.Tables[0].File); err != nil {
			t.Fatal(err)
		}
		time.Sleep(refreshEvery)
		expect("after the file has gone", "new@example.com", "cannot be read")
		time.Sleep(refreshEvery)
		expect("that too is said once", "new@example.com", "")
		write(owners)
		settle()
		expect("when it is back", "n@example.com", "level=INFO")
	})
}

func FuzzTable(f *testing.F) {
	f.Add(owners, true, "", "")
	f.Add("IN: India\n91: {a: b}\n", false, "", "a")
	f.Add("a: {}\n", false, "", "")
	f.Add("a,b\n\"x\"\"y\",1", true, "b", "a")
	f.Fuzz(func(t *testing.T, text string, isCSV bool, key, value string) {
		parse := parseYAML
		if isCSV {
			parse = parseCSV
		}
		c, err := parse([]byte(text), Table{Key: key, Value: value})
		if err != nil {
			return
		}
		tab := table{as: c}
		for key, row := range c.rows {
			if c.columns != nil && len(row) != len(c.columns) || c.columns == nil && len(row) != 1 {
				t.Fatalf("a row of %d values with %d columns", len(row), len(c.columns))
			}
			if tab.find(key) == nil {
				t.Fatal("a row is not found")
			}
		}
	})
}
