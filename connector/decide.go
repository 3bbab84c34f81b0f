package connector

import (
	"fmt"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

// What may go out next.
const (
	nothing   = iota
	aCall     // a batch
	aPage     // a question for rows in doubt
	aQuestion // a question of a check of the account
)

// A choice is what goes out next, or why nothing does. It follows from the
// engine's state alone: sending acts on it, and the loop sleeps by it.
type choice struct {
	what int
	kind budget.Kind // of the slot that it takes
	most int         // rows of the call

	// Where nothing goes:
	until   time.Time // when to decide again; zero: only an event can tell
	slot    time.Time // when the next slot may be used, for the proof of membership; zero: not known
	waits   []string  // what holds rows back, in the words of Status.Waiting
	noSlots bool      // this member has no slots until the group has told it its turns
}

// wait notes a moment to decide again.
func (c *choice) wait(until time.Time, reason string) {
	if !until.IsZero() && (c.until.IsZero() || until.Before(c.until)) {
		c.until = until
	}
	if reason != "" {
		c.waits = append(c.waits, reason)
	}
}

// A candidate is something that may go out: at once, or at a moment, or only
// after an event.
type candidate struct {
	there bool      // there is anything of the kind
	now   bool      // it may go, but for a slot
	until time.Time // when it may go, if now is false; zero: only an event can tell
	why   string    // what holds it back until then, "" for nothing worth a word
	most  int       // rows of a call
}

// decide returns what goes out now. It looks at every candidate each time, so none
// is shut out by what another waits for.
func (e *engine) decide() choice {
	call, page, question := e.callCandidate(), e.pageCandidate(), e.questionCandidate()
	var c choice
	for _, k := range []candidate{call, page, question} {
		if k.there && !k.now {
			c.wait(k.until, k.why)
			c.slot = earlier(c.slot, k.until)
		}
	}
	read := nothing
	switch {
	case page.now:
		read = aPage
	case question.now:
		read = aQuestion
	}
	if read == nothing && !call.now {
		return c
	}
	var next budget.Chance
	chance := func(what int, kind budget.Kind) bool {
		at := e.budget.Next(e.now, kind)
		if at.Why != budget.ForReserve && !at.At.IsZero() && !at.At.After(e.now) {
			c.what, c.kind, c.most = what, kind, call.most
			return true
		}
		if next.At.IsZero() || !at.At.IsZero() && at.At.Before(next.At) {
			next = at
		}
		return false
	}
	// Invariant 7: one slot, one call. Pages and calls that share slots take turns.
	readFirst := read != nothing && (!call.now || !e.readLast && e.breaker.state() == "closed")
	if readFirst && chance(read, budget.Read) ||
		call.now && (chance(aCall, budget.Backlog) || e.budget.Reserves() && e.queue.next(true).anyLive() && chance(aCall, budget.Live)) ||
		read != nothing && !readFirst && chance(read, budget.Read) {
		if !e.proven() {
			return choice{waits: []string{"commit"}, slot: e.now}
		}
		return c
	}
	e.waitForSlot(&c, next)
	return c
}

// waitForSlot notes that what may go waits for its slot.
func (e *engine) waitForSlot(c *choice, next budget.Chance) {
	c.slot = earlier(c.slot, next.At)
	switch {
	case next.At.IsZero():
		c.noSlots = true
	case next.Why == budget.ForReserve:
		c.wait(time.Time{}, "commit") // commit has seen that calls of the day run short
	case next.Why == budget.ForDay:
		c.wait(next.At, "day")
	default:
		c.wait(next.At, "slot")
	}
}

// proven reports whether a commit was accepted so recently that this is still a
// member of the group, by both clocks.
func (e *engine) proven() bool {
	return e.now.Sub(e.lastCommit) <= recent && e.now.Round(0).Sub(e.lastCommit.Round(0)) <= recent
}

// callCandidate is the next call.
func (e *engine) callCandidate() candidate {
	due, there := e.callDueAt()
	k := candidate{there: there, most: e.maxRows}
	switch {
	case !there && e.queue.crowded && e.queue.suspects.Len() > 0:
		k.there, k.why = true, "in_flight"
	case !there:
	case e.paused:
		k.why = "paused"
	case e.stopping:
		k.why = "drain"
	case e.halts.bar() && (!e.halts.probed() || e.halts.probing):
		k.why = "halted"
	case e.halts.bar() && e.now.Before(e.halts.next):
		k.until, k.why = e.halts.next, "halted"
	case due.After(e.now):
		k.until = due // the batch is filling, or
		if e.queue.rows == 0 && e.queue.suspects.Len() == 0 && len(e.parts)+e.queue.waiting.Len() > 0 {
			k.why = "backoff"
		}
	case e.inFlight() >= e.cfg.InFlight:
		k.why = "in_flight" // Invariant 4: a call keeps its place until a commit records it.
	case e.breaker.state() == "open":
		k.until, k.why = e.breaker.openUntil, "breaker"
	default:
		k.now = true
		if e.halts.bar() || e.breaker.state() == "half_open" {
			k.most = 1
		}
	}
	return k
}

// callDueAt is when the next call should be sealed: now with a full batch or a part
// of a bisection, else when the oldest row has lingered enough. there is false if
// nothing waits at all.
func (e *engine) callDueAt() (at time.Time, there bool) {
	if _, ok := e.nextPart(e.now); ok || e.queue.rows >= e.maxRows {
		return e.now, true
	}
	if l := e.queue.next(false).first(); l != nil {
		at = l.rows[0].arrived.Add(e.budget.Linger(e.now, e.cfg.Linger))
	}
	if l := e.queue.waiting.first(); l != nil {
		at = earlier(at, l.notBefore)
	}
	for _, p := range e.parts {
		at = earlier(at, p.notBefore)
	}
	return at, !at.IsZero()
}

// pageCandidate is the next page of a search for rows in doubt, or the next search.
func (e *engine) pageCandidate() candidate {
	at, there := e.askAt()
	k := candidate{there: there}
	switch {
	case !there, e.paused, e.stopping:
	case at.After(e.now):
		k.until = at
	case e.search == nil: // its doubt is due, and this turn has begun the search
	case e.breaker.state() == "open":
		k.until = e.breaker.openUntil
	default:
		k.now = true
	}
	return k
}

// questionCandidate is the next question of a check.
func (e *engine) questionCandidate() candidate {
	at, there := e.checkAt()
	return candidate{there: there, now: there && !at.After(e.now), until: at}
}

// earlier is the earlier of two moments, the zero time being none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// watch is asked when nothing would wake the loop but an event. If there is work
// and nothing under way that could bring one, that is a fault of ours: it is told,
// and the loop turns again after a while.
func (e *engine) watch() (at time.Time) {
	work := e.work()
	if e.stalled = work != "" && !e.underWay() && !e.waitsForPeople(); !e.stalled {
		return at
	}
	e.stalls++
	e.log.Error("nothing goes on although there is work; please report this as a fault of leadsink", "work", work, "waits", e.next.waits)
	return e.now.Add(tryAgain)
}

// work says what there is to do, "" for nothing.
func (e *engine) work() string {
	parked := 0
	for _, l := range e.ledgers {
		parked += len(l.beyond)
	}
	if e.queue.ready.Len()+e.queue.suspects.Len()+e.queue.waiting.Len()+len(e.parts)+len(e.doubts)+len(e.graves)+len(e.slips)+parked == 0 && e.search == nil {
		return ""
	}
	return fmt.Sprintf("%d rows ready, %d lanes suspected, %d lanes that wait, %d beyond what a commit speaks of, %d parts of refused calls, %d doubts, a search: %t, %d letters, %d receipts",
		e.queue.rows, e.queue.suspects.Len(), e.queue.waiting.Len(), parked, len(e.parts), len(e.doubts), e.search != nil, len(e.graves), len(e.slips))
}

// underWay reports whether something will send an event.
func (e *engine) underWay() bool {
	return e.sending > 0 || !e.commitBegan.IsZero() || e.search != nil && e.search.under || e.checks.asking || len(e.burying)+len(e.issuing) > 0
}

// waitsForPeople reports whether an operator, or the group, has to do something
// before anything goes on.
func (e *engine) waitsForPeople() bool {
	return e.paused || e.halts.any() || e.stopping || len(e.held) > 0 || e.next.noSlots
}
