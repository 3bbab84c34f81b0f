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

// A call is one batch on its way: one attempt.
type call struct {
	rows  []*row
	part  *part // the bisection's part that it is, or nil
	probe bool  // sent while halted
	sent  time.Time

	mystery   bool // it proved nothing, and nothing was held against its rows
	isolating bool // a row of it was suspected when it was sent

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

// send lets go out what may go now. What is next stays in e.next: nothing, and why.
func (e *engine) send() {
	e.queue.wake(e.now)
	e.seek()
	e.splitNothingBeyond(e.halts.from())
	for {
		e.next = e.decide()
		if e.next.what == nothing || !e.letOut(e.next) {
			break
		}
	}
	e.prove(e.next.slot)
}

// letOut lets out what was decided, and reports whether to decide again.
func (e *engine) letOut(c choice) bool {
	if e.budget.Limited() && !e.sink.Ready() {
		e.budget.Pass(e.now, c.kind) // it passes unused: a call that must dial first would arrive too late
		return true
	}
	report := func(Answer) {} // a read that fails while calls work says nothing about calls
	if c.what == aCall || e.breaker.state() != "closed" {
		var ok bool
		if report, ok = e.breaker.allow(); !ok {
			e.next = choice{waits: []string{"breaker"}} // its one probe is under way
			return false
		}
	}
	if !e.budget.Take(e.now, c.kind) {
		report(Answer{Outcome: Throttled})
		return false
	}
	e.readLast = c.what != aCall && !e.budget.ReadsApart()
	switch c.what {
	case aPage:
		e.ask(report)
	case aQuestion:
		e.askAccount()
	default:
		sealed := e.seal(c.most, c.kind)
		sealed.report = report
		e.dispatch(sealed)
	}
	return true
}

// prove sees to it that an accepted commit is recent enough when the next slot
// comes: to ask for one only then would be too late for the slot.
func (e *engine) prove(slot time.Time) {
	e.proveAt = time.Time{}
	if slot.IsZero() || slot.Sub(e.lastCommit) <= recent {
		return
	}
	if ahead := slot.Add(-proveAhead); ahead.After(e.now) {
		e.proveAt = ahead
		return
	}
	e.touch = true
}

// seal closes a batch, now that its slot has come: a part of a bisection by
// itself, or the oldest rows that may go.
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
	if e.halts.bar() || e.breaker.state() != "closed" {
		return &call{rows: e.queue.takeProbe()}
	}
	return &call{rows: e.queue.take(most, kind == budget.Live, e.now)}
}

// dispatch sends a sealed batch: one goroutine, one attempt, one outcome.
func (e *engine) dispatch(c *call) {
	c.sent = e.now
	if e.halts.bar() {
		c.probe, e.halts.probing = true, true
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
	if c.isolating = c.isolates(); c.isolating {
		e.isolating++
		e.queue.crowded = e.isolating >= e.suspectsMost()
	}
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
