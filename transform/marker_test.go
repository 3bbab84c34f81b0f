package transform

import (
	"strings"
	"testing"

	"github.com/leadsink/leadsink/transform/decode"
)

func TestAnIdentityIsItsOwnForEveryActivity(t *testing.T) {
	long := strings.Repeat("a rule with a long name ", 12)
	for want, in := range map[string]struct {
		topic     string
		partition int32
		offset    int64
		rule      string
	}{
		"crm.events-3-1234:order":                  {"crm.events", 3, 1234, "order"},
		"crm.events-0-9007199254740993:order~20ok": {"crm.events", 0, 9007199254740993, "order ok"},
		"a-1-2:~c3~bc~3cb~3e":                      {"a", 1, 2, "ü<b>"},
		"a-1-2:x~7e20":                             {"a", 1, 2, "x~20"},
	} {
		record := &Record{Topic: in.topic, Partition: in.partition, Offset: in.offset}
		if got := identity(record, in.rule, -1); got != want {
			t.Errorf("%+v is %q, want %q", in, got, want)
		}
	}
	seen := map[string]bool{}
	for offset := range int64(3) {
		for _, rule := range []string{long + "a", long + "b", strings.Repeat("ü", 200)} {
			m := identity(&Record{Topic: strings.Repeat("t", 249), Offset: offset}, rule, -1)
			if len(m) != maxMarker || seen[m] {
				t.Errorf("%q has %d characters, or is another's too", m, len(m))
			}
			seen[m] = true
		}
	}
}

func TestAMarkerOfARuleReplacesTheIdentity(t *testing.T) {
	cfg := Default()
	cfg.Rules = []Rule{{Name: "r", Lead: "event.lead", Activity: "320", Marker: "event.id"}, {Name: "s", Lead: "event.lead", Activity: "320"}}
	rules := compile(t, cfg, "")
	record := func(value string) *Record { return &Record{Topic: "t", Partition: 1, Offset: 2, Value: []byte(value)} }

	m := rules.Map(record(`{"lead":"l","id":"order-7"}`))
	if len(m.Activities) != 2 || m.Activities[0].Marker != "order-7" || m.Activities[1].Marker != "t-1-2:s" {
		t.Errorf("mapped to %+v", m)
	}
	for value, says := range map[string]string{
		`{"lead":"l"}`:         "marker: the marker is null or empty",
		`{"lead":"l","id":""}`: "marker: the marker is null or empty",
		`{"lead":"l","id":"` + strings.Repeat("ü", 201) + `"}`: "201 characters",
	} {
		if m := rules.Map(record(value)); m.Decision != Bury || !strings.Contains(m.Reason.Message, says) {
			t.Errorf("%.40s: %+v, want it buried, saying %q", value, m, says)
		}
	}
}

// A marker that two activities of a record share would let one that LeadSquared
// holds be taken for both, and the other be lost.
func TestTwoActivitiesOfARecordMayNotHaveTheSameMarker(t *testing.T) {
	cfg := Default()
	cfg.Rules = []Rule{
		{Name: "first", Lead: "event.lead", Activity: "320", Marker: "event.id"},
		{Name: "second", Lead: "event.lead", Activity: "321", Marker: "event.id"},
		{Name: "third", Lead: "event.lead", Activity: "322"},
	}
	rules, problems := Compile(cfg, decode.Default(), nil)
	if problems != nil {
		t.Fatal(problems)
	}
	m := rules.Map(&Record{Topic: "t", Value: []byte(`{"lead":"L","id":"e1"}`)})
	want := `the activities of the rules "first" and "second" have the same marker; it has to identify the activity`
	if m.Decision != Bury || m.Reason.Class != classRuleError || m.Reason.Rule != "second" || m.Reason.Message != want {
		t.Errorf("%+v", m)
	}
	cfg.Rules[0].Name, cfg.Rules[1].Name = "rule 2", "" // which is what the second is called
	if _, problems := Compile(cfg, decode.Default(), nil); len(problems) != 1 || problems[0].Key != "rules[1].name" {
		t.Errorf("%v, want that the name is taken", problems)
	}
}
