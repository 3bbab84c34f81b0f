package transform

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/transform/decode"
)

// lines is a document with a rule for each line of an order.
func lines(change func(*Rule)) Config {
	cfg := Default()
	cfg.Otherwise = "dead_letter"
	cfg.Rules = []Rule{{Name: "line", Each: "event.lines", Lead: "event.lead", Activity: "330", Fields: Entries{{"mx_Custom_1", "item.sku"}, {"mx_Custom_2", "index + 1"}}}}
	change(&cfg.Rules[0])
	return cfg
}

const order = `{"type":"order","lead":"L1","lines":[{"sku":"A","qty":2,"tier":"gold"},{"sku":"B","qty":0},{"sku":"C","qty":1}]}`

func TestARuleWithEachMakesAnActivityOfEveryElement(t *testing.T) {
	line := func(i int, sku string) Activity {
		return Activity{
			Rule: "line", Marker: fmt.Sprintf("crm.events-3-42:line:%d", i), Lead: "L1", Code: 330, At: recordTime,
			Fields: []Field{{"mx_Custom_1", sku}, {"mx_Custom_2", fmt.Sprint(i + 1)}},
		}
	}
	for name, c := range map[string]struct {
		change func(*Rule)
		want   []Activity
	}{
		"all":                         {func(*Rule) {}, []Activity{line(0, "A"), line(1, "B"), line(2, "C")}},
		"when looks at the element":   {func(r *Rule) { r.When = "item.qty > 0" }, []Activity{line(0, "A"), line(2, "C")}},
		"when looks at the index":     {func(r *Rule) { r.When = "index == 1" }, []Activity{line(1, "B")}},
		"when looks at the event":     {func(r *Rule) { r.When = `event.type == "order"` }, []Activity{line(0, "A"), line(1, "B"), line(2, "C")}},
		"the list is an expression":   {func(r *Rule) { r.Each = "filter(event.lines, .qty == 1)" }, []Activity{line(0, "C")}},
		"the list is null":            {func(r *Rule) { r.Each = "event.lines[1].none" }, nil},
		"the list is empty":           {func(r *Rule) { r.Each = "filter(event.lines, .qty > 5)" }, nil},
		"when is false, each a fault": {func(r *Rule) { r.When, r.Each = `event.type == "other"`, "event.lines[0].sku" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := compile(t, lines(c.change), "").Map(record(order))
			if diff := cmp.Diff(c.want, m.Activities); diff != "" {
				t.Error(diff, m.Reason)
			}
			if m.Activities == nil && m.Reason.Class != classNoRule {
				t.Errorf("the reason is %+v, want that no rule matched", m.Reason)
			}
		})
	}
}

func TestAnElementThatFailsIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Rule)
		value  string
		says   string
	}{
		"a field":      {func(r *Rule) { r.Note = `item.sku + item.tier` }, order, "element 1: note: 1:10: text + null"},
		"when":         {func(r *Rule) { r.When = "item.tier > 1" }, order, "element 0: when: 1:11: invalid operation"},
		"no list":      {func(*Rule) {}, `{"lead":"L","lines":{"sku":"A"}}`, "each: a list was expected, it is an object"},
		"one marker":   {func(r *Rule) { r.Marker = "item.qty * 0" }, order, "marker: elements 0 and 1 have the same marker"},
		"no marker":    {func(r *Rule) { r.Marker = "item.tier" }, order, "element 1: marker: the marker is null or empty"},
		"one too many": {func(*Rule) {}, `{"lead":"L","lines":[1` + strings.Repeat(",1", maxActivities) + `]}`, "element 0: fields.mx_Custom_1: item: it is a number and has no fields"},
		"many steps":   {func(r *Rule) { r.When = "any(event.lines, # == item + 1)" }, `{"lead":"L","lines":[1` + strings.Repeat(",1", 2000) + `]}`, "element 498: when: 1:11: the rules take more than a million steps"},
		"very many":    {func(r *Rule) { r.Fields = nil }, `{"lead":"L","lines":[1` + strings.Repeat(",1", maxActivities) + `]}`, "each: the record makes more than 1000 activities"},
	} {
		t.Run(name, func(t *testing.T) {
			m := compile(t, lines(c.change), "").Map(record(c.value))
			if m.Decision != Bury || m.Reason.Class != classRuleError || !strings.HasPrefix(m.Reason.Message, c.says) {
				t.Errorf("%+v, want it buried, saying %q", m, c.says)
			}
		})
	}
}

func TestAThousandActivitiesOfARecordAreMade(t *testing.T) {
	cfg := lines(func(r *Rule) { r.Fields = nil })
	m := compile(t, cfg, "").Map(record(`{"lead":"L","lines":[1` + strings.Repeat(",1", maxActivities-1) + `]}`))
	if m.Decision != Send || len(m.Activities) != maxActivities {
		t.Errorf("%d activities, %v", len(m.Activities), m.Reason)
	}
	seen := make(map[string]bool)
	for _, a := range m.Activities {
		if seen[a.Marker] {
			t.Fatalf("two activities have the marker %s", a.Marker)
		}
		seen[a.Marker] = true
	}
}

func TestARuleWithEachIsCheckedWithItsElements(t *testing.T) {
	sample, err := decode.JSON([]byte(order), 64)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Rule)
		want   string
	}{
		"a field":            {func(r *Rule) { r.Note = "item.skuu" }, "rules[0].note: 1:6: the sample has no field skuu here; did you mean sku?"},
		"a kind":             {func(r *Rule) { r.When = `item.qty == "2"` }, "rules[0].when: 1:10: a whole number never equals text; compare values of one kind; string(), int(), float() and time() convert"},
		"the list":           {func(r *Rule) { r.Each = "event.line" }, "rules[0].each: 1:7: the sample has no field line here; did you mean lines?"},
		"no list":            {func(r *Rule) { r.Each = "event.lead" }, "rules[0].each: 1:1: it is text, not a list; name a list of the event, such as event.order.lines"},
		"item in the list":   {func(r *Rule) { r.Each = "item.lines" }, "rules[0].each: 1:1: item is not known here; it is there in a rule with each, for each element of the list"},
		"the same marker":    {func(r *Rule) { r.Marker = "event.lead" }, "rules[0].marker: 1:1: it is the same for every element of each; use item or index in it, or leave it out"},
		"item without each":  {func(r *Rule) { r.Each = "" }, "rules[0].fields.mx_Custom_1: 1:1: item is not known here; it is there in a rule with each, for each element of the list"},
		"item beside a rule": {func(r *Rule) { r.Activity = "itm.qty" }, "rules[0].activity: 1:1: itm is not known here; did you mean item?"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := Compile(lines(c.change), decode.Default(), sample)
			if len(problems) == 0 || problems[0].Error() != c.want {
				t.Errorf("\n got %v\nwant %s", problems, c.want)
			}
		})
	}
	cfg := lines(func(*Rule) {})
	cfg.Rules = append(cfg.Rules, Rule{Lead: "event.lead", Activity: "1", Note: "item.sku"})
	if _, problems := Compile(cfg, decode.Default(), sample); len(problems) != 1 || problems[0].Key != "rules[1].note" {
		t.Errorf("a rule after one with each: %v", problems)
	}
	if o := compile(t, lines(func(*Rule) {}), order).Outline(); !o[0].Each || o[0].Fields[0].Kind != KindText || o[0].Fields[1].Kind != KindWhole {
		t.Errorf("the outline is %+v", o)
	}
}

func TestNoTwoElementsHaveTheSameIdentity(t *testing.T) {
	r := &Record{Topic: strings.Repeat("t", 180), Offset: 7}
	seen := make(map[string]string)
	for _, rule := range []string{"a", "a:0", "a:1", strings.Repeat("long", 20)} {
		for index := -1; index < 12; index++ {
			m := identity(r, rule, index)
			if other, twice := seen[m]; twice || len(m) > maxMarker {
				t.Errorf("%q is %s[%d] and %s, with %d characters", m, rule, index, other, len(m))
			}
			seen[m] = fmt.Sprintf("%s[%d]", rule, index)
		}
	}
}
