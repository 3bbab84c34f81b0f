package kafka

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadsink/leadsink/connector"
)

func TestOneMemberHoldsEverythingAndAStandbyTakesOverWhenItLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(6, "events"))
		first := w.join()
		wait(10 * time.Second)
		second := w.join()
		wait(10 * time.Second)
		if n, standby := len(first.owned()), len(second.owned()); n != 6 || standby != 0 {
			t.Fatalf("the members hold %d and %d partitions, want 6 and 0", n, standby)
		}
		if len(first.heard(connector.Revoked)) > 0 {
			t.Error("a standby that joined moved partitions")
		}
		if err := second.Gate(); err != nil {
			t.Errorf("the standby is no member: %v", err)
		}
		first.leave()
		wait(5 * time.Second)
		if n := len(second.owned()); n != 6 {
			t.Errorf("the standby holds %d partitions after the active member left, want 6", n)
		}
		if len(first.heard(connector.Revoked)) == 0 {
			t.Error("the member that left was not asked to drain")
		}
	})
}

func TestAMemberCutOffFromTheBrokersIsToldOfTheLossBeforeAnotherTakesOver(t *testing.T) {
	for name, kind := range map[string]func(*Settings){"single": in(), "spread": spread, "kip848": kip848} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(4, "events"))
				first := w.join(kind)
				wait(10 * time.Second)
				second := w.join(kind)
				wait(20 * time.Second)
				before := len(second.heard(connector.Assigned))
				if len(first.owned()) == 0 || first.Gate() != nil {
					t.Fatal("the first member holds nothing")
				}
				first.crash()
				wait(2 * time.Minute)
				if n := len(second.owned()); n != 4 {
					t.Fatalf("the other member holds %d partitions, want 4", n)
				}
				lost := first.heard(connector.Lost)
				taken := second.heard(connector.Assigned)[before:]
				if len(lost) != 1 {
					t.Fatalf("the member was told of %d losses, want 1", len(lost))
				}
				if !lost[0].Before(taken[0]) {
					t.Errorf("it was told %s after another member took over", lost[0].Sub(taken[0]))
				}
				if first.Gate() == nil {
					t.Error("its gate is open")
				}
			})
		})
	}
}

func TestAMemberThatWasCutOffJoinsAgainAndItsPartitionsFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		m := w.join()
		w.produce("events", 0, 3)
		m.values(3)
		old := m.owner("events", 0)
		before := m.Lease()
		if err := before(); err != nil {
			t.Error(err)
		}
		m.crash()
		wait(2 * time.Minute)
		m.wire.mend()
		wait(2 * time.Minute)
		if got := m.values(3); got[0] != "0" {
			t.Errorf("it goes on at %s, want the uncommitted 0", got[0])
		}
		if m.owner("events", 0) == old {
			t.Error("the partition regained has its old ownership")
		}
		if err := m.Gate(); err != nil {
			t.Error(err)
		}
		if before() == nil {
			t.Error("what was begun under the lost membership may be sent under the new one")
		}
	})
}

func TestMembersShareThePartitionsWhenSpread(t *testing.T) {
	for name, kind := range map[string]func(*Settings){"classic": spread, "kip848": kip848} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(6, "events"))
				first := w.join(kind)
				wait(10 * time.Second)
				second := w.join(kind)
				wait(time.Minute)
				turns := map[int]bool{}
				for _, m := range []*member{first, second} {
					if n := len(m.owned()); n != 3 {
						t.Fatalf("a member holds %d partitions, want 3", n)
					}
					for _, o := range m.owned() {
						if o.Turn.Of != 6 || o.Turn.Turn != int(o.Partition) {
							t.Errorf("partition %d has turn %d of %d", o.Partition, o.Turn.Turn, o.Turn.Of)
						}
						turns[o.Turn.Turn] = true
					}
				}
				if len(turns) != 6 {
					t.Errorf("%d different turns, want 6", len(turns))
				}
			})
		})
	}
}

func TestTurnsRunOverAllTopicsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "a.events", "b.events"), kfake.SeedTopics(3, "other"))
		m := w.join(func(s *Settings) { s.Config.Topics, s.Config.TopicsRegex = nil, `[ab]\.events` })
		wait(20 * time.Second)
		owned := m.owned()
		if len(owned) != 4 {
			t.Fatalf("%d partitions, want the 4 of the topics that match", len(owned))
		}
		for i, o := range owned {
			if o.Turn.Turn != i || o.Turn.Of != 4 {
				t.Errorf("%s[%d] has turn %d of %d, want %d of 4", o.Topic, o.Partition, o.Turn.Turn, o.Turn.Of, i)
			}
		}
	})
}

func TestARevokeWaitsForTheDrain(t *testing.T) {
	for name, kind := range map[string]func(*Settings){"classic": spread, "kip848": kip848} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(2, "events"))
				first := w.join(kind)
				wait(10 * time.Second)
				w.produce("events", 0, 2)
				w.produce("events", 1, 2)
				first.values(4)
				owners := first.owned()
				committed := make(chan error, 1)
				var drained time.Time
				first.drain = func() {
					time.Sleep(20 * time.Second)
					committed <- first.commitAll(t.Context(), []connector.Progress{
						{Owner: owners[0], Next: 2, Epoch: -1}, {Owner: owners[1], Next: 2, Epoch: -1},
					})
					drained = time.Now()
				}
				second := w.join(kind)
				wait(90 * time.Second)
				taken := second.heard(connector.Assigned)
				if drained.IsZero() || len(taken) == 0 {
					t.Fatal("the partition was not handed over")
				}
				if taken[0].Before(drained) {
					t.Error("the other member took over before the drain was done")
				}
				if err := <-committed; err != nil {
					t.Errorf("the commit at the end of the drain: %v", err)
				}
				for _, o := range second.owned() {
					if o.Committed != 2 {
						t.Errorf("the new owner begins at %d, want 2", o.Committed)
					}
				}
				first.drain = nil
			})
		})
	}
}

func TestAStaticMemberThatRestartsKeepsItsPartitionsWithoutARebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(4, "events"))
		named := func(name string) func(*Settings) { return func(s *Settings) { s.Config.InstanceID = name } }
		first := w.join(named("a"))
		wait(10 * time.Second)
		second := w.join(named("b"))
		wait(10 * time.Second)
		if len(first.owned()) != 4 {
			t.Fatal("the first member does not hold everything")
		}
		first.leave()
		wait(10 * time.Second)
		if n := len(second.owned()); n != 0 {
			t.Fatalf("the standby took over %d partitions while the static member restarts", n)
		}
		again := w.join(named("a"))
		wait(10 * time.Second)
		if n := len(again.owned()); n != 4 {
			t.Errorf("the static member holds %d partitions after its restart, want 4", n)
		}
		if n := len(second.owned()); n != 0 {
			t.Errorf("the standby holds %d partitions", n)
		}
	})
}

func TestAFencedStaticMemberLosesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		named := func(s *Settings) { s.Config.InstanceID = "a" }
		first := w.join(named)
		wait(10 * time.Second)
		second := w.join(named)
		wait(20 * time.Second)
		// The callback and the end of the lease may both tell of it, which is one loss to the engine.
		if len(first.heard(connector.Lost)) == 0 || len(first.owned()) != 0 {
			t.Error("a member whose name was taken over still holds its partition")
		}
		if len(second.owned()) != 1 {
			t.Error("the member that has the name now does not hold the partition")
		}
		if !first.log.has("another member has the same kafka.instance_id") {
			t.Error("nobody is told why")
		}
	})
}

func TestADetachedSourceAnswersTheGroupItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		m := w.join()
		wait(10 * time.Second)
		close(m.stop)
		<-m.stopped
		m.Detach()
		began := time.Now()
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("leaving took %s", took)
		}
		if _, err := m.Poll(t.Context(), 1); !errors.Is(err, ErrClosed) {
			t.Errorf("a poll after the close returns %v, want ErrClosed", err)
		}
		if m.Gate() == nil {
			t.Error("the gate is open after the close")
		}
	})
}

func TestClosingIsBoundedWhenNoBrokerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		m := w.join()
		wait(10 * time.Second)
		m.crash()
		began := time.Now()
		m.leave()
		if took := time.Since(began); took > 2*time.Minute+time.Second {
			t.Errorf("closing took %s", took)
		}
	})
}

func TestAMemberCutOffDuringARebalanceIsToldOfTheLossBeforeTheRebalanceTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(4, "events"))
		impatient := func(s *Settings) { s.Config.RebalanceTimeout = 15 * time.Second }
		first := w.join(impatient)
		wait(10 * time.Second)
		first.crash()
		second := w.join(impatient)
		wait(40 * time.Second)
		lost, taken := first.heard(connector.Lost), second.heard(connector.Assigned)
		if len(lost) != 1 || len(taken) == 0 {
			t.Fatalf("%d losses, %d assignments, want both before the session timeout", len(lost), len(taken))
		}
		if !lost[0].Before(taken[0]) {
			t.Errorf("it was told %s after another member took over", lost[0].Sub(taken[0]))
		}
	})
}

func TestTwoMembersOfOneNameExpelEachOtherMoreAndMoreRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		named := func(s *Settings) { s.Config.InstanceID = "a" }
		first := w.join(named)
		wait(10 * time.Second)
		second := w.join(named)
		wait(2 * time.Hour)
		n := first.log.count("another member has the same kafka.instance_id") + second.log.count("another member has the same kafka.instance_id")
		if n < 2 || n > 40 {
			t.Errorf("they expelled each other %d times within two hours", n)
		}
	})
}
