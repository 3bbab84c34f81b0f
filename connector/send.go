package connector

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/transform"
)

// haltProbe is how often a halted connector sends one row to see whether the
// fault is mended, where a call can tell.
const haltProbe = 30 * time.Second

// proveAhead is how long before a slot a commit is begun that proves membership.
const proveAhead = 2 * time.Second

// manyRuns is how many finished runs a partition may have beyond its position
// before only rows are sent for it that add no further run, so that the runs
// stay small enough for the commit's metadata.
const manyRuns = 500

// A call is one batch on its way: one attempt.
type call struct {
	rows   []*row
	part   *part // the bisection's part that it is, or nil
	probe  bool  // sent while halted
	sent   time.Time
	report func(Answer)    // to the breaker
	span   trace.Span      // of the batch; nil without traces
	ctx    context.Context // with it
}

type outcome struct {
	call   *call
	answer Answer
	took   time.Duration
	at     time.Time // when it was known
}

// send sends as many calls as may go now. It leaves in due when it should be
// asked again, and in waits what holds rows back.
func (e *engine) send() {
	e.queue.wake(e.now)
	e.seek()
	for e.sendOne() {
	}
}

func (e *engine) sendOne() bool {
	e.due, e.waits = time.Time{}, nil
	most, ok := e.sendable()
	if !ok {
		return false
	}
	kind, ok := e.slot()
	if !ok {
		return false
	}
	if e.now.Sub(e.lastCommit) > recent || e.now.Round(0).Sub(e.lastCommit.Round(0)) > recent {
		e.touch = true
		e.waitFor("commit", time.Time{})
		return false
	}
	if e.budget.Limited() && !e.sink.Ready() {
		e.budget.Pass(e.now, kind) // it passes unused: a call that must dial first would arrive too late
		_, another := e.slot()     // within its lateness
		return another
	}
	if kind == budget.Read && e.breaker.state() == "closed" {
		return e.ask(func(Answer) {}) // a read that fails says nothing about calls
	}
	report, ok := e.breaker.allow()
	if !ok { // half-open, and its one probe is under way
		e.waitFor("breaker", time.Time{})
		return false
	}
	if kind == budget.Read {
		return e.ask(report) // all rows are in doubt, so a page is the probe
	}
	c := e.seal(most, kind)
	if len(c.rows) == 0 || !e.budget.Take(e.now, kind) {
		report(Answer{Outcome: Throttled})
		return false
	}
	e.readLast = false
	c.report = report
	e.dispatch(c)
	return true
}

// slot returns what the slot that stands now is for. Without one it leaves in
// due when the next comes, and in waits what it waits for.
func (e *engine) slot() (kind budget.Kind, ok bool) {
	// Invariant 7: one slot, one call; a slot is not kept for later.
	var next budget.Chance
	for _, k := range e.kinds() {
		c := e.budget.Next(e.now, k)
		if c.Why != budget.ForReserve && !c.At.IsZero() && !c.At.After(e.now) {
			return k, true
		}
		if next.At.IsZero() || !c.At.IsZero() && c.At.Before(next.At) {
			next = c
		}
	}
	e.prove(next.At)
	switch next.Why {
	case budget.ForReserve:
		e.waitFor("commit", time.Time{}) // commit has seen that calls of the day run short
	case budget.ForDay:
		e.waitFor("day", next.At)
	case budget.ForSlot, budget.ForPause:
		e.waitFor("slot", next.At)
	}
	return 0, false
}

// kinds are what may be sent now, what goes first at its front. Pages and calls
// that share slots take turns.
func (e *engine) kinds() []budget.Kind {
	kinds := make([]budget.Kind, 0, 3)
	call := e.callDue()
	if (e.askable() || e.checkable()) && (!call || !e.readLast && e.breaker.state() == "closed") {
		kinds = append(kinds, budget.Read)
	}
	if call {
		kinds = append(kinds, budget.Backlog)
		if e.budget.Reserves() && e.queue.anyLive() {
			kinds = append(kinds, budget.Live)
		}
	}
	return kinds
}

// prove sees to it that an accepted commit is recent enough when the next slot
// comes: to ask for one only then would be too late for the slot.
func (e *engine) prove(slot time.Time) {
	if slot.IsZero() || slot.Sub(e.lastCommit) <= recent {
		return
	}
	if ahead := slot.Add(-proveAhead); ahead.After(e.now) {
		e.proveAt = ahead
		return
	}
	e.touch = true
}

// sendable says whether there is anything to send and nothing but a slot to
// wait for, and how many rows the call may have.
func (e *engine) sendable() (most int, ok bool) {
	due, any := e.dueAt()
	if !any {
		return 0, false
	}
	most = e.maxRows
	switch {
	case e.paused:
		return e.waitFor("paused", time.Time{})
	case e.stopping:
		return e.waitFor("drain", time.Time{})
	case e.halted != nil && (!e.halted.probe || e.halted.probing):
		return e.waitFor("halted", time.Time{})
	case e.halted != nil && e.now.Before(e.halted.next):
		return e.waitFor("halted", e.halted.next)
	case due.After(e.now):
		e.due = due // no reason to report: the batch is filling
		e.prove(due)
		if _, waiting := e.nextPart(e.now); !waiting && e.queue.rows == 0 && len(e.parts)+len(e.queue.waiting) > 0 {
			e.waits = []string{"backoff"}
		}
		return 0, false
	case e.sending+len(e.unrecorded) >= e.cfg.InFlight:
		// Invariant 4: a call keeps its place until a commit records it.
		return e.waitFor("in_flight", time.Time{})
	}
	switch e.breaker.state() {
	case "open":
		return e.waitFor("breaker", e.breaker.openUntil)
	case "half_open":
		most = 1
	}
	if e.halted != nil {
		most = 1
	}
	return most, true
}

func (e *engine) waitFor(reason string, until time.Time) (int, bool) {
	e.waits = append(e.waits, reason)
	e.due = until
	return 0, false
}

// dueAt is when the next call should be sealed, the next page asked for, or the
// next question of a check. any is false if nothing waits at all.
func (e *engine) dueAt() (at time.Time, any bool) {
	at, any = e.callDueAt()
	if t, ok := e.askAt(); ok && (!any || t.Before(at)) {
		at, any = t, true
	}
	if t, ok := e.checkAt(); ok && (!any || t.Before(at)) {
		at, any = t, true
	}
	return at, any
}

func (e *engine) callDue() bool {
	at, any := e.callDueAt()
	return any && !at.After(e.now)
}

// callDueAt is when the next call should be sealed: now with a full batch or a part
// of a bisection, else when the oldest row has lingered enough.
func (e *engine) callDueAt() (at time.Time, any bool) {
	if _, ok := e.nextPart(e.now); ok || e.queue.rows >= e.maxRows {
		return e.now, true
	}
	earliest := func(t time.Time) {
		if !any || t.Before(at) {
			at, any = t, true
		}
	}
	if e.queue.rows > 0 {
		earliest(e.queue.oldest().Add(e.budget.Linger(e.now, e.cfg.Linger)))
	}
	if len(e.queue.waiting) > 0 {
		earliest(e.queue.waiting[0].notBefore)
	}
	for _, p := range e.parts {
		earliest(p.notBefore)
	}
	return at, any
}

// seal closes a batch, now that its slot has come: a part of a bisection by
// itself, or rows of as many lanes as have room.
func (e *engine) seal(most int, kind budget.Kind) *call {
	if i, ok := e.nextPart(e.now); ok && kind == budget.Backlog {
		p := e.parts[i]
		e.parts = slices.Delete(e.parts, i, i+1)
		if len(p.rows) <= most {
			return &call{rows: p.rows, part: p}
		}
		// A probe is smaller than the part: the search begins anew after it.
		e.goAgain(slices.Concat(p.rows, p.rest), time.Time{})
	}
	may := e.mayRun
	if kind == budget.Live {
		may = func(l *lane) bool { return l.live() && e.mayRun(l) }
	}
	return &call{rows: e.queue.take(most, may)}
}

// mayRun holds back lanes of a partition whose finished and held runs are so many
// that further ones would not fit into a commit.
func (e *engine) mayRun(l *lane) bool {
	return l.ledger.runs+l.ledger.held < manyRuns || l.ledger.growsARun(l.rows[0].entry)
}

// dispatch sends a sealed batch: one goroutine, one attempt, one outcome.
func (e *engine) dispatch(c *call) {
	c.sent = e.now
	if e.halted != nil {
		c.probe, e.halted.probing = true, true
	}
	by := e.budget.WriteBy()
	batch := make([]*transform.Activity, len(c.rows))
	for i, r := range c.rows {
		batch[i] = r.activity
		r.entry.ledger.out++
		r.calls++
		if r.since.IsZero() {
			r.since = c.sent
		}
	}
	e.sending++
	ctx := e.depart(c)
	if e.cfg.Payloads {
		for _, r := range c.rows {
			e.log.DebugContext(ctx, "sending an activity", "topic", r.entry.ledger.owner.Topic, "partition", r.entry.ledger.owner.Partition,
				"offset", r.entry.first, "rule", r.activity.Rule, "value", string(r.entry.record.Value), "activity", string(e.sink.Row(r.activity)))
		}
	}
	// Ends with the one attempt, whose time is bounded by the Sink; join waits.
	go func() {
		began := time.Now()
		a := e.sink.Deliver(ctx, batch, by)
		now := time.Now()
		e.outcomes <- outcome{c, a, now.Sub(began), now}
	}()
}
