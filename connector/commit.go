package connector

import (
	"context"
	"time"
)

// commit stores the present progress of every ownership, if something changed
// or membership has to be proven. One commit is under way at a time; what
// happens meanwhile goes into the next.
func (e *engine) commit() {
	if !e.commitBegan.IsZero() || (e.changes == e.recorded && !e.touch) || e.now.Before(e.commitAt) {
		return
	}
	var all []Progress
	e.reaching = e.reaching[:0]
	for _, l := range e.ledgers {
		stale := e.marked() && e.now.Sub(l.committedAt) > refreshEvery
		if l.changed <= e.recorded && !e.touch && !stale {
			continue
		}
		p, ok := l.progress()
		if !ok {
			continue
		}
		p.Doubt = e.doubtOf(l)
		e.reaching = append(e.reaching, reaching{l, p.Doubt.Reach})
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

// A reaching is a ledger of the commit under way, and how far it may send then.
type reaching struct {
	ledger *ledger
	reach  int64
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
