package transform

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnOutlineSaysWhatEachRuleWrites(t *testing.T) {
	cfg := Default()
	cfg.Rules = []Rule{
		{
			Name: "order", When: "event.vip", Lead: "event.lead.id", Activity: "320", Note: `"New"`, Owner: "event.unknown",
			At: "timestamp", Marker: "string(event.id)",
			Fields: Entries{
				{"mx_Custom_1", `event.vip ? "Gold" : event.count > 2 ? "Silver" : event.type`},
				{"mx_Custom_2", "event.total"},
				{"mx_Custom_3", `event.note ?? "none"`},
				{"mx_Custom_4", "event.count"},
				{"mx_Custom_5", "event.vip"},
				{"mx_Custom_6", "12.5"},
			},
			Attributes: Entries{{"ValidateDropDownOptions", `"true"`}},
		},
		{Lead: "event.lead.id", Activity: "event.count"},
	}
	const sample = `[` + typical + `,{"unknown":1},{"unknown":"text"}]`
	want := []RuleOutline{
		{
			Name: "order", Key: "rules[0]", Code: 320,
			Lead:     &ValueOutline{Name: "lead", Key: "rules[0].lead", Kind: KindText},
			Activity: &ValueOutline{Name: "activity", Key: "rules[0].activity", Kind: KindWhole, Literals: []string{"320"}, Constant: true},
			Note:     &ValueOutline{Name: "note", Key: "rules[0].note", Kind: KindText, Literals: []string{"New"}, Constant: true},
			Owner:    &ValueOutline{Name: "owner", Key: "rules[0].owner"},
			At:       &ValueOutline{Name: "at", Key: "rules[0].at", Kind: KindTime},
			Marker:   &ValueOutline{Name: "marker", Key: "rules[0].marker", Kind: KindText},
			Fields: []ValueOutline{
				{Name: "mx_Custom_1", Key: "rules[0].fields.mx_Custom_1", Kind: KindText, Literals: []string{"Gold", "Silver"}},
				{Name: "mx_Custom_2", Key: "rules[0].fields.mx_Custom_2", Kind: KindDecimal},
				{Name: "mx_Custom_3", Key: "rules[0].fields.mx_Custom_3", Literals: []string{"none"}},
				{Name: "mx_Custom_4", Key: "rules[0].fields.mx_Custom_4", Kind: KindWhole},
				{Name: "mx_Custom_5", Key: "rules[0].fields.mx_Custom_5", Kind: KindTruth},
				{Name: "mx_Custom_6", Key: "rules[0].fields.mx_Custom_6", Kind: KindDecimal, Literals: []string{"12.5"}, Constant: true},
			},
			Attributes: []ValueOutline{{Name: "ValidateDropDownOptions", Key: "rules[0].attributes.ValidateDropDownOptions", Kind: KindText, Literals: []string{"true"}, Constant: true}},
		},
		{
			Name: "rule 2", Key: "rules[1]",
			Lead:     &ValueOutline{Name: "lead", Key: "rules[1].lead", Kind: KindText},
			Activity: &ValueOutline{Name: "activity", Key: "rules[1].activity", Kind: KindWhole},
		},
	}
	if diff := cmp.Diff(want, compile(t, cfg, sample).Outline()); diff != "" {
		t.Error(diff)
	}
}
