package trial

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Preview is what would become of records.
type Preview struct {
	Document    string    `json:"document"`
	Address     string    `json:"address"`      // where calls would go, without keys; a path if leadsquared.host is not known
	DeadLetters string    `json:"dead_letters"` // the topic; "": the connector halts at a dead record
	Records     []Outcome `json:"records"`
	Summary     Summary   `json:"summary"`
}

// A Summary counts records, and their activities.
type Summary struct {
	Records    int `json:"records"`
	Sent       int `json:"sent"`
	Activities int `json:"activities"`
	Refused    int `json:"refused"` // activities that the account would refuse
	Filtered   int `json:"filtered"`
	Dead       int `json:"dead"`
	Halts      int `json:"halts"`
}

// Preview tries the records. document is what the document is called.
func (t *Trial) Preview(document string, inputs []Input) Preview {
	p := Preview{Document: document, Address: t.Address(), DeadLetters: t.doc.DeadLetters.Topic, Records: make([]Outcome, len(inputs))}
	for i, in := range inputs {
		p.Records[i] = t.Try(in)
		p.Summary.add(&p.Records[i])
	}
	return p
}

func (s *Summary) add(o *Outcome) {
	s.Records++
	switch o.Fate {
	case Sent:
		s.Sent++
	case Filtered:
		s.Filtered++
	case Dead:
		s.Dead++
	case Halts:
		s.Halts++
	}
	s.Activities += len(o.Activities)
	for i := range o.Activities {
		if len(o.Activities[i].Refused) > 0 {
			s.Refused++
		}
	}
}

// A Comparison is what two documents make of the same records.
type Comparison struct {
	Document     string       `json:"document"`
	Address      string       `json:"address"` // as that of a Preview
	Other        string       `json:"other"`
	OtherAddress string       `json:"other_address"`
	Records      []Difference `json:"records"`
	Summary      struct {
		Records int `json:"records"`
		Differ  int `json:"differ"`
	} `json:"summary"`
}

// Compare tries the records with both documents.
func (t *Trial) Compare(document string, other *Trial, otherDocument string, inputs []Input) Comparison {
	c := Comparison{Document: document, Address: t.Address(), Other: otherDocument, OtherAddress: other.Address(), Records: make([]Difference, len(inputs))}
	for i, in := range inputs {
		c.Records[i] = t.compare(other, in)
		c.Summary.Records++
		if c.Records[i].Differs {
			c.Summary.Differ++
		}
	}
	return c
}

// A Paper is how text for people is written.
type Paper struct {
	Width  int  // columns; prose is wrapped to it, and events are shortened
	Colour bool // mark fates and differences by colours
}

// Print writes the preview for people. What it shortens it says; bodies are whole.
func (p *Preview) Print(w io.Writer, paper Paper) error {
	var b printed
	b.paper = paper
	b.line("", fmt.Sprintf("%s: nothing is sent; calls would go to %s", printable(p.Document), printable(p.Address)))
	for i := range p.Records {
		b.outcome(&p.Records[i])
	}
	b.line("", "")
	s := p.Summary
	counts := fmt.Sprintf("%s: %d sent as %s, %d filtered, %d dead", Counted(s.Records, "record"), s.Sent, Counted(s.Activities, "activity"), s.Filtered, s.Dead)
	if s.Halts > 0 {
		counts += fmt.Sprintf(", the connector would halt at %d", s.Halts)
	}
	b.prose("", counts+".")
	if s.Refused > 0 {
		b.prose("", b.in(red, fmt.Sprintf("The account would refuse %s.", Counted(s.Refused, "activity"))))
	}
	if s.Dead > 0 && p.DeadLetters == "" {
		b.prose("", "dead_letters.topic is not set, so the connector would halt at the first dead record.")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Print writes the records that differ for people.
func (c *Comparison) Print(w io.Writer, paper Paper) error {
	var b printed
	b.paper = paper
	if c.Summary.Differ > 0 {
		before, after := printable(c.Document), printable(c.Other)
		if c.Address != c.OtherAddress {
			before, after = before+": calls would go to "+printable(c.Address), after+": calls would go to "+printable(c.OtherAddress)
		}
		b.diff("", []string{"- " + before, "+ " + after})
	}
	for i := range c.Records {
		if d := &c.Records[i]; d.Differs {
			b.heading(&d.Input)
			b.diff("  ", d.Diff)
		}
	}
	if c.Summary.Differ > 0 {
		b.line("", "")
	}
	differ := "differ"
	if c.Summary.Differ == 1 {
		differ = "differs"
	}
	b.line("", fmt.Sprintf("%d of %s %s.", c.Summary.Differ, Counted(c.Summary.Records, "record"), differ))
	_, err := w.Write(b.Bytes())
	return err
}

// A colour of a terminal.
type colour string

const (
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	bold   colour = "1"
)

// printed is text that is written piece by piece.
type printed struct {
	bytes.Buffer
	paper Paper
}

func (b *printed) in(c colour, text string) string {
	if !b.paper.Colour {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

func (b *printed) line(indent, text string) {
	b.WriteString(indent)
	b.WriteString(text)
	b.WriteByte('\n')
}

// prose writes words over as many lines as they need.
func (b *printed) prose(indent, text string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(indent)+utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > b.paper.Width {
			b.line(indent, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	b.line(indent, line)
}

// diff writes lines as Diff returns them.
func (b *printed) diff(indent string, lines []string) {
	for _, line := range lines {
		switch line[0] {
		case '-':
			line = b.in(red, line)
		case '+':
			line = b.in(green, line)
		}
		b.line(indent, line)
	}
}

// heading writes where a record comes from, and what is in it.
func (b *printed) heading(in *Input) {
	words := []string{b.in(bold, printable(in.From))}
	if !in.event {
		if position := fmt.Sprintf("%s/%d@%d", in.Topic, in.Partition, in.Offset); position != in.From {
			words = append(words, printable(position))
		}
		words = append(words, in.Timestamp.UTC().Format("2006-01-02 15:04:05.999Z"))
		if in.Key != nil {
			words = append(words, "key "+written(string(in.Key)))
		}
	}
	b.line("", "")
	b.line("", strings.Join(words, "  "))
	for _, h := range in.Headers {
		b.line("  ", b.short("header "+written(h.Key)+": "+written(string(h.Value)), ""))
	}
	if in.Value == nil {
		b.line("  ", "no value (a tombstone)")
		return
	}
	var event bytes.Buffer
	text := "value "
	switch {
	case json.Compact(&event, in.Value) == nil:
		text = "event " + printable(event.String())
	case utf8.Valid(in.Value):
		text += printable(string(in.Value))
	default:
		text += strconv.Quote(string(in.Value))
	}
	b.line("  ", b.short(text, fmt.Sprintf(" … %d bytes", len(in.Value))))
}

// short cuts off what a line has no room for, and says so.
func (b *printed) short(text, mark string) string {
	const indent, least = 2, 20
	if mark == "" {
		mark = " …"
	}
	runes := []rune(text)
	if indent+len(runes) <= b.paper.Width {
		return text
	}
	return string(runes[:max(least, b.paper.Width-indent-utf8.RuneCountInString(mark))]) + mark
}

// outcome writes what would become of a record.
func (b *printed) outcome(o *Outcome) {
	b.heading(&o.Input)
	const indent, inner = "  ", "    "
	switch o.Fate {
	case Sent:
		b.line(indent, b.in(green, "sent")+" as "+Counted(len(o.Activities), "activity"))
	case Filtered:
		b.line(indent, b.in(yellow, "filtered"))
	case Dead:
		b.line(indent, b.in(red, "dead"))
	case Halts:
		b.line(indent, b.in(red, "halts the connector"))
	}
	if r := o.Reason; r != nil {
		said := r.Class + " in " + r.Stage
		if r.Rule != "" {
			said += ", rule " + written(r.Rule)
		}
		b.prose(inner, said+": "+printable(strings.Join(strings.Fields(r.Message), " ")))
		return
	}
	for i := range o.Activities {
		a := &o.Activities[i]
		for _, line := range item(a.lines()) {
			b.line(inner, line)
		}
		for _, r := range a.Refused {
			b.prose(inner+"  ", b.in(red, "refused")+": "+printable(r.Key)+": "+printable(r.Text))
		}
	}
	for _, body := range o.Bodies {
		b.line(indent, "body "+printable(body))
	}
}

// Results are how cases ended, those of all files in order.
type Results struct {
	Cases   []Result `json:"cases"`
	Passed  int      `json:"passed"`
	Failed  int      `json:"failed"`
	Updated int      `json:"updated"`
}

// Sum counts the results. Those that were updated pass now.
func Sum(results []Result) Results {
	all := Results{Cases: results}
	for _, r := range results {
		switch {
		case r.Updated:
			all.Updated++
		case r.Passed:
			all.Passed++
		default:
			all.Failed++
		}
	}
	return all
}

// Print writes the results for people: failures with what differs.
func (r *Results) Print(w io.Writer, paper Paper) error {
	var b printed
	b.paper = paper
	for _, one := range r.Cases {
		switch {
		case one.Updated:
			b.line("", b.in(yellow, "new ")+"  "+printable(one.Name))
		case one.Passed:
			b.line("", b.in(green, "ok  ")+"  "+printable(one.Name))
		default:
			b.line("", fmt.Sprintf("%s  %s (%s:%d)", b.in(red, "FAIL"), printable(one.Name), printable(one.File), one.Line))
			b.line("      ", b.in(red, "- expected")+"  "+b.in(green, "+ came"))
			b.diff("      ", one.Diff)
		}
	}
	counts := fmt.Sprintf("%d passed, %d failed", r.Passed, r.Failed)
	if r.Updated > 0 {
		counts += fmt.Sprintf(", %d rewritten", r.Updated)
	}
	b.line("", counts)
	_, err := w.Write(b.Bytes())
	return err
}
