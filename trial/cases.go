package trial

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform"
)

// guide is the page that explains the keys of a file of cases.
const guide = "docs/mapping.md"

// Cases are what a file says that a document makes of records.
type Cases struct {
	path string
	file *config.File
	list []testCase
}

// A testCase is an element of cases: a record, and what is expected of it.
type testCase struct {
	Name string `yaml:"name"`

	Event       setting.JSON      `yaml:"event"`
	Value       string            `yaml:"value"`
	ValueBase64 string            `yaml:"value_base64"`
	Tombstone   bool              `yaml:"tombstone"`
	Key         string            `yaml:"key"`
	Headers     transform.Entries `yaml:"headers"`
	Topic       string            `yaml:"topic"`
	Partition   int32             `yaml:"partition"`
	Offset      int64             `yaml:"offset"`
	Timestamp   string            `yaml:"timestamp"`

	Activities []expectedActivity `yaml:"activities"`
	Filtered   bool               `yaml:"filtered"`
	Dead       expectedReason     `yaml:"dead"`
	Halts      expectedReason     `yaml:"halts"`
}

// An expectedActivity is an activity as the file has it.
type expectedActivity struct {
	Rule       string            `yaml:"rule"`
	Lead       string            `yaml:"lead"`
	Activity   int               `yaml:"activity"`
	Note       string            `yaml:"note"`
	Owner      string            `yaml:"owner"`
	At         string            `yaml:"at"`
	Fields     transform.Entries `yaml:"fields"`
	Attributes transform.Entries `yaml:"attributes"`
	Marker     string            `yaml:"marker"`
}

// An expectedReason is why a record is expected not to be sent.
type expectedReason struct {
	Class   string `yaml:"class"`
	Rule    string `yaml:"rule"`
	Message string `yaml:"message"`
}

// The keys of a case of which it has exactly one.
var (
	values       = []string{"event", "value", "value_base64", "tombstone"}
	expectations = []string{"activities", "filtered", "dead", "halts"}
)

// ReadCases reads a file of cases. The error is a *config.Errors with everything
// that is wrong with the file. With incomplete cases may lack what is expected.
func ReadCases(path string, incomplete bool) (*Cases, error) {
	text, err := config.ReadText(path)
	if err != nil {
		return nil, err
	}
	return parseCases(path, text, incomplete)
}

// parseCases does what ReadCases does with text that is already there.
func parseCases(path string, text []byte, incomplete bool) (*Cases, error) {
	var content struct {
		Cases []testCase `yaml:"cases"`
	}
	c := &Cases{path: path, file: config.ParseFile(path, guide, text, &content)}
	c.list = content.Cases
	if c.file.Err() == nil {
		c.check(incomplete)
	}
	if err := c.file.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

func key(i int) string { return fmt.Sprintf("cases[%d]", i) }

// check reports what is wrong with the cases, each by itself and together.
func (c *Cases) check(incomplete bool) {
	if len(c.list) == 0 {
		c.file.Report("cases", "is missing or empty; write a list of cases, each with name, event and activities")
	}
	seen := map[string]int{}
	for i, one := range c.list {
		if first, twice := seen[one.Name]; twice && one.Name != "" {
			c.file.Report(key(i)+".name", fmt.Sprintf("names an earlier case too, in line %d; give each case its own name", c.file.Line(key(first)+".name")))
		}
		seen[one.Name] = i
		c.checkOne(key(i)+".", one, incomplete)
	}
}

func (c *Cases) checkOne(key string, one testCase, incomplete bool) {
	report := func(name, text string) { c.file.Report(key+name, text) }
	if one.Name == "" {
		report("name", "is missing; say in a few words what is tested")
	}
	if has := c.has(key, values); len(has) != 1 {
		report(slices.Concat(has, values)[0], "a case has exactly one of event, value, value_base64 and tombstone; this one has "+listed(has))
	}
	if c.file.Has(key+"tombstone") && !one.Tombstone {
		report("tombstone", "can only be true; leave it out")
	}
	if _, err := base64.StdEncoding.DecodeString(one.ValueBase64); err != nil {
		report("value_base64", "is not base64; write it as the base64 command does")
	}
	if _, err := time.Parse(time.RFC3339, one.Timestamp); err != nil && one.Timestamp != "" {
		report("timestamp", fmt.Sprintf("%q is not a time; write it as 2026-01-31T00:00:00Z", one.Timestamp))
	}
	has := c.has(key, expectations)
	switch {
	case len(has) > 1:
		report(has[1], "a case expects one thing; this one has "+listed(has)+", so leave some out")
	case len(has) == 0 && !incomplete:
		report("name", "nothing is expected; write activities, filtered, dead or halts, or let leadsink test --update write what comes")
	}
	if c.file.Has(key+"filtered") && !one.Filtered {
		report("filtered", "can only be true; leave it out, and write what is expected instead")
	}
	if c.file.Has(key+"activities") && len(one.Activities) == 0 {
		report("activities", "is empty; write filtered: true for no activity")
	}
	for name, r := range map[string]expectedReason{"dead": one.Dead, "halts": one.Halts} {
		if c.file.Has(key+name) && r == (expectedReason{}) {
			report(name, "does not say why; write class, and perhaps rule and a part of the message")
		}
	}
}

// has returns which of the keys are there.
func (c *Cases) has(key string, names []string) []string {
	var has []string
	for _, name := range names {
		if c.file.Has(key + name) {
			has = append(has, name)
		}
	}
	return has
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " and ")
}

// input is the record of a case.
func (c *Cases) input(i int, topic string) Input {
	one := &c.list[i]
	has := func(name string) bool { return c.file.Has(key(i) + "." + name) }
	in := Input{From: fmt.Sprintf("%s:%d", c.path, c.file.Line(key(i)+".name"))}
	in.Topic, in.Partition, in.Offset, in.LeaderEpoch, in.Timestamp = one.Topic, one.Partition, one.Offset, -1, Timestamp
	if !has("topic") {
		in.Topic = topic
	}
	if one.Timestamp != "" {
		in.Timestamp, _ = time.Parse(time.RFC3339, one.Timestamp) // was checked
	}
	if has("key") {
		in.Key = []byte(one.Key)
	}
	for _, h := range one.Headers {
		in.Headers = append(in.Headers, transform.Header{Key: h.Name, Value: []byte(h.Expression)})
	}
	switch {
	case has("event"):
		in.event, in.Value = true, one.Event
	case has("value"):
		in.Value = []byte(one.Value)
	case has("value_base64"):
		in.Value, _ = base64.StdEncoding.DecodeString(one.ValueBase64) // was checked
	}
	return in
}

// A Result is how a case ended.
type Result struct {
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Name    string   `json:"name"`
	Passed  bool     `json:"passed"`
	Updated bool     `json:"updated,omitempty"` // its expectation was rewritten
	Diff    []string `json:"diff,omitempty"`    // lines as those of Diff, from what was expected to what came

	seconds float64
	outcome Outcome
}

// Test tries the cases, in their order.
func (t *Trial) Test(c *Cases) []Result {
	topic := ""
	if topics := t.doc.Kafka.Topics; len(topics) > 0 {
		topic = topics[0]
	}
	results := make([]Result, len(c.list))
	for i := range c.list {
		began := time.Now()
		in := c.input(i, topic)
		outcome := t.Try(in)
		want, got := c.expected(i), c.comparable(i, outcome)
		r := Result{File: c.path, Line: c.file.Line(key(i) + ".name"), Name: c.list[i].Name, outcome: got, Passed: slices.Equal(want, got.Lines())}
		if !r.Passed {
			r.Diff = Diff(want, got.Lines())
		}
		r.seconds = time.Since(began).Seconds()
		results[i] = r
	}
	return results
}

// expected are the lines that a case expects, nil if it says nothing.
func (c *Cases) expected(i int) []string {
	one := &c.list[i]
	o := Outcome{}
	reason := func(r expectedReason) *Reason { return &Reason{Class: r.Class, Rule: r.Rule, Message: r.Message} }
	switch has := c.has(key(i)+".", expectations); listed(has) {
	case "activities":
		o.Fate = Sent
		for _, a := range one.Activities {
			o.Activities = append(o.Activities, Activity{
				Rule: a.Rule, Lead: a.Lead, Code: a.Activity, Note: a.Note, Owner: a.Owner, At: a.At,
				Fields: textsOf(a.Fields), Attributes: textsOf(a.Attributes), Marker: a.Marker,
			})
		}
	case "filtered":
		o.Fate = Filtered
	case "dead":
		o.Fate, o.Reason = Dead, reason(one.Dead)
	case "halts":
		o.Fate, o.Reason = Halts, reason(one.Halts)
	default:
		return nil
	}
	return o.Lines()
}

func textsOf(entries transform.Entries) Texts {
	var texts Texts
	for _, e := range entries {
		texts = append(texts, Text{e.Name, e.Expression})
	}
	return texts
}

// comparable is the outcome with what the case leaves open left out: a rule's
// name and a marker that it does not mention, the time where it is the record's,
// and of a reason what is not mentioned. A part of the message is enough, and
// fields may stand in any order.
func (c *Cases) comparable(i int, o Outcome) Outcome {
	mentions := func(name string) bool { return c.file.Has(key(i) + "." + name) }
	expected := c.list[i].Activities
	o.Activities = slices.Clone(o.Activities)
	for j := range o.Activities {
		a, at := &o.Activities[j], "activities["+strconv.Itoa(j)+"]."
		if j < len(expected) {
			a.Fields, a.Attributes = a.Fields.like(expected[j].Fields), a.Attributes.like(expected[j].Attributes)
			if !mentions(at + "rule") {
				a.Rule = ""
			}
		}
		if !mentions(at+"at") && a.At == o.Input.Timestamp.UTC().Format(time.DateTime) {
			a.At = ""
		}
		if !mentions(at + "marker") {
			a.Marker = ""
		}
	}
	if expected := map[Fate]expectedReason{Dead: c.list[i].Dead, Halts: c.list[i].Halts}[o.Fate]; expected != (expectedReason{}) {
		r := *o.Reason
		if expected.Class == "" {
			r.Class = ""
		}
		if expected.Rule == "" {
			r.Rule = ""
		}
		if strings.Contains(r.Message, expected.Message) {
			r.Message = expected.Message
		}
		o.Reason = &r
	}
	return o
}

// like returns the texts in the order of the entries, others last.
func (t Texts) like(entries transform.Entries) Texts {
	place := func(one Text) int {
		i := slices.IndexFunc(entries, func(e transform.Entry) bool { return e.Name == one.Name })
		if i < 0 {
			return len(entries)
		}
		return i
	}
	t = slices.Clone(t)
	slices.SortStableFunc(t, func(a, b Text) int { return place(a) - place(b) })
	return t
}
