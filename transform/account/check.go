package account

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform"
)

// CheckRules returns what of the rules the account would refuse, whatever the
// events are: codes, fields, kinds of values, texts that stand in expressions,
// and mandatory fields that no expression writes. marker is the field that
// leadsquared.marker names, "" for none. Keys are those of the document.
func (a *Account) CheckRules(rules []transform.RuleOutline, marker string) []setting.Problem {
	var found problems
	markers := map[int]bool{} // codes that were looked at
	for i := range rules {
		r := &rules[i]
		if r.Code == 0 {
			continue // it depends on the record
		}
		t := a.usable(&found, "transform."+r.Activity.Key, r.Code)
		if t == nil || t.Fields == nil {
			continue
		}
		if marker != "" && !markers[t.Code] {
			markers[t.Code] = true
			t.checkMarker(&found, marker)
		}
		t.checkRule(&found, r, marker)
	}
	return found
}

// Missing returns those of CheckRules' problems that are about codes which the
// account does not know at all.
func (a *Account) Missing(rules []transform.RuleOutline) []setting.Problem {
	var found problems
	for i := range rules {
		if r := &rules[i]; r.Code != 0 && a.Type(r.Code) == nil {
			a.usable(&found, "transform."+r.Activity.Key, r.Code)
		}
	}
	return found
}

// Unchecked says what CheckRules can tell nothing about.
func (a *Account) Unchecked(rules []transform.RuleOutline) []string {
	var all []string
	for i := range rules {
		r := &rules[i]
		switch t := a.Type(r.Code); {
		case r.Code == 0:
			all = append(all, fmt.Sprintf("rule %q: its code depends on the record, so its fields are not checked", r.Name))
		case t == nil:
		case t.Fields == nil:
			all = append(all, fmt.Sprintf("rule %q: the fields of activity type %s are not known, so they are not checked", r.Name, t))
		default:
			all = append(all, t.unwritable(r)...)
		}
	}
	return all
}

// unwritable says which sets of further fields LeadSquared may miss in the rule's rows.
// That is no problem of the rule: nothing that it could write is right.
func (t *Type) unwritable(r *transform.RuleOutline) (all []string) {
	for i := range t.Fields {
		if f := &t.Fields[i]; f.Mandatory && f.kind() == aSet && !slices.ContainsFunc(r.Fields, func(v transform.ValueOutline) bool { return v.Name == f.SchemaName }) {
			all = append(all, fmt.Sprintf("rule %q: field %s of activity type %s is mandatory and a set of further fields, which leadsink cannot write; make it optional in LeadSquared", r.Name, f, t))
		}
	}
	return all
}

// Check returns what of an activity the account would refuse. Keys are those of
// the rule's parts, such as fields.mx_Custom_1. It is for values that are
// there: what CheckRules finds in rules is found in their activities too.
func (a *Account) Check(activity *transform.Activity, marker string) []setting.Problem {
	var found problems
	t := a.usable(&found, "activity", activity.Code)
	checkNote(&found, "note", activity.Note)
	if t == nil || t.Fields == nil {
		return found
	}
	unlisted := false
	for _, attribute := range activity.Attributes {
		unlisted = unlisted || attribute.Name == skipsOptions && strings.EqualFold(attribute.Value, "true")
	}
	written := map[string]bool{marker: activity.Marker != "", noteName: activity.Note != "", ownerName: activity.Owner != ""}
	for _, field := range activity.Fields {
		key := "fields." + field.SchemaName
		written[field.SchemaName] = field.Value != ""
		if f := t.known(&found, key, field.SchemaName); f != nil && field.Value != "" {
			found.add(key, f.refuses(field.Value, unlisted))
		}
	}
	t.checkMandatory(&found, "fields", written)
	return found
}

// skipsOptions is the attribute with which, as LeadSquared documents it, true
// lets values pass that are no option of a drop-down.
const skipsOptions = "ValidateDropDownOptions"

// What LeadSquared calls the parts of a row that have a key of their own in a rule.
const (
	noteName  = "ActivityEvent_Note"
	ownerName = "Owner"
)

// maxNote is how many characters of a note LeadSquared is reported to take.
const maxNote = 2000

// checkRule checks a rule of the type.
func (t *Type) checkRule(found *problems, r *transform.RuleOutline, marker string) {
	unlisted := slices.ContainsFunc(r.Attributes, func(v transform.ValueOutline) bool {
		// Where it depends on the record, it may be true.
		return v.Name == skipsOptions && (!v.Constant || slices.ContainsFunc(v.Literals, func(s string) bool { return strings.EqualFold(s, "true") }))
	})
	written := map[string]bool{marker: true, noteName: r.Note != nil, ownerName: r.Owner != nil}
	if r.Note != nil {
		for _, text := range r.Note.Literals {
			checkNote(found, "transform."+r.Note.Key, text)
		}
	}
	for _, value := range r.Fields {
		key := "transform." + value.Key
		written[value.Name] = true
		f := t.known(found, key, value.Name)
		if f == nil {
			continue
		}
		if text := f.unfit(value.Kind); text != "" {
			found.add(key, text)
			continue
		}
		for _, text := range value.Literals {
			if text != "" { // which writes nothing
				found.add(key, f.refuses(text, unlisted))
			}
		}
	}
	t.checkMandatory(found, "transform."+r.Key+".fields", written)
}

// usable returns the type of the code, nil if the account has none.
func (a *Account) usable(found *problems, key string, code int) *Type {
	t := a.Type(code)
	switch {
	case t == nil:
		var types []string
		for i := range a.Types {
			if !a.Types[i].Inactive {
				types = append(types, a.Types[i].String())
			}
		}
		found.add(key, fmt.Sprintf("the account has no activity type %d; %s", code, choose(types, "leadsink activity-types lists what there is")))
	case t.Inactive:
		found.add(key, fmt.Sprintf("activity type %s is not active; activate it in LeadSquared, or write the code of another", t))
	}
	return t
}

// known returns the field of the schema name, nil if the type has none that can
// be checked.
func (t *Type) known(found *problems, key, name string) *Field {
	f := t.Field(name)
	if f != nil {
		return f
	}
	if name == "Status" || name == ownerName {
		return nil // they can be written, listed among the fields or not
	}
	var fields, names []string
	for i := range t.Fields {
		f := &t.Fields[i]
		fields, names = append(fields, f.String()), append(names, f.SchemaName)
		if f.DisplayName != "" && strings.EqualFold(f.DisplayName, name) {
			found.add(key, fmt.Sprintf("that is what people read; the field's schema name is %s", f.SchemaName))
			return nil
		}
	}
	advice := choose(fields, "add it in LeadSquared")
	// mx_Custom_1 and mx_Custom_2 are neighbours, and yet no slip for one another.
	if near := setting.Nearest(name, names); near != "" && strings.TrimRight(name, digits) != strings.TrimRight(near, digits) {
		advice = "did you mean " + t.Field(near).String() + "?"
	}
	found.add(key, fmt.Sprintf("activity type %s has no field %s; %s", t, name, advice))
	return nil
}

// checkMandatory reports mandatory fields that are not written. Others than
// custom fields LeadSquared may fill by itself; sets of fields nobody can write here.
func (t *Type) checkMandatory(found *problems, key string, written map[string]bool) {
	for i := range t.Fields {
		f := &t.Fields[i]
		if !f.Mandatory || written[f.SchemaName] || f.kind() == aSet {
			continue
		}
		switch {
		case strings.HasPrefix(f.SchemaName, "mx_"), f.SchemaName == "Status":
			found.add(key, fmt.Sprintf("field %s of activity type %s is mandatory, and nothing is written to it; add it to fields", f, t))
		case f.SchemaName == noteName:
			found.add(key, fmt.Sprintf("activity type %s wants a note; give the rule one", t))
		case f.SchemaName == ownerName:
			found.add(key, fmt.Sprintf("activity type %s wants an owner; give the rule one", t))
		}
	}
}

// checkMarker checks that the field which identifies activities can hold that.
func (t *Type) checkMarker(found *problems, name string) {
	const key, long = "leadsquared.marker", 200
	f := t.known(found, key, name)
	switch {
	case f == nil:
	case f.kind() != aText:
		found.add(key, fmt.Sprintf("field %s of activity type %s is %s; write the schema name of a text field", f, t, f.kind().words()))
	case f.MaxLength > 0 && f.MaxLength < long:
		found.add(key, fmt.Sprintf("field %s of activity type %s takes %d characters; choose one for %d, or a marker that was cut off is never found again", f, t, f.MaxLength, long))
	}
}

func checkNote(found *problems, key, text string) {
	if n := len([]rune(text)); n > maxNote {
		found.add(key, fmt.Sprintf("the note has %d characters, and LeadSquared is reported to take %d; cut it with truncate()", n, maxNote))
	}
}

// choose says what there is to choose from.
func choose(from []string, otherwise string) string {
	const most = 10
	switch {
	case len(from) == 0:
		return otherwise
	case len(from) > most:
		return "there are " + setting.Printable(strings.Join(from[:most], ", ")) + ", …; " + otherwise
	}
	return "there are " + setting.Printable(strings.Join(from, ", "))
}

// problems collects what was found.
type problems []setting.Problem

// add adds a problem. An empty text is none.
func (p *problems) add(key, text string) {
	if text != "" {
		*p = append(*p, setting.Problem{Key: key, Text: text})
	}
}
