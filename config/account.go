package config

import (
	"encoding/json"
	"slices"
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
			if !slices.Contains(problems, p) { // a constant is in every activity
				p.Text = "for an event of the sample: " + p.Text
			}
			if !slices.Contains(problems, p) {
				problems = append(problems, p)
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
		all = append(all, rules.Map(&transform.Record{Topic: "sample", Value: event, Timestamp: time.Now()}).Activities...)
	}
	return all
}
