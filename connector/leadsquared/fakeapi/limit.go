package fakeapi

import (
	"fmt"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

// A window counts calls strictly: sliding, by arrival. A call leaves it exactly
// the window's length after it arrived. The window of a day does not slide: all
// calls leave it when a day starts.
type window struct {
	limit    budget.Limit
	starts   budget.DayStart
	accepted []time.Time // what uses the limit up, within the window
	offered  []time.Time // accepted or not, within the window
	most     int         // offered in any window

	elsewhere []time.Time // of the accepted ones those of other integrations
}

// room reports whether there is room for a call that arrives now.
func (w *window) room(now time.Time) bool {
	after := now.Add(-w.limit.Window)
	if w.limit.Daily() {
		start, _ := w.starts.Around(now)
		after = start.Add(-1)
	}
	w.accepted, w.elsewhere = since(w.accepted, after), since(w.elsewhere, after)
	w.offered = append(since(w.offered, after), now)
	w.most = max(w.most, len(w.offered))
	return len(w.accepted) < w.limit.Calls
}

func since(times []time.Time, after time.Time) []time.Time {
	i := 0
	for i < len(times) && !times[i].After(after) {
		i++
	}
	return times[i:]
}

func overLimit(l budget.Limit) string {
	return fmt.Sprintf("API calls exceeded the limit of %d in %d second(s)", l.Calls, int(l.Window.Seconds()))
}

// arrive counts a call that arrives now against every limit. over is the limit
// that refuses it, if any does, and alone whether it would do so without the
// calls of others. The caller holds mu.
func (s *Server) arrive(now time.Time) (over *budget.Limit, alone bool) {
	for _, w := range s.windows {
		if !w.room(now) && over == nil {
			over, alone = &w.limit, len(w.accepted)-len(w.elsewhere) >= w.limit.Calls
		}
	}
	if over == nil || s.config.CountThrottled {
		for _, w := range s.windows {
			w.accepted = append(w.accepted, now)
		}
	}
	return over, alone
}
