package connector

import (
	"math"
	"time"
)

// A ledger knows, for one ownership, which records have their fate and which
// position may therefore be committed. It is a list in offset order of
// unsettled records and of runs of settled ones, so its length is bounded by
// what is unsettled, however far the partition has run on behind a stuck head.
// Owned by Run.
type ledger struct {
	owner       *Ownership
	lost        int64 // of the owner's losses, what is counted
	front, back *entry

	next  int64 // every record before it has its fate; -1 while nothing is known
	epoch int32 // leader epoch of the record before next, or -1

	unsettled int
	runs      int     // settled runs in the list, all behind an unsettled record
	inherited []Range // finished by an earlier owner and not yet polled again

	inheritedDoubt Doubt  // what an earlier owner may have sent
	asking         *doubt // the rows of it that came last, nil without any
	begun          time.Time
	arrivals       arrivals
	reach          int64     // records up to it may be sent: an acknowledged commit says so
	reachEpoch     int32     // of no newer leader epoch: those are other records to the next owner
	beyond         beyond    // lanes whose front record may not be sent yet
	before         uint64    // only records taken in before this place may be sent
	halfSpan       bool      // records may be held: they have to be told too
	committedAt    time.Time // when that commit began

	finishedEpoch int32 // highest leader epoch of a finished record beyond next
	tracked       int64 // records so far
	lastSeen      int64 // offset of the newest record tracked, or -1
	lastEpoch     int32 // and its leader epoch

	lanes    map[string]*lane // by lead, those with rows
	out      int              // rows in calls in flight
	held     int              // records with rows that wait for an operator
	burying  int              // records whose dead letter is not yet stored
	changed  uint64           // the engine's count of changes when it last changed
	recorded uint64           // the last one that an accepted commit records
	retryAt  time.Time        // no commit before, after one that was refused
	denied   bool             // its last commit was refused
	refused  bool             // likewise, while others were accepted: nothing is sent for it
	draining bool             // nothing new is sent
	gone     bool             // the ownership has ended: whatever still arrives is ignored
}

// An entry is a record without a fate, or a run of records that have theirs.
// Its address is the handle by which an outcome settles it.
type entry struct {
	ledger      *ledger
	prev, next  *entry
	first, last int64 // offsets; equal for a record
	settled     bool

	place     uint64 // among all records that were taken in
	nth       int64  // among those of its ledger
	live      bool   // taken in soon after it was written
	epoch     int32
	record    Record // dropped when settled
	size      int64
	all       []*row      // its activities
	open      int         // those that have no fate yet
	held      int         // those that wait for an operator
	delivered int         // activities proven created
	death     *DeadLetter // set by the first activity that will never be accepted
	trail     *trail      // nil if no trace knows of it
}

func newLedger(o *Ownership, now time.Time) *ledger {
	l := &ledger{
		owner: o, begun: now, inheritedDoubt: o.Doubt, reach: math.MaxInt64, reachEpoch: math.MaxInt32, before: math.MaxUint64, next: o.Committed, epoch: o.CommittedEpoch, lastSeen: -1, lastEpoch: -1,
		inherited: o.Finished, finishedEpoch: -1, lanes: map[string]*lane{},
	}
	if len(o.Finished) > 0 {
		l.finishedEpoch = o.FinishedEpoch
	}
	return l
}

// stale reports whether the record was tracked before: Kafka may hand out a
// record again. A record of a newer leader at an old offset is another record.
func (l *ledger) stale(r *Record) bool {
	return r.Offset <= l.lastSeen && r.LeaderEpoch <= l.lastEpoch
}

// truncated reports whether the log was cut and written anew below what was
// tracked, so that the ledger's offsets mean other records now.
func (l *ledger) truncated(r *Record) bool {
	return r.Offset <= l.lastSeen && r.LeaderEpoch > l.lastEpoch
}

// track adds a record behind all others and returns its handle. finished says
// that an earlier owner has finished it: then the handle is settled already.
func (l *ledger) track(r Record) (e *entry, finished bool) {
	if l.next < 0 {
		l.next = r.Offset
	}
	if l.front == nil && r.Offset < l.next { // the brokers still had it, or lost what is behind it
		l.next, l.epoch = r.Offset, -1
	}
	l.tracked++
	e = &entry{ledger: l, nth: l.tracked, first: r.Offset, last: r.Offset, epoch: r.LeaderEpoch, record: r}
	e.prev = l.back
	if l.back != nil {
		l.back.next = e
	} else {
		l.front = e
	}
	l.back = e
	l.unsettled++
	l.lastSeen, l.lastEpoch = r.Offset, max(l.lastEpoch, r.LeaderEpoch)
	if l.inherits(&r) {
		l.settle(e)
		return e, true
	}
	return e, false
}

// inherits reports whether an earlier owner has finished the record, and
// forgets the ranges that lie behind it.
func (l *ledger) inherits(r *Record) bool {
	for len(l.inherited) > 0 && l.inherited[0].Last < r.Offset {
		l.inherited = l.inherited[1:]
	}
	// A record of a newer leader is never skipped: an unclean election may
	// have put another record at this offset.
	return len(l.inherited) > 0 && l.inherited[0].First <= r.Offset && r.LeaderEpoch <= l.owner.FinishedEpoch
}

// settle gives the record its fate. The settled front is popped: its position
// may be committed. Behind an unsettled record runs grow together.
func (l *ledger) settle(e *entry) {
	if e.settled {
		panic("connector: a record was settled twice")
	}
	e.settled = true
	e.record = Record{}
	e.death, e.all, e.trail = nil, nil, nil
	l.unsettled--
	l.runs++
	l.finishedEpoch = max(l.finishedEpoch, e.epoch)
	if p := e.prev; p != nil && p.settled {
		l.absorb(p, e)
		e = p
	}
	if n := e.next; n != nil && n.settled {
		l.absorb(e, n)
	}
	// Invariant 1: only the contiguous settled front moves the position.
	for l.front != nil && l.front.settled {
		l.next, l.epoch = l.front.last+1, l.front.epoch
		l.unlink(l.front)
		l.runs--
	}
	l.skip()
}

// skip moves the position over what the brokers deleted before it was read, once
// everything before that has its fate, or the next owner would count it again. It
// reports whether the position moved.
func (l *ledger) skip() bool {
	gone := l.owner.Gone.Load()
	if gone == nil || l.next < gone.First || l.next > gone.Last || l.front != nil && l.front.first <= gone.Last {
		return false
	}
	l.next, l.epoch = gone.Last+1, -1
	return true
}

// absorb joins the settled run b into the settled run a before it.
func (l *ledger) absorb(a, b *entry) {
	a.last, a.epoch = b.last, b.epoch
	l.unlink(b)
	l.runs--
}

func (l *ledger) unlink(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.front = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.back = e.prev
	}
}

// fewRecords is how many records from the oldest one without a fate on may always
// be sent: whatever their offsets, a commit has room for the runs that they make.
const fewRecords = 150

// maySend reports whether the connector is not halted for it or an earlier record,
// and whether a commit says that the record may have been sent, and
// will be able to say that it is finished while others before it are not, if
// commits are accepted at all.
func (l *ledger) maySend(e *entry) bool {
	span := l.owner.Span.Load()
	if l.halfSpan {
		span /= 2
	}
	near := span == 0 || e.first-l.next < span || e.nth-l.front.nth < fewRecords
	return !l.refused && near && l.told(e) && e.place < l.before
}

// told reports whether an acknowledged commit says that the record may have been sent.
func (l *ledger) told(e *entry) bool { return e.first <= l.reach && e.epoch <= l.reachEpoch }

// progress is what may be committed now, and whether anything may.
func (l *ledger) progress() (Progress, bool) {
	if l.next < 0 {
		return Progress{}, false
	}
	p := Progress{Owner: l.owner, Next: l.next, Epoch: l.epoch, FinishedEpoch: -1}
	for e, left := l.front, l.runs; left > 0; e = e.next {
		if e.settled {
			p.Finished = append(p.Finished, Range{e.first, e.last})
			left--
		}
	}
	for _, r := range l.inherited { // what was inherited is not lost before it is polled
		if r.First = max(r.First, l.lastSeen+1, l.next); r.First <= r.Last {
			p.Finished = append(p.Finished, r)
		}
	}
	if len(p.Finished) > 0 {
		p.FinishedEpoch = l.finishedEpoch
	}
	return p, true
}

// doubt is what may have been created beyond what is finished, at a moment.
func (l *ledger) doubt(now time.Time) Doubt {
	d := Doubt{Reach: l.lastSeen, Epoch: l.lastEpoch}
	since := func(at time.Time) {
		if !at.IsZero() && (d.Since.IsZero() || at.Before(d.Since)) {
			d.Since = at
		}
	}
	if !l.draining {
		since(now) // whatever is sent before the next commit
	}
	if was := &l.inheritedDoubt; l.lastSeen < was.Reach { // its records have not all come yet
		since(was.Since)
		d.Reach, d.Epoch = was.Reach, max(d.Epoch, was.Epoch)
	}
	afterHeld := false
	for e := l.front; e != nil; e = e.next {
		for _, r := range e.all {
			since(r.since)
		}
		switch {
		case e.held > 0 && afterHeld:
			d.Held[len(d.Held)-1].Last = e.last
		case e.held > 0:
			d.Held = append(d.Held, Range{e.first, e.last})
		}
		afterHeld = e.held > 0
	}
	for _, r := range l.inheritedDoubt.Held {
		if r.First = max(r.First, l.lastSeen+1, l.next); r.First <= r.Last {
			d.Held = append(d.Held, r)
		}
	}
	return d
}
