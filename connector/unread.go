package connector

import (
	"slices"
	"time"
)

const (
	// pageTries is how often in a row a page is asked for before its code is left for
	// later, so that it holds up no other.
	pageTries = 3
	// unreadBackoff is the longest wait before a code is asked for again that could not
	// be read although others were.
	unreadBackoff = 15 * time.Minute
)

// unread holds the activity codes that could not be read.
type unread map[int]*unreadCode

type unreadCode struct {
	searches int  // that could not read it, in a row
	alone    bool // others were read meanwhile
}

// isRead takes in that a page of the code was read.
func (u unread) isRead(code int) {
	delete(u, code)
	for _, other := range u {
		if !other.alone {
			other.alone, other.searches = true, 1 // what failed for all says nothing about it
		}
	}
}

// notRead asks for the page again in a while, or leaves its code for a later search.
func (e *engine) notRead(p Page) {
	s := e.search
	s.failures++
	code := s.queries[0].Code
	if s.failures < pageTries && e.unread[code] == nil {
		s.notBefore = e.now.Add(e.backoff(s.failures, pageBackoff))
		return
	}
	if e.unread[code] == nil {
		e.unread[code] = &unreadCode{}
	}
	e.unread[code].searches++
	s.queries, s.failures = s.queries[1:], 0
	e.log.Warn("LeadSquared could not be asked for rows in doubt; those of the activity code wait", "activity code", code,
		"answer", p.Message, "status", p.Status, "again in", e.unread[code].wait())
	if len(s.queries) == 0 {
		e.searched()
	}
}

// wait is how long a code is left alone: for a minute, or ever longer if others
// are read, since then it is not a passing trouble.
func (u *unreadCode) wait() time.Duration {
	if !u.alone {
		return pageBackoff
	}
	return min(pageBackoff<<min(u.searches-1, 10), unreadBackoff)
}

// readable returns the doubts that the search has an answer for. Rows of codes
// that it could not read wait for a later one.
func (e *engine) readable(s *search) (all []*doubt) {
	if len(e.unread) == 0 {
		return s.doubts
	}
	for _, d := range s.doubts {
		rest := &doubt{whole: d.whole, since: d.since, due: e.now, then: d.then}
		for _, r := range d.rows {
			if u := e.unread[r.activity.Code]; u != nil {
				rest.rows = append(rest.rows, r)
				if again := e.now.Add(u.wait()); again.After(rest.due) {
					rest.due = again
				}
			}
		}
		switch {
		case len(rest.rows) == 0:
			all = append(all, d)
			continue
		case d.whole:
			rest.rows = d.rows
		default:
			d.rows = slices.DeleteFunc(d.rows, func(r *row) bool { return e.unread[r.activity.Code] != nil })
			all = append(all, d)
		}
		e.doubts = append(e.doubts, rest)
	}
	return all
}
