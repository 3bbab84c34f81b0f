package budget

import (
	"math"
	"time"
)

// A schedule is where the slots stand, and which of them are this member's.
type schedule struct {
	spacing time.Duration // between slots; 0: every moment is one
	widest  Limit         // the limit that sets it
	turns   int           // the turns that slots rotate over
	mine    []bool        // those of this member
	owned   int
	used    time.Time   // the last slot that was used or passed, wall clock
	log     []time.Time // the slots that calls used within keep, wall clock
	keep    time.Duration
}

func newSchedule(limits []Limit, share float64, guard time.Duration) schedule {
	s := schedule{turns: 1, mine: []bool{true}, owned: 1}
	for _, l := range limits {
		if l.Daily() {
			continue
		}
		s.keep = max(s.keep, l.Window+guard)
		if spacing := spacingFor(l, share, guard); spacing > s.spacing {
			s.spacing, s.widest = spacing, l
		}
	}
	return s
}

func spacingFor(l Limit, share float64, guard time.Duration) time.Duration {
	return time.Duration(math.Ceil(float64(l.Window+guard) / float64(l.part(share))))
}

func (s *schedule) own(mine []int, turns int) {
	s.turns = max(turns, 1)
	s.mine = make([]bool, s.turns)
	s.owned = 0
	for _, t := range mine {
		if t >= 0 && t < s.turns && !s.mine[t] {
			s.mine[t] = true
			s.owned++
		}
	}
}

// from returns the first slot of this member that does not stand before the
// moment, nor is one that was used or passed. There is one: owned > 0.
func (s *schedule) from(at time.Time) time.Time {
	if s.spacing == 0 {
		return at
	}
	k := ceilDiv(at.UnixNano(), int64(s.spacing))
	if !s.used.IsZero() {
		k = max(k, ceilDiv(s.used.UnixNano(), int64(s.spacing))+1) // between slots, if the clock was set since
	}
	for !s.mine[int(k%int64(s.turns))] {
		k++
	}
	return time.Unix(0, k*int64(s.spacing))
}

// use takes the slot, and notes it if a call goes out with it.
func (s *schedule) use(slot time.Time, call bool) {
	// Invariant 7: every slot carries at most one call.
	s.used = slot
	if call && s.keep > 0 {
		s.log = append(s.log, slot)
		s.trim(slot)
	}
}

func (s *schedule) trim(at time.Time) {
	first := 0
	for first < len(s.log) && !s.log[first].After(at.Add(-s.keep)) {
		first++
	}
	if s.log = s.log[first:]; len(s.log) > mostLogged {
		s.log = s.log[len(s.log)-mostLogged:]
	}
}

// mostLogged bounds the log: a learned limit never asks for more, and of the
// longest windows fewer calls are shown as spent than were.
const mostLogged = 20_000

// within counts the calls in the window that ends at the moment.
func (s *schedule) within(at time.Time, window time.Duration) (n int) {
	for i := len(s.log) - 1; i >= 0 && s.log[i].After(at.Add(-window)); i-- {
		if !s.log[i].After(at) {
			n++
		}
	}
	return n
}

// shift moves what was written down by a wall clock that has been set since.
func (s *schedule) shift(by time.Duration) {
	if !s.used.IsZero() {
		s.used = s.used.Add(by)
	}
	for i := range s.log {
		s.log[i] = s.log[i].Add(by)
	}
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}
