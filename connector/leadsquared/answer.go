package leadsquared

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/leadsink/leadsink/connector"
)

// A response is what came back for a call.
type response struct {
	status int
	header http.Header
	body   []byte    // as far as it came, at most maxAnswer bytes and one
	broken string    // why body is not the whole answer; "" if it is
	at     time.Time // when it was read
}

// classify says what a response means for a batch of so many rows. It looks at
// nothing else. What is known of LeadSquared's answers, and what is not, is
// in the table "Verdicts" of the design; where it is silent the outcome is
// Unknown.
func classify(r response, rows int) connector.Answer {
	b := r.read()
	a := connector.Answer{Status: r.status, Type: b.kind}
	switch {
	case r.status == http.StatusOK && len(b.rows) > 0:
		judge(&a, b.rows, rows)
	case r.throttled(b):
		r.throttle(&a, b)
	case b.mixed:
		a.Outcome = connector.Unknown
		a.Message = r.say(b, "")
	case r.status == http.StatusRequestEntityTooLarge:
		a.Outcome = connector.TooLarge
		a.Message = r.say(b, "")
	case r.status >= 300 && r.status < 500 && r.status != http.StatusBadRequest && r.status != http.StatusRequestTimeout:
		a.Outcome = connector.Fault
		a.Foreign = r.foreign(b)
		a.Message = r.say(b, r.advice(a.Foreign))
	case r.applicationError() && b.faulty():
		a.Outcome = connector.Fault
		a.Message = r.say(b, "check the activity codes, the keys' user and its permissions in LeadSquared")
	case r.applicationError() && b.refused():
		a.Outcome = connector.Refused
		a.Message = r.say(b, "")
	case r.status == http.StatusBadRequest:
		a.Outcome = connector.Fault
		a.Foreign = r.foreign(b)
		a.Message = r.say(b, r.advice(a.Foreign))
	case r.broken != "":
		a.Outcome = connector.Unknown
		a.Message = fmt.Sprintf("HTTP %d: %s", r.status, r.broken)
	default:
		a.Outcome = connector.Unknown
		a.Message = r.say(b, "")
	}
	return a
}

// applicationError reports whether the status is one with which LeadSquared
// says what is wrong with a call.
func (r *response) applicationError() bool {
	return r.status == http.StatusOK || r.status == http.StatusBadRequest || r.status == http.StatusInternalServerError
}

// A body is what could be read of a response's body.
type body struct {
	rows   []object // Response; nil where it holds something else than an object
	status string   // Status
	kind   string   // ExceptionType
	words  string   // what it says, "" if it says nothing
	limits string   // those of its words that may speak of a limit of calls
	mixed  bool     // it speaks of rows one by one: some may have been applied
}

func (r *response) read() body {
	text := string(r.body)
	var o object
	if r.broken != "" || json.Unmarshal(r.body, &o) != nil || o == nil {
		b := body{words: plain(text)}
		// A page or a text of somebody else, or JSON that was cut.
		b.mixed = strings.Contains(text, member) && !strings.HasPrefix(strings.TrimSpace(text), "<")
		if !strings.HasPrefix(strings.TrimSpace(text), "[") && !strings.HasPrefix(strings.TrimSpace(text), "{") {
			b.limits = b.words
		}
		return b
	}
	b := body{status: o.string("Status"), kind: o.string("ExceptionType"), words: o.words(), limits: o.limitWords()}
	b.mixed = strings.Contains(text, member) && ofRows(r.body, 4)
	_ = json.Unmarshal(o["Response"], &b.rows) // something else than an array is no rows
	return b
}

// member is how a row says what became of it.
const member = `"ActivityCreated"`

// ofRows reports whether the JSON holds a row, and not only text that quotes one. What
// lies too deep to look is taken for one.
func ofRows(raw json.RawMessage, deeper int) bool {
	var o object
	var list []json.RawMessage
	switch {
	case deeper == 0:
		return strings.Contains(string(raw), member)
	case json.Unmarshal(raw, &o) == nil:
		if _, there := o["ActivityCreated"]; there {
			return true
		}
		list = slices.Collect(maps.Values(o))
	case json.Unmarshal(raw, &list) != nil:
		return false
	}
	return slices.ContainsFunc(list, func(raw json.RawMessage) bool { return ofRows(raw, deeper-1) })
}

// refused reports whether the body is the envelope of an application error: a
// type that begins with MX is one, and final.
func (b *body) refused() bool {
	return b.envelope() && strings.HasPrefix(b.kind, "MX")
}

// envelope reports whether the body speaks of the whole call, and of a failure.
func (b *body) envelope() bool {
	return len(b.rows) == 0 && b.status != "" && !strings.EqualFold(b.status, "success")
}

var (
	faultyType = regexp.MustCompile(`(?i)^MX(.*unauthori[sz]ed|.*accessdetails|.*mandatory|InvalidActivityException$)`)
	faultyCode = regexp.MustCompile(`(?i)\binvalid event code\b|\bevent code is (invalid|inactive|empty)\b`)
)

// faulty reports whether the body's error is about authorisation, the activity
// code or a mandate: every call would be refused. Words are believed where there is
// no type, and where they are the beginning: later on they may be of the data.
func (b *body) faulty() bool {
	at := faultyCode.FindStringIndex(b.words)
	return b.envelope() && (faultyType.MatchString(b.kind) || b.kind == "" && at != nil && at[0] == 0)
}

// say returns what LeadSquared says, or the status where it says nothing, and
// the advice.
func (r *response) say(b body, advice string) string {
	text := b.words
	switch {
	case b.envelope() && text != "":
	case text != "":
		text = fmt.Sprintf("HTTP %d: %s", r.status, text)
	default:
		text = strings.TrimSpace(fmt.Sprintf("HTTP %d %s", r.status, http.StatusText(r.status)))
	}
	if advice != "" {
		text += "; " + advice
	}
	return text
}

// advice says what to do about a status that is a fault of the configuration.
func (r *response) advice(foreign bool) string {
	switch {
	case foreign:
		return "this is not LeadSquared's own answer: a firewall or proxy in between gave it; let it pass calls to leadsquared.host, whatever they hold, and check that address"
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return "check leadsquared.access_key and secret_key, that their user is active, and that leadsquared.host is the account's own region"
	case r.status == http.StatusProxyAuthRequired:
		return "check the user and the password in leadsquared.proxy"
	case r.status < 400:
		// Only the host is shown: the rest may echo the query with the keys.
		if to, err := url.Parse(r.header.Get("Location")); err == nil && to.Host != "" {
			return fmt.Sprintf("it redirects to %s; set leadsquared.host to the API's own address", to.Host)
		}
		return "it redirects; set leadsquared.host to the API's own address"
	}
	return "check leadsquared.host and whatever stands between it and leadsink"
}

// foreign reports whether somebody else than LeadSquared seems to have refused the call,
// maybe for what its rows hold: it is not the envelope in which LeadSquared says so.
func (r *response) foreign(b body) bool {
	switch r.status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return false
	}
	return r.status >= 400 && b.kind == "" && !b.envelope()
}

var htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// plain returns the words of an answer that is not what LeadSquared documents:
// the title of a page, or all of its text.
func plain(text string) string {
	if m := htmlTitle.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	return strings.TrimSpace(text)
}
