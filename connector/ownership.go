package connector

import (
	"slices"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

// A drain waits for what is under way for some ownerships, and lets them go.
type drain struct {
	owners   []*Ownership
	deadline time.Time
	done     func()
}

// rebalance takes up and ends ownerships.
func (e *engine) rebalance(r Rebalance) {
	switch r.Kind {
	case Assigned:
		e.joined = true
		for _, o := range r.Owners {
			if !e.stopping {
				e.ledgers[o] = e.newLedger(o)
				if o.Fresh {
					e.changedNow(e.ledgers[o]) // where it begins is decided once
				}
			}
			e.log.Info("partition assigned", "topic", o.Topic, "partition", o.Partition, "committed", o.Committed, "finished ranges", len(o.Finished))
		}
		e.turns()
		r.Done()
	case Revoked:
		e.log.Info("partitions revoked", "partitions", len(r.Owners))
		e.drain(r.Owners, r.Done)
	case Lost:
		e.log.Warn("partitions lost: another member may have them already", "partitions", len(r.Owners))
		for _, o := range r.Owners {
			e.letGo(o)
			e.budget.Forget(o)
		}
		e.turns()
		r.Done()
	case Renumbered:
		for o, turn := range r.Turns {
			o.Turn = turn
		}
		e.renumbering = r.Turns == nil
		e.turns()
		r.Done()
	case Expired:
		e.lookForLosses()
		r.Done()
	}
}

func (e *engine) newLedger(o *Ownership) *ledger {
	l := newLedger(o, e.now)
	l.halfSpan = e.holds()
	l.before = e.halts.from()
	e.metrics.Lost(o.Topic, 0) // so that the first loss is an increase
	if e.marked() {
		l.reach, l.reachEpoch = -1, -1
		if !o.Doubt.Since.IsZero() {
			e.log.Info("an earlier owner may have sent records whose fate is not recorded; LeadSquared is asked for them before they are sent",
				"topic", o.Topic, "partition", o.Partition, "up to offset", o.Doubt.Reach, "sent since", o.Doubt.Since, "asked at", e.now.Add(e.cfg.Timeout+e.cfg.ReconcileAfter))
		}
	}
	return l
}

// drain stops sending for the ownerships; endDrain lets them go.
func (e *engine) drain(owners []*Ownership, done func()) {
	for _, o := range owners {
		if l := e.ledgers[o]; l != nil {
			// Invariant 5: from now on nothing new is sent for it.
			l.draining = true
			e.queue.drop(l)
			if e.marked() || e.budget.Rationed() {
				e.changedNow(l) // the last commit says what is in doubt, and what of the day was not spent
			}
		}
	}
	e.turns()
	e.dropParts()
	e.drains = append(e.drains, &drain{owners, e.now.Add(e.cfg.DrainTimeout), done})
}

// endDrain lets ownerships go that have nothing under way and whose progress
// is recorded, and all of a drain whose time is up.
func (e *engine) endDrain() {
	if len(e.drains) == 0 {
		return
	}
	e.drains = slices.DeleteFunc(e.drains, func(d *drain) bool {
		late := !e.now.Before(d.deadline)
		left := 0
		for _, o := range d.owners {
			l := e.ledgers[o]
			if l == nil {
				continue
			}
			// A halted connector buries nothing more.
			burying := l.burying > 0 && (!e.halts.bar() || len(e.burying) > 0)
			if !late && (l.out > 0 || burying || l.changed > l.recorded) {
				left++
				continue
			}
			if late {
				e.log.Warn("the drain ran out of time; what is under way will be sent again", "topic", o.Topic, "partition", o.Partition, "rows in flight", l.out)
			}
			e.letGo(o)
			e.budget.Forget(o)
		}
		if left > 0 {
			return false
		}
		e.turns()
		d.done()
		return true
	})
}

// letGo forgets an ownership and everything that waits for it. Calls in flight
// go on; their answers find a ledger that is gone.
func (e *engine) letGo(o *Ownership) {
	l := e.ledgers[o]
	if l == nil {
		return
	}
	e.countLosses(l)
	l.gone = true
	delete(e.ledgers, o)
	e.queue.drop(l)
	e.dropParts()
	e.dropDoubts()
	e.graves = slices.DeleteFunc(e.graves, func(en *entry) bool { return en.ledger == l })
	e.unsettled -= l.unsettled
	for en := l.front; en != nil; en = en.next {
		if !en.settled {
			e.bytes -= en.size
			en.trail.arrived("released", nil)
		}
	}
}

// startOver replaces a ledger whose log was cut and written anew.
func (e *engine) startOver(l *ledger, offset int64) *ledger {
	e.log.Warn("the partition was cut back and written anew; taking it up from there", "topic", l.owner.Topic, "partition", l.owner.Partition, "offset", offset)
	e.letGo(l.owner)
	anew := e.newLedger(l.owner)
	anew.next, anew.epoch, anew.inherited, anew.inheritedDoubt = offset, -1, nil, Doubt{}
	e.ledgers[l.owner] = anew
	return anew
}

// turns tells the budget which slots are this member's.
func (e *engine) turns() {
	if len(e.ledgers) == 0 {
		e.renumbering = false // who owns nothing begins with turns of its own
	}
	mine, turns, of := map[any]budget.Place{}, map[int]bool{}, 0
	mixed := e.renumbering
	for o, l := range e.ledgers {
		if l.draining {
			continue
		}
		// Invariant 7: turns of different counts would be slots of other members too.
		mixed = mixed || turns[o.Turn.Turn] || of > 0 && of != o.Turn.Of
		turns[o.Turn.Turn], of = true, o.Turn.Of
		mine[o] = budget.Place{Turn: o.Turn.Turn, Day: o.Day}
	}
	e.budget.Own(mine, of, mixed, e.now)
}

func (e *engine) owned() []*Ownership {
	owners := make([]*Ownership, 0, len(e.ledgers))
	for o := range e.ledgers {
		owners = append(owners, o)
	}
	return owners
}
