package connector

import (
	"slices"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

const (
	// pageBackoff is the longest wait before a page is asked for again.
	pageBackoff = time.Minute
	// unsettled is how long pages that do not belong together are left alone: what
	// is being stored enters the times that are asked for until they are past.
	unsettled = 3 * time.Second
)

// A search asks LeadSquared, page by page, which rows in doubt it holds. There
// is one at a time. Each page is one attempt with a slot of its own.
type search struct {
	doubts  []*doubt
	wanted  map[string]bool   // the markers of their rows
	found   map[string]bool   // and those of them that LeadSquared holds
	ids     map[string]string // with their ProspectActivityIds
	queries []Query           // the next page of each code that is still to be read

	total int // activities that all pages of the present code hold
	rows  int // and how many were read

	under     bool // a page is under way
	failures  int  // of pages, in a row
	repeats   int  // times that pages did not belong together
	notBefore time.Time
	report    func(Answer) // to the breaker, if it asked for a probe
	sent      time.Time
}

// seek begins a search for all rows whose doubt is due.
func (e *engine) seek() {
	if e.search != nil || len(e.doubts) == 0 {
		return
	}
	s := &search{wanted: map[string]bool{}, found: map[string]bool{}, ids: map[string]string{}}
	since := map[int]time.Time{}
	e.doubts = slices.DeleteFunc(e.doubts, func(d *doubt) bool {
		if d.due.After(e.now) {
			return false
		}
		d.begun = true
		s.doubts = append(s.doubts, d)
		for _, r := range d.rows {
			s.wanted[r.activity.Marker] = true
			code := r.activity.Code
			if at, known := since[code]; !known || d.since.Before(at) {
				since[code] = d.since
			}
		}
		return true
	})
	if len(s.doubts) == 0 {
		return
	}
	for code, from := range since {
		s.queries = append(s.queries, Query{Code: code, From: from, To: e.now, Page: 1})
	}
	slices.SortFunc(s.queries, func(a, b Query) int { return a.Code - b.Code })
	e.search = s
	e.log.Info("asking LeadSquared for rows in doubt", "rows", len(s.wanted), "activity codes", len(s.queries), "since", s.queries[0].From)
}

// askAt is when the next page may be asked for, or when the next doubt is due. A
// halt that is probed holds no page up: the only rows that can end it may be in doubt.
func (e *engine) askAt() (at time.Time, any bool) {
	if e.halts.bar() && !e.halts.probed() {
		return at, false
	}
	if s := e.search; s != nil {
		return s.notBefore, !s.under
	}
	for _, d := range e.doubts {
		if !any || d.due.Before(at) {
			at, any = d.due, true
		}
	}
	return at, any
}

// ask asks for the next page: one goroutine, one attempt, one answer. Its slot was taken.
func (e *engine) ask(report func(Answer)) {
	s := e.search
	s.under, s.report, s.sent = true, report, e.now
	q := s.queries[0]
	q.WriteBy = e.budget.WriteBy()
	// Ends with the one attempt, whose time is bounded by the Finder; join waits.
	go func() { e.pages <- e.finder.Find(e.calling, q) }()
}

// read takes in a page.
func (e *engine) read(p Page) {
	s := e.search
	s.under = false
	e.tellBreaker(e.calling, s.report, p.Answer)
	e.metrics.Read(p.Outcome.String())
	e.counts.reads++
	if p.Outcome == Judged {
		e.budget.Went(s.sent)
		s.failures = 0
		e.unread.isRead(s.queries[0].Code)
	}
	if p.Outcome == Throttled {
		e.throttled(e.calling, budget.Read, s.sent, p.Answer)
	}
	e.search = s.unlessIdle()
	switch {
	case e.search == nil || p.Outcome == Throttled:
	case p.Outcome == Missed:
	case p.Outcome != Judged:
		e.notRead(p)
	case !s.take(p):
		s.notBefore = e.now.Add(max(unsettled, e.backoff(s.repeats, pageBackoff)))
		if s.repeats > 3 {
			e.log.Warn("what LeadSquared holds changes while it is read; reading it again from the start", "times", s.repeats)
		}
	case len(s.queries) == 0:
		e.searched()
	}
}

// unlessIdle returns the search, or nil if nobody needs its answer any more and
// no page is under way.
func (s *search) unlessIdle() *search {
	if len(s.doubts) == 0 && !s.under {
		return nil
	}
	return s
}

// take takes in a page's activities and turns to the next page, or to the next
// code. It reports false when the pages do not belong together, so that an
// activity may have slipped from one to another: then they are read again.
func (s *search) take(p Page) bool {
	q := &s.queries[0]
	if q.Page == 1 {
		s.total, s.rows = p.Total, 0
	}
	s.rows += p.Rows
	for i, m := range p.Markers {
		if s.wanted[m] {
			if i < len(p.IDs) {
				s.ids[m] = p.IDs[i]
			}
			s.found[m] = true // however the pages go on
		}
	}
	more := p.Rows >= PageSize && (s.total < 0 || s.rows < s.total)
	if p.Total != s.total || !more && s.total >= 0 && s.rows != s.total {
		q.Page = 1
		s.repeats++
		return false
	}
	if more {
		q.Page++
	} else {
		s.queries = s.queries[1:]
	}
	return true
}

// searched settles what was found, and hands on what was not.
func (e *engine) searched() {
	s := e.search
	e.search = nil
	e.log.Info("LeadSquared was asked for rows in doubt", "rows", len(s.wanted), "found", len(s.found))
	for _, d := range e.readable(s) {
		e.answer(d, s.found, s.ids)
	}
}
