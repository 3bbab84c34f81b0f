package transform

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/transform/decode"
)

var recordTime = time.Date(2026, 11, 23, 9, 30, 15, 250_000_000, time.UTC)

// compile returns the rules, checked against the sample ("" for none).
func compile(t testing.TB, cfg Config, sample string) *Rules {
	t.Helper()
	var event any
	if sample != "" {
		var err error
		if event, err = decode.JSON([]byte(sample), 64); err != nil {
			t.Fatal(err)
		}
	}
	rules, problems := Compile(cfg, decode.Default(), event)
	if problems != nil {
		t.Fatal(problems)
	}
	return rules
}

func record(value string) *Record {
	return &Record{
		Topic: "crm.events", Partition: 3, Offset: 42, Timestamp: recordTime, Key: []byte("L1"), Value: []byte(value),
		Headers: []Header{{"source", []byte("old")}, {"source", []byte("shop")}, {"empty", nil}},
	}
}

func TestAnOrderBecomesItsActivity(t *testing.T) {
	want := Mapping{Decision: Send, Activities: []Activity{{
		Rule: "order placed", Marker: "crm.events-3-42:order~20placed", Lead: "5f2b8c1e-7a90-4d3b-9c52-0e6f1a2b3c4d", Code: 320,
		Note: "Order ORD-2026-118842", Owner: "sales@example.com", At: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC),
		Fields: []Field{{"mx_Custom_1", "ORD-2026-118842"}, {"mx_Custom_2", "1299.50"}, {"mx_Custom_3", "INR"}},
	}}}
	rules := compile(t, orderConfig(), orderEvent)
	for range 2 { // what an evaluation leaves behind must not matter
		if diff := cmp.Diff(want, rules.Map(record(orderEvent))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEveryMatchingRuleMakesAnActivityInTheOrderOfTheDocument(t *testing.T) {
	cfg := Default()
	cfg.Rules = []Rule{
		{Lead: "event.lead", Activity: "200"},
		{Name: "big", When: "event.total > 100", Lead: "event.lead", Activity: "event.code", Attributes: Entries{
			{"ValidateDropDownOptions", `"true"`}, {"absent", "event.nothing"}, {"Source", "headers.source"},
		}},
		{Name: "never", When: "event.vip", Lead: "event.lead", Activity: "202"},
	}
	want := Mapping{Decision: Send, Activities: []Activity{
		{Rule: "rule 1", Marker: "crm.events-3-42:rule~201", Lead: "L9", Code: 200, At: recordTime},
		{Rule: "big", Marker: "crm.events-3-42:big", Lead: "L9", Code: 201, At: recordTime, Attributes: []Attribute{{"ValidateDropDownOptions", "true"}, {"Source", "shop"}}},
	}}
	got := compile(t, cfg, "").Map(record(`{"lead":"L9","total":100.01,"code":201}`))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// typical is the sample of TestExpressionsGiveTheTextThatLeadSquaredWants.
const typical = `{"type":"order.placed","vip":true,"id":1234567890123456789,"long":123456789012345678901234567890,"lead":{"id":"L1"},
"total":1299.50,"count":3,"items":[{"sku":"a","price":1.50,"n":2},{"sku":"b","price":2,"n":1}],"at":"2026-11-23T09:30:00+05:30",
"tags":["x","y"],"note":null,"name":"Zoë Ångström","tiny":1.5e-7,"huge":1e21,"seconds":1763890200,"day":"23/11/2026","same":123456789012345678901234567891}`

func TestExpressionsGiveTheTextThatLeadSquaredWants(t *testing.T) {
	const absent = "(left out)"
	for source, want := range map[string]string{
		// numbers keep their digits
		`event.id`:                        "1234567890123456789",
		`event.long`:                      "123456789012345678901234567890",
		`event.total`:                     "1299.50",
		`event.tiny`:                      "0.00000015",
		`event.huge`:                      "1000000000000000000000",
		`string(event.total)`:             "1299.50",
		`event.vip ? event.total : 0`:     "1299.50",
		`event.note ?? event.total`:       "1299.50",
		`"#" + string(event.long)`:        "#123456789012345678901234567890",
		`event.total * 2`:                 "2599",
		`event.total + 0.25`:              "1299.75",
		`-event.total`:                    "-1299.5",
		`event.id - 1`:                    "1234567890123456788",
		`event.count / 2`:                 "1.5",
		`event.count % 2`:                 "1",
		`1e21 + 1`:                        "1000000000000000000000",
		`round(event.total * 100)`:        "129950",
		`int(event.total)`:                "1299",
		`float("2.50")`:                   "2.5",
		`event.long == event.same`:        "false",
		`event.long != event.long`:        "false",
		`event.total == 1299.5`:           "true",
		`event.total in [1, 1299.5]`:      "true",
		`event.same in [event.long]`:      "false",
		`event.long in [event.long]`:      "true",
		`"x" not in event.tags`:           "false",
		`"sku" in event.items[0]`:         "true",
		`event.note in event.items[0]`:    "false",
		`"x" in event.note`:               "false",
		`event.id == 1234567890123456788`: "false",
		// times
		`timestamp`:                                     "2026-11-23 09:30:15",
		`time(event.at)`:                                "2026-11-23 04:00:00",
		`time(event.at) + duration("90m")`:              "2026-11-23 05:30:00",
		`time(event.day, "02/01/2006")`:                 "2026-11-23 00:00:00",
		`time(event.day, "02/01/2006", "Asia/Kolkata")`: "2026-11-22 18:30:00",
		`unix(event.seconds)`:                           "2025-11-23 09:30:00",
		`unixMilli(event.seconds * 1000)`:               "2025-11-23 09:30:00",
		`unix(1.5)`:                                     "1970-01-01 00:00:01",
		`formatTime(event.at, "2 Jan 2006 15:04")`:      "23 Nov 2026 04:00",
		`formatTime(event.at, "15:04", "Asia/Kolkata")`: "09:30",
		`time(event.at) > timestamp`:                    "false",
		// true, false and null
		`event.vip`:          "true",
		`not event.vip`:      "false",
		`event.note`:         absent,
		`event.items[7].sku`: absent,
		`headers["nothing"]`: absent,
		`headers.empty`:      absent,
		`lower(event.note)`:  absent,
		`not event.note`:     "true",

		`join(map(event.note, .x), ",") + string(count(event.note, true))`: "0",
		`event.note == nil`:             "true",
		`event.note and event.vip`:      "false",
		`event.note ? "yes" : "no"`:     "no",
		`coalesce("", event.note, "z")`: "z",
		// text
		`key`:                    "L1",
		`headers.source`:         "shop",
		`headers["sou" + "rce"]`: "shop",
		`topic + "/" + string(partition) + "/" + string(offset)`: "crm.events/3/42",
		`event.name[0:3]`:                "Zoë",
		`event.name[-8:]`:                "Ångström",
		`truncate(event.name, 5)`:        "Zoë Å",
		`truncate(event.name, 99)`:       "Zoë Ångström",
		`upper(trim("  zoë "))`:          "ZOË",
		`replace(event.type, ".", " ")`:  "order placed",
		`split(event.type, ".")[1]`:      "placed",
		`event.type contains "placed"`:   "true",
		`event.type matches "^order\\."`: "true",
		`hasPrefix(event.type, "order")`: "true",
		`len(event.name)`:                "12",
		`sha256("abc")`:                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		`event["type"]`:                  "order.placed",
		// lists
		`event.items[0].price`:                            "1.50",
		`event.items[-1].sku`:                             "b",
		`join(event.tags, ", ")`:                          "x, y",
		`join(map(event.items, .price), " ")`:             "1.50 2",
		`event.items | map(.sku) | join("+")`:             "a+b",
		`sum(event.items, .price * .n)`:                   "5",
		`sum(map(event.items, .price))`:                   "3.5",
		`max(map(event.items, .price))`:                   "2",
		`filter(event.items, .price > 1.5)[0].sku`:        "b",
		`find(event.items, .n == 2).price`:                "1.50",
		`sortBy(event.items, .price, "desc")[0].sku`:      "b",
		`any(event.items, .sku == "b")`:                   "true",
		`sum([event.total, event.count])`:                 "1302.5",
		`mean([event.total, 0.5])`:                        "650",
		`first(reverse([event.count, event.total]))`:      "1299.50",
		`count(event.items, .n > 1)`:                      "1",
		`first(event.tags) + last(event.tags)`:            "xy",
		`let x = event.total; x > 1000 ? "big" : "small"`: "big",
		`if event.count > 5 { "many" } else { "few" }`:    "few",
	} {
		t.Run(source, func(t *testing.T) {
			cfg := Default()
			cfg.Rules = []Rule{{Lead: "event.lead.id", Activity: "1", Fields: Entries{{"f", source}}}}
			rules := compile(t, cfg, typical)
			m := rules.Map(record(typical))
			if m.Decision != Send {
				t.Fatal(m.Reason)
			}
			got := absent
			if fields := m.Activities[0].Fields; len(fields) == 1 {
				got = fields[0].Value
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestARecordThatCannotBeMappedSaysWhy(t *testing.T) {
	rule := func(change func(*Rule)) Config {
		cfg := Default()
		cfg.Otherwise = "dead_letter"
		cfg.Rules = []Rule{{Name: "r", Lead: "event.lead", Activity: "1"}}
		change(&cfg.Rules[0])
		return cfg
	}
	field := func(source string) Config {
		return rule(func(r *Rule) { r.Fields = Entries{{"mx_Custom_1", source}} })
	}
	plainRule := rule(func(*Rule) {})
	for name, c := range map[string]struct {
		cfg   Config
		value string
		want  Reason
	}{
		"the value is empty":        {plainRule, ``, Reason{"decode", "undecodable", "byte 0: the value is empty; a JSON document was expected", ""}},
		"the value is no JSON":      {plainRule, `{"lead":`, Reason{"decode", "undecodable", "byte 8: the document ends too early: a value was expected", ""}},
		"the value is not UTF-8":    {plainRule, "{\"lead\":\"\xff\"}", Reason{"decode", "undecodable", "byte 9: the value is not valid UTF-8; encode it as UTF-8", ""}},
		"no rule matches":           {rule(func(r *Rule) { r.When = "event.lead == 1" }), `{}`, Reason{"transform", "no_rule", "no rule matched the event; transform.otherwise says what becomes of it", ""}},
		"the event is null":         {plainRule, `null`, Reason{"transform", "rule_error", "lead: the lead is null or empty; filter such events with when, or give the lead a default", "r"}},
		"the lead is missing":       {plainRule, `{}`, Reason{"transform", "rule_error", "lead: the lead is null or empty; filter such events with when, or give the lead a default", "r"}},
		"the lead is empty":         {plainRule, `{"lead":""}`, Reason{"transform", "rule_error", "lead: the lead is null or empty; filter such events with when, or give the lead a default", "r"}},
		"the lead is an object":     {plainRule, `{"lead":{}}`, Reason{"transform", "rule_error", "lead: it is an object; pick one of its fields", "r"}},
		"a field is a list":         {field("event.x"), `{"lead":"L","x":[1]}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: it is a list; pick an element, or make it text with join()", "r"}},
		"a field of text":           {field("event.lead.id"), `{"lead":"L"}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: event.lead: it is text and has no fields or elements", "r"}},
		"null is compared":          {field("event.x > 1"), `{"lead":"L"}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:9: invalid operation: <nil> > int; something is null here: give it a default with ??", "r"}},
		"text is null":              {field(`"a" + event.x`), `{"lead":"L"}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:5: text + null: make it text with string(), and give null a default with ??", "r"}},
		"digits would be lost":      {field("event.x * 10"), `{"lead":"L","x":1234567890123456789}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:9: the result does not fit 64 bits, and digits would be lost; use float() where that is meant", "r"}},
		"a division by zero":        {field("1 / event.x"), `{"lead":"L","x":0}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: the number is not finite; look for a division by zero", "r"}},
		"a remainder of zero":       {field("1 % event.x"), `{"lead":"L","x":0}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:3: runtime error: integer divide by zero", "r"}},
		"a number is searched":      {field(`event.x contains "1"`), `{"lead":"L","x":1}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:9: it is int, not string", "r"}},
		"when is a number":          {rule(func(r *Rule) { r.When = "event.x" }), `{"lead":"L","x":1}`, Reason{"transform", "rule_error", "when: true or false was expected, it is a number; compare it with something", "r"}},
		"the code is text":          {rule(func(r *Rule) { r.Activity = "event.x" }), `{"lead":"L","x":"1"}`, Reason{"transform", "rule_error", "activity: the activity's code is text; it must be a whole number above 0", "r"}},
		"the code is zero":          {rule(func(r *Rule) { r.Activity = "event.x" }), `{"lead":"L","x":0}`, Reason{"transform", "rule_error", "activity: the activity's code is 0; it must be a whole number above 0", "r"}},
		"the time is a number":      {rule(func(r *Rule) { r.At = "event.x" }), `{"lead":"L","x":1}`, Reason{"transform", "rule_error", "at: it is a number, not a time; say what it counts with unix() or unixMilli()", "r"}},
		"the time has no form":      {rule(func(r *Rule) { r.At = "event.x" }), `{"lead":"L","x":"SECRET"}`, Reason{"transform", "rule_error", "at: the text is not a time; write it like 2026-11-23T09:30:00Z or 2026-11-23 09:30:00, or give a layout: time(text, \"02/01/2006\")", "r"}},
		"text grows beyond 1 MiB":   {field(`let a = event.x + event.x; let b = a + a; let c = b + b; let d = c + c; len(d + d)`), `{"lead":"L","x":"` + strings.Repeat("x", 100_000) + `"}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:68: the text would be longer than 1 MiB; truncate() it", "r"}},
		"loops within loops":        {field(`count(event.x, any(event.x, # == 2))`), `{"lead":"L","x":[1` + strings.Repeat(",1", 2000) + `]}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:26: the rules take more than a million steps over this event's lists and texts; loop over less", "r"}},
		"lists within loops":        {field(`count(event.x, # in event.y)`), `{"lead":"L","y":[2],"x":[1` + strings.Repeat(",1", 2000) + `]}`, Reason{}},
		"a list joined in loops":    {field(`count(event.x, join(event.x, "") == "")`), `{"lead":"L","x":["1"` + strings.Repeat(`,"1"`, 2000) + `]}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:16: the rules take more than a million steps over this event's lists and texts; loop over less", "r"}},
		"a list reversed in loops":  {field(`count(event.x, len(reverse(event.x)) == 1)`), `{"lead":"L","x":["1"` + strings.Repeat(`,"1"`, 2000) + `]}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:34: the rules take more than a million steps over this event's lists and texts; loop over less", "r"}},
		"replacing makes it longer": {field(`replace(event.x, "x", event.x)`), `{"lead":"L","x":"` + strings.Repeat("x", 2000) + `"}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:1: the text would be longer than 1 MiB; truncate() it", "r"}},
		"joining makes it longer":   {field(`join(map(event.x, event.y), "")`), `{"lead":"L","x":[1` + strings.Repeat(",1", 2000) + `],"y":"` + strings.Repeat("y", 1000) + `"}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:1: the text would be longer than 1 MiB; truncate() it", "r"}},
		"a list compared in loops":  {field(`count(event.x, event.x == event.y)`), `{"lead":"L","x":["1"` + strings.Repeat(`,"1"`, 2000) + `]}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:24: the rules take more than a million steps over this event's lists and texts; loop over less", "r"}},
		"a loop over text":          {field(`count(event.lead, true)`), `{"lead":"L"}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:13: a list was expected, it is text", "r"}},
		"a list searched in loops":  {field(`count(event.x, # in event.x)`), `{"lead":"L","x":[1` + strings.Repeat(",1", 2000) + `]}`, Reason{"transform", "rule_error", "fields.mx_Custom_1: 1:18: the rules take more than a million steps over this event's lists and texts; loop over less", "r"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := compile(t, c.cfg, "").Map(record(c.value))
			if diff := cmp.Diff(c.want, m.Reason); diff != "" {
				t.Error(diff)
			}
			if want := c.want.Class == ""; want == (m.Decision == Bury) || m.Activities != nil != want {
				t.Errorf("decision %d with %d activities", m.Decision, len(m.Activities))
			}
		})
	}
}

func TestATextThatIsNotUTF8IsNeverSent(t *testing.T) {
	cfg := Default()
	cfg.Rules = []Rule{{Lead: "key", Activity: "1"}}
	r := record(`{}`)
	r.Key = []byte{0xff, 0x01}
	m := compile(t, cfg, "").Map(r)
	if m.Decision != Bury || !strings.Contains(m.Reason.Message, "not valid UTF-8") {
		t.Error(m)
	}
}

func TestTheDocumentDecidesWhatBecomesOfARecord(t *testing.T) {
	for word, want := range map[string]Decision{"skip": Filter, "dead_letter": Bury, "halt": Halt} {
		cfg := orderConfig()
		cfg.Otherwise, cfg.Tombstones = word, word
		if word != "skip" {
			cfg.OnError = word
		}
		rules := compile(t, cfg, "")
		tombstone := record("")
		tombstone.Value = nil
		if m := rules.Map(tombstone); m.Decision != want {
			t.Errorf("tombstones: %s: got %d", word, m.Decision)
		}
		if m := rules.Map(record(`{}`)); m.Decision != want {
			t.Errorf("otherwise: %s: got %d", word, m.Decision)
		}
		if m := rules.Map(record(`{`)); word != "skip" && m.Decision != want {
			t.Errorf("on_error: %s: got %d", word, m.Decision)
		}
	}
}

func TestOneMegabyteIsMappedAndMoreIsTooLarge(t *testing.T) {
	cfg := Default()
	cfg.Rules = []Rule{{Lead: "event.lead", Activity: "1", Note: "truncate(event.text, 3)"}}
	rules := compile(t, cfg, "")
	value := `{"lead":"L","text":"` + strings.Repeat("é", 1<<19-11) + `"}`
	if len(value) != 1<<20 {
		t.Fatal(len(value))
	}
	if m := rules.Map(record(value)); m.Decision != Send || m.Activities[0].Note != "ééé" {
		t.Error(m.Reason)
	}
	want := Reason{"decode", "too_large", "the value has 1048577 bytes, the limit is 1048576; raise decode.max_bytes or send less", ""}
	if diff := cmp.Diff(want, rules.Map(record(value+" ")).Reason); diff != "" {
		t.Error(diff)
	}
}

func TestAConditionOfALoopMayBeNull(t *testing.T) {
	cfg := Default()
	cfg.Rules = []Rule{{Lead: "event.lead", Activity: "count(event.x, .gift)"}}
	m := compile(t, cfg, "").Map(record(`{"lead":"L","x":[{"gift":true},{},{"gift":null},{"gift":false}]}`))
	if m.Decision != Send || m.Activities[0].Code != 1 {
		t.Error(m)
	}
}

func TestNothingOfARecordIsKept(t *testing.T) {
	rules := compile(t, orderConfig(), "")
	rules.Map(record(orderEvent))
	if *rules.scope != (scope{}) {
		t.Error(rules.scope)
	}
}

func TestAPanicOfOursBuriesTheRecordWithItsStackAndTheNextOneIsMapped(t *testing.T) {
	cfg := Default()
	cfg.OnError = "halt" // which is for the rules' errors
	cfg.Rules = []Rule{{Name: "r", When: "event.poison != true", Lead: "event.lead", Activity: "320"}, {Name: "s", When: "event.poison", Lead: "event.lead", Activity: "320"}}
	rules := compile(t, cfg, "")
	rules.rules[1].lead = nil // so that its evaluation runs into nil
	m := rules.Map(record(`{"poison":true,"lead":"l"}`))
	if m.Decision != Bury || m.Reason.Class != "panic" || !strings.Contains(m.Reason.Message, "please report it") || !strings.Contains(m.Reason.Message, "rules.go:") {
		t.Errorf("%+v, want it buried with the stack", m)
	}
	if len(m.Reason.Message) > maxMessage {
		t.Errorf("%d bytes of reason", len(m.Reason.Message))
	}
	if m := rules.Map(record(`{"lead":"l"}`)); m.Decision != Send || len(m.Activities) != 1 {
		t.Errorf("the next record is mapped to %+v", m)
	}
}
