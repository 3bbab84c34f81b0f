package account

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform"
	"github.com/leadsink/leadsink/transform/decode"
)

// shop is an account with a field of every kind.
func shop() *Account {
	return &Account{Types: []Type{
		{Code: 320, Name: "Order", Fields: []Field{
			{SchemaName: "mx_Custom_1", DisplayName: "Order number", DataType: "String", Mandatory: true, MaxLength: 10},
			{SchemaName: "mx_Custom_2", DisplayName: "Total", DataType: "Number"},
			{SchemaName: "mx_Custom_3", DisplayName: "Placed", DataType: "DateTime"},
			{SchemaName: "mx_Custom_4", DisplayName: "Paid", DataType: "Boolean"},
			{SchemaName: "mx_Custom_5", DisplayName: "Tier", DataType: "Dropdown", Options: []string{"Gold", "Silver", "Sales  Lead"}},
			{SchemaName: "mx_Custom_6", DisplayName: "Due", DataType: "Date"},
			{SchemaName: "mx_Custom_7", DisplayName: "Tags", DataType: "MultiSelect", Options: []string{"a", "b"}, Multiple: true},
			{SchemaName: "mx_Custom_8", DisplayName: "Other", DataType: "SearchableDropdown", Options: []string{"a"}, Others: true},
			{SchemaName: "mx_Custom_9", DisplayName: "Huge", DataType: "LargeOptionSet"},
			{SchemaName: "mx_Custom_10", DisplayName: "Address", DataType: "CustomObject"},
			{SchemaName: "mx_Custom_11", DisplayName: "Call", DataType: "Phone"},
			{SchemaName: "mx_Custom_12", DisplayName: "Identity", DataType: "String", MaxLength: 200},
			{SchemaName: "mx_Custom_13", DisplayName: "Long", DataType: "String", MaxLength: 2200},
		}},
		{Code: 321, Name: "Visit", DisplayName: "Shop visit", Fields: []Field{
			{SchemaName: "ActivityEvent_Note", DataType: "String", Mandatory: true},
			{SchemaName: "CreatedBy", DataType: "ActiveUsers", Mandatory: true},
			{SchemaName: "Owner", DataType: "ActiveUsers", Mandatory: true},
		}},
		{Code: 322, Name: "Secret"},
		{Code: 399, Name: "Retired", Inactive: true, Fields: []Field{}},
	}}
}

// outline compiles rules against an event with a value of every kind.
func outline(t *testing.T, rules ...transform.Rule) []transform.RuleOutline {
	t.Helper()
	cfg := transform.Default()
	cfg.Rules = rules
	sample, err := decode.JSON([]byte(`{"lead": "L1", "text": "x", "whole": 1, "decimal": 1.5, "truth": true}`), 64)
	if err != nil {
		t.Fatal(err)
	}
	compiled, problems := transform.Compile(cfg, decode.Default(), sample)
	if problems != nil {
		t.Fatal(problems)
	}
	return compiled.Outline()
}

// with is a rule that writes one field, and the mandatory one.
func with(field, expression string) transform.Rule {
	r := transform.Rule{Name: "r", Lead: "event.lead", Activity: "320", Fields: transform.Entries{{Name: field, Expression: expression}}}
	if field != "mx_Custom_1" {
		r.Fields = append(r.Fields, transform.Entry{Name: "mx_Custom_1", Expression: "event.text"})
	}
	return r
}

func TestAFieldsValueIsCheckedByItsKindAndByTheTextsInItsExpression(t *testing.T) {
	for _, row := range []struct{ field, expression, want string }{
		{"mx_Custom_1", `event.whole`, ""},
		{"mx_Custom_1", `"01234567ü9"`, ""},
		{"mx_Custom_1", `"0123456789ü"`, "the text has 11 characters, and field mx_Custom_1 (Order number) takes 10; cut it with truncate()"},
		{"mx_Custom_2", `event.decimal`, ""},
		{"mx_Custom_2", `event.text`, ""},
		{"mx_Custom_2", `"-1.5e3"`, ""},
		{"mx_Custom_2", `"0x1p4"`, `field mx_Custom_2 (Total) is a number, and "0x1p4" is none; write it in digits, with a point`},
		{"mx_Custom_2", `event.text ?? "1,299.50"`, `field mx_Custom_2 (Total) is a number, and "1,299.50" is none; write it in digits, with a point`},
		{"mx_Custom_2", `event.truth`, "field mx_Custom_2 (Total) is a number, and this is true or false; pick a number"},
		{"mx_Custom_2", `timestamp`, "field mx_Custom_2 (Total) is a number, and this is a time; pick a number"},
		{"mx_Custom_3", `timestamp`, ""},
		{"mx_Custom_3", `"2026-11-23 09:30:00"`, ""},
		{"mx_Custom_3", `"2026-11-23T09:30:00Z"`, `field mx_Custom_3 (Placed) takes times like 2026-11-23 09:30:00 in UTC, and "2026-11-23T09:30:00Z" is none; read it with time()`},
		{"mx_Custom_3", `"2026-11-23"`, `field mx_Custom_3 (Placed) takes times like 2026-11-23 09:30:00 in UTC, and "2026-11-23" is none; read it with time()`},
		{"mx_Custom_3", `event.whole`, "field mx_Custom_3 (Placed) is a date with a time, and this is a number; make it a time with time(), unix() or unixMilli()"},
		{"mx_Custom_6", `"2026-11-23"`, ""},
		{"mx_Custom_6", `event.truth`, "field mx_Custom_6 (Due) is a date, and this is true or false; make it a time with time(), unix() or unixMilli()"},
		{"mx_Custom_4", `event.truth`, ""},
		{"mx_Custom_4", `1`, ""},
		{"mx_Custom_4", `2`, `field mx_Custom_4 (Paid) is true or false, and "2" is neither; compare it with something`},
		{"mx_Custom_4", `"yes"`, `field mx_Custom_4 (Paid) is true or false, and "yes" is neither; compare it with something`},
		{"mx_Custom_4", `event.decimal`, "field mx_Custom_4 (Paid) is true or false, and this is a number; compare it with something"},
		{"mx_Custom_5", `event.text`, ""},
		{"mx_Custom_5", `event.truth ? "Gold" : "Silver"`, ""},
		{"mx_Custom_5", `event.truth ? "Gold" : "Sliver"`, `"Sliver" is no option of field mx_Custom_5 (Tier); did you mean Silver?`},
		{"mx_Custom_5", `event.text == "SPRING" ? "Gold" : ""`, ""},
		{"mx_Custom_2", `event.text ?? ""`, ""},
		{"mx_Custom_5", `"gold"`, `"gold" is no option of field mx_Custom_5 (Tier); write "Gold", exactly so`},
		{"mx_Custom_5", `"Sales Lead"`, `"Sales Lead" is no option of field mx_Custom_5 (Tier); write "Sales  Lead", exactly so`},
		{"mx_Custom_5", `"Platinum"`, `"Platinum" is no option of field mx_Custom_5 (Tier); there are Gold, Silver, Sales  Lead`},
		{"mx_Custom_7", `"a;b"`, ""},
		{"mx_Custom_7", `"a;xyz"`, `"xyz" is no option of field mx_Custom_7 (Tags); there are a, b`},
		{"mx_Custom_8", `"anything"`, ""},
		{"mx_Custom_9", `"anything"`, ""},
		{"mx_Custom_10", `event.text`, "field mx_Custom_10 (Address) is a set of further fields, which leadsink cannot write; leave it out"},
		{"mx_Custom_11", `event.whole`, ""},
		{"Status", `event.text`, ""},
		{"mx_Custom_14", `event.text`, "activity type 320 (Order) has no field mx_Custom_14; there are mx_Custom_1 (Order number), mx_Custom_2 (Total), mx_Custom_3 (Placed), mx_Custom_4 (Paid), " +
			"mx_Custom_5 (Tier), mx_Custom_6 (Due), mx_Custom_7 (Tags), mx_Custom_8 (Other), mx_Custom_9 (Huge), mx_Custom_10 (Address), …; add it in LeadSquared"},
		{"mx_Cutsom_2", `event.whole`, "activity type 320 (Order) has no field mx_Cutsom_2; did you mean mx_Custom_2 (Total)?"},
		{"total", `event.whole`, "that is what people read; the field's schema name is mx_Custom_2"},
	} {
		got := shop().CheckRules(outline(t, with(row.field, row.expression)), "")
		var want []setting.Problem
		if row.want != "" {
			want = []setting.Problem{{Key: "transform.rules[0].fields." + row.field, Text: row.want}}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s: %s", row.field, row.expression, diff)
		}
	}
}

func TestOptionsAreNotCheckedWhereTheRowSaysSo(t *testing.T) {
	for _, row := range []struct {
		value   string
		checked bool
	}{{`"true"`, false}, {`"True"`, false}, {`event.text`, false}, {`"false"`, true}} {
		r := with("mx_Custom_5", `"Platinum"`)
		r.Attributes = transform.Entries{{Name: "ValidateDropDownOptions", Expression: row.value}}
		if got := shop().CheckRules(outline(t, r), ""); (len(got) == 1) != row.checked {
			t.Errorf("%s: %v", row.value, got)
		}
	}
}

func TestCodesAndMandatoryFieldsAreChecked(t *testing.T) {
	rule := func(code, note, owner string) transform.Rule {
		return transform.Rule{Name: "n" + code + note, Lead: "event.lead", Activity: code, Note: note, Owner: owner}
	}
	got := shop().CheckRules(outline(t,
		rule("320", "", ""), rule("321", "", ""), rule("321", `"note"`, `"a@example.com"`), rule("322", "", ""),
		rule("399", "", ""), rule("999", "", ""), rule("event.whole", "", ""), rule("322", `"`+strings.Repeat("x", 2001)+`"`, "")), "")
	want := []setting.Problem{
		{Key: "transform.rules[0].fields", Text: "field mx_Custom_1 (Order number) of activity type 320 (Order) is mandatory, and nothing is written to it; add it to fields"},
		{Key: "transform.rules[1].fields", Text: "activity type 321 (Shop visit) wants a note; give the rule one"},
		{Key: "transform.rules[1].fields", Text: "activity type 321 (Shop visit) wants an owner; give the rule one"},
		{Key: "transform.rules[4].activity", Text: "activity type 399 (Retired) is not active; activate it in LeadSquared, or write the code of another"},
		{Key: "transform.rules[5].activity", Text: "the account has no activity type 999; there are 320 (Order), 321 (Shop visit), 322 (Secret)"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyCodesThatAreNotThereAreMissing(t *testing.T) {
	rule := func(code string) transform.Rule {
		return transform.Rule{Name: code, Lead: "event.lead", Activity: code}
	}
	got := shop().Missing(outline(t, rule("320"), rule("322"), rule("399"), rule("event.whole"), rule("999")))
	if len(got) != 1 || got[0].Key != "transform.rules[4].activity" {
		t.Errorf("%v", got)
	}
}

func TestWhatCannotBeCheckedIsNamed(t *testing.T) {
	got := shop().Unchecked(outline(t, with("mx_Custom_2", "1"),
		transform.Rule{Name: "secret", Lead: "event.lead", Activity: "322"}, transform.Rule{Name: "any", Lead: "event.lead", Activity: "event.whole"}))
	want := []string{
		`rule "secret": the fields of activity type 322 (Secret) are not known, so they are not checked`,
		`rule "any": its code depends on the record, so its fields are not checked`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAMandatorySetOfFieldsIsNoMistakeOfARuleThatLeavesItOut(t *testing.T) {
	a := shop()
	a.Type(320).Field("mx_Custom_10").Mandatory = true
	without, with := outline(t, with("mx_Custom_2", "1")), outline(t, with("mx_Custom_10", "event.text"))
	if got := a.CheckRules(without, ""); got != nil {
		t.Errorf("left out: %v", got)
	}
	if got := a.Check(&transform.Activity{Code: 320, Fields: []transform.Field{{SchemaName: "mx_Custom_1", Value: "A-1"}}}, ""); got != nil {
		t.Errorf("left out of an activity: %v", got)
	}
	want := []string{`rule "r": field mx_Custom_10 (Address) of activity type 320 (Order) is mandatory and a set of further fields, which leadsink cannot write; make it optional in LeadSquared`}
	if diff := cmp.Diff(want, a.Unchecked(without)); diff != "" {
		t.Error(diff)
	}
	problem := []setting.Problem{{
		Key:  "transform.rules[0].fields.mx_Custom_10",
		Text: "field mx_Custom_10 (Address) is a set of further fields, which leadsink cannot write; leave it out, and make it optional in LeadSquared",
	}}
	if diff := cmp.Diff(problem, a.CheckRules(with, "")); diff != "" || a.Unchecked(with) != nil {
		t.Errorf("%s%v", diff, a.Unchecked(with))
	}
}

func TestTheMarkersFieldIsCheckedOncePerType(t *testing.T) {
	rule := outline(t, with("mx_Custom_2", "1"), transform.Rule{Name: "r2", Lead: "event.lead", Activity: "320"})
	for marker, want := range map[string]string{
		"mx_Custom_13": "",
		"mx_Custom_12": "",
		"mx_Custom_3":  "field mx_Custom_3 (Placed) of activity type 320 (Order) is a date with a time; write the schema name of a text field",
		"mx_Custom_1":  "field mx_Custom_1 (Order number) of activity type 320 (Order) takes 10 characters; choose one for 200, or a marker that was cut off is never found again",
	} {
		var got []string
		for _, p := range shop().CheckRules(rule, marker) {
			if p.Key == "leadsquared.marker" {
				got = append(got, p.Text)
			}
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: %q", marker, got)
		}
	}
	if got := shop().CheckRules(rule[1:], "mx_Custom_1"); len(got) != 1 {
		t.Errorf("the marker writes the mandatory field: %v", got)
	}
}

func TestAnActivityIsCheckedByItsValues(t *testing.T) {
	field := func(name, value string) transform.Field { return transform.Field{SchemaName: name, Value: value} }
	for _, row := range []struct {
		activity transform.Activity
		marker   string
		want     []setting.Problem
	}{
		{transform.Activity{Code: 320, Fields: []transform.Field{field("mx_Custom_1", "A-1"), field("mx_Custom_2", "12.50"), field("mx_Custom_5", "")}}, "", nil},
		{transform.Activity{Code: 320, Marker: "m"}, "mx_Custom_1", nil},
		{transform.Activity{Code: 322, Fields: []transform.Field{field("mx_Custom_1", "A-1")}}, "", nil},
		{transform.Activity{Code: 7}, "", []setting.Problem{{Key: "activity", Text: "the account has no activity type 7; there are 320 (Order), 321 (Shop visit), 322 (Secret)"}}},
		{
			transform.Activity{Code: 320, Note: strings.Repeat("n", 2001), Fields: []transform.Field{field("mx_Custom_2", "12,50"), field("mx_Custom_3", "23/11/2026"), field("mx_Custom_5", "Bronze")}},
			"",
			[]setting.Problem{
				{Key: "note", Text: "the note has 2001 characters, and LeadSquared is reported to take 2000; cut it with truncate()"},
				{Key: "fields.mx_Custom_2", Text: `field mx_Custom_2 (Total) is a number, and "12,50" is none; write it in digits, with a point`},
				{Key: "fields.mx_Custom_3", Text: `field mx_Custom_3 (Placed) takes times like 2026-11-23 09:30:00 in UTC, and "23/11/2026" is none; read it with time()`},
				{Key: "fields.mx_Custom_5", Text: `"Bronze" is no option of field mx_Custom_5 (Tier); there are Gold, Silver, Sales  Lead`},
				{Key: "fields", Text: "field mx_Custom_1 (Order number) of activity type 320 (Order) is mandatory, and nothing is written to it; add it to fields"},
			},
		},
		{transform.Activity{
			Code: 320, Fields: []transform.Field{field("mx_Custom_1", "A-1"), field("mx_Custom_5", "Bronze")},
			Attributes: []transform.Attribute{{Name: "ValidateDropDownOptions", Value: "true"}},
		}, "", nil},
	} {
		if diff := cmp.Diff(row.want, shop().Check(&row.activity, row.marker)); diff != "" {
			t.Errorf("%+v: %s", row.activity, diff)
		}
	}
}

func TestASnapshotIsReadAsItWasWrittenInAnOrderOfItsOwn(t *testing.T) {
	a := shop()
	var first, again bytes.Buffer
	if err := a.Write(&first); err != nil {
		t.Fatal(err)
	}
	a.Types[0], a.Types[1] = a.Types[1], a.Types[0]
	f := a.Types[1].Fields
	f[0], f[12] = f[12], f[0]
	if err := a.Write(&again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.String(), again.String()); diff != "" {
		t.Error(diff)
	}
	read, err := Read(&first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shop(), read); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNoSnapshotIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                         "it is no snapshot of an account: json: cannot unmarshal array into Go value of type account.snapshot; write one with leadsink activity-types --save",
		`{"version": 2}`:             "it is a snapshot of version 2, and this leadsink reads version 1; write one with leadsink activity-types --save",
		`{"version": 1, "tpyes": 1}`: `it is no snapshot of an account: json: unknown field "tpyes"; write one with leadsink activity-types --save`,
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || err.Error() != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
