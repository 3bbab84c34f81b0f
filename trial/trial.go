// Package trial tries a document on records: it shows, compares and tests what
// would become of them, and sends nothing.
package trial

import (
	"context"
	"fmt"
	"time"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector/leadsquared"
	"github.com/leadsink/leadsink/transform"
	"github.com/leadsink/leadsink/transform/decode"
)

// A Trial is a document made ready to be tried. It is used by one goroutine at a
// time.
type Trial struct {
	// Check, if not nil, tells what of an activity the account would refuse.
	Check func(*transform.Activity) []setting.Problem

	doc     *config.Document
	records *transform.Rules // decode values as the document says
	events  *transform.Rules // take values for events in JSON
}

// New makes the document ready. The document is one that config returned.
func New(doc *config.Document) (*Trial, error) {
	t := &Trial{doc: doc}
	asJSON := *doc
	asJSON.Decode.Format = "json"
	for _, r := range []struct {
		rules **transform.Rules
		doc   *config.Document
	}{{&t.records, doc}, {&t.events, &asJSON}} {
		rules, problems := r.doc.Rules()
		if len(problems) > 0 {
			return nil, fmt.Errorf("%s: %s", problems[0].Key, problems[0].Text)
		}
		*r.rules = rules
	}
	return t, nil
}

// askAgain is how long Learn waits before it asks for a schema again.
const askAgain = time.Second

// Learn asks the registry for the schemas of the records, until it has them all
// or ctx ends. Where decode.format has schemas it comes before the records are tried.
func (t *Trial) Learn(ctx context.Context, registry decode.Registry, inputs []Input) error {
	t.records.Use(registry)
	for i := range inputs {
		for !inputs[i].event {
			err := t.records.Prepare(ctx, &inputs[i].Record)
			if err == nil {
				break
			}
			timer := time.NewTimer(askAgain)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return fmt.Errorf("%s: %w", inputs[i].From, err)
			}
		}
	}
	return nil
}

// A Fate is what would become of a record.
type Fate string

// The fates of a record that was only tried.
const (
	Sent     Fate = "sent"     // its activities would be sent to LeadSquared
	Filtered Fate = "filtered" // no activity, and nothing is wrong
	Dead     Fate = "dead"     // it would be a dead letter
	Halts    Fate = "halts"    // the connector would halt at it
)

// An Outcome is what would become of one record.
type Outcome struct {
	From       string     `json:"from"` // FILE:LINE, FILE[INDEX] or TOPIC/PARTITION@OFFSET
	Input      Input      `json:"record"`
	Fate       Fate       `json:"fate"`
	Reason     *Reason    `json:"reason,omitempty"`     // of every fate but Sent
	Activities []Activity `json:"activities,omitempty"` // for Sent
	// Bodies are what would be posted if the record came alone: one call, more
	// for more activities than a batch has. Each is the exact body.
	Bodies []string `json:"bodies,omitempty"`
}

// A Reason says why a record is not sent.
type Reason struct {
	Stage   string `json:"stage"`
	Class   string `json:"class"`
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message"`
}

// An Activity is an activity as it would be sent, and what checks say of it.
type Activity struct {
	Rule       string    `json:"rule"`
	Lead       string    `json:"lead"`
	Code       int       `json:"activity"`
	Note       string    `json:"note,omitempty"`
	Owner      string    `json:"owner,omitempty"`
	At         string    `json:"at"` // UTC, YYYY-MM-DD HH:MM:SS
	Fields     Texts     `json:"fields,omitempty"`
	Attributes Texts     `json:"attributes,omitempty"`
	Marker     string    `json:"marker,omitempty"` // where leadsquared.marker names a field for it
	Refused    []Refusal `json:"refused,omitempty"`
}

// A Refusal is something that the account would not take.
type Refusal struct {
	Key  string `json:"key"`  // what of the rule, such as fields.mx_Custom_1
	Text string `json:"text"` // what is wrong; what to do
}

// Try tells what would become of the record.
func (t *Trial) Try(in Input) Outcome {
	rules := t.records
	if in.event {
		rules = t.events
	}
	m := rules.Map(&in.Record)
	out := Outcome{From: in.From, Input: in, Fate: fateOf(m.Decision)}
	if out.Fate != Sent {
		out.Reason = &Reason{Stage: m.Reason.Stage, Class: m.Reason.Class, Rule: m.Reason.Rule, Message: m.Reason.Message}
		return out
	}
	batch := make([]*transform.Activity, len(m.Activities))
	for i := range m.Activities {
		batch[i] = &m.Activities[i]
		out.Activities = append(out.Activities, t.activity(batch[i]))
	}
	for size := t.doc.LeadSquared.Batch.Batch; len(batch) > 0; {
		_, body := leadsquared.Request(t.doc.LeadSquared.Client, batch[:min(size, len(batch))])
		out.Bodies = append(out.Bodies, string(body))
		batch = batch[min(size, len(batch)):]
	}
	return out
}

// Address is where calls would go, without keys.
func (t *Trial) Address() string {
	address, _ := leadsquared.Request(t.doc.LeadSquared.Client, nil)
	return address
}

func fateOf(d transform.Decision) Fate {
	switch d {
	case transform.Send:
		return Sent
	case transform.Filter:
		return Filtered
	case transform.Bury:
		return Dead
	case transform.Halt:
		return Halts
	}
	panic(fmt.Sprintf("trial: no fate for decision %d", d))
}

func (t *Trial) activity(a *transform.Activity) Activity {
	out := Activity{Rule: a.Rule, Lead: a.Lead, Code: a.Code, Note: a.Note, Owner: a.Owner, At: a.At.UTC().Format(time.DateTime)}
	for _, f := range a.Fields {
		out.Fields = append(out.Fields, Text{f.SchemaName, f.Value})
	}
	for _, at := range a.Attributes {
		out.Attributes = append(out.Attributes, Text{at.Name, at.Value})
	}
	if t.doc.LeadSquared.Client.Marker != "" {
		out.Marker = a.Marker
	}
	if t.Check != nil {
		for _, p := range t.Check(a) {
			out.Refused = append(out.Refused, Refusal{p.Key, p.Text})
		}
	}
	return out
}
