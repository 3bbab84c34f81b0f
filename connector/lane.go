package connector

import (
	"container/heap"
	"iter"
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

	in        *lanes    // of the queue, nil while it is in none
	at        int       // its index there
	beyond    bool      // in ledger.beyond
	notBefore time.Time // when its front row may go (again)
}

// A row is one activity on its way.
type row struct {
	activity  *transform.Activity
	entry     *entry
	lane      *lane
	place     uint64 // among all rows, in the order in which their records came
	arrived   time.Time
	attempts  int           // verdicts "again" about this row
	resends   int           // calls whose outcome says nothing about this row
	suspicion int           // calls without proof that it was in since the last proof, alone at most
	blame     int           // what the calls without proof say against it that it was alone in while others were judged
	first     proofs        // what calls had taught when the first one without proof ended, but for those with it
	last      proofs        // what calls had taught when the last one without proof, or with a fault, ended
	faulted   bool          // it was in a call with a fault
	calls     int           // calls that it was in
	hindered  hindrance     // what held rows back until it arrived
	backedOff time.Duration // how long it had to wait before it went again
	notBefore time.Time     // it waits so long before it goes again
	since     time.Time     // when the first call was sent that may have created it, zero without one
	heldAt    time.Time     // when it was held
	bisection *bisection    // the refused call that it was last part of, or nil
}

// company is how many rows a call may have that the row is in, where a usual one
// has most. What makes a call prove nothing may be a row of it: after the first
// such call its rows go in halves, after the second each goes alone. So nobody is
// created more than twice again because of another row.
func (r *row) company(most int) int {
	switch r.suspicion {
	case 0:
		return most
	case 1:
		return (most + 1) / 2
	default:
		return 1
	}
}

// A queue holds the lanes that have rows to send. Every ready lane may go now: so
// long as there is one, there is a row to send. So may every suspect, unless too many
// of them are in flight. Owned by Run.
type queue struct {
	ready    lanes // the oldest front row first: the position follows closely
	rows     int   // rows in ready lanes
	suspects lanes // whose front row may spoil its call
	crowded  bool  // as many calls with suspected rows are in flight as may be
	waiting  lanes // whose front row may not go yet, the earliest first
}

func newQueue() queue {
	return queue{
		ready:    lanes{before: func(a, b *lane) bool { return a.rows[a.out].place < b.rows[b.out].place }},
		suspects: lanes{before: func(a, b *lane) bool { return a.rows[a.out].goesBefore(b.rows[b.out]) }},
		waiting:  lanes{before: func(a, b *lane) bool { return a.notBefore.Before(b.notBefore) }},
	}
}

// goesBefore orders suspected rows: those that spoilt a call alone come last, for
// their neighbours are most likely good.
func (r *row) goesBefore(other *row) bool {
	if spoilt := r.blame > 0; spoilt != (other.blame > 0) {
		return !spoilt
	}
	return r.place < other.place
}

// enter puts a lane among those that may go now.
func (q *queue) enter(l *lane) {
	if l.rows[0].suspicion > 0 {
		heap.Push(&q.suspects, l)
		return
	}
	heap.Push(&q.ready, l)
	q.rows += len(l.rows)
}

// next is where the next call is taken from: rows that are isolated were there first.
// With live, it is one of live records.
func (q *queue) next(live bool) *lanes {
	if q.suspects.Len() > 0 && !q.crowded && (!live || q.suspects.anyLive()) {
		return &q.suspects
	}
	return &q.ready
}

// anyLive reports whether a lane begins with a live record.
func (h *lanes) anyLive() bool {
	return slices.ContainsFunc(h.list, func(l *lane) bool { return l.rows[0].entry.live })
}

// sendable are the lanes of which a row may go now.
func (q *queue) sendable() iter.Seq[*lane] {
	return func(yield func(*lane) bool) {
		for _, l := range q.ready.list {
			if !yield(l) {
				return
			}
		}
		for _, l := range q.suspects.list {
			if q.crowded || !yield(l) {
				return
			}
		}
	}
}

// push queues the lane if it has rows and none of them is out.
func (q *queue) push(l *lane, now time.Time) {
	// Invariant 3: of one lead in one partition at most one call is in flight.
	if l.in != nil || l.beyond || l.out > 0 || len(l.rows) == 0 {
		return
	}
	// Invariant 10: nothing beyond what a commit speaks of, or can speak of.
	if front := l.rows[0].entry; !l.ledger.maySend(front) {
		l.beyond = true
		heap.Push(&l.ledger.beyond, parked{front.first, l})
		return
	}
	l.notBefore = l.rows[0].notBefore
	if l.notBefore.After(now) {
		heap.Push(&q.waiting, l)
		return
	}
	q.enter(l)
}

// wake moves lanes whose time has come to the ready ones.
func (q *queue) wake(now time.Time) {
	for l := q.waiting.first(); l != nil && !l.notBefore.After(now); l = q.waiting.first() {
		q.remove(l)
		q.enter(l)
	}
}

// grew accounts for a row added to a lane that may be ready already.
func (q *queue) grew(l *lane) {
	if l.in == &q.ready {
		q.rows++
	}
}

// take removes rows from ready lanes and marks them as out: the oldest first,
// up to most, or fewer where they go in less company. With live, only lanes
// whose front row is of a live record.
func (q *queue) take(most int, live bool, now time.Time) (rows []*row) {
	var aside []*lane // not for this call
	from := q.next(live)
	for l := from.first(); l != nil && len(rows) < most; l = from.first() {
		r := l.rows[l.out]
		switch {
		case len(rows) == 0 && live && !r.entry.live,
			len(rows) > 0 && (live && l.out == 0 && !r.entry.live || r.company(most) != rows[0].company(most)):
			q.remove(l)
			aside = append(aside, l)
			continue
		case len(rows) == 0:
			most = r.company(most)
		}
		rows = append(rows, r)
		if l.out++; l.follows(now) {
			heap.Fix(from, l.at)
		} else {
			l.out-- // its order in the heap while it is removed
			q.remove(l)
			l.out++
		}
	}
	for _, r := range rows {
		if l := r.lane; l.in != nil {
			q.remove(l)
		}
	}
	for _, l := range aside {
		q.push(l, now)
	}
	return rows
}

// follows reports whether the row behind those that are out may go with them. One
// that LeadSquared asks to try again goes alone of its lane: those behind it would
// be created before it.
func (l *lane) follows(now time.Time) bool {
	if l.out == len(l.rows) || l.rows[l.out-1].attempts > 0 {
		return false
	}
	next := l.rows[l.out]
	return !next.notBefore.After(now) && l.ledger.maySend(next.entry)
}

// remove takes a lane out that must not be sent now.
func (q *queue) remove(l *lane) {
	if l.in == &q.ready {
		q.rows -= len(l.rows)
	}
	if l.in != nil {
		heap.Remove(l.in, l.at)
	}
}

// drop forgets all lanes of the ledger.
func (q *queue) drop(led *ledger) {
	for _, in := range []*lanes{&q.ready, &q.suspects, &q.waiting} {
		kept := in.list[:0]
		for _, l := range in.list {
			if l.ledger != led {
				kept = append(kept, l)
				continue
			}
			if in == &q.ready {
				q.rows -= len(l.rows)
			}
			l.in = nil
		}
		clear(in.list[len(kept):])
		in.list = kept
		for i, l := range kept {
			l.at = i
		}
		heap.Init(in)
	}
}

// lane returns the lane that the lead's activities of this ledger go through.
// With ordered false every activity has a lane of its own.
func (l *ledger) lane(lead string, ordered bool) *lane {
	if !ordered {
		return &lane{ledger: l, lead: lead}
	}
	ln := l.lanes[lead]
	if ln == nil {
		ln = &lane{ledger: l, lead: lead}
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

// lanes is a heap of lanes, each of which knows where it stands.
type lanes struct {
	list   []*lane
	before func(a, b *lane) bool
}

// first is the lane that comes before all others, nil without any.
func (h *lanes) first() *lane {
	if len(h.list) == 0 {
		return nil
	}
	return h.list[0]
}

func (h *lanes) Len() int           { return len(h.list) }
func (h *lanes) Less(i, j int) bool { return h.before(h.list[i], h.list[j]) }
func (h *lanes) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].at, h.list[j].at = i, j
}

func (h *lanes) Push(x any) {
	l := x.(*lane)
	l.in, l.at = h, len(h.list)
	h.list = append(h.list, l)
}

func (h *lanes) Pop() any {
	last := len(h.list) - 1
	l := h.list[last]
	h.list[last] = nil
	h.list = h.list[:last]
	l.in = nil
	return l
}

// A parked lane may not go before the ledger may send the record in front of it.
type parked struct {
	offset int64
	lane   *lane
}

// beyond is a heap of parked lanes, the lowest offset first.
type beyond []parked

func (b beyond) Len() int           { return len(b) }
func (b beyond) Less(i, j int) bool { return b[i].offset < b[j].offset }
func (b beyond) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }
func (b *beyond) Push(x any)        { *b = append(*b, x.(parked)) }
func (b *beyond) Pop() any {
	last := len(*b) - 1
	p := (*b)[last]
	(*b)[last] = parked{}
	*b = (*b)[:last]
	return p
}

// park takes lanes out of the queue whose front record may not be sent any more.
func (q *queue) park(led *ledger, now time.Time) {
	for _, in := range []*lanes{&q.ready, &q.suspects, &q.waiting} {
		for _, l := range slices.Clone(in.list) {
			if l.ledger == led && !led.maySend(l.rows[0].entry) {
				q.remove(l)
				q.push(l, now)
			}
		}
	}
}

// unpark queues the lanes whose front record may be sent now.
func (q *queue) unpark(led *ledger, now time.Time) {
	for len(led.beyond) > 0 && !led.draining {
		l, was := led.beyond[0].lane, led.beyond[0].offset
		if len(l.rows) > 0 && l.out == 0 && l.rows[0].entry.first == was && !led.maySend(l.rows[0].entry) {
			return
		}
		heap.Pop(&led.beyond)
		l.beyond = false
		q.push(l, now)
	}
}
