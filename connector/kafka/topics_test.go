package kafka

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector"
)

// of reads the topics.
func of(topics ...string) func(*Settings) { return func(s *Settings) { s.Config.Topics = topics } }

// pattern reads what the regular expression matches.
func pattern(text string) func(*Settings) {
	return func(s *Settings) { s.Config.Topics, s.Config.TopicsRegex = nil, text }
}

// every kind of group that a test of topics runs in.
func everyKind(t *testing.T, test func(t *testing.T, kind func(*Settings))) {
	for name, kind := range map[string]func(*Settings){
		"single": of("a", "b"), "spread": in(spread, of("a", "b")), "kip848": in(kip848, of("a", "b")),
		"regex": pattern("a|b"), "regex spread": in(spread, pattern("a|b")), "regex kip848": in(kip848, pattern("a|b")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, kind) })
		})
	}
}

// create makes a topic, perhaps anew, and has the test's own client notice.
func (w *world) create(topic string, partitions int32) {
	w.t.Helper()
	w.dial().PurgeTopicsFromClient(topic)
	if err := w.CreateTopic(topic, partitions, nil); err != nil {
		w.t.Fatal(err)
	}
}

// commitAt commits positions of partition 0 of the topics and returns the errors.
func (m *member) commitAt(next int64, topics ...string) []error {
	m.t.Helper()
	var all []connector.Progress
	for _, topic := range topics {
		all = append(all, connector.Progress{Owner: m.owner(topic, 0), Next: next, Epoch: -1, FinishedEpoch: -1})
	}
	return m.Commit(m.t.Context(), all)
}

func TestATopicThatIsDeletedHoldsUpNoOther(t *testing.T) {
	everyKind(t, func(t *testing.T, kind func(*Settings)) {
		w := newWorld(t, kfake.SeedTopics(1, "a", "b"))
		m := w.join(kind)
		w.produce("a", 0, 2)
		w.produce("b", 0, 2)
		m.values(4)
		kept := m.owner("a", 0)
		if err := w.DeleteTopic("b"); err != nil {
			t.Fatal(err)
		}
		if errs := m.commitAt(2, "a", "b"); errs[0] != nil || errs[1] == nil {
			t.Errorf("the commits returned %v, want only the second one refused", errs)
		}
		wait(2 * time.Minute)
		if owned := m.owned(); len(owned) != 1 || owned[0] != kept {
			t.Fatalf("%d partitions are owned, want only the one of the topic that is there", len(owned))
		}
		if !m.log.has("topic was deleted") {
			t.Error("nobody is told")
		}
		w.produce("a", 0, 3)
		m.values(3)
		if errs := m.commitAt(5, "a"); errs[0] != nil {
			t.Error(errs[0])
		}
		w.create("b", 1)
		w.produce("b", 0, 3)
		if got := m.values(3); got[0] != "0" {
			t.Errorf("the new topic is read from %s, want its beginning", got[0])
		}
		if errs := m.commitAt(3, "b"); errs[0] != nil {
			t.Error(errs[0])
		}
		if m.owner("a", 0) != kept {
			t.Error("the other topic was given up too")
		}
	})
}

func TestATopicThatIsMadeAnewIsReadFromItsBeginning(t *testing.T) {
	everyKind(t, func(t *testing.T, kind func(*Settings)) {
		w := newWorld(t, kfake.SeedTopics(1, "a", "b"))
		m := w.join(kind)
		w.produce("a", 0, 5)
		w.produce("b", 0, 5)
		m.values(10)
		kept, old := m.owner("a", 0), m.owner("b", 0)
		m.commitAt(5, "a", "b")
		if err := w.DeleteTopic("b"); err != nil {
			t.Fatal(err)
		}
		w.create("b", 3)
		w.produce("b", 0, 8)
		w.produce("b", 2, 1)
		if got := m.values(9); len(got) != 9 {
			t.Errorf("%d records of the new topic, want 9", len(got))
		}
		if o := m.owner("b", 0); o == old || o.Committed != 0 || !o.Fresh {
			t.Errorf("the new topic's partition begins at %d", o.Committed)
		}
		if errs := m.commitAt(5, "a", "b"); errs[0] != nil || errs[1] != nil {
			t.Error(errs)
		}
		if m.owner("a", 0) != kept {
			t.Error("the other topic was given up too")
		}
	})
}

func TestAPartitionThatIsAddedIsReadWithinHalfAMinute(t *testing.T) {
	everyKind(t, func(t *testing.T, kind func(*Settings)) {
		w := newWorld(t, kfake.SeedTopics(1, "a", "b"))
		m := w.join(kind)
		w.produce("a", 0, 2)
		m.values(2)
		w.dial().PurgeTopicsFromClient("a")
		if _, err := kadm.NewClient(w.dial()).CreatePartitions(t.Context(), 1, "a"); err != nil {
			t.Fatal(err)
		}
		w.produce("a", 1, 3)
		began := time.Now()
		m.values(3)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("the new partition's records came after %s", took)
		}
	})
}

func TestAMemberReadsWhatIsThereOfItsTopics(t *testing.T) {
	for name, kind := range map[string]func(*Settings){"single": in(), "spread": spread, "kip848": kip848} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(1, "a"))
				m := w.join(kind, of("a", "b"))
				w.produce("a", 0, 2)
				m.values(2)
				if err := m.ready(); err != nil {
					t.Errorf("it does not become ready: %v", err)
				}
				if !m.log.has(`topic \"b\" does not exist`) {
					t.Error("nobody is told which topic is missing")
				}
				w.create("b", 1)
				w.produce("b", 0, 2)
				m.values(2)
			})
		})
	}
}

// A standby has heard of the topic before it is deleted and owns nothing of it, so
// the position of the new one's partitions cannot be read when it takes over.
func TestAStandbyReadsATopicThatWasMadeAnewBeforeItTookOver(t *testing.T) {
	everyKind(t, func(t *testing.T, kind func(*Settings)) {
		w := newWorld(t, kfake.SeedTopics(1, "a", "b"))
		first := w.join(kind)
		w.produce("a", 0, 1)
		w.produce("b", 0, 1)
		first.values(2)
		second := w.join(kind)
		second.settle()
		if err := w.DeleteTopic("b"); err != nil {
			t.Fatal(err)
		}
		w.create("b", 1)
		first.crash()
		w.produce("a", 0, 2)
		w.produce("b", 0, 8)
		read := map[int64]bool{}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		for len(read) < 8 && ctx.Err() == nil {
			records, _ := second.Poll(ctx, 100)
			for _, r := range records {
				if r.Topic == "b" {
					read[r.Offset] = true
				}
			}
		}
		if len(read) < 8 {
			t.Fatalf("%d records of the new topic, want 8", len(read))
		}
		if o := second.owner("b", 0); o.Committed != 0 {
			t.Errorf("the new topic's partition begins at %d", o.Committed)
		}
	})
}

func TestAPartitionWhosePositionCouldNotBeReadIsTakenUpOnceItCan(t *testing.T) {
	everyKind(t, func(t *testing.T, kind func(*Settings)) {
		w := newWorld(t, kfake.SeedTopics(1, "a", "b"))
		w.produce("a", 0, 2)
		w.produce("b", 0, 3)
		withdrawn := w.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Topic: "b", Err: kerr.TopicAuthorizationFailed, Count: -1})
		m := w.join(kind)
		m.values(2)
		kept := m.owner("a", 0)
		for range 12 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, _ = m.Poll(ctx, 10)
			cancel()
			if why, _ := m.Trouble(); !strings.Contains(why, "b[0] cannot be read") {
				t.Fatalf("nobody can know what cannot be read: %q", why)
			}
		}
		withdrawn.Remove()
		if got := m.values(3); len(got) != 3 {
			t.Errorf("%d records of the partition, want 3", len(got))
		}
		if !m.well(2 * time.Minute) {
			why, _ := m.Trouble()
			t.Errorf("it is in trouble still: %q", why)
		}
		if m.owner("a", 0) != kept {
			t.Error("the other topic was given up too")
		}
	})
}
