package connector

import (
	"container/heap"
	"slices"
	"time"

	"github.com/leadsink/leadsink/transform"
)

// A lane holds the activities of one lead of one partition that have no fate
// yet, in order. The first out of them are in a call or a bisection; while
// there are any, nothing else of the lane is sent. Owned by Run.
type lane struct {
	ledger *ledger
	lead   string
	rows   []*row
	out    int

	queued    bool      // in queue.ready or queue.waiting
	beyond    bool      // in ledger.beyond
	notBefore time.Time // when its front row may go (again)
	at        int       // index in queue.waiting
}

// A row is one activity on its way.
type row struct {
	activity  *transform.Activity
	entry     *entry
	lane      *lane
	arrived   time.Time
	attempts  int           // verdicts "again" about this row
	resends   int           // calls whose outcome says nothing about this row
	calls     int           // calls that it was in
	hindered  hindrance     // what held rows back until it arrived
	backedOff time.Duration // how long it had to wait before it went again
	notBefore time.Time     // it waits so long before it goes again
	since     time.Time     // when the first call was sent that may have created it, zero without one
	heldAt    time.Time     // when it was held
	bisection *bisection    // the refused call that it was last part of, or nil
}

// A queue holds the lanes that have rows to send: ready ones in the order in
// which they became ready, so that rows that go again and new rows take turns,
// and those whose front row waits, by the time it may go. Owned by Run.
type queue struct {
	ready   []*lane
	rows    int // rows in ready lanes
	waiting waiting
}

// push queues the lane if it has rows and none of them is out.
func (q *queue) push(l *lane, now time.Time) {
	// Invariant 3: of one lead in one partition at most one call is in flight.
	if l.queued || l.out > 0 || len(l.rows) == 0 {
		return
	}
	// Invariant 10: nothing beyond the reach. The next commit takes it further.
	if led := l.ledger; l.rows[0].entry.first > led.reach {
		if !l.beyond {
			l.beyond = true
			led.beyond = append(led.beyond, l)
		}
		return
	}
	l.queued = true
	l.notBefore = l.rows[0].notBefore
	if l.notBefore.After(now) {
		heap.Push(&q.waiting, l)
		return
	}
	q.ready = append(q.ready, l)
	q.rows += len(l.rows)
}

// wake moves lanes whose time has come to the ready ones.
func (q *queue) wake(now time.Time) {
	for len(q.waiting) > 0 && !q.waiting[0].notBefore.After(now) {
		l := heap.Pop(&q.waiting).(*lane)
		q.ready = append(q.ready, l)
		q.rows += len(l.rows)
	}
}

// grew accounts for a row added to a lane that may be ready already.
func (q *queue) grew(l *lane) {
	if l.queued && l.at < 0 {
		q.rows++
	}
}

// take removes up to room rows of ready lanes, whole prefixes of lanes in
// order, and marks them as out. may says whether a lane may send now; those
// that may not keep their place.
func (q *queue) take(room int, may func(*lane) bool) []*row {
	var rows []*row
	var kept []*lane
	for len(q.ready) > 0 && len(rows) < room {
		l := q.ready[0]
		q.ready[0] = nil
		q.ready = q.ready[1:]
		if l.ledger.gone || l.ledger.draining {
			q.rows -= len(l.rows)
			l.queued = false
			continue
		}
		if !may(l) {
			kept = append(kept, l)
			continue
		}
		l.queued = false
		q.rows -= len(l.rows)
		n := l.sendable(room - len(rows))
		l.out = n
		rows = append(rows, l.rows[:n]...)
	}
	if len(kept) > 0 {
		q.ready = append(kept, q.ready...)
	}
	return rows
}

// sendable is how many of the first rows may go now, up to room: a row that
// waits holds back those behind it.
func (l *lane) sendable(room int) int {
	n := 1
	// Invariant 10: nothing beyond the reach.
	for n < min(room, len(l.rows)) && !l.rows[n].notBefore.After(l.notBefore) && l.rows[n].entry.first <= l.ledger.reach {
		n++
	}
	return n
}

// remove takes a lane out that must not be sent now.
func (q *queue) remove(l *lane) {
	switch {
	case !l.queued:
		return
	case l.at >= 0:
		heap.Remove(&q.waiting, l.at)
	default:
		i := slices.Index(q.ready, l)
		q.ready = slices.Delete(q.ready, i, i+1)
		q.rows -= len(l.rows)
	}
	l.queued = false
}

// anyLive reports whether a ready lane begins with a live record.
func (q *queue) anyLive() bool { return slices.ContainsFunc(q.ready, (*lane).live) }

// live reports whether its front row is of a live record.
func (l *lane) live() bool { return l.rows[0].entry.live }

// oldest is when the row that has waited longest in a ready lane arrived.
func (q *queue) oldest() (at time.Time) {
	for _, l := range q.ready {
		if a := l.rows[0].arrived; at.IsZero() || a.Before(at) {
			at = a
		}
	}
	return at
}

// drop forgets all lanes of the ledger.
func (q *queue) drop(led *ledger) {
	ready := q.ready[:0]
	for _, l := range q.ready {
		if l.ledger == led {
			q.rows -= len(l.rows)
			l.queued = false
			continue
		}
		ready = append(ready, l)
	}
	clear(q.ready[len(ready):])
	q.ready = ready
	for i := 0; i < len(q.waiting); {
		if l := q.waiting[i]; l.ledger == led {
			heap.Remove(&q.waiting, i)
			l.queued = false
			continue
		}
		i++
	}
}

// lane returns the lane that the lead's activities of this ledger go through.
// With ordered false every activity has a lane of its own.
func (l *ledger) lane(lead string, ordered bool) *lane {
	if !ordered {
		return &lane{ledger: l, lead: lead, at: -1}
	}
	ln := l.lanes[lead]
	if ln == nil {
		ln = &lane{ledger: l, lead: lead, at: -1}
		l.lanes[lead] = ln
	}
	return ln
}

// finish removes a row that has its fate.
func (l *lane) finish(r *row) {
	if l.rows[0] == r { // the usual case, and cheap for a long lane
		l.rows[0] = nil
		l.rows = l.rows[1:]
	} else {
		i := slices.Index(l.rows, r)
		l.rows = slices.Delete(l.rows, i, i+1)
	}
	if len(l.rows) == 0 && l.ledger.lanes[l.lead] == l {
		delete(l.ledger.lanes, l.lead)
	}
}

// waiting is a heap of lanes by notBefore.
type waiting []*lane

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].notBefore.Before(w[j].notBefore) }
func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

func (w *waiting) Push(x any) {
	l := x.(*lane)
	l.at = len(*w)
	*w = append(*w, l)
}

func (w *waiting) Pop() any {
	old := *w
	l := old[len(old)-1]
	old[len(old)-1] = nil
	l.at = -1
	*w = old[:len(old)-1]
	return l
}
