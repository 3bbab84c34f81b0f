package connector

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/leadsink/leadsink/transform"
)

// haltProbe is how often a halted connector sends one row to see whether the
// fault is mended, where a call can tell.
const haltProbe = 30 * time.Second

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
	report func(Answer) // to the breaker
}

type outcome struct {
	call   *call
	answer Answer
	took   time.Duration
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
	// Invariant 7: one slot, one call; a slot is not kept for later.
	at, ok := e.budget.Next(e.now)
	if !ok || at.After(e.now) {
		e.waitFor("slot", at)
		return false
	}
	if e.budget.Limited() && !e.sink.Ready() {
		e.budget.Take(e.now) // it passes unused: a call that must dial first would arrive too late
		at, _ = e.budget.Next(e.now)
		e.waitFor("slot", at)
		return !at.After(e.now) // another slot may stand within its lateness
	}
	if e.askable() && e.breaker.state() == "closed" {
		return e.ask(func(Answer) {}) // a read that fails says nothing about calls
	}
	report, ok := e.breaker.allow()
	if !ok { // half-open, and its one probe is under way
		e.waitFor("breaker", time.Time{})
		return false
	}
	if _, part := e.nextPart(e.now); e.askable() && !part && e.queue.rows == 0 {
		return e.ask(report) // all rows are in doubt, so a page is the probe
	}
	c := e.seal(most)
	if len(c.rows) == 0 || !e.budget.Take(e.now) {
		report(Answer{Outcome: Throttled})
		return false
	}
	c.report = report
	e.dispatch(c)
	return true
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
		if _, waiting := e.nextPart(e.now); !waiting && e.queue.rows == 0 && len(e.parts)+len(e.queue.waiting) > 0 {
			e.waits = []string{"backoff"}
		}
		return 0, false
	case e.sending+len(e.unrecorded) >= e.cfg.InFlight:
		// Invariant 4: a call keeps its place until a commit records it.
		return e.waitFor("in_flight", time.Time{})
	case e.now.Sub(e.lastCommit) > recent || e.now.Round(0).Sub(e.lastCommit.Round(0)) > recent:
		e.touch = true
		return e.waitFor("commit", time.Time{})
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

// dueAt is when the next call should be sealed: now with a full batch or a part
// of a bisection, else when the oldest row has lingered enough. any is false if
// nothing waits at all.
func (e *engine) dueAt() (at time.Time, any bool) {
	if _, ok := e.nextPart(e.now); ok || e.queue.rows >= e.maxRows {
		return e.now, true
	}
	earliest := func(t time.Time) {
		if !any || t.Before(at) {
			at, any = t, true
		}
	}
	if e.queue.rows > 0 {
		earliest(e.queue.oldest().Add(e.cfg.Linger))
	}
	if len(e.queue.waiting) > 0 {
		earliest(e.queue.waiting[0].notBefore)
	}
	for _, p := range e.parts {
		earliest(p.notBefore)
	}
	if t, ok := e.askAt(); ok {
		earliest(t)
	}
	return at, any
}

// seal closes a batch, now that its slot has come: a part of a bisection by
// itself, or rows of as many lanes as have room.
func (e *engine) seal(most int) *call {
	if i, ok := e.nextPart(e.now); ok {
		p := e.parts[i]
		e.parts = slices.Delete(e.parts, i, i+1)
		if len(p.rows) <= most {
			return &call{rows: p.rows, part: p}
		}
		// A probe is smaller than the part: the search begins anew after it.
		e.goAgain(slices.Concat(p.rows, p.rest), time.Time{})
	}
	return &call{rows: e.queue.take(most, e.mayRun)}
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
	batch := make([]*transform.Activity, len(c.rows))
	for i, r := range c.rows {
		batch[i] = r.activity
		r.entry.ledger.out++
		if r.since.IsZero() {
			r.since = c.sent
		}
	}
	e.sending++
	// Ends with the one attempt, whose time is bounded by the Sink; join waits.
	go func() {
		ctx, span := e.tracer.Start(e.calling, "post activities", trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(attribute.Int("messaging.batch.message_count", len(batch))))
		began := time.Now()
		a := e.sink.Deliver(ctx, batch)
		span.SetAttributes(attribute.String("leadsink.outcome", a.Outcome.String()), attribute.Int("http.response.status_code", a.Status))
		if a.Outcome != Judged {
			span.SetStatus(codes.Error, a.Message)
		}
		span.End()
		e.outcomes <- outcome{c, a, time.Since(began)}
	}()
}
