package connector

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

// committer is an engine that has partitions and nothing to send.
func committer(t *testing.T) *engine {
	now := time.Now()
	return &engine{
		now: now, queue: newQueue(), ledgers: map[*Ownership]*ledger{},
		budget: budget.New(budget.Default(), true, now), log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func TestEachPositionOfACommitIsJudgedByItself(t *testing.T) {
	e := committer(t)
	good, refused := newLedger(&Ownership{Committed: 1}, e.now), newLedger(&Ownership{Committed: 1}, e.now)
	for _, l := range []*ledger{good, refused} {
		e.ledgers[l.owner] = l
		e.changedNow(l)
		e.committing = append(e.committing, committing{ledger: l, changed: l.changed})
	}
	e.commitBegan = e.now
	e.commitAcknowledged([]error{nil, errors.New("not now")})
	if good.recorded != good.changed || !e.lastCommit.Equal(e.now) {
		t.Error("the position that was accepted is not recorded, or proves no membership")
	}
	if refused.recorded == refused.changed {
		t.Error("the position that was refused is recorded")
	}
	e.changedNow(good)
	if now := e.toCommit(); len(now) != 1 || now[0] != good {
		t.Errorf("%d positions are committed while one waits for its next try, want the other", len(now))
	}
	e.now = e.now.Add(tryAgain)
	if now := e.toCommit(); len(now) != 2 {
		t.Errorf("%d positions are committed after that, want both", len(now))
	}
}

func TestWhereAPartitionBeginsIsCommittedAtOnce(t *testing.T) {
	for fresh, want := range map[bool]int{true: 1, false: 0} {
		e := committer(t)
		e.rebalance(Rebalance{Kind: Assigned, Owners: []*Ownership{{Committed: 7, Fresh: fresh}}, Done: func() {}})
		if n := len(e.toCommit()); n != want {
			t.Errorf("fresh %t: %d positions are committed, want %d", fresh, n, want)
		}
	}
}
