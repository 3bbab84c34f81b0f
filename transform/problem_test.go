package transform

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/transform/decode"
)

func TestAWrongExpressionIsExplainedBeforeTheStart(t *testing.T) {
	sample, err := decode.JSON([]byte(typical), 64)
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		// names
		`event.tpye`:            `1:7: the sample has no field tpye here; did you mean type?`,
		`event.lead.idd`:        `1:12: the sample has no field idd here; did you mean id?`,
		`event.items[0].prize`:  `1:16: the sample has no field prize here; did you mean price?`,
		`map(event.items, .sk)`: `1:19: the sample has no field sk here; did you mean sku?`,
		`event.lead.mobile`:     `1:12: the sample has no field mobile here; there are id; add it to the sample if events can have it`,
		`event["tpye"]`:         `1:7: the sample has no field tpye here; did you mean type?`,
		`evnt.type`:             `1:1: evnt is not known here; did you mean event?`,
		`tirm(event.type)`:      `1:1: tirm is not known here; did you mean trim?`,
		`ORD-1`:                 `1:1: ORD is not known here; there are event, key, headers, topic, partition, offset, timestamp, and the functions of docs/mapping.md; text is written in quotes`,
		`event.type.name`:       `1:12: text has no field name; only objects have fields; look at the sample or schema`,
		// form
		`event.type = "x"`:              `1:12: = is not expected here; compare with ==`,
		`event.type ==`:                 `1:13: the expression ends too early; complete it`,
		`event.type == "x`:              `1:17: the text does not end; close the quote`,
		"event.type ==\n  event.tpe":    `2:9: the sample has no field tpe here; did you mean type?`,
		`  `:                            `the expression is empty; write an expression, or leave the key out`,
		`(event.type`:                   `1:11: the expression ends too early; complete it`,
		strings.Repeat("1+", 600) + "1": `1:1002: the expression has more than 1000 parts; make it shorter`,
		strings.Repeat("(", 20_000):     `the expression is longer than 16 KiB or not valid UTF-8; make it shorter`,
		`let key = 1; key`:              `1:5: cannot redeclare key; give the variable a name that nothing else has`,
		`let item = 1; item`:            `1:5: cannot redeclare item; give the variable a name that nothing else has`,
		// kinds
		`"Total " + event.total`:    `1:10: + does not take text and a number; both sides must be of kinds that go together; string(), int(), float() and time() convert`,
		`event.total > "1000"`:      `1:13: > does not take a number and text; both sides must be of kinds that go together; string(), int(), float() and time() convert`,
		`event.items`:               `1:1: it is a list, which has no text; pick an element such as [0], or make it text with join()`,
		`event.lead`:                `1:1: it is an object, which has no text; pick one of its fields`,
		`duration("1h")`:            `1:1: it is a duration, which has no text; add it to a time`,
		`all(event.items, .n)`:      `1:18: the condition is a whole number, not true or false; compare it with something`,
		`truncate(event.type)`:      `1:1: not enough arguments to call truncate; docs/mapping.md shows how each function is called`,
		`truncate(event.type, "3")`: `1:22: truncate takes a whole number here, not text; string(), int(), float() and time() convert`,
		// what is not allowed
		`1..1000000000`:                 `1:2: ranges are not available, so that no expression uses memory without bound; loop over a list of the event`,
		`repeat("x", 1000000)`:          `1:1: repeat is not available; see docs/mapping.md for the functions there are`,
		`now()`:                         `1:1: now is not available; the clock is not available, so that a record always gives the same activities; use timestamp or time()`,
		`reduce(event.items, #acc)`:     `1:1: reduce is not available; see docs/mapping.md for the functions there are`,
		`event.type matches event.type`: `1:12: the pattern of matches is not a literal; write the pattern in quotes`,
		`event.type matches "("`:        "1:20: the pattern cannot be read: missing closing ): (; https://pkg.go.dev/regexp/syntax shows how patterns are written",
		`timestamp.Year()`:              `1:11: only functions can be called, by their names; use a function of docs/mapping.md, such as formatTime(timestamp, "2006")`,
		`$env.event`:                    `1:1: $env is not available; name what you need: event, key, headers, topic, partition, offset, timestamp`,
	} {
		t.Run(source[:min(len(source), 40)], func(t *testing.T) {
			cfg := Default()
			cfg.Rules = []Rule{{Lead: "event.lead.id", Activity: "1", Fields: Entries{{"mx_Custom_1", source}}}}
			_, problems := Compile(cfg, decode.Default(), sample)
			if len(problems) != 1 {
				t.Fatalf("%d problems", len(problems))
			}
			if got, want := problems[0].Error(), "rules[0].fields.mx_Custom_1: "+want; got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	cfg := Config{
		Schema: "event.schema.json", Sample: "event.json", Otherwise: "drop", OnError: "skip",
		Rules: []Rule{
			{Name: "a", When: `"yes"`, Lead: "evnt.id", Activity: "0", At: "5"},
			{Name: "a", Activity: `"320"`, Fields: Entries{{"mx", "1"}, {"mx", "2"}, {"", "3"}}},
		},
	}
	rules, problems := Compile(cfg, decode.Default(), nil)
	if rules != nil {
		t.Error("there are rules")
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Error())
	}
	want := []string{
		`schema: there is a sample too; leave one of them out`,
		`otherwise: "drop" is not one of the choices; write skip or dead_letter or halt`,
		`on_error: "skip" is not one of the choices; write dead_letter or halt`,
		`tombstones: "" is not one of the choices; write skip or dead_letter or halt`,
		`rules[1].name: "a" names an earlier rule too; give each rule its own name`,
		`rules[1].lead: it is missing; write an expression for the lead's id, such as event.lead.id`,
		`rules[1].fields.mx: it is there twice; leave one of them out`,
		`rules[1].fields: a name is empty; write the schema name as the account shows it`,
		`rules[0].when: 1:1: it is text, not true or false; compare it with something, such as event.type == "order.placed"`,
		`rules[0].lead: 1:1: evnt is not known here; did you mean event?`,
		`rules[0].activity: 1:1: 0 is not the code of an activity type; write a whole number above 0`,
		`rules[0].at: 1:1: it is a whole number, not a time; read text with time(), numbers with unix() or unixMilli()`,
		`rules[1].activity: 1:1: it is text, not a whole number; write the code of the activity type, such as 320`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutRulesNothingStarts(t *testing.T) {
	_, problems := Compile(Default(), decode.Default(), nil)
	want := []Problem{{Key: "rules", Text: "there is no rule, so no activity would ever be made", Advice: "write at least one rule with lead and activity"}}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
}

func TestASampleMayBeAListOfEvents(t *testing.T) {
	sample, err := decode.JSON([]byte(`[{"a":1,"x":null},{"b":"t","x":"text"},{"a":"mixed"}]`), 64)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.Rules = []Rule{{Lead: "event.b", Activity: "1", Fields: Entries{{"1", "event.a + 1"}, {"2", "event.x"}, {"3", "event.c"}}}}
	_, problems := Compile(cfg, decode.Default(), sample)
	if len(problems) != 1 || problems[0].Key != "rules[0].fields.3" {
		t.Error(problems)
	}
}

// Whatever an expression and an event are, compiling explains the expression or
// mapping survives the event, within the budget.
func FuzzExpressions(f *testing.F) {
	for _, source := range []string{
		`event.type == "x"`, `sum(event.items, .price)`, `let x = event.a[1:]; x ?? 1`, `(((`, "a?.b[0]", "{a: 1}.a", "\xff",
		`event | map(#) | join("")`, "1; 2", "$path(1)", "event.at.Year", `item.sku + string(index)`, `lookup("t", item.sku, event.type)`,
		`lookup("t", key).b ?? phone(event.id, 91)`, `map(event.items, map(event.items, #)) | first() | sort()`, `event.type matches "(a|b)*c"`,
		`fixed(event.total, 2) + leadsquaredTime(timeIn(event.at, "Asia/Kolkata"))`, `uuid5("url", email(event.type)) in headers`,
	} {
		f.Add(source, typical)
		f.Add(source, `{"items":[1,"a",null,[],{"sku":{}}],"type":5}`)
	}
	sample, err := decode.JSON([]byte(typical), 64)
	if err != nil {
		f.Fatal(err)
	}
	schema, err := ParseSchema([]byte(`{"properties":{"type":{"enum":["a"]},"items":{"items":{"properties":{"sku":{"const":"b"}}}}},"additionalProperties":true}`))
	if err != nil {
		f.Fatal(err)
	}
	cfg := tables(f, "t.csv", "a,b,c\nx,y,z\n", func(t *Table) { t.Name = "t" })
	f.Fuzz(func(t *testing.T, source, event string) {
		cfg.Rules = []Rule{
			{When: source, Lead: source, Activity: "1", At: source},
			{Each: "event.items", When: source, Lead: `"L"`, Activity: "1", Fields: Entries{{"f", source}}, Marker: "index"},
			{Each: source, Lead: `"L"`, Activity: "1"},
		}
		rules := cfg.Rules
		for _, one := range rules {
			cfg.Rules = []Rule{one}
			for _, against := range []any{nil, sample, schema} {
				rules, problems := Compile(cfg, decode.Default(), against)
				if (rules == nil) == (problems == nil) {
					t.Fatal("neither rules nor problems, or both")
				}
				for _, p := range problems {
					if p.Text == "" || p.Advice == "" || p.Line < 0 || strings.Contains(p.Text, "stumbled") {
						t.Fatalf("%+v", p)
					}
				}
				if rules == nil {
					continue
				}
				for _, value := range []string{event, typical, `{}`} {
					m := rules.Map(record(value))
					if m.Reason.Class == classPanic {
						t.Fatal(m.Reason.Message)
					}
					if len(m.Activities) > maxActivities || (m.Decision == Send) != (len(m.Activities) > 0) {
						t.Fatalf("%d activities with decision %d", len(m.Activities), m.Decision)
					}
				}
			}
		}
	})
}
