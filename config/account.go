package config

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform"
	"github.com/leadsink/leadsink/transform/account"
)

// An Expectation is what a document expects of the account. It does not change.
type Expectation struct {
	rules  []transform.RuleOutline
	sample []transform.Activity // what the rules make of the sample
	marker string
}

// Expects returns what a valid document expects of the account.
func (doc *Document) Expects() (*Expectation, []setting.Problem) {
	rules, problems := doc.Rules()
	if rules == nil {
		return nil, problems
	}
	return &Expectation{rules.Outline(), doc.sampleActivities(rules), doc.LeadSquared.Client.Marker}, nil
}

// Check returns what does not fit the account, and what cannot be checked. The
// activities that the rules make of the sample are checked too: their values tell more
// than the kinds of expressions.
func (x *Expectation) Check(a *account.Account) (problems []setting.Problem, unchecked []string) {
	problems = a.CheckRules(x.rules, x.marker)
	keys := map[string]string{}
	for i := range x.rules {
		keys[x.rules[i].Name] = "transform." + x.rules[i].Key + "."
	}
	for i := range x.sample {
		for _, p := range a.Check(&x.sample[i], x.marker) {
			p.Key = keys[x.sample[i].Rule] + p.Key
			text := "for an event of the sample: " + p.Text
			if !slices.ContainsFunc(problems, func(q setting.Problem) bool {
				// What is wrong with a value whatever the event is has been said.
				return q.Key == p.Key && (q.Text == p.Text || q.Text == text || strings.Contains(p.Key, ".fields."))
			}) {
				problems = append(problems, setting.Problem{Key: p.Key, Text: text})
			}
		}
	}
	return problems, a.Unchecked(x.rules)
}

// Missing returns those of Check's problems that are about activity types which
// the account does not know at all.
func (x *Expectation) Missing(a *account.Account) []setting.Problem { return a.Missing(x.rules) }

// Codes returns the codes of activity types that the rules name, never nil.
func (x *Expectation) Codes() []int {
	codes := []int{}
	for i := range x.rules {
		if code := x.rules[i].Code; code != 0 && !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	return codes
}

// anyTime is when the sample's events came.
var anyTime = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// sampleActivities returns what the rules make of the sample's events. Events
// of other formats than JSON cannot be made of it.
func (doc *Document) sampleActivities(rules *transform.Rules) []transform.Activity {
	text, err := doc.sampleText()
	if err != nil || doc.Decode.Format != "json" {
		return nil
	}
	var events []json.RawMessage
	if json.Unmarshal(text, &events) != nil {
		events = []json.RawMessage{text}
	}
	var all []transform.Activity
	for _, event := range events {
		all = append(all, rules.Map(&transform.Record{Topic: "sample", Value: event, Timestamp: anyTime}).Activities...)
	}
	return all
}
