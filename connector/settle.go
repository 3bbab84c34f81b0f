package connector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/transform"
)

// settle takes in what became of a call.
func (e *engine) settle(o outcome) {
	c, a := o.call, o.answer
	e.sending--
	if c.isolating {
		e.isolating--
		e.queue.crowded = e.isolating >= e.suspectsMost()
	}
	e.tellBreaker(e.within(c), e.reported(c), a)
	e.learn(c, a)
	for _, r := range c.rows {
		r.entry.ledger.out--
	}
	e.countCall(o)
	c.tellAll(a.Outcome)
	if c.probe {
		e.probed(a)
	}
	before := e.changes
	switch a.Outcome {
	case Throttled, TooLarge, Fault, NotApplied, Missed:
		uncreated(c)
	case Judged, Refused, Unknown:
	}
	switch a.Outcome {
	case Judged:
		e.judged(c, a)
	case Refused:
		e.refused(c, a)
	case TooLarge:
		e.tooLarge(c, a)
	case Fault:
		e.faulted(c, a)
	case Throttled:
		e.throttled(e.within(c), budget.Backlog, c.sent, a)
		e.unjudged(c, time.Time{})
	case Missed:
		e.unjudged(c, time.Time{})
	case NotApplied:
		e.unjudged(c, e.now.Add(e.backoff(e.worst(c.rows), e.cfg.Breaker.OpenFor)))
	case Unknown:
		e.unproven(c, a)
	}
	for _, r := range c.rows {
		if l := r.entry.ledger; e.marked() && l.draining && !l.gone {
			e.changedNow(l) // what was in doubt may be so no more
		}
	}
	c.returned(a.Outcome)
	// Invariant 4: the call keeps its place in flight until what it created is
	// recorded. What created nothing has nothing to be recorded.
	if changed := e.changedSince(before); len(changed) > 0 {
		e.unrecorded = append(e.unrecorded, changed)
	}
}

// throttled learns from an answer that there were too many calls.
func (e *engine) throttled(ctx context.Context, kind budget.Kind, sent time.Time, a Answer) {
	configured, _, _ := e.budget.Pace()
	lowered := e.budget.Throttled(e.now, budget.Refusal{Kind: kind, Sent: sent, Named: a.Limit, RetryAfter: a.RetryAfter, DaySpent: a.DaySpent})
	again := !e.throttledAt.IsZero() && e.now.Sub(e.throttledAt) < quietAfter
	e.throttledAt, e.trouble, e.troubledAt = e.now, a.Message, e.now
	_, is, _ := e.budget.Pace()
	switch {
	case e.budget.Today(e.now).Refused:
		if !again {
			e.log.WarnContext(ctx, "LeadSquared says that the day's calls are spent; a call now and then finds out when it begins anew", "answer", a.Message,
				"day ends", e.budget.Today(e.now).End, "advice", "write the account's daily limit into leadsquared.limits, as in 100000/day, and its start into leadsquared.day.starts")
		}
	case lowered && is < configured:
		e.log.WarnContext(ctx, "LeadSquared throttled a call; the pace is lowered", "answer", a.Message,
			"calls per second", is, "configured", configured,
			"advice", "write the account's limit into leadsquared.limits, or lower limits_share")
	case !again:
		e.log.WarnContext(ctx, "LeadSquared throttles calls although the pace is kept; others use the account, or the limit is lower", "answer", a.Message,
			"nothing is sent until", e.budget.PausedUntil(e.now), "advice", "lower leadsquared.limits or limits_share")
	}
}

// quietAfter is how long no call must have been throttled before the next one
// that is is worth a line in the log.
const quietAfter = 5 * time.Minute

// tellBreaker reports what came of a call or a read, and says so when the
// breaker changes its mind.
func (e *engine) tellBreaker(ctx context.Context, report func(Answer), a Answer) {
	before := e.breaker.state()
	report(a)
	if serviceFault(a) != nil && a.Outcome != Throttled {
		e.trouble, e.troubledAt = a.Message, e.now
	}
	after := e.breaker.state()
	if after != before && after == "open" {
		if before == "closed" {
			e.metrics.BreakerOpened(e.breaker.by)
		}
		e.log.WarnContext(ctx, "the breaker is open: LeadSquared fails", "because", e.breaker.opened(), "since", e.breaker.since, "answer", a.Message, "status", a.Status, "open for", e.cfg.Breaker.OpenFor)
	}
	if after != before && after == "closed" {
		e.closed = e.proofs
		e.log.InfoContext(ctx, "the breaker is closed: LeadSquared answers again")
	}
}

// alive returns the rows whose ownership has not ended. An answer may come
// after a revoke or a loss: what it says is no longer ours to record.
func (e *engine) alive(rows []*row) []*row {
	// Invariant 5.
	return slices.DeleteFunc(slices.Clone(rows), func(r *row) bool { return r.entry.ledger.gone })
}

// judged gives each row its own verdict.
func (e *engine) judged(c *call, a Answer) {
	if n := len(c.rows); n == e.maxRows && e.maxRows < e.cfg.Batch {
		e.maxRows++ // after a call that was too large
	}
	for i, r := range c.rows {
		if r.entry.ledger.gone {
			continue
		}
		// Invariant 6: verdict i is for row i; without a verdict it is unknown.
		v := Verdict{}
		if i < len(a.Verdicts) {
			v = a.Verdicts[i]
		}
		if v.Kind == RowAgain && r.since.Equal(c.sent) {
			r.since = time.Time{} // this call has not created it, and it is the first that could
		}
		e.verdict(c, r, v)
	}
	if c.part != nil {
		e.partJudged(c, a)
	}
}

func (e *engine) verdict(c *call, r *row, v Verdict) {
	c.tell(r, v.Kind.String(), v.ActivityID)
	switch v.Kind {
	case RowCreated:
		e.counts.activities.Created++
		e.metrics.Activities("created", 1)
		e.metrics.Latency(e.example(r), e.now.Sub(r.entry.record.Timestamp))
		// Invariant 2: delivered means proven.
		r.entry.delivered++
		e.sameWords = sameWords{}
		if r.bisection != nil {
			r.bisection.created, r.bisection = true, nil
		}
		e.finish(r)
	case RowRefused:
		e.counts.activities.Refused++
		e.metrics.Activities("refused", 1)
		e.dead(r, refusalReason(r, Answer{Message: v.Message}), v.Message)
	case RowAgain:
		e.counts.activities.Again++
		r.acquit()
		e.metrics.Activities("again", 1)
		if r.attempts++; r.attempts >= e.cfg.Attempts {
			e.dead(r, transform.Reason{
				Stage: "deliver", Class: "attempts", Rule: r.activity.Rule,
				Message: "LeadSquared did not take the activity in any attempt: " + v.Message,
			}, v.Message)
			return
		}
		e.goAgain([]*row{r}, e.now.Add(e.backoff(r.attempts-1, e.cfg.Backoff.Max)))
	case RowUnknown:
		e.counts.activities.Unknown++
		e.metrics.Activities("unknown", 1)
		e.unknown(c, []*row{r})
	}
}

// unproven takes in a call that may have been applied. A bisection ends with it:
// the rows that were not sent go again.
func (e *engine) unproven(c *call, a Answer) {
	if a.Status > 0 && a.Status < 500 {
		e.log.WarnContext(e.within(c), "an answer proves nothing", "answer", a.Message, "status", a.Status, "rows", len(c.rows))
	}
	if c.part != nil {
		e.goAgain(e.alive(c.part.rest), time.Time{})
	}
	e.unknown(c, e.alive(c.rows))
}

// unjudged sends the rows of a call again that taught nothing about them. No
// attempt is counted, so an outage of any length dead-letters nothing. A part
// of a bisection goes again as it is.
func (e *engine) unjudged(c *call, notBefore time.Time) {
	rows := e.alive(c.rows)
	for _, r := range rows {
		r.resends++
	}
	if c.part != nil && len(rows) == len(c.rows) && !ending(slices.Concat(rows, c.part.rest)) {
		c.part.notBefore = notBefore
		e.backOff(rows, notBefore)
		e.parts = append(e.parts, c.part)
		return
	}
	e.goAgain(rows, notBefore)
	if c.part != nil {
		e.goAgain(e.alive(c.part.rest), notBefore)
	}
}

// worst is the highest number of resends among the rows.
func (e *engine) worst(rows []*row) int {
	n := 0
	for _, r := range rows {
		n = max(n, r.resends)
	}
	return n
}

// tooLarge lowers the size of calls; a row that is too large alone is dead.
func (e *engine) tooLarge(c *call, a Answer) {
	if rows := e.alive(c.rows); len(c.rows) == 1 && len(rows) == 1 {
		e.dead(rows[0], transform.Reason{
			Stage: "deliver", Class: "too_large", Rule: rows[0].activity.Rule,
			Message: "LeadSquared says that the activity alone is too large: " + a.Message,
		}, a.Message)
		if c.part != nil {
			e.goAgain(e.alive(c.part.rest), time.Time{})
		}
		return
	}
	e.maxRows = max(1, len(c.rows)/2)
	e.log.WarnContext(e.within(c), "LeadSquared says that a call is too large; calls get fewer rows", "rows", e.maxRows)
	if c.part != nil {
		e.goAgain(e.alive(c.part.rest), time.Time{})
	}
	e.goAgain(e.alive(c.rows), time.Time{})
}

// goAgain puts rows back into their lanes, to be sent at notBefore, in any call
// that has room and without their old neighbours.
func (e *engine) goAgain(rows []*row, notBefore time.Time) {
	e.backOff(rows, notBefore)
	for _, r := range rows {
		r.notBefore = notBefore
		e.putBack(r)
	}
}

// backOff notes how long rows wait before they go again.
func (e *engine) backOff(rows []*row, notBefore time.Time) {
	for _, r := range rows {
		r.backedOff += max(0, notBefore.Sub(e.now))
	}
}

func (e *engine) putBack(r *row) {
	r.lane.out--
	if l := r.entry.ledger; !l.gone && !l.draining {
		e.queue.push(r.lane, e.now)
	}
}

// finish takes a row that has its fate out of its lane, and settles the record
// with its last row.
func (e *engine) finish(r *row) {
	r.lane.finish(r)
	e.putBack(r)
	if r.entry.open--; r.entry.open > 0 {
		return
	}
	if r.entry.death != nil {
		e.die(r.entry, r.entry.death)
		return
	}
	e.fate(r.entry, "delivered")
}

// dead notes that a row will never be accepted. Its record is dead once its
// other rows have their fate.
func (e *engine) dead(r *row, why transform.Reason, response string) {
	if e.letters == nil {
		e.goAgain([]*row{r}, time.Time{})
		o := r.entry.ledger.owner
		e.halt(halt{from: r.entry.place, words: fmt.Sprintf("a record is dead and there is no dead-letter topic: %s (topic %s, partition %d, offset %d)", why.Message, o.Topic, o.Partition, r.entry.first) +
			"; records that came before it are still delivered; set dead_letters.topic, or correct the rules or the account, then restart or resume"})
		return
	}
	if r.entry.death == nil {
		r.entry.death = &DeadLetter{
			Record: r.entry.record, Reason: why, Attempts: r.attempts + 1,
			Activity: e.sink.Row(r.activity), Response: response,
		}
	}
	e.finish(r)
}

func refusalReason(r *row, a Answer) transform.Reason {
	message := "LeadSquared refused the activity: " + a.Message
	if a.Type != "" {
		message = "LeadSquared refused the activity (" + a.Type + "): " + a.Message
	}
	return transform.Reason{Stage: "deliver", Class: "refused", Message: message, Rule: r.activity.Rule}
}

// fate settles a record: delivered, filtered, or dead and buried.
func (e *engine) fate(en *entry, fate string) {
	en.trail.arrived(fate, en.death)
	l := en.ledger
	e.unsettled--
	e.bytes -= en.size
	was := l.next
	l.settle(en)
	e.changedNow(l)
	if l.next > was {
		e.queue.unpark(l, e.now) // the position moved, and what may be sent with it
	}
	switch fate {
	case "delivered":
		e.counts.records.Delivered++
	case "filtered":
		e.counts.records.Filtered++
	case "dead":
		e.counts.records.Dead++
	}
	e.metrics.Record(fate, 1)
}

func (e *engine) countCall(o outcome) {
	c := &e.counts.calls
	c.Total++
	e.counts.rows += int64(len(o.call.rows))
	e.fill.add(len(o.call.rows))
	switch o.answer.Outcome {
	case Judged:
		e.budget.Went(o.call.sent)
		c.Judged++
	case Refused:
		e.budget.Went(o.call.sent)
		c.Refused++
	case Throttled:
		c.Throttled++
	case TooLarge:
		c.TooLarge++
	case Fault:
		c.Fault++
	case Unknown:
		c.Unknown++
		e.counts.activities.Unknown += int64(len(o.call.rows))
		e.metrics.Activities("unknown", len(o.call.rows))
	case NotApplied:
		e.budget.Unheard(e.now)
		c.NotApplied++
	case Missed:
		e.budget.Unheard(e.now)
		c.Missed++
	}
	e.metrics.Call(e.within(o.call), o.answer.Outcome.String(), len(o.call.rows), o.took)
}
