package starter

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform/account"
	"github.com/leadsink/leadsink/transform/decode"
)

// A value is a text, a number, true or false in an event.
type value struct {
	path   string   // its expression
	words  []string // of its names, from outside
	text   string   // as a field would have it
	number bool
	truth  bool
}

// Bounds of what is looked at: whoever has more knows better.
const (
	maxValues = 500
	maxNested = 6
)

// valuesOf returns the values of an event: the outer ones first, in the order of their names.
func valuesOf(event any) []value {
	var all []value
	type object struct {
		path  string
		words []string
		of    map[string]any
	}
	root, _ := event.(map[string]any)
	level := []object{{"event", nil, root}}
	for depth := 0; depth < maxNested && len(level) > 0; depth++ {
		var inner []object
		for _, o := range level {
			for _, name := range slices.Sorted(maps.Keys(o.of)) {
				path, named := member(o.path, name), append(slices.Clip(o.words), words(name)...)
				if len(named) == 0 {
					continue // nothing can be guessed from it
				}
				switch v := o.of[name].(type) {
				case map[string]any:
					inner = append(inner, object{path, named, v})
				case string:
					all = append(all, value{path: path, words: named, text: v})
				case bool:
					all = append(all, value{path: path, words: named, text: strconv.FormatBool(v), truth: true})
				case int, float64, decode.Number:
					all = append(all, value{path: path, words: named, text: fmt.Sprint(v), number: true})
				}
			}
		}
		level = inner
	}
	return all[:min(len(all), maxValues)]
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are words of the expression language.
var reserved = []string{"and", "or", "not", "in", "matches", "contains", "startsWith", "endsWith", "let", "if", "else", "true", "false", "nil"}

// member returns the expression of an object's member.
func member(object, name string) string {
	if identifier.MatchString(name) && !slices.Contains(reserved, name) {
		return object + "." + name
	}
	return object + "[" + strconv.Quote(name) + "]"
}

// merged adds the values that are new.
func merged(values, more []value) []value {
	for _, v := range more {
		if find(values, func(w *value) bool { return w.path == v.path }) == nil {
			values = append(values, v)
		}
	}
	return values
}

func find(values []value, is func(*value) bool) *value {
	for i := range values {
		if is(&values[i]) {
			return &values[i]
		}
	}
	return nil
}

// words splits a name into its words in lower case: at what is neither letter nor
// digit, and before capitals.
func words(name string) []string {
	var b strings.Builder
	before := ' '
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			r = ' '
		case unicode.IsUpper(r) && unicode.IsLower(before):
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
		before = r
	}
	return strings.Fields(b.String())
}

// kindOf returns the value that says what kind of event it is, nil if none does.
func kindOf(values []value) *value {
	for _, name := range []string{"type", "event type", "event name", "event", "kind", "action"} {
		if v := find(values, func(v *value) bool {
			return !v.number && !v.truth && strings.Join(v.words, " ") == name && len(words(v.text)) > 0 && utf8.RuneCountInString(v.text) < 60 && setting.Printable(v.text) == v.text
		}); v != nil {
			return v
		}
	}
	return nil
}

// leadOf returns the expression that probably holds the lead's id, and a remark
// if that is doubtful.
func leadOf(values []value, sampled bool) (expression, remark string) {
	best, score := -1, 0
	for i := range values {
		if n := leadScore(&values[i]); n > score {
			best, score = i, n
		}
	}
	switch {
	case !sampled:
		return "event.lead.id", "an expression for the lead's id: say where your events have it"
	case best < 0:
		return "key", "the record's key: say where your events have the lead's id"
	case score < 4:
		return values[best].path, "a guess: say where your events have the lead's id"
	}
	return values[best].path, "the lead's id"
}

var guid = regexp.MustCompile(`(?i)^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)

func leadScore(v *value) (score int) {
	if v.truth || v.text == "" {
		return 0
	}
	is := func(names ...string) bool {
		return slices.ContainsFunc(v.words, func(w string) bool { return slices.Contains(names, w) })
	}
	switch {
	case is("prospect", "prospectid", "leadid"), is("lead"):
		score = 3
	case is("contact", "customer", "user", "person"):
		score = 1
	default:
		return 0
	}
	last := v.words[len(v.words)-1]
	if strings.HasSuffix(last, "id") || slices.Contains(identifiers, last) {
		score += 2
	} else if len(v.words) > 1 {
		score-- // something else of the lead
	}
	if guid.MatchString(v.text) {
		score++
	}
	return score
}

// layouts are the forms of times that at and time() read by themselves.
var layouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", time.DateTime, "2006-01-02T15:04:05", time.DateOnly}

// isTime reports whether the value is a time in one of these forms.
func (v *value) isTime() bool {
	return !v.number && slices.ContainsFunc(layouts, func(layout string) bool {
		_, err := time.Parse(layout, strings.TrimSpace(v.text))
		return err == nil
	})
}

// seconds and milliseconds since 1970 of this century.
func (v *value) isUnix() bool      { return v.number && len(v.text) == 10 && v.text[0] == '1' }
func (v *value) isUnixMilli() bool { return v.number && len(v.text) == 13 && v.text[0] == '1' }

// isMoment reports whether the value says when the event was.
func isMoment(v *value) bool {
	last := v.words[len(v.words)-1]
	return len(v.words) <= 2 && slices.Contains([]string{"at", "time", "timestamp", "date", "occurred", "created"}, last) && v.asTime() != ""
}

// asTime is the expression of the time that the value is, "" if it is none.
func (v *value) asTime() string {
	switch {
	case v.isUnix():
		return "unix(" + v.path + ")"
	case v.isUnixMilli():
		return "unixMilli(" + v.path + ")"
	case v.isTime():
		return "time(" + v.path + ")"
	}
	return ""
}

// typeOf returns the activity type whose name is nearest to the event's, and whether
// that is more than a guess. It is nil where none is known.
func (s Starter) typeOf(e *event) (best *account.Type, sure bool) {
	if s.Account == nil {
		return nil, false
	}
	named := slices.Clone(e.words)
	for i := range e.values {
		named = append(named, e.values[i].words[:len(e.values[i].words)-1]...) // objects of the event
	}
	score := -1
	for i := range s.Account.Types {
		t := &s.Account.Types[i]
		if t.Inactive || t.Fields == nil {
			continue
		}
		of := words(nameOf(t))
		n := 100*shared(of, e.words) + shared(of, named)
		if n > score {
			best, score = t, n
		}
	}
	return best, score >= 100
}

// shared counts the words of a that stand in b too, in one form or another.
func shared(a, b []string) (n int) {
	for _, x := range a {
		if slices.ContainsFunc(b, func(y string) bool { return alike(x, y) }) {
			n++
		}
	}
	return n
}

// identifiers are words for what tells one thing from others.
var identifiers = []string{"id", "number", "no", "nr", "code", "key", "ref", "reference"}

// alike reports whether two words have one stem, as order, orders and ordered, or
// mean the same.
func alike(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return a == b || len(a) >= 4 && strings.HasPrefix(b, a) || slices.Contains(identifiers, a) && slices.Contains(identifiers, b)
}

// A matched is what a field may be written from.
type matched struct {
	expression string
	sure       bool
}

// match finds values for the type's fields by their names, each value for one field.
func match(t *account.Type, values []value) map[string]matched {
	type pair struct {
		field *account.Field
		value *value
		score float64
	}
	var pairs []pair
	for i := range t.Fields {
		f := &t.Fields[i]
		of := words(f.DisplayName)
		for j := range values {
			// All of the field's words, and few others: "Order total" is order.total.
			v := &values[j]
			n := float64(shared(of, v.words))
			if n == 0 || unwritable(f) || v.expression(f) == "" {
				continue
			}
			score := n/float64(len(of)) + n/float64(len(v.words))
			if shared(of, v.words[len(v.words)-1:]) > 0 {
				score += 0.5 // what the value itself is called counts most
			}
			pairs = append(pairs, pair{f, v, score})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	found, used := map[string]matched{}, map[string]bool{}
	for _, p := range pairs {
		if _, has := found[p.field.SchemaName]; has || used[p.value.path] {
			continue
		}
		found[p.field.SchemaName] = matched{p.value.expression(p.field), p.score >= sureScore}
		used[p.value.path] = true
	}
	return found
}

// sureScore is that of a field whose words are those of a value, or nearly.
const sureScore = 1.8

// unwritable reports whether leadsink cannot write the field.
func unwritable(f *account.Field) bool {
	return slices.Contains([]string{"customobject", "file"}, strings.ToLower(f.DataType))
}

// expression writes the value to the field, "" if it does not fit.
func (v *value) expression(f *account.Field) string {
	expression := v.path
	switch strings.ToLower(f.DataType) {
	case "date", "datetime":
		expression = v.asTime()
	case "number":
		if !v.number {
			return ""
		}
	case "boolean":
		if !v.truth {
			return ""
		}
	}
	if f.MaxLength > 0 && utf8.RuneCountInString(v.text) > f.MaxLength {
		return fmt.Sprintf("truncate(%s, %d)", expression, f.MaxLength)
	}
	if len(f.Options) > 0 && !f.Others && !slices.Contains(f.Options, v.text) {
		return ""
	}
	return expression
}

// plainScalar is text that YAML reads as it is, whatever stands around it.
var plainScalar = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./:()-]*[A-Za-z0-9_)]( [A-Za-z0-9_.()-]+)*$`)

// words of YAML that are no text.
var yamlWords = []string{"true", "false", "yes", "no", "on", "off", "null", "nan", "inf"}

// scalar writes text as YAML.
func scalar(text string) string {
	if plainScalar.MatchString(text) && !slices.Contains(yamlWords, strings.ToLower(text)) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
