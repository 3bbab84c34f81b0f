// Package starter writes a first document: commented, valid, and with a mapping that is
// guessed from a sample event and from what the account takes.
package starter

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform/account"
)

// A Starter is what is known when the document is written. Nothing is needed.
type Starter struct {
	Sample  string           // path of the sample, as the document is to name it
	Events  any              // the decoded sample: an event, or a list of events; nil: none
	Account *account.Account // nil: not known
	Host    string           // the account's API address; "": not known
}

// Document returns the document. What is a guess is marked as one, and what is
// less than one stands in a comment.
func (s Starter) Document() string {
	b := &strings.Builder{}
	b.WriteString(head)
	if s.Events != nil {
		fmt.Fprintf(b, "  sample: %s   # names and types in expressions are checked against it\n", scalar(s.Sample))
	} else {
		b.WriteString("  # sample: event.json   # an event, or a list of events: names and types in expressions are checked against it\n")
	}
	b.WriteString("  rules:\n")
	for _, e := range s.events() {
		s.rule(b, e)
	}
	fmt.Fprintf(b, tail, scalar(cmp.Or(s.Host, "https://api-in21.leadsquared.com")))
	return b.String()
}

const head = `# A first document for leadsink. Say what is yours where a comment asks for it, then
#   leadsink validate            checks it by itself,
#   leadsink validate --online   checks it against Kafka and the account, and
#   leadsink run                 delivers.
# Keys that are left out have their defaults: leadsink schema lists all.
kafka:
  brokers: [localhost:9092]   # yours
  topics: [crm.events]        # yours
  group: leadsink
transform:
`

const tail = `  otherwise: skip          # an event that no rule matched: skip, dead_letter or halt
leadsquared:
  host: %s   # the account's own region
  access_key: ${env:LSQ_ACCESS_KEY}   # or ${file:/run/secrets/lsq-access-key}
  secret_key: ${env:LSQ_SECRET_KEY}
  limits: [25/5s]   # of the account's plan; a daily one too, as in 100000/day
  # marker: mx_Custom_9   # a text field of every activity type in use, for 200 characters: no activity is created twice then
dead_letters:
  topic: crm.events.dead   # records that LeadSquared will never take; without it they halt the connector
`

// An event is one kind of event, with its values.
type event struct {
	name   string // of its rule
	when   string // "": every event
	words  []string
	values []value
}

// events returns the kinds of events in the sample, at most ten; one that stands for
// any event without a sample.
func (s Starter) events() []event {
	list, isList := s.Events.([]any)
	if !isList || len(list) == 0 {
		list = []any{s.Events}
	}
	var all []event
	for _, one := range list {
		values := valuesOf(one)
		e := event{name: "every event", values: values}
		if kind := kindOf(values); kind != nil {
			e.name, e.words = strings.Join(words(kind.text), " "), words(kind.text)
			e.when = kind.path + " == " + strconv.Quote(kind.text)
		}
		same := slices.IndexFunc(all, func(other event) bool { return other.name == e.name })
		if same < 0 {
			all = append(all, e)
			continue
		}
		all[same].values = merged(all[same].values, values)
	}
	const most = 10
	return all[:min(len(all), most)]
}

// rule writes the rule of a kind of events.
func (s Starter) rule(b *strings.Builder, e event) {
	line := func(key, expression, remark string) {
		fmt.Fprintf(b, "      %s: %s%s\n", key, expression, comment(remark))
	}
	fmt.Fprintf(b, "    - name: %s\n", scalar(e.name))
	if e.when != "" {
		line("when", scalar(e.when), "")
	}
	lead, remark := leadOf(e.values, s.Events != nil)
	line("lead", scalar(lead), remark)
	t, sure := s.typeOf(&e)
	switch {
	case t == nil:
		line("activity", "320", "the code of the activity type: leadsink activity-types lists what there is")
	case sure:
		line("activity", strconv.Itoa(t.Code), nameOf(t))
	default:
		line("activity", strconv.Itoa(t.Code), nameOf(t)+": a guess; leadsink activity-types lists what there is")
	}
	line("note", scalar(strconv.Quote(e.name)), "an expression: text in quotes, joined with + to values of the event")
	if owner := find(e.values, func(v *value) bool { return slices.Contains(v.words, "owner") && strings.Contains(v.text, "@") }); owner != nil {
		line("owner", scalar(owner.path), "")
	}
	if at := find(e.values, isMoment); at != nil {
		line("at", scalar(at.asTime()), "")
	}
	if t != nil {
		s.fields(b, t, &e)
	} else {
		b.WriteString("      # fields:\n      #   mx_Custom_1: event.order.id\n")
	}
}

// fields writes what of the type's fields is found among the event's values, and the
// others as comments.
func (s Starter) fields(b *strings.Builder, t *account.Type, e *event) {
	var sure, others []string
	matches := match(t, e.values)
	for i := range t.Fields {
		f := &t.Fields[i]
		if !strings.HasPrefix(f.SchemaName, "mx_") || unwritable(f) {
			continue // the note, the owner, and what LeadSquared fills by itself
		}
		m := matches[f.SchemaName]
		from, what := "…", about(f)
		if m.expression != "" {
			from = scalar(m.expression)
		}
		if m.expression != "" && !m.sure {
			what += ": a guess"
		}
		line := fmt.Sprintf("%s: %s%s\n", f.SchemaName, from, comment(what))
		if m.sure || m.expression != "" && f.Mandatory { // without it every activity would be refused
			sure = append(sure, "        "+line)
		} else {
			others = append(others, "        # "+line)
		}
	}
	key := "fields:"
	if len(sure) == 0 {
		key = "# fields:"
	}
	if len(sure)+len(others) > 0 {
		fmt.Fprintf(b, "      %s\n%s%s", key, strings.Join(sure, ""), strings.Join(others, ""))
	}
}

// about says what a field is.
func about(f *account.Field) string {
	text := cmp.Or(f.DisplayName, f.SchemaName) + ": " + f.DataType
	if f.MaxLength > 0 {
		text += fmt.Sprintf(", %d characters", f.MaxLength)
	}
	if f.Mandatory {
		text += ", mandatory"
	}
	if len(f.Options) > 0 {
		const most = 6
		text += ", one of " + strings.Join(f.Options[:min(most, len(f.Options))], " | ")
		if len(f.Options) > most {
			text += " | …"
		}
	}
	return text
}

func nameOf(t *account.Type) string { return cmp.Or(t.DisplayName, t.Name) }

// comment is a remark at the end of a line.
func comment(text string) string {
	if text == "" {
		return ""
	}
	return "   # " + setting.Printable(text)
}
