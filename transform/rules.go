package transform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"

	"github.com/leadsink/leadsink/transform/decode"
)

// Classes of reasons that Map gives.
const (
	classUndecodable = "undecodable"
	classTooLarge    = "too_large"
	classRuleError   = "rule_error"
	classNoRule      = "no_rule"
	classTombstone   = "tombstone"
	classPanic       = "panic"
)

// maxMessage bounds a reason's message, in bytes.
const maxMessage = 4096

// Use tells where the schemas of records are, for formats that have some. It is
// called before the first Prepare.
func (r *Rules) Use(registry decode.Registry) { r.decode.Use(registry) }

// Prepare makes sure that Map knows the schema of a record, which may mean asking
// the registry. An error says in words what it waits for: nobody can tell
// now what the record holds, and it is to be tried again, later. It is not safe for
// concurrent use, and keeps nothing of the record.
func (r *Rules) Prepare(ctx context.Context, record *Record) error {
	return r.decode.Prepare(ctx, record.Value, record.eachHeader)
}

// Map returns what the rules make of a record. It never panics. It is not safe
// for concurrent use, and keeps nothing of the record. Prepare comes first.
func (r *Rules) Map(record *Record) (m Mapping) {
	defer func() {
		if p := recover(); p != nil {
			// Poison that is ours: whatever on_error says, one record must not hold up all others.
			message := fmt.Sprintf("leadsink has a fault of its own, please report it: %v\n%s", p, debug.Stack())
			m = r.fault("transform", classPanic, "", message)
			m.Decision = Bury
		}
		*r.scope = scope{}
	}()
	if r.decode.Tombstone(record.Value, record.eachHeader) {
		return Mapping{Decision: r.onTombstone, Reason: Reason{
			Stage: "transform", Class: classTombstone,
			Message: "the record's value is null (a tombstone); transform.tombstones says what becomes of it",
		}}
	}
	event, err := r.decode.Decode(record.Value, record.eachHeader)
	if err != nil {
		class := classUndecodable
		if e, ok := errors.AsType[*decode.Error](err); ok && e.TooLarge {
			class = classTooLarge
		}
		return r.fault("decode", class, "", err.Error())
	}
	r.refresh()
	*r.scope = scope{record: record, event: event}
	return r.apply()
}

// refresh looks from time to time whether the tables' files have changed.
func (r *Rules) refresh() {
	if len(r.tables) == 0 {
		return
	}
	now := time.Now()
	if r.refreshed.IsZero() {
		r.refreshed = now // Compile has just read them
	}
	if now.Sub(r.refreshed) < refreshEvery {
		return
	}
	r.refreshed = now
	log := cmp.Or(r.Log, slog.Default())
	for _, t := range r.tables {
		t.refresh(log)
	}
}

// maxActivities is how many activities a record may make with each.
const maxActivities = 1000

// apply lets every rule make its activities of the event in scope.
func (r *Rules) apply() Mapping {
	var activities []Activity
	for i := range r.rules {
		rule := &r.rules[i]
		var err error
		if rule.each == nil {
			activities, err = r.one(rule, activities)
		} else {
			activities, err = r.many(rule, activities)
		}
		if err != nil {
			return r.fault("transform", classRuleError, rule.name, err.Error())
		}
	}
	if rule, err := identified(activities); err != nil {
		return r.fault("transform", classRuleError, rule, err.Error())
	}
	if len(activities) == 0 {
		return Mapping{Decision: r.otherwise, Reason: Reason{
			Stage: "transform", Class: classNoRule,
			Message: "no rule matched the event; transform.otherwise says what becomes of it",
		}}
	}
	return Mapping{Decision: Send, Activities: activities}
}

// identified returns an error, and the rule that it is of, if two activities of a
// record have the same marker: one that LeadSquared holds would be taken for both.
func identified(activities []Activity) (rule string, err error) {
	if len(activities) < 2 {
		return "", nil
	}
	rules := make(map[string]string, len(activities)) // by marker
	for i := range activities {
		a := &activities[i]
		if first, twice := rules[a.Marker]; twice {
			return a.Rule, fmt.Errorf("the activities of the rules %q and %q have the same marker; it has to identify the activity", first, a.Rule)
		}
		rules[a.Marker] = a.Rule
	}
	return "", nil
}

// one adds the activity of a rule, if it matches.
func (r *Rules) one(rule *rule, activities []Activity) ([]Activity, error) {
	if matches, err := r.matches(rule); err != nil || !matches {
		return activities, err
	}
	activity, err := r.activity(rule)
	return append(activities, activity), err
}

// many adds an activity for each element of a list for which the rule matches.
// A when that looks at no element decides about the list, so that events of
// another kind need not have one.
func (r *Rules) many(rule *rule, activities []Activity) ([]Activity, error) {
	if !rule.whenOfItem {
		if matches, err := r.matches(rule); err != nil || !matches {
			return activities, err
		}
	}
	v, err := r.value(rule.each)
	if err != nil || v == nil {
		return activities, err
	}
	list, ok := v.([]any)
	if !ok {
		return activities, fault(rule.each, fmt.Errorf("a list was expected, it is %s", kindOf(v)))
	}
	if err := r.scope.spend(len(list)); err != nil {
		return activities, fault(rule.each, err)
	}
	markers := make(map[string]int) // the elements that have them
	for i, item := range list {
		r.scope.item, r.scope.index = item, i
		if rule.whenOfItem {
			matches, err := r.matches(rule)
			if err != nil {
				return activities, fmt.Errorf("element %d: %w", i, err)
			}
			if !matches {
				continue
			}
		}
		if len(activities) >= maxActivities {
			return activities, fault(rule.each, fmt.Errorf("the record makes more than %d activities; filter the list, or let the event's producer send fewer", maxActivities))
		}
		activity, err := r.activity(rule)
		if err != nil {
			return activities, fmt.Errorf("element %d: %w", i, err)
		}
		if first, twice := markers[activity.Marker]; twice {
			return activities, fault(rule.marker, fmt.Errorf("elements %d and %d have the same marker; it has to identify the activity", first, i))
		}
		markers[activity.Marker] = i
		activities = append(activities, activity)
	}
	r.scope.item, r.scope.index = nil, 0
	return activities, nil
}

// matches evaluates a rule's when.
func (r *Rules) matches(rule *rule) (bool, error) {
	if rule.when == nil {
		return true, nil
	}
	return r.truth(rule.when)
}

func (r *Rules) fault(stage, class, rule, message string) Mapping {
	if len(message) > maxMessage {
		message = message[:maxMessage]
		for !utf8.ValidString(message) {
			message = message[:len(message)-1]
		}
	}
	return Mapping{Decision: r.onError, Reason: Reason{Stage: stage, Class: class, Message: message, Rule: rule}}
}

// activity makes the activity of a rule that matches.
func (r *Rules) activity(rule *rule) (Activity, error) {
	a := Activity{Rule: rule.name, At: r.scope.record.Timestamp}
	var err error
	if a.Lead, err = r.text(rule.lead); err != nil {
		return a, err
	}
	if a.Lead == "" {
		return a, fault(rule.lead, errors.New("the lead is null or empty; filter such events with when, or give the lead a default"))
	}
	if a.Code, err = r.code(rule.activity); err != nil {
		return a, err
	}
	if a.Note, err = r.text(rule.note); err != nil {
		return a, err
	}
	if a.Owner, err = r.text(rule.owner); err != nil {
		return a, err
	}
	if a.Marker, err = r.marker(rule); err != nil {
		return a, err
	}
	if rule.at != nil {
		if a.At, err = r.moment(rule.at, a.At); err != nil {
			return a, err
		}
	}
	if len(rule.fields) > 0 {
		a.Fields = make([]Field, 0, len(rule.fields))
	}
	for i := range rule.fields {
		e := &rule.fields[i]
		value, found, err := r.optional(e)
		if err != nil {
			return a, err
		}
		if found {
			a.Fields = append(a.Fields, Field{e.name(), value})
		}
	}
	for i := range rule.attributes {
		e := &rule.attributes[i]
		value, found, err := r.optional(e)
		if err != nil {
			return a, err
		}
		if found {
			a.Attributes = append(a.Attributes, Attribute{e.name(), value})
		}
	}
	return a, nil
}

// name is what the expression's value is called: the key, or what follows its
// section.
func (e *expression) name() string {
	if _, name, ok := strings.Cut(e.key, "."); ok {
		return name
	}
	return e.key
}

// value evaluates an expression for the record in scope.
func (r *Rules) value(e *expression) (any, error) {
	switch {
	case e.path != nil:
		v, err := e.path.in(r.scope)
		if err != nil {
			return nil, fault(e, err)
		}
		return v, nil
	case e.program != nil:
		v, err := r.machine.Run(e.program, nil)
		if err != nil {
			return nil, fault(e, err)
		}
		return v, nil
	}
	return e.constant, nil
}

// fault says where an evaluation went wrong, and what to do if that is known.
func fault(e *expression, err error) error {
	if at, ok := errors.AsType[*file.Error](err); ok {
		advice := ""
		if strings.Contains(at.Message, "nil") {
			advice = "; something is null here: give it a default with ??"
		}
		message := strings.TrimPrefix(at.Message, "interface conversion: interface {} is ")
		if message != at.Message {
			message = "it is " + message
		}
		return fmt.Errorf("%s: %d:%d: %s%s", e.key, at.Line, at.Column+1, message, advice)
	}
	return fmt.Errorf("%s: %w", e.key, err)
}

// optional returns the text of an expression, and false for null.
func (r *Rules) optional(e *expression) (string, bool, error) {
	v, err := r.value(e)
	if v == nil || err != nil {
		return "", false, err
	}
	s, err := text(v)
	if err == nil {
		// Elements may share a text, but every activity is sent with its own.
		_, err = r.scope.making(s, nil)
	}
	if err != nil {
		return "", false, fault(e, err)
	}
	return s, true, nil
}

// text returns the text of an expression, "" for null and for none.
func (r *Rules) text(e *expression) (string, error) {
	if e == nil {
		return "", nil
	}
	s, _, err := r.optional(e)
	return s, err
}

func (r *Rules) truth(e *expression) (bool, error) {
	v, err := r.value(e)
	if err != nil {
		return false, err
	}
	matches, err := truth(v)
	if err != nil {
		return false, fault(e, err)
	}
	return matches, nil
}

func (r *Rules) code(e *expression) (int, error) {
	v, err := r.value(e)
	if err != nil {
		return 0, err
	}
	code, ok := v.(int)
	if f, isFloat := plain(v).(float64); isFloat && f == math.Trunc(f) && math.Abs(f) < math.MaxInt32 {
		code, ok = int(f), true
	}
	if !ok {
		return 0, fault(e, fmt.Errorf("the activity's code is %s; it must be a whole number above 0", kindOf(v)))
	}
	if code < 1 {
		return 0, fault(e, fmt.Errorf("the activity's code is %d; it must be a whole number above 0", code))
	}
	return code, nil
}

func (r *Rules) moment(e *expression, otherwise time.Time) (time.Time, error) {
	v, err := r.value(e)
	if err != nil {
		return time.Time{}, err
	}
	if v == nil {
		return otherwise, nil
	}
	t, err := moment(v)
	if err != nil {
		return time.Time{}, fault(e, err)
	}
	return t, nil
}
