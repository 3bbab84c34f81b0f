package connector

import (
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

// An Answer is what one attempt to deliver a batch taught us. The Sink
// classifies; the engine decides.
type Answer struct {
	Outcome  Outcome
	Verdicts []Verdict // for Judged: one per row of the batch, in its order

	// Message says what happened in words: LeadSquared's own where it spoke,
	// else ours. Bounded, without secrets.
	Message string
	// Type is LeadSquared's ExceptionType, "" without one.
	Type string
	// Status is the HTTP status, 0 if no answer came.
	Status int
	// Foreign is that a Fault does not look like LeadSquared's own answer. A firewall or
	// proxy in between may have refused the call, maybe for what one of its rows holds.
	Foreign bool
	// Limit is the limit that a throttling answer named, zero if it named none.
	Limit budget.Limit
	// DaySpent is that a throttling answer speaks of the day's calls.
	DaySpent bool
	// RetryAfter is how long a throttling answer asks to wait, 0 if it does not say.
	RetryAfter time.Duration
}

// An Outcome is what became of a whole call.
type Outcome int

const (
	Judged     Outcome = iota // every row has its verdict
	Refused                   // the call was refused as a whole for what it contains
	Throttled                 // too many calls; nothing was applied
	TooLarge                  // the body is too large; nothing was applied
	Fault                     // the configuration or the account is at fault; nothing was applied
	Unknown                   // it may have been applied, wholly or in part
	NotApplied                // the request never reached LeadSquared
	Missed                    // its slot was over before it could be written
)

// String returns the outcome as metrics and traces name it.
func (o Outcome) String() string {
	names := [...]string{"judged", "refused", "throttled", "too_large", "fault", "unknown", "not_applied", "missed"}
	if o < 0 || int(o) >= len(names) {
		return "unlisted"
	}
	return names[o]
}

// A Verdict is LeadSquared's answer for one row.
type Verdict struct {
	Kind       VerdictKind
	ActivityID string // for Created: ProspectActivityId
	Message    string // for the others: LeadSquared's own words, bounded
}

// A VerdictKind is one of four.
type VerdictKind int

const (
	RowUnknown VerdictKind = iota // no proof of anything; the zero value, so that forgetting is safe
	RowCreated                    // proven: ActivityCreated with an id
	RowRefused                    // LeadSquared will not take this row
	RowAgain                      // not created, and worth another attempt
)

// String returns the verdict as metrics and traces name it.
func (k VerdictKind) String() string {
	names := [...]string{"unknown", "created", "refused", "again"}
	if k < 0 || int(k) >= len(names) {
		return "unlisted"
	}
	return names[k]
}

// PageSize is how many activities a page holds unless it is the last: the most
// that LeadSquared gives.
const PageSize = 1000

// A Query asks for one page of the activities of one code that were stored
// between two times of this machine's clock, ends included. What was stored a few seconds
// before or after may be among them.
type Query struct {
	Code     int
	From, To time.Time
	Page     int // from 1
	// WriteBy is until when it may be written, zero for any time: what comes later
	// is Missed.
	WriteBy time.Time
}

// A Page is the answer to a Query. Unless its Outcome is Judged it says nothing
// about activities.
type Page struct {
	Answer
	Rows    int      // activities on the page, PageSize unless it is the last
	Total   int      // activities on all pages; -1 if that was not said
	Markers []string // of those that have one
	IDs     []string // and their ProspectActivityIds, beside them
}
