package account

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform"
)

// A kind is what leadsink knows of a data type.
type kind int

const (
	aText kind = iota
	aNumber
	aTruth
	aDate // without a time of the day
	aMoment
	aChoice
	aSet   // of further fields
	others // phones, files, users: what they take is not known
)

// kind returns the kind of the field's data type. The words are those seen in
// LeadSquared's documentation and by integrators; an unknown one is left alone.
func (f *Field) kind() kind {
	switch strings.ToLower(f.DataType) {
	case "string", "text", "textarea", "":
		return aText
	case "number", "int", "integer", "decimal", "double", "float":
		return aNumber
	case "boolean", "bool":
		return aTruth
	case "date":
		return aDate
	case "datetime":
		return aMoment
	case "select", "dropdown", "searchabledropdown", "multiselect", "largeoptionset":
		return aChoice
	case "customobject":
		return aSet
	}
	return others
}

// words say what a field of the kind is.
func (k kind) words() string {
	return [...]string{"text", "a number", "true or false", "a date", "a date with a time", "a drop-down", "a set of further fields", "of a special type"}[k]
}

// unfit says why no value of the kind fits the field, "" if some may.
func (f *Field) unfit(value transform.Kind) string {
	var is, advice string
	switch value {
	case transform.KindWhole, transform.KindDecimal:
		is = "a number"
	case transform.KindTruth:
		is = "true or false"
	case transform.KindTime:
		is = "a time"
	case transform.KindUnknown, transform.KindText: // the text decides
	}
	switch k := f.kind(); {
	case k == aSet && f.Mandatory:
		return fmt.Sprintf("field %s is a set of further fields, which leadsink cannot write; leave it out, and make it optional in LeadSquared", f)
	case k == aSet:
		return fmt.Sprintf("field %s is a set of further fields, which leadsink cannot write; leave it out", f)
	case is == "":
		return ""
	case k == aNumber && is != "a number":
		advice = "pick a number"
	case k == aTruth && value != transform.KindTruth && value != transform.KindWhole:
		advice = "compare it with something"
	case (k == aDate || k == aMoment) && value != transform.KindTime:
		advice = "make it a time with time(), unix() or unixMilli()"
	default:
		return ""
	}
	return fmt.Sprintf("field %s is %s, and this is %s; %s", f, f.kind().words(), is, advice)
}

// refuses says why the field does not take the text, "" if it does. Unlisted
// lets texts pass that are no option of a drop-down.
func (f *Field) refuses(value string, unlisted bool) string {
	switch f.kind() {
	case aNumber:
		if n, err := strconv.ParseFloat(value, 64); err != nil || math.IsInf(n, 0) || math.IsNaN(n) || strings.ContainsAny(value, "xX_") {
			return fmt.Sprintf("field %s is a number, and %s is none; write it in digits, with a point", f, quoted(value))
		}
	case aTruth:
		if !slices.Contains([]string{"true", "false", "1", "0"}, strings.ToLower(value)) {
			return fmt.Sprintf("field %s is true or false, and %s is neither; compare it with something", f, quoted(value))
		}
	case aDate, aMoment:
		return f.refusesTime(value)
	case aChoice:
		if text := f.refusesChoice(value); text != "" && !unlisted {
			return text
		}
		return f.tooLong(value)
	case aText, aSet, others:
		return f.tooLong(value)
	}
	return ""
}

func (f *Field) refusesTime(value string) string {
	_, err := time.Parse(time.DateTime, value)
	if err != nil && f.kind() == aDate {
		_, err = time.Parse(time.DateOnly, value)
	}
	if err == nil {
		return ""
	}
	return fmt.Sprintf("field %s takes times like 2026-11-23 09:30:00 in UTC, and %s is none; read it with time()", f, quoted(value))
}

func (f *Field) refusesChoice(value string) string {
	if len(f.Options) == 0 || f.Others || slices.Contains(f.Options, value) {
		return ""
	}
	if f.Multiple {
		wrong := slices.DeleteFunc(strings.Split(value, ";"), func(one string) bool { return slices.Contains(f.Options, strings.TrimSpace(one)) })
		if len(wrong) == 0 {
			return ""
		}
		value = strings.TrimSpace(wrong[0])
	}
	loose := func(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }
	for _, option := range f.Options {
		if loose(option) == loose(value) {
			return fmt.Sprintf("%s is no option of field %s; write %s, exactly so", quoted(value), f, quoted(option))
		}
	}
	advice := choose(f.Options, "leadsink activity-types --json lists all")
	if near := setting.Nearest(value, f.Options); near != "" {
		advice = "did you mean " + setting.Printable(near) + "?"
	}
	return fmt.Sprintf("%s is no option of field %s; %s", quoted(value), f, advice)
}

func (f *Field) tooLong(value string) string {
	if n := utf8.RuneCountInString(value); f.MaxLength > 0 && n > f.MaxLength {
		return fmt.Sprintf("the text has %d characters, and field %s takes %d; cut it with truncate()", n, f, f.MaxLength)
	}
	return ""
}

// quoted returns the beginning of a value in quotes.
func quoted(value string) string {
	const most = 60
	if r := []rune(value); len(r) > most {
		value = string(r[:most]) + "…"
	}
	return strconv.Quote(value)
}
