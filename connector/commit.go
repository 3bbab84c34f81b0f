package connector

import (
	"context"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

// commit stores the present progress of every ownership, if something changed,
// membership has to be proven or calls of the day are to be reserved. One commit is under way at a time; what
// happens meanwhile goes into the next.
func (e *engine) commit() {
	if !e.commitBegan.IsZero() || e.now.Before(e.commitAt) {
		return
	}
	ledgers := e.toCommit()
	if ledgers == nil {
		return
	}
	if e.budget.Rationed() {
		e.budget.Reserve(ownersOf(ledgers))
	}
	var all []Progress
	e.reaching = e.reaching[:0]
	for _, l := range ledgers {
		p, _ := l.progress()
		p.Doubt, p.Day = e.doubtOf(l), e.budget.Reservation(l.owner)
		e.reaching = append(e.reaching, reaching{l, p.Doubt.Reach, p.Day})
		all = append(all, p)
	}
	if len(all) == 0 { // what changed belonged to ownerships that have ended
		e.recorded, e.touch = e.changes, false
		e.release()
		return
	}
	e.touch = false
	e.committing = e.changes
	e.commitBegan = e.now
	// Ends within the time limit; join waits.
	go func() {
		ctx, cancel := context.WithTimeout(e.calling, commitTimeout)
		defer cancel()
		e.committed <- e.source.Commit(ctx, all)
	}()
}

// toCommit returns the ledgers whose progress is to be committed now, nil if no
// commit is wanted.
func (e *engine) toCommit() []*ledger {
	all := e.touch
	if !all && e.budget.Rationed() {
		all = e.budget.Short(ownersOf(e.committable(func(*ledger) bool { return true })))
	}
	if !all && e.changes == e.recorded {
		return nil
	}
	return e.committable(func(l *ledger) bool {
		return all || l.changed > e.recorded || e.marked() && e.now.Sub(l.committedAt) > refreshEvery
	})
}

// committable returns the ledgers of those wanted that have a position, never nil.
func (e *engine) committable(wanted func(*ledger) bool) []*ledger {
	ledgers := make([]*ledger, 0, len(e.ledgers))
	for _, l := range e.ledgers {
		if l.next >= 0 && wanted(l) {
			ledgers = append(ledgers, l)
		}
	}
	return ledgers
}

func ownersOf(ledgers []*ledger) []any {
	owners := make([]any, len(ledgers))
	for i, l := range ledgers {
		owners[i] = l.owner
	}
	return owners
}

// commitAcknowledged frees the places of the calls that the commit records.
func (e *engine) commitAcknowledged(err error) {
	began := e.commitBegan
	e.commitBegan = time.Time{}
	if err != nil {
		e.metrics.Commit("failed")
		e.log.Warn("commit failed; trying again", "error", err)
		e.commitAt = e.now.Add(tryAgain)
		return
	}
	e.metrics.Commit("accepted")
	e.lastCommit = began
	e.recorded = e.committing
	for _, r := range e.reaching {
		r.ledger.committedAt = began
		if !r.ledger.gone {
			e.budget.Grant(r.ledger.owner, r.day)
		}
		if e.marked() && !r.ledger.gone {
			e.reached(r.ledger, r.reach)
		}
	}
	e.release()
}

// reached lets records be sent that a commit speaks of now.
func (e *engine) reached(l *ledger, reach int64) {
	l.reach = max(l.reach, reach)
	waiting := l.beyond
	l.beyond = nil
	for _, lane := range waiting {
		lane.beyond = false
		if !l.draining {
			e.queue.push(lane, e.now)
		}
	}
}

// A reaching is a ledger of the commit under way, how far it may send then, and
// how many calls of the day are reserved.
type reaching struct {
	ledger *ledger
	reach  int64
	day    budget.Reservation
}

// doubtOf is what a commit says of the ledger's doubts.
func (e *engine) doubtOf(l *ledger) Doubt {
	if !e.marked() && e.cfg.OnUnknown != "hold" {
		return Doubt{}
	}
	d := l.doubt(e.now)
	if !e.marked() {
		d.Since = time.Time{}
	}
	return d
}

// release frees the places in flight of calls whose outcome is recorded.
func (e *engine) release() {
	n := 0
	for n < len(e.unrecorded) && e.unrecorded[n] <= e.recorded {
		n++
	}
	e.unrecorded = e.unrecorded[n:]
}
