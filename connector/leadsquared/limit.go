package leadsquared

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
)

const (
	// maxRetryAfter bounds what an answer can make us wait, if LeadSquared says itself
	// that the day's calls are spent.
	maxRetryAfter = 24 * time.Hour
	// otherRetryAfter bounds it for every other answer: a proxy that asks for a day
	// would stop everything, and a call after a while finds out.
	otherRetryAfter = 5 * time.Minute
)

var (
	limitType  = regexp.MustCompile(`(?i)ratelimit|throttl|toomanyrequests`)
	namedLimit = regexp.MustCompile(`(?i)exceeded\s+the\s+limit\s+of\s+(\d+)\s+in\s+(\d+)\s+second`)
	limitWords = regexp.MustCompile(`(?i)\btoo many (api )?(requests|calls)\b` +
		`|\b(api calls?|(rate|call|request|api|daily) limit|quota)\b[^.]{0,60}\b(exceeded|exceeds?|reached|exhausted|used up)\b` +
		`|\b(exceeded|exceeds?|reached|exhausted|used up)\b[^.]{0,60}\b(api calls?|(rate|call|request|api|daily) limit|quota)\b`)
	// dayWords are those of a limit for a day. What LeadSquared says when it is
	// spent is not documented.
	dayWords = regexp.MustCompile(`(?i)\b(daily|per day|(for|of) (the|this) day|today's|for today)\b`)

	// What is quoted comes from the data, and a sentence about a field may quote without marks.
	quoted    = regexp.MustCompile(`'[^']*'|"[^"]*"|` + "`[^`]*`" + `|‘[^’]*’|“[^”]*”`)
	aboutData = regexp.MustCompile(`(?i)\b(invalid|values?|fields?|parameters?|attributes?|activity ?note|mx_\w+)\b`)
)

// overLimit reports whether an exception type, or the words where there is none,
// speak of too many calls. A type of LeadSquared's is believed whatever the words quote.
func overLimit(kind, words string) bool {
	if limitType.MatchString(kind) {
		return true
	}
	words = quoted.ReplaceAllString(words, "")
	return kind == "" && !aboutData.MatchString(words) && (namedLimit.MatchString(words) || limitWords.MatchString(words))
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
	return overLimit(b.kind, b.limits)
}

// throttle fills in what a throttled response says.
func (r *response) throttle(a *connector.Answer, b body) {
	a.Outcome = connector.Throttled
	a.Message = r.say(b, "")
	a.Limit = limitIn(b.limits)
	a.DaySpent = a.Limit.Window >= 24*time.Hour || a.Limit.IsZero() && dayWords.MatchString(b.limits)
	a.RetryAfter = r.retryAfter()
	bound := otherRetryAfter
	if a.DaySpent && b.envelope() {
		bound = maxRetryAfter
	}
	if a.RetryAfter > bound {
		a.Message = r.say(b, fmt.Sprintf("it asks to wait for %v, of which %v are believed", a.RetryAfter, bound))
		a.RetryAfter = bound
	}
}

// limitIn returns the limit that the text names, zero if it names none.
func limitIn(text string) budget.Limit {
	m := namedLimit.FindStringSubmatch(quoted.ReplaceAllString(text, ""))
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

// retryAfter returns what the Retry-After header asks to wait: seconds, or a
// time, which is taken by the server's own clock where it tells it.
func (r *response) retryAfter() time.Duration {
	text := strings.TrimSpace(r.header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now := r.at
	if date, err := http.ParseTime(r.header.Get("Date")); err == nil {
		now = date
	}
	return max(until.Sub(now), 0)
}

// limitWords returns what an object says without its types, in the ways of LeadSquared
// and of gateways, which may put it into an object of its own.
func (o object) limitWords() string { return strings.Join(o.spoken(1), ". ") }

func (o object) spoken(deeper int) (said []string) {
	for name, raw := range o {
		var inner object
		switch strings.ToLower(name) {
		case "exceptionmessage", "errormessage", "message", "reason", "error", "detail", "title", "fault", "faultstring":
			if text := o.string(name); text != "" {
				said = append(said, text)
			} else if deeper > 0 && json.Unmarshal(raw, &inner) == nil {
				said = append(said, inner.spoken(deeper-1)...)
			}
		}
	}
	return said
}
