package leadsquared

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/transform/account"
)

const (
	pathTypes   = "/v2/ProspectActivity.svc/ActivityTypes.Get"
	pathSetting = "/v2/ProspectActivity.svc/CustomActivity/GetActivitySetting"

	// firstOwn is the lowest code of a type that an account can have made by
	// itself. Those below are LeadSquared's own, which have no custom fields.
	firstOwn = 200
)

// A Look reads what the account takes, one call at a time: whoever makes it
// paces the calls. What LeadSquared does not tell is not known afterwards, which
// is no error. A Look is used by one goroutine at a time.
type Look struct {
	client *Client
	codes  []int // whose fields are still to be read
	all    bool  // of every own type
	absent bool  // only of types that the list leaves out
	asked  bool  // for the list of types
	listed map[int]bool
	known  account.Account
	untold []string
}

// Look begins to look at the account: at all activity types, and at the fields of
// those with the codes; nil is every type of the account's own.
func (c *Client) Look(codes []int) *Look {
	return &Look{client: c, codes: slices.Compact(slices.Sorted(slices.Values(codes))), all: codes == nil}
}

// LookFor begins to look whether the account has the types with the codes: at the list,
// and at the fields of those that it leaves out. Without a list none is missing.
func (c *Client) LookFor(codes []int) *Look {
	l := c.Look(codes)
	l.absent = true
	return l
}

// Done reports whether there is nothing more to read.
func (l *Look) Done() bool { return l.asked && len(l.codes) == 0 }

// Account returns what was read so far, which the Look gives up, and what LeadSquared
// did not tell, in words.
func (l *Look) Account() (a *account.Account, untold []string) { return &l.known, l.untold }

// Next makes the next call, once, if it can be written by writeBy (any time if
// that is zero). Judged means that the Look has got ahead; after any other outcome
// the same call is next, so that it can be made again later.
func (l *Look) Next(ctx context.Context, writeBy time.Time) connector.Answer {
	k, problem := l.client.keys()
	if problem != "" {
		return connector.Answer{Outcome: connector.Fault, Message: problem}
	}
	path, query := pathTypes, url.Values(nil)
	if l.asked {
		path, query = pathSetting, url.Values{"code": {strconv.Itoa(l.codes[0])}}
	}
	r, failed := l.client.attempt(ctx, l.client.endpoint.to(ctx, k, http.MethodGet, path, query), nil, writeBy, maxPage)
	if failed != nil {
		k.redact(failed)
		return *failed
	}
	answer := l.take(&r)
	k.redact(&answer)
	switch answer.Outcome {
	case connector.Refused, connector.Fault, connector.TooLarge:
		// It will be the same next time: rights, a gateway, a shape that nobody knows.
		l.leave(answer.Message)
		answer.Outcome = connector.Judged
		return answer
	case connector.Throttled, connector.Unknown, connector.NotApplied, connector.Missed:
		return answer
	case connector.Judged:
	}
	l.advance()
	return answer
}

// Skip leaves what the next call asks for untold, with what it was answered, so that
// the one after it is next. It reports whether that can be: without the list of types
// there is nothing to compare with.
func (l *Look) Skip(message string) bool {
	if !l.asked || l.Done() {
		return false
	}
	l.leave(message)
	return true
}

// leave notes that LeadSquared does not tell what the next call asks for, and turns
// to the one after it.
func (l *Look) leave(message string) {
	what := "the activity types"
	if l.asked {
		what = fmt.Sprintf("the fields of activity type %d", l.codes[0])
		l.keep(account.Type{Code: l.codes[0]})
	}
	l.untold = append(l.untold, fmt.Sprintf("LeadSquared does not tell %s: %s", what, message))
	l.advance()
}

// advance turns to the call after the next one.
func (l *Look) advance() {
	switch {
	case l.asked:
		l.codes = l.codes[1:]
	case l.absent && l.listed == nil:
		for _, code := range l.codes {
			l.keep(account.Type{Code: code}) // nobody knows that it is not there
		}
		l.codes = nil
	case l.absent:
		l.codes = slices.DeleteFunc(l.codes, func(code int) bool { return l.listed[code] })
	}
	l.asked = true
}

// take takes in what a response tells.
func (l *Look) take(r *response) connector.Answer {
	a := classify(*r, 0)
	whole := r.status == http.StatusOK && r.broken == ""
	told := connector.Answer{Outcome: connector.Judged, Status: r.status}
	switch {
	case !l.asked && whole && l.types(r.body):
		return told
	case l.asked && whole && l.setting(r.body):
		return told
	case l.asked && r.broken == "" && l.disowned(r):
		return told
	case l.asked && whole && empty(r.body):
		a.Outcome, a.Message = connector.Refused, "its answer is empty"
	case whole && (a.Outcome == connector.Unknown || a.Outcome == connector.Judged):
		if b := r.read(); !b.envelope() {
			a.Message = "its answer has another shape than the one that is known"
		}
		a.Outcome = connector.Refused
	}
	return a
}

// keep keeps what is known of a type: what the list says of it, and its fields. One
// that has fields and that the list leaves out is not active.
func (l *Look) keep(t account.Type) {
	if known := l.known.Type(t.Code); known != nil {
		known.Fields, known.Inactive = t.Fields, known.Inactive || t.Inactive
		return
	}
	t.Inactive = t.Inactive || l.listed != nil && t.Fields != nil
	l.known.Types = append(l.known.Types, t)
}

// types takes in the list of types, and reports whether it is one. Whether it
// holds deactivated types is not documented, so both is understood: they may
// be left out, or marked.
func (l *Look) types(body []byte) bool {
	list := objects(body)
	listed := map[int]bool{}
	for _, o := range list {
		code := o.number("ActivityEvent", "ActivityEventCode", "Code")
		if code < 1 || listed[code] {
			continue
		}
		listed[code] = true
		name := o.first("ActivityEventName", "Name", "DisplayName")
		t := account.Type{Code: code, Name: name, DisplayName: o.first("DisplayName"), Inactive: o.inactive()}
		if t.DisplayName == name {
			t.DisplayName = ""
		}
		l.known.Types = append(l.known.Types, t)
	}
	if len(listed) == 0 {
		return false // an account has types: these keys do not see them
	}
	l.listed = listed
	if l.all {
		l.codes = slices.DeleteFunc(slices.Sorted(maps.Keys(listed)), func(code int) bool { return code < firstOwn })
	}
	return true
}

// setting takes in the fields of a type, and reports whether they are ones.
func (l *Look) setting(body []byte) bool {
	o := described(body)
	raw, there := o["Fields"]
	var list []object
	if !there || string(raw) == "null" || json.Unmarshal(raw, &list) != nil {
		return false
	}
	t := account.Type{Code: l.codes[0], Name: o.first("Name", "DisplayName"), Fields: []account.Field{}}
	for _, f := range list {
		field := account.Field{
			SchemaName: f.string("SchemaName"), DisplayName: f.string("DisplayName"), DataType: f.string("DataType"),
			Mandatory: f.truth("IsMandatory"), MaxLength: max(0, f.number("MaxFieldLength")),
			Options: options(f["OptionSet"], 0), Others: f.truth("IncludeOthersOption"),
		}
		field.Multiple = f.truth("IsMultiSelectDropdown") || strings.EqualFold(field.DataType, "MultiSelect")
		if field.DisplayName == field.SchemaName {
			field.DisplayName = ""
		}
		if field.SchemaName != "" && t.Field(field.SchemaName) == nil {
			t.Fields = append(t.Fields, field)
		}
	}
	l.keep(t)
	return true
}

// inactiveWords are those of a type that is there and was deactivated.
var inactiveWords = regexp.MustCompile(`(?i)\b(inactive|not active|deactivated)\b`)

// disowned reports whether the response speaks of the code: that the type is not
// active, or that there is none. The latter is believed where the list leaves the
// code out too, and only then is the type not kept.
func (l *Look) disowned(r *response) bool {
	b := r.read()
	code := l.codes[0]
	says := r.applicationError() && b.envelope() && (b.kind == "MXInvalidActivityException" || faultyCode.MatchString(b.words))
	switch {
	case says && inactiveWords.MatchString(b.words):
		l.keep(account.Type{Code: code, Inactive: true})
		return true
	case l.listed[code] && (says || r.status == http.StatusOK && empty(r.body)):
		l.keep(account.Type{Code: code}) // it is there all the same
		return true
	}
	return says && l.listed != nil
}

// empty reports whether the body tells nothing.
func empty(body []byte) bool { return len(bytes.Trim(body, " \t\r\n[]{}nul")) == 0 }

// objects returns a list of objects: as it is, or as the one list in an object.
func objects(body []byte) []object {
	var list []object
	if json.Unmarshal(body, &list) == nil {
		return list
	}
	var around object
	_ = json.Unmarshal(body, &around) // what is no object holds no list
	for _, name := range slices.Sorted(maps.Keys(around)) {
		if json.Unmarshal(around[name], &list) == nil && len(list) > 0 {
			return list
		}
	}
	return nil
}

// described returns the object with the fields of a type: as it is, as a member
// of another object, or as the one of a list.
func described(body []byte) object {
	var o object
	if json.Unmarshal(body, &o) != nil {
		if list := objects(body); len(list) == 1 {
			return list[0]
		}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		var inner object
		if o["Fields"] == nil && json.Unmarshal(o[name], &inner) == nil && inner["Fields"] != nil {
			return inner
		}
	}
	return o
}

// optionNames are the members in which an option's value may be.
var optionNames = []string{"Value", "OptionValue", "Option", "Name", "Text", "Label", "DisplayName"}

// options reads the options of a drop-down: a list of texts or of objects, in an
// object, or in text again. What cannot be read is not known.
func options(raw json.RawMessage, depth int) []string {
	const most = 3
	var text string
	if depth == most || len(raw) == 0 {
		return nil
	}
	if json.Unmarshal(raw, &text) == nil {
		return options(json.RawMessage(text), depth+1)
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		var around object
		_ = json.Unmarshal(raw, &around) // what is neither has no options
		for _, name := range slices.Sorted(maps.Keys(around)) {
			if found := options(around[name], depth+1); found != nil {
				return found
			}
		}
		return nil
	}
	var all []string
	for _, one := range list {
		value := object{"": one}.string("")
		var o object
		if json.Unmarshal(one, &o) == nil {
			value = o.first(optionNames...)
		}
		if value == "" {
			return nil // some other shape: part of the options would refuse the rest
		}
		all = append(all, value)
	}
	return all
}

// first returns the first of the members that holds a text or a number, "" if none does.
func (o object) first(names ...string) string {
	for _, name := range names {
		if text := o.string(name); text != "" {
			return text
		}
	}
	return ""
}

// number returns the first of the members that holds a whole number, as a number
// or as text; 0 if none does.
func (o object) number(names ...string) int {
	n, _ := strconv.Atoi(strings.TrimSpace(o.first(names...)))
	return n
}

// truth reports whether the member is true, in any of the ways in which
// LeadSquared writes that.
func (o object) truth(name string) bool {
	text := strings.Trim(string(o[name]), `" `)
	return strings.EqualFold(text, "true") || text == "1"
}

// inactive reports whether an activity type is marked as deactivated.
func (o object) inactive() bool {
	active, there := o["IsActive"]
	return there && string(active) != "null" && !o.truth("IsActive") || o.truth("IsDeleted") || o.truth("IsDeactivated") ||
		strings.EqualFold(o.string("Status"), "inactive") || o.string("StatusCode") == "1"
}
