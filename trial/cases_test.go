package trial

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cases puts text into a file of cases.
func cases(t *testing.T, text string) *Cases {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tests.yaml")
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	c, err := ReadCases(path, true)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryFaultOfAFileOfCasesHasItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := ReadCases(file, false)
			if err == nil {
				t.Fatal("it is read")
			}
			golden(t, strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".yaml")+".golden", filepath.ToSlash(err.Error())+"\n")
		})
	}
}

const order = "cases:\n  - name: an order\n    event: {type: order.placed, lead: {id: L1}, order: {id: O-1, total: 5.00}, note: n}\n    activities:\n      - {lead: L1, activity: 320, note: n, fields: {mx_Custom_1: O-1, mx_Custom_2: 5.00}}\n"

func TestACaseExpectsAllOfWhatIsSent(t *testing.T) {
	mapping := load(t, "leadsink.yaml")
	for was, is := range map[string]string{
		"":                                    "",                                    // as it is
		"mx_Custom_1: O-1, mx_Custom_2: 5.00": "mx_Custom_2: 5.00, mx_Custom_1: O-1", // in another order
		"{lead: L1, activity":                 "{rule: order placed, lead: L1, activity",
		"activity: 320":                       "activity: 320, at: 2000-01-01 00:00:00",
	} {
		for _, r := range mapping.Test(cases(t, strings.Replace(order, was, is, 1))) {
			if !r.Passed {
				t.Errorf("%s: %s", is, strings.Join(r.Diff, "\n"))
			}
		}
	}
	for was, is := range map[string]string{
		"lead: L1, activity":  "lead: L2, activity",
		"activity: 320":       "activity: 321",
		"note: n, ":           "",
		", fields":            ", owner: a@b.c, fields",
		"mx_Custom_2: 5.00":   "mx_Custom_2: 5", // digits are sent as they came
		", mx_Custom_2: 5.00": "",
		"mx_Custom_1: O-1":    "mx_Custom_3: none, mx_Custom_1: O-1",
		"{lead: L1, activity": "{rule: large order, lead: L1, activity",
		"320, note":           "320, at: 2000-01-01 00:00:01, note",
		"note: n, fields":     "note: n, attributes: {a: b}, fields",
		"    activities:\n":   "    activities:\n      - {lead: L1, activity: 1}\n",
		order[strings.Index(order, "    activities"):]: "    filtered: true\n",
		"event: {type": "event: {code: 9, type: order.placed, lead: {id: L1}, order: {total: 2000}}\n    #",
	} {
		if r := mapping.Test(cases(t, strings.Replace(order, was, is, 1)))[0]; r.Passed || len(r.Diff) == 0 {
			t.Errorf("%s for %s: it passes", is, was)
		}
	}
}

func TestACaseSaysWhyARecordIsNotSent(t *testing.T) {
	mapping := load(t, "leadsink.yaml")
	for text, want := range map[string]bool{
		"event: {}\n    filtered: true":                                                  true,
		"tombstone: true\n    filtered: true":                                            false,
		"tombstone: true\n    halts: {class: tombstone}":                                 true,
		"tombstone: true\n    dead: {class: tombstone}":                                  false,
		"value: '{'\n    dead: {class: undecodable, message: ends too early}":            true,
		"value: '{'\n    dead: {message: ends too early}":                                true,
		"value: '{'\n    dead: {class: undecodable, message: something else}":            false,
		"value_base64: /w==\n    dead: {class: undecodable}":                             true,
		"event: {type: order.placed}\n    dead: {class: rule_error, rule: order placed}": true,
		"event: {type: order.placed}\n    dead: {class: rule_error, rule: large order}":  false,
		"event: {type: order.placed}\n    dead: {class: undecodable}":                    false,
		"event: {type: order.placed}\n    activities: [{lead: L1, activity: 320}]":       false,
	} {
		if r := mapping.Test(cases(t, "cases:\n  - name: a\n    "+text+"\n"))[0]; r.Passed != want {
			t.Errorf("%s: passed is %v\n%s", text, r.Passed, strings.Join(r.Diff, "\n"))
		}
	}
}

func TestUpdatingChangesNothingButWhatFails(t *testing.T) {
	mapping := load(t, "leadsink.yaml")
	text, err := os.ReadFile("testdata/update/expectations.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, eol := range map[string]string{"lines of Unix": "\n", "lines of Windows": "\r\n"} {
		t.Run(name, func(t *testing.T) {
			c := cases(t, strings.ReplaceAll(string(text), "\n", eol))
			results := mapping.Test(c)
			failed := Sum(results).Failed
			if err := mapping.Update([]*Cases{c}, [][]Result{results}); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(c.path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(got), "\n"); strings.Count(string(got), eol) != n {
				t.Error("lines end in two ways")
			}
			golden(t, "update/expectations.golden", strings.ReplaceAll(string(got), eol, "\n"))
			if sum := Sum(results); sum.Updated != failed || failed < 6 || sum.Failed > 0 {
				t.Errorf("%d failed, then %+v", failed, sum)
			}
			stat, err := os.Stat(c.path)
			if err != nil || stat.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, %v", stat.Mode(), err)
			}
			again, err := ReadCases(c.path, false)
			if err != nil {
				t.Fatal(err)
			}
			if sum := Sum(mapping.Test(again)); sum.Failed > 0 {
				t.Errorf("afterwards %+v", sum)
			}
		})
	}
}

// What looks like a comment, or is empty, belongs to text up to its end.
func TestUpdatingWritesBehindTheLastLineOfText(t *testing.T) {
	mapping := load(t, "leadsink.yaml")
	const placed = "cases:\n  - name: a\n    event:\n      type: order.placed\n      lead: {id: L1}\n      order: {id: O-1}\n      note"
	for _, text := range []string{
		": |\n        first\n        # heading\n",
		": |\n        first\n        # heading\n\n      # a comment\n    # another\n",
		": |  # beside it\n\n        first\n        # heading\n",
		": |+\n        first\n        # heading\n\n\n",
		": >-2\n        first\n\n         # heading\n",
		"s:\n        - - |\n            first\n            # heading\n",
		"s:\n      - |\n        first\n        # heading\n",
		"s: &notes\n        of: |\n          first\n          # heading\n",
		": \"first\n        # heading\" # a comment\n",
		": 'first\n\n        # heading'\n        # a comment\n",
		": first\n        second\n        # a comment\n",
		"s: [a,\n        # a comment\n        b\n        ]\n",
		"s:\n        -\n        - b:\n",
		": |\n",
	} {
		for _, rest := range []string{"", "  - name: b\n    event: {type: other}\n    dead: {class: no_rule}\n"} {
			c := cases(t, placed+text+rest)
			want := mapping.Test(c)[0].outcome.Input.Value
			if err := mapping.Update([]*Cases{c}, [][]Result{mapping.Test(c)}); err != nil {
				t.Errorf("%q: %v", text+rest, err)
				continue
			}
			again, err := ReadCases(c.path, false)
			if err != nil {
				t.Errorf("%q: %v", text+rest, err)
				continue
			}
			if got := mapping.Test(again)[0].outcome.Input.Value; !bytes.Equal(got, want) {
				t.Errorf("%q: the event was %s and is %s", text+rest, want, got)
			}
		}
	}
}

func TestAFileThatCannotBeUpdatedStaysAsItIs(t *testing.T) {
	mapping := load(t, "leadsink.yaml")
	text, err := os.ReadFile("testdata/update/aliases.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(text), "cases: [{name: a, event: {}, dead: {class: no_rule}}]\n"} {
		c := cases(t, text)
		err := mapping.Update([]*Cases{c}, [][]Result{mapping.Test(c)})
		if err == nil || !strings.Contains(err.Error(), "block style") {
			t.Errorf("%s: got %v", text, err)
		}
		if after, err := os.ReadFile(c.path); err != nil || string(after) != text {
			t.Errorf("it is %s, %v", after, err)
		}
	}
}

func TestOneFileThatCannotBeUpdatedLeavesAllAsTheyAre(t *testing.T) {
	mapping := load(t, "leadsink.yaml")
	const fine, wrong = "cases:\n  - name: a\n    event: {}\n    dead: {class: no_rule}\n", "cases: [{name: a, event: {}, dead: {class: no_rule}}]\n"
	all := []*Cases{cases(t, fine), cases(t, wrong)}
	results := [][]Result{mapping.Test(all[0]), mapping.Test(all[1])}
	if err := mapping.Update(all, results); err == nil {
		t.Error("they are updated")
	}
	for i, want := range []string{fine, wrong} {
		if got, err := os.ReadFile(all[i].path); err != nil || string(got) != want || results[i][0].Updated || results[i][0].Passed {
			t.Errorf("it is %s, %v; the result %+v", got, err, results[i][0])
		}
	}
	if err := mapping.Update(all[:1], results[:1]); err != nil || !results[0][0].Updated {
		t.Errorf("by itself: %v, %+v", err, results[0][0])
	}
}

func TestAnUpdateThatChangesMoreThanExpectationsIsSeen(t *testing.T) {
	const text = "cases:\n  - name: a\n    event: {text: \"x\"}\n    key: ''\n    filtered: true\n  - name: b\n    value: v\n    dead: {class: no_rule}\n"
	parsed := func(was, is string) *Cases {
		c, err := parseCases("tests.yaml", []byte(strings.Replace(text, was, is, 1)), false)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before, results := parsed("", ""), []Result{{Passed: false}, {Passed: true}}
	for _, row := range []struct{ was, is, want string }{
		{"", "# a comment\n", ""},
		{"filtered: true", "dead: {class: no_rule}", ""},
		{`"x"`, `"x\n"`, `more of "a" would change than what it expects`},
		{"    key: ''\n", "", `more of "a" would change than what it expects`}, // from an empty key to none
		{"name: a", "name: c", `more of "a" would change than what it expects`},
		{"value: v", "value: w", `more of "b" would change than what it expects`},
		{"class: no_rule", "class: undecodable", `more of "b" would change than what it expects`},
		{"  - name: b\n    value: v\n    dead: {class: no_rule}\n", "", "2 cases would become 1"},
	} {
		got := ""
		if err := sameBut(before, parsed(row.was, row.is), results); err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%s for %s: got %q, want %q", row.is, row.was, got, row.want)
		}
	}
}

func TestResultsAreWrittenForPeopleAndForCI(t *testing.T) {
	mapping := load(t, "leadsink.yaml")
	text, err := os.ReadFile("testdata/update/expectations.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseCases("expectations.yaml", text, true)
	if err != nil {
		t.Fatal(err)
	}
	results := mapping.Test(c)
	for i := range results {
		results[i].seconds = 0.0015
	}
	var b bytes.Buffer
	sum := Sum(results)
	if err := sum.Print(&b, Paper{Width: 100}); err != nil {
		t.Fatal(err)
	}
	golden(t, "results.txt", b.String())
	b.Reset()
	if err := WriteJUnit(&b, results); err != nil {
		t.Fatal(err)
	}
	golden(t, "results.xml", b.String())
	golden(t, "results.json", asJSON(t, sum))
}
