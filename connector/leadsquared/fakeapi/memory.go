package fakeapi

import (
	"fmt"
	"maps"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

// An Activity is one that the fake created.
type Activity struct {
	ID     string            `json:"id"`
	Call   int               `json:"call"` // which call created it, counted from 1
	Row    int               `json:"row"`  // and which row of it, from 1
	At     time.Time         `json:"at"`   // when the call arrived
	Stored time.Time         `json:"stored"`
	Lead   string            `json:"lead"`
	Code   int               `json:"code"`
	Note   string            `json:"note,omitempty"`
	Owner  string            `json:"owner,omitempty"`
	Time   string            `json:"time,omitempty"` // ActivityDateTime
	Fields map[string]string `json:"fields,omitempty"`
}

// key is the value by which a test tells activities apart: a field's, or the note.
func (a *Activity) key(name string) string {
	if name == "" {
		return a.Note
	}
	return a.Fields[name]
}

// A Call is one bulk call that arrived.
type Call struct {
	At      time.Time `json:"at"`
	Rows    int       `json:"rows"`
	Created int       `json:"created"`
	Refused int       `json:"refused"`
	Outcome string    `json:"outcome"`        // created, refused (as a whole), throttled, denied, bad_request, the fault's name, or spoiled_ and what a row did
	Left    bool      `json:"left,omitempty"` // the client had gone before it was answered
}

// A Summary counts what happened.
type Summary struct {
	Calls      int            `json:"calls"`
	Reads      int            `json:"reads"`   // of activities by their code
	Lookups    int            `json:"lookups"` // of activity types and of their fields
	Outcomes   map[string]int `json:"outcomes"`
	Rows       int            `json:"rows"`    // of calls that were looked at, so not of those that a fault took before
	Created    int            `json:"created"` // activities
	Refused    int            `json:"refused"` // rows, each time they came
	Distinct   int            `json:"distinct"`
	Twice      int            `json:"twice"`      // created beyond the first of their key
	Violations int            `json:"violations"` // calls over a limit
	Most       map[string]int `json:"most"`       // calls in any window, by limit
	First      time.Time      `json:"first"`      // bulk call
	Last       time.Time      `json:"last"`
}

// Summary counts everything so far. Activities are told apart by the value of
// the field key, or by their note if key is empty; with CountOnly they are not.
func (s *Server) Summary(key string) Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.counts
	sum.Outcomes = maps.Clone(s.counts.Outcomes)
	sum.Most = map[string]int{}
	for _, w := range s.windows {
		sum.Most[w.limit.String()] = w.most
	}
	distinct := make(map[string]struct{}, len(s.activities))
	for i := range s.activities {
		distinct[s.activities[i].key(key)] = struct{}{}
	}
	sum.Distinct = len(distinct)
	sum.Twice = len(s.activities) - len(distinct)
	return sum
}

// Activities returns what was created, in order, beginning with number after
// (from 0), at most limit of them; limit 0 means all.
func (s *Server) Activities(after, limit int) []Activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return part(s.activities, after, limit)
}

// Calls returns the bulk calls in order of arrival, as Activities does.
func (s *Server) Calls(after, limit int) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return part(s.calls, after, limit)
}

func part[T any](all []T, after, limit int) []T {
	all = all[min(max(after, 0), len(all)):]
	if limit > 0 {
		all = all[:min(limit, len(all))]
	}
	return append([]T{}, all...)
}

// SetLimits changes the limits; calls so far count against the new ones that
// have the same window.
func (s *Server) SetLimits(limits []budget.Limit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var windows []*window
	for _, l := range limits {
		next := &window{limit: l, starts: s.config.DayStarts}
		for _, w := range s.windows {
			if w.limit.Window == l.Window {
				next.accepted, next.offered, next.elsewhere = w.accepted, w.offered, w.elsewhere
			}
		}
		windows = append(windows, next)
	}
	s.windows = windows
}

func (s *Server) limits() []budget.Limit {
	s.mu.Lock()
	defer s.mu.Unlock()
	var limits []budget.Limit
	for _, w := range s.windows {
		limits = append(limits, w.limit)
	}
	return limits
}

// SetRates sets how often each fault happens, as parts of all calls; they add
// up to 1 at most.
func (s *Server) SetRates(rates map[Fault]float64) error {
	sum := 0.0
	for f, rate := range rates {
		if _, err := ParseFault(string(f)); err != nil {
			return err
		}
		if !(rate >= 0 && rate <= 1) {
			return fmt.Errorf("%v is not a rate of %s; write a number from 0 to 1", rate, f)
		}
		sum += rate
	}
	if sum > 1 {
		return fmt.Errorf("the rates of the faults add up to %v; they may add up to 1", sum)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rates = maps.Clone(rates)
	return nil
}

// Script sets what happens to the next calls, in order, before rates apply again.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append([]Fault{}, faults...)
}

// SetReadFault sets what happens to every read of activities by their code;
// NoFault leaves it to the rates.
func (s *Server) SetReadFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = f
}

// SetReading changes how a call with a bad row is answered.
func (s *Server) SetReading(r Reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.Reading = r
}

// SetSlow changes how long the fault slow takes.
func (s *Server) SetSlow(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.Slow = d
}

// Elsewhere counts a call that another integration makes on the same account:
// it uses the limits up, and is no violation of theirs by the calls that come here.
func (s *Server) Elsewhere() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, w := range s.windows {
		if w.room(now) {
			w.accepted = append(w.accepted, now)
			w.elsewhere = append(w.elsewhere, now)
		}
	}
}

func (s *Server) slow() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.Slow
}
