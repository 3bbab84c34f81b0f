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

// CheckAccount returns what of a valid document does not fit the account, and
// what cannot be checked. The activities that the rules make of the sample are
// checked too: their values tell more than the kinds of expressions.
func (doc *Document) CheckAccount(a *account.Account) (problems []setting.Problem, unchecked []string) {
	rules, wrong := doc.Rules()
	if rules == nil {
		return wrong, nil
	}
	outlines, marker := rules.Outline(), doc.LeadSquared.Client.Marker
	problems = a.CheckRules(outlines, marker)
	keys := map[string]string{}
	for i := range outlines {
		keys[outlines[i].Name] = "transform." + outlines[i].Key + "."
	}
	for _, activity := range doc.sampleActivities(rules) {
		for _, p := range a.Check(&activity, marker) {
			p.Key = keys[activity.Rule] + p.Key
			text := "for an event of the sample: " + p.Text
			if !slices.ContainsFunc(problems, func(q setting.Problem) bool {
				// What is wrong with a value whatever the event is has been said.
				return q.Key == p.Key && (q.Text == p.Text || q.Text == text || strings.Contains(p.Key, ".fields."))
			}) {
				problems = append(problems, setting.Problem{Key: p.Key, Text: text})
			}
		}
	}
	return problems, a.Unchecked(outlines)
}

// Codes returns the codes of activity types that the rules always use.
func (doc *Document) Codes() []int {
	rules, _ := doc.Rules()
	if rules == nil {
		return nil
	}
	var codes []int
	for _, o := range rules.Outline() {
		if o.Code != 0 && !slices.Contains(codes, o.Code) {
			codes = append(codes, o.Code)
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
