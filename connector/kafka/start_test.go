package kafka

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
)

// settle commits where partitions begin, as the engine does when it takes them up.
func (m *member) settle() {
	m.t.Helper()
	wait(30 * time.Second)
	var all []connector.Progress
	for _, o := range m.owned() {
		if o.Fresh {
			all = append(all, connector.Progress{Owner: o, Next: o.Committed, Epoch: -1, FinishedEpoch: -1})
		}
	}
	if len(all) > 0 {
		if err := m.commitAll(m.t.Context(), all); err != nil {
			m.t.Fatal(err)
		}
	}
}

func latest(s *Settings) { s.Config.Start = "latest" }

func TestLatestIsAppliedOnceToTheGroup(t *testing.T) {
	for name, kind := range map[string]func(*Settings){"single": in(), "spread": spread, "kip848": kip848} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(2, "events.a"))
				w.produce("events.a", 0, 7)
				join := func() *member {
					m := w.join(kind, latest, pattern(`events\..*`))
					m.settle()
					return m
				}
				m := join()
				for range 3 {
					m.leave()
					w.produce("events.a", 0, 10)
					m = join()
				}
				if got := m.values(30); len(got) != 30 {
					t.Errorf("%d records, want the 30 that were written while the member was restarted", len(got))
				}
				time.Sleep(youngFor)
				admin := kadm.NewClient(w.dial())
				if _, err := admin.CreatePartitions(t.Context(), 1, "events.a"); err != nil {
					t.Fatal(err)
				}
				wait(time.Second)
				w.dial().PurgeTopicsFromClient("events.a")
				w.produce("events.a", 2, 31)
				w.create("events.b", 1)
				old := &kgo.Record{Topic: "events.b", Value: []byte("of a mirror"), Timestamp: time.UnixMilli(1)}
				if err := w.dial().ProduceSync(t.Context(), old).FirstErr(); err != nil {
					t.Fatal(err)
				}
				w.produce("events.b", 0, 300)
				if got := m.values(332); len(got) != 332 {
					t.Errorf("%d records of what appeared later, want 332", len(got))
				}
				m.settle()
				m.leave()
				w.create("events.c", 1)
				old.Topic, old.Value = "events.c", []byte("of nobody")
				if err := w.dial().ProduceSync(t.Context(), old).FirstErr(); err != nil {
					t.Fatal(err)
				}
				if got := join().values(30 + 332 + 1); !slices.Contains(got, "of nobody") { // nothing else is committed
					t.Error("what appeared while nobody ran is not read from its beginning")
				}
			})
		})
	}
}

func TestInAYoungGroupLatestIsTheMomentWhenItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		w.produce("events", 0, 3)
		w.produce("events", 1, 3)
		time.Sleep(time.Second)
		first := w.join(latest)
		wait(20 * time.Second)
		// It ends before it has committed where the other partition begins.
		if err := first.commitAll(t.Context(), []connector.Progress{{Owner: first.owner("events", 0), Next: 3, Epoch: -1}}); err != nil {
			t.Fatal(err)
		}
		first.leave()
		w.produce("events", 1, 5)
		wait(time.Second) // so that now is not when they were written
		second := w.join(latest)
		second.settle()
		if o := second.owner("events", 1); o.Committed != 3 || !o.Fresh {
			t.Errorf("the other partition begins at %d, want 3: neither the backlog nor less than what was written since", o.Committed)
		}
	})
}

func TestATopicThatAppearsInAYoungGroupIsReadFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events.a"))
		time.Sleep(24 * time.Hour)
		m := w.join(latest, pattern(`events\..*`))
		m.settle()
		time.Sleep(3 * time.Minute)
		w.create("events.b", 1)
		client := w.dial()
		for range 20 { // their time is when the event happened
			r := &kgo.Record{Topic: "events.b", Value: []byte("x"), Timestamp: time.Now().Add(-time.Hour)}
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if got := m.values(20); len(got) != 20 {
			t.Errorf("%d records of a topic that appeared later, want 20", len(got))
		}
	})
}

func TestAPartitionThatComesBackBeginsWhereItIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		w.produce("events", 0, 5)
		w.produce("events", 1, 5)
		m := w.join(spread)
		m.values(10)
		for _, o := range m.owned() {
			if err := m.commitAll(t.Context(), []connector.Progress{{Owner: o, Next: 5, Epoch: -1, FinishedEpoch: -1}}); err != nil {
				t.Fatal(err)
			}
		}
		// A rebalance came between begin and adjust.
		c := m.current.Load()
		for i := range int32(2) {
			c.begins[partition{"events", i}] = kgo.NewOffset().At(0)
		}
		second := w.join(spread)
		wait(30 * time.Second)
		second.leave()
		wait(30 * time.Second)
		w.produce("events", 0, 1)
		w.produce("events", 1, 1)
		if got := m.values(2); len(got) != 2 || got[0] != "0" || got[1] != "0" {
			t.Errorf("records %v are read after the partition came back, want the new ones alone", got)
		}
	})
}

func TestTheCommittedLeaderEpochIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 3)
		if err := w.MoveTopicPartition("events", 0, 0); err != nil { // raises the epoch
			t.Fatal(err)
		}
		first := w.join()
		first.values(3)
		if err := first.commitAll(t.Context(), []connector.Progress{{Owner: first.owner("events", 0), Next: 3, Epoch: 1}}); err != nil {
			t.Fatal(err)
		}
		first.leave()
		second := w.join()
		wait(20 * time.Second)
		if o := second.owner("events", 0); o.CommittedEpoch != 1 {
			t.Errorf("the committed leader epoch is %d, want 1", o.CommittedEpoch)
		}
	})
}

func TestATopicThatAppearsUnderAWaitingMemberIsReadFromItsBeginning(t *testing.T) {
	for name, kind := range map[string]func(*Settings){"by name": of("a"), "regex": pattern("a")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m := w.join(latest, kind)
				wait(5 * time.Minute)
				w.create("a", 1)
				w.produce("a", 0, 20)
				if got := m.values(20); len(got) != 20 {
					t.Errorf("%d records of a topic that was made after the start, want 20", len(got))
				}
			})
		})
	}
}
