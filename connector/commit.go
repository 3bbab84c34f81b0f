package connector

import (
	"context"
	"slices"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

// commit stores the present progress of every ownership, if something changed,
// membership has to be proven or calls of the day are to be reserved. One commit is under way at a time; what
// happens meanwhile goes into the next.
func (e *engine) commit() {
	e.release()
	if !e.commitBegan.IsZero() {
		return
	}
	ledgers := e.toCommit()
	if len(ledgers) == 0 {
		return
	}
	if e.budget.Rationed() {
		e.budget.Reserve(ownersOf(ledgers))
	}
	all := make([]Progress, len(ledgers))
	e.committing = e.committing[:0]
	for i, l := range ledgers {
		p, _ := l.progress()
		p.Doubt, p.Day, p.Begun = e.doubtOf(l), e.budget.Reservation(l.owner), e.begun(l)
		e.committing = append(e.committing, committing{l, l.changed, p.Doubt.Reach, p.Doubt.Epoch, p.Day})
		all[i] = p
	}
	e.touch = false
	e.commitBegan = e.now
	// Ends within the time limit; join waits.
	go func() {
		ctx, cancel := context.WithTimeout(e.calling, commitTimeout)
		defer cancel()
		e.committed <- e.source.Commit(ctx, all)
	}()
}

// toCommit returns the ledgers whose progress is to be committed now.
func (e *engine) toCommit() []*ledger {
	all := e.touch
	if !all && e.budget.Rationed() {
		all = e.budget.Short(ownersOf(e.committable(func(*ledger) bool { return true })))
	}
	if !all && len(e.committable((*ledger).unrecorded)) == 0 {
		return nil
	}
	return e.committable(func(l *ledger) bool {
		return all || l.unrecorded() || e.marked() && e.now.Sub(l.committedAt) > refreshEvery
	})
}

// unrecorded reports whether there is something to commit: a change, or whether commits
// are accepted again.
func (l *ledger) unrecorded() bool { return l.changed > l.recorded || l.refused }

// committable returns the ledgers of those wanted that have a position and whose
// last commit was not refused just now.
func (e *engine) committable(wanted func(*ledger) bool) []*ledger {
	ledgers := make([]*ledger, 0, len(e.ledgers))
	for _, l := range e.ledgers {
		if l.next >= 0 && !l.retryAt.After(e.now) && wanted(l) {
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

// commitAcknowledged takes in what became of each position. One that was accepted
// proves the membership; one that was refused is tried again, and holds up no other.
func (e *engine) commitAcknowledged(errs []error) {
	began := e.commitBegan
	e.commitBegan = time.Time{}
	var failed error
	refused := 0
	for i, c := range e.committing {
		if i >= len(errs) || errs[i] != nil {
			refused++
			c.ledger.retryAt, c.ledger.denied = e.now.Add(tryAgain), true
			if i < len(errs) && failed == nil {
				failed = errs[i]
			}
			continue
		}
		e.lastCommit = began
		c.ledger.recorded, c.ledger.committedAt, c.ledger.denied = c.changed, began, false
		if c.ledger.gone {
			continue
		}
		e.budget.Grant(c.ledger.owner, c.day)
		if e.marked() {
			e.reached(c.ledger, c.reach, c.epoch)
		}
	}
	if refused == 0 {
		e.metrics.Commit("accepted")
	} else {
		e.metrics.Commit("failed")
		e.log.Warn("positions could not be committed; trying again", "partitions", refused, "of", len(e.committing), "error", failed)
	}
	e.refuse(refused < len(e.committing))
	e.release()
}

// refuse has ledgers wait whose commits are refused while others are accepted, and
// lets them go on once what their calls created is recorded. So the trouble of one
// topic, a withdrawn permission for instance, takes no places in flight of others.
func (e *engine) refuse(others bool) {
	for _, l := range e.ledgers {
		switch {
		case l.denied && others && !l.refused:
			l.refused = true
			e.queue.park(l, e.now)
		case !l.denied && l.refused && !e.owes(l):
			l.refused = false
			e.queue.unpark(l, e.now)
		}
	}
	if !others {
		e.touch = true // whether it is about all of them
	}
}

// reached lets records be sent that a commit speaks of now.
func (e *engine) reached(l *ledger, reach int64, epoch int32) {
	l.reach, l.reachEpoch = max(l.reach, reach), max(l.reachEpoch, epoch)
	e.queue.unpark(l, e.now)
}

// A committing is a ledger of the commit under way: which of its changes are in
// it, how far and up to which leader epoch it may send then, and how many calls of the day are reserved.
type committing struct {
	ledger  *ledger
	changed uint64
	reach   int64
	epoch   int32
	day     budget.Reservation
}

// begun is since when records of the ledger beyond its position may have been
// created, zero if nobody can be asked for them.
func (e *engine) begun(l *ledger) time.Time {
	since := l.inheritedDoubt.Since
	switch {
	case !e.marked():
		return time.Time{}
	case since.IsZero() || l.begun.Before(since):
		return l.begun
	}
	return since
}

// doubtOf is what a commit says of the ledger's doubts.
func (e *engine) doubtOf(l *ledger) Doubt {
	if !e.marked() && !e.holds() {
		return Doubt{}
	}
	d := l.doubt(e.now)
	if !e.marked() {
		d.Since = time.Time{}
	}
	return d
}

// A place in flight is one of a call with an outcome, until commits record what
// that has changed.
type place []change

type change struct {
	ledger *ledger
	at     uint64
}

// recorded reports whether an accepted commit has every change of a ledger that is
// still ours.
func (p place) recorded() bool {
	return !slices.ContainsFunc(p, func(c change) bool { return c.ledger.recorded < c.at && !c.ledger.gone })
}

// owes reports whether calls have changed the ledger and no accepted commit says so.
func (e *engine) owes(l *ledger) bool {
	return slices.ContainsFunc(e.unrecorded, func(p place) bool {
		return slices.ContainsFunc(p, func(c change) bool { return c.ledger == l && l.recorded < c.at })
	})
}

// waits reports whether the place is one of those in flight: not if all that an accepted
// commit does not record is of ledgers whose commits are refused.
func (p place) waits() bool {
	return slices.ContainsFunc(p, func(c change) bool { return c.ledger.recorded < c.at && !c.ledger.gone && !c.ledger.refused })
}

// inFlight is how many places in flight are taken.
func (e *engine) inFlight() (n int) {
	n = e.sending
	for _, p := range e.unrecorded {
		if p.waits() {
			n++
		}
	}
	return n
}

// changedSince are the changes of ledgers after the one of the number.
func (e *engine) changedSince(before uint64) (p place) {
	if e.changes == before {
		return nil
	}
	for _, l := range e.ledgers {
		if l.changed > before {
			p = append(p, change{l, l.changed})
		}
	}
	return p
}

// release frees the places in flight of calls whose outcome is recorded.
func (e *engine) release() {
	e.unrecorded = slices.DeleteFunc(e.unrecorded, place.recorded)
}
