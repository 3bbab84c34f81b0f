package leadsquared

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
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
		a.Outcome = connector.Throttled
		a.Limit = limitIn(b.text)
		a.RetryAfter = r.retryAfter()
		a.DaySpent = a.Limit.Window >= 24*time.Hour || a.Limit.IsZero() && dayWords.MatchString(b.text)
		a.Message = r.say(b, "")
	case b.mixed:
		a.Outcome = connector.Unknown
		a.Message = r.say(b, "")
	case r.status == http.StatusRequestEntityTooLarge:
		a.Outcome = connector.TooLarge
		a.Message = r.say(b, "")
	case r.status >= 300 && r.status < 500 && r.status != http.StatusBadRequest && r.status != http.StatusRequestTimeout:
		a.Outcome = connector.Fault
		a.Message = r.say(b, r.advice())
	case r.applicationError() && b.faulty():
		a.Outcome = connector.Fault
		a.Message = r.say(b, "check the activity codes, the keys' user and its permissions in LeadSquared")
	case r.applicationError() && b.refused():
		a.Outcome = connector.Refused
		a.Message = r.say(b, "")
	case r.status == http.StatusBadRequest:
		a.Outcome = connector.Fault
		a.Message = r.say(b, "check leadsquared.host and whatever stands between it and leadsink")
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
	text   string   // all of it
	rows   []object // Response; nil where it holds something else than an object
	status string   // Status
	kind   string   // ExceptionType
	words  string   // what it says, "" if it says nothing
	mixed  bool     // it speaks of rows one by one: some may have been applied
}

func (r *response) read() body {
	b := body{text: string(r.body), mixed: strings.Contains(string(r.body), `"ActivityCreated"`)}
	var o object
	if r.broken != "" || json.Unmarshal(r.body, &o) != nil || o == nil {
		b.words = plain(b.text)
		return b
	}
	_ = json.Unmarshal(o["Response"], &b.rows) // something else than an array is no rows
	b.status, b.kind = o.string("Status"), o.string("ExceptionType")
	b.words = o.words()
	return b
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
// code or a mandate: every call would be refused.
func (b *body) faulty() bool {
	return b.envelope() && (faultyType.MatchString(b.kind) || faultyCode.MatchString(b.words))
}

var (
	namedLimit = regexp.MustCompile(`(?i)exceeded\s+the\s+limit\s+of\s+(\d+)\s+in\s+(\d+)\s+second`)
	limitWords = regexp.MustCompile(`(?i)\btoo many (api )?(requests|calls)\b` +
		`|\b(api calls?|(rate|call|request|api|daily) limit|quota)\b[^.]{0,60}\b(exceeded|exceeds?|reached|exhausted|used up)\b` +
		`|\b(exceeded|exceeds?|reached|exhausted|used up)\b[^.]{0,60}\b(api calls?|(rate|call|request|api|daily) limit|quota)\b`)
)

// dayWords are those of a limit for a day. What LeadSquared says when it is
// spent is not documented.
var dayWords = regexp.MustCompile(`(?i)\b(daily|per day|(for|of) (the|this) day|today's|for today)\b`)

// overLimit reports whether a text or an exception type speaks of too many calls.
func overLimit(kind, text string) bool {
	return strings.Contains(strings.ToLower(kind), "ratelimit") || namedLimit.MatchString(text) || limitWords.MatchString(text)
}

// throttled reports whether nothing was applied because there were too many
// calls. Words are not believed where rows are spoken of one by one: those of
// one row say nothing about the others.
func (r *response) throttled(b body) bool {
	if r.status == http.StatusTooManyRequests {
		return true
	}
	if b.mixed || len(b.rows) > 0 || r.status == http.StatusOK && r.broken != "" {
		return false
	}
	return overLimit(b.kind, b.text)
}

// limitIn returns the limit that the text names, zero if it names none.
func limitIn(text string) budget.Limit {
	m := namedLimit.FindStringSubmatch(text)
	if m == nil {
		return budget.Limit{}
	}
	calls, err := strconv.ParseInt(m[1], 10, 32)
	seconds, err2 := strconv.ParseInt(m[2], 10, 32)
	if err != nil || err2 != nil || calls < 1 || seconds < 1 {
		return budget.Limit{}
	}
	return budget.Limit{Calls: int(calls), Window: time.Duration(seconds) * time.Second}
}

// maxRetryAfter bounds what an answer can make us wait.
const maxRetryAfter = 24 * time.Hour

// retryAfter returns what the Retry-After header asks to wait: seconds, or a
// time, which is taken by the server's own clock where it tells it.
func (r *response) retryAfter() time.Duration {
	text := strings.TrimSpace(r.header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now := r.at
	if date, err := http.ParseTime(r.header.Get("Date")); err == nil {
		now = date
	}
	return min(max(until.Sub(now), 0), maxRetryAfter)
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
func (r *response) advice() string {
	switch {
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

var htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// plain returns the words of an answer that is not what LeadSquared documents:
// the title of a page, or all of its text.
func plain(text string) string {
	if m := htmlTitle.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	return strings.TrimSpace(text)
}
