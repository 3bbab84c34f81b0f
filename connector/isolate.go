package connector

import (
	"slices"
	"time"

	"github.com/leadsink/leadsink/transform"
)

// alone is the suspicion from which on a row goes alone.
const alone = 2

// What is said of an activity that proves nothing.
const (
	mayBeThere = "LeadSquared gave no proof in any call with the activity, which may have been created, though it judges other calls"
	notFound   = "LeadSquared gave no proof in any call with the activity, though it judges other calls; asked for it, it did not show it, but it may have been created since"
)

// whole is what a call alone without proof says against its row if at most one in
// sixteen calls of others proves nothing meanwhile. It says half as much if that is at
// most one in four, and a third if it is more: what fails by chance as often as
// delivery.unproven_after wants, five times say, does so once in a million.
const whole = 6

// few calls of others that fare well do not tell that most do: they say half.
const few = 8

// proofs count what calls taught, for rows to look back on: what happens to a row
// again and again is the row's doing only if others are judged meanwhile.
type proofs struct {
	calls     uint64 // in which some row was judged, or that were refused
	mysteries uint64 // without proof, though nothing was held against their rows
}

// after returns what was counted since the earlier count.
func (p proofs) after(earlier proofs) proofs {
	return proofs{p.calls - earlier.calls, p.mysteries - earlier.mysteries}
}

// orLater returns the later of two counts.
func (p proofs) orLater(other proofs) proofs {
	return proofs{max(p.calls, other.calls), max(p.mysteries, other.mysteries)}
}

// against returns what a call without proof says against a row that was alone in it,
// if this is what others met.
func (p proofs) against() int {
	switch {
	case p.calls >= 16*p.mysteries:
		return whole
	case p.calls >= 4*p.mysteries:
		return whole / 2
	}
	return whole / 3
}

// learn counts what the call taught. Of the calls of suspected rows only the first of
// each alone says something about the service: in company one row may spoil it for
// the others.
func (e *engine) learn(c *call, a Answer) {
	switch {
	case proves(a):
		e.proofs.calls++
		e.excused = 0
	case a.Outcome == Unknown && !c.blamed() && (len(c.rows) == 1 || !e.suspected(c)):
		e.proofs.mysteries++
		c.mystery = true
	}
}

// blamed reports whether the call is of a row alone that has spoilt a call alone
// while others were judged. That it does so again says nothing about the service:
// several such rows would excuse each other for ever once nothing else comes.
func (c *call) blamed() bool { return len(c.rows) == 1 && c.rows[0].blame > 0 }

// proves reports whether the answer shows that LeadSquared looked at the call.
func proves(a Answer) bool {
	return a.Outcome == Refused || a.Outcome == Judged &&
		slices.ContainsFunc(a.Verdicts, func(v Verdict) bool { return v.Kind != RowUnknown })
}

// suspected reports whether a row of the call was in a call without proof after
// which others were judged: if this one proves nothing either, that says nothing
// about the service. In an outage nobody is judged, so nobody is suspected.
func (e *engine) suspected(c *call) bool {
	return slices.ContainsFunc(c.rows, func(r *row) bool { return r.suspicion > 0 && e.proofs.calls > r.last.calls })
}

// reported tells the breaker about the call, unless a failure would be about its
// rows. A probe is always told of: the breaker waits for it. So is what comes after
// many failures without a proof: where many rows are suspected when an outage begins,
// each would hide it once.
func (e *engine) reported(c *call) func(Answer) {
	if e.breaker.state() == "half_open" || !e.suspected(c) || e.excused >= e.cfg.Breaker.Failures {
		return c.report
	}
	return func(a Answer) {
		if serviceFault(a) != nil {
			e.excused++
			a.Outcome = Missed
		}
		c.report(a)
	}
}

// suspect takes in that the call proved nothing about the rows: one of them may be
// why, so they go again in less company. A row alone is blamed if others were judged
// since its last call, more if they fare well; where the answer is clear, what others
// met without proof says nothing for it.
func (e *engine) suspect(c *call, rows []*row, clear bool) {
	for _, r := range rows {
		if r.suspicion == 0 {
			r.first = e.proofs
		} else if c.mystery { // this call says nothing about the others
			r.first.mysteries++
			r.last.mysteries++
		}
		if len(c.rows) == 1 && r.suspicion > 0 {
			since, all := e.proofs.after(r.last), e.proofs.after(r.first.orLater(e.closed))
			switch {
			case clear && since.calls > 0:
				r.blame += whole
			case clear:
			case since.calls > 0, r.blame > 0 && since == (proofs{}): // once blamed, the others need not go on arriving
				says := min(since.against(), all.against())
				if all.calls < few {
					says = min(says, whole/2)
				}
				r.blame += says
			}
		}
		r.suspicion = min(r.suspicion+1, alone)
		r.last = e.proofs
	}
}

// acquit takes in a proof about the row: it spoils no call.
func (r *row) acquit() { r.suspicion, r.blame = 0, 0 }

// spent reports whether the row proved nothing so often that it is given up.
func (r *row) spent(after int) bool { return r.blame >= after*whole }

// unlessSpent returns the rows that may go again, and gives those up that have
// proven nothing in too many tries.
func (e *engine) unlessSpent(rows []*row, class, says string) (left []*row) {
	for _, r := range rows {
		if !r.spent(e.cfg.UnprovenAfter) {
			left = append(left, r)
			continue
		}
		e.giveUp(r, class, says)
	}
	return left
}

// faultTries is how many calls with an activity alone must be at fault, each after
// others were judged, before it is given up. Such an answer is clear: unlike a call
// without proof it was not applied.
const faultTries = 2

// faulted takes in a call that was turned away for the configuration's or the
// account's sake, as it says. It halts, unless the rows seem to be why: then they
// are searched like those of a call without proof.
func (e *engine) faulted(c *call, a Answer) {
	rows := e.alive(c.rows)
	theirs := e.theirs(c, a)
	if !theirs {
		e.halt(halt{words: a.Message, probe: true})
		for _, r := range rows {
			r.faulted, r.last = true, e.proofs
		}
		e.unjudged(c, time.Time{})
		return
	}
	e.suspect(c, rows, true)
	again := e.now.Add(e.backoff(e.worst(rows), e.cfg.Breaker.OpenFor))
	for _, r := range rows {
		r.faulted = true
		r.resends++
		if r.spent(min(faultTries, e.cfg.UnprovenAfter)) {
			e.giveUp(r, "fault", "calls with the activity are turned away, and others are not: "+a.Message)
			continue
		}
		e.goAgain([]*row{r}, again)
	}
	if c.part != nil {
		e.goAgain(e.alive(c.part.rest), time.Time{})
	}
}

// theirs reports whether a fault is about the call's rows: it comes again with a
// row after calls of others went well; or somebody between LeadSquared and here
// turned the call away, once since a call went well.
func (e *engine) theirs(c *call, a Answer) bool {
	for _, r := range c.rows {
		if r.faulted && e.proofs.calls > r.last.calls {
			return true
		}
	}
	if !a.Foreign || e.proofs.calls == 0 || e.foreign == e.proofs.calls+1 {
		return false
	}
	e.foreign = e.proofs.calls + 1
	return true
}

// giveUp buries or holds a row that LeadSquared does not come to an end with,
// although others are judged.
func (e *engine) giveUp(r *row, class, says string) {
	o := r.entry.ledger.owner
	e.log.Warn("an activity alone spoils its calls while others are judged", "topic", o.Topic, "partition", o.Partition, "offset", r.entry.first,
		"rule", r.activity.Rule, "class", class, "calls", r.calls, "then", e.cfg.OnUnproven, "what", says)
	e.settledAs("unproven_"+e.cfg.OnUnproven, 1)
	if e.cfg.OnUnproven == "hold" {
		e.hold([]*row{r})
		return
	}
	e.dead(r, transform.Reason{Stage: "deliver", Class: class, Rule: r.activity.Rule, Message: says}, "")
}

// suspectsMost is how many calls with suspected rows may be in flight: half of all,
// so that those that hang leave room for others.
func (e *engine) suspectsMost() int { return max(1, e.cfg.InFlight/2) }

// isolates reports whether a row of the call is suspected to spoil it.
func (c *call) isolates() bool {
	return slices.ContainsFunc(c.rows, func(r *row) bool { return r.suspicion > 0 })
}

// holds reports whether rows may be held for an operator.
func (e *engine) holds() bool { return e.cfg.OnUnknown == "hold" || e.cfg.OnUnproven == "hold" }

// takeProbe takes one row to find out with whether LeadSquared takes calls: of the
// least suspected the one that was in the fewest calls. So it is another row
// each time, and none that may spoil its call while there are others.
func (q *queue) takeProbe() []*row {
	var best *lane
	for l := range q.sendable() {
		if best == nil || l.rows[0].probesBefore(best.rows[0]) {
			best = l
		}
	}
	if best == nil {
		return nil
	}
	q.remove(best)
	best.out = 1
	return []*row{best.rows[0]}
}

func (r *row) probesBefore(other *row) bool {
	switch {
	case r.suspicion != other.suspicion:
		return r.suspicion < other.suspicion
	case r.calls != other.calls:
		return r.calls < other.calls
	}
	return r.place < other.place
}
