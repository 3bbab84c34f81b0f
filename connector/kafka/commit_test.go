package kafka

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector"
)

func TestFinishedRangesSurviveAHandOver(t *testing.T) {
	for name, kind := range map[string]func(*Settings){"single": in(), "kip848": kip848} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(1, "events"))
				w.produce("events", 0, 20)
				first := w.join(kind)
				first.values(20)
				finished := []connector.Range{{First: 6, Last: 9}, {First: 11, Last: 11}}
				if err := first.commitAll(t.Context(), []connector.Progress{{
					Owner: first.owner("events", 0), Next: 5, Epoch: 0, Finished: finished, FinishedEpoch: 3,
				}}); err != nil {
					t.Fatal(err)
				}
				first.leave()
				second := w.join(kind)
				wait(10 * time.Second)
				o := second.owner("events", 0)
				if o.Committed != 5 || o.FinishedEpoch != 3 {
					t.Errorf("committed %d, finished epoch %d, want 5 and 3", o.Committed, o.FinishedEpoch)
				}
				if d := cmp.Diff(finished, o.Finished); d != "" {
					t.Errorf("finished ranges (-want +got):\n%s", d)
				}
				if got := second.values(15); got[0] != "5" {
					t.Errorf("the new owner begins at %s, want 5", got[0])
				}
				if end := o.End.Load(); end != 20 {
					t.Errorf("the end offset is %d, want 20", end)
				}
			})
		})
	}
}

func TestForeignAndDamagedMetadataIsIgnoredWithAWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		w.produce("events", 0, 5)
		w.produce("events", 1, 5)
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: "events", Partition: 0, At: 2, LeaderEpoch: -1, Metadata: "consumer-1"})
		offsets.Add(kadm.Offset{Topic: "events", Partition: 1, At: 2, LeaderEpoch: -1, Metadata: metadataPrefix + "AAAA"})
		if err := kadm.NewClient(w.dial()).CommitAllOffsets(t.Context(), "leadsink", offsets); err != nil {
			t.Fatal(err)
		}
		m := w.join()
		wait(10 * time.Second)
		for _, o := range m.owned() {
			if o.Committed != 2 || len(o.Finished) != 0 {
				t.Errorf("partition %d: committed %d, finished %v, want 2 and none", o.Partition, o.Committed, o.Finished)
			}
		}
		for _, reason := range []error{errForeign, errDamaged} {
			if !m.log.has(reason.Error()) {
				t.Errorf("no warning says that %v", reason)
			}
		}
	})
}

func TestMetadataOfADeletedTopicIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 5)
		text, _ := (&Metadata{Finished: []connector.Range{{First: 2, Last: 3}}}).Encode([16]byte{1, 2, 3}, 1, metadataMost)
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: "events", Partition: 0, At: 1, LeaderEpoch: -1, Metadata: text})
		if err := kadm.NewClient(w.dial()).CommitAllOffsets(t.Context(), "leadsink", offsets); err != nil {
			t.Fatal(err)
		}
		m := w.join()
		wait(10 * time.Second)
		if o := m.owner("events", 0); len(o.Finished) != 0 || !m.log.has(errTopic.Error()) {
			t.Errorf("ranges of another topic were taken over: %v", o.Finished)
		}
	})
}

func TestACommitAfterTheEndOfTheOwnershipChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		w.produce("events", 0, 5)
		w.produce("events", 1, 5)
		first := w.join(spread)
		first.values(10)
		old := first.owned()
		second := w.join(spread)
		wait(30 * time.Second)
		kept := first.owned()
		if len(kept) != 1 || len(second.owned()) != 1 {
			t.Fatal("the partitions are not shared")
		}
		err := first.commitAll(t.Context(), []connector.Progress{
			{Owner: old[0], Next: 3, Epoch: -1}, {Owner: old[1], Next: 3, Epoch: -1},
		})
		if !errors.Is(err, ErrNotOwned) {
			t.Errorf("the commit returned %v, want ErrNotOwned", err)
		}
		for _, o := range old {
			want := int64(-1)
			if o == kept[0] {
				want = 3
			}
			if at, _ := w.committed("events", o.Partition); at != want {
				t.Errorf("partition %d is committed at %d, want %d", o.Partition, at, want)
			}
		}
	})
}

func TestACommitOfAnOldOwnershipIsRefusedAfterThePartitionWasRegained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 5)
		m := w.join()
		m.values(5)
		old := m.owner("events", 0)
		m.crash()
		wait(2 * time.Minute)
		m.wire.mend()
		wait(2 * time.Minute)
		if err := m.commitAll(t.Context(), []connector.Progress{{Owner: old, Next: 5, Epoch: -1}}); !errors.Is(err, ErrNotOwned) {
			t.Errorf("the commit returned %v, want ErrNotOwned", err)
		}
		if at, _ := w.committed("events", 0); at != -1 {
			t.Errorf("the partition is committed at %d", at)
		}
		if err := m.commitAll(t.Context(), []connector.Progress{{Owner: m.owner("events", 0), Next: 1, Epoch: -1}}); err != nil {
			t.Errorf("a commit of the new ownership: %v", err)
		}
	})
}

func TestTheCommitErrorCodeOfEachPartitionIsReported(t *testing.T) {
	for _, c := range []struct {
		code     *kerr.Error
		expelled bool
	}{
		{kerr.UnknownMemberID, true},
		{kerr.IllegalGeneration, true},
		{kerr.FencedInstanceID, true},
		{kerr.RebalanceInProgress, false},
		{kerr.OffsetMetadataTooLarge, false},
		{kerr.GroupAuthorizationFailed, false},
	} {
		t.Run(c.code.Message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(2, "events"))
				m := w.join()
				wait(10 * time.Second)
				owners := m.owned()
				w.ControlKey(kmsg.OffsetCommit.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
					request := r.(*kmsg.OffsetCommitRequest)
					response := request.ResponseKind().(*kmsg.OffsetCommitResponse)
					for _, t := range request.Topics {
						topic := kmsg.NewOffsetCommitResponseTopic()
						topic.Topic, topic.TopicID = t.Topic, t.TopicID
						for _, p := range t.Partitions {
							partition := kmsg.NewOffsetCommitResponseTopicPartition()
							if partition.Partition = p.Partition; p.Partition == 1 {
								partition.ErrorCode = c.code.Code
							}
							topic.Partitions = append(topic.Partitions, partition)
						}
						response.Topics = append(response.Topics, topic)
					}
					return response, nil, true
				})
				err := m.commitAll(t.Context(), []connector.Progress{
					{Owner: owners[0], Next: 1, Epoch: -1}, {Owner: owners[1], Next: 1, Epoch: -1},
				})
				if !errors.Is(err, c.code) {
					t.Errorf("the commit returned %v, want %v", err, c.code)
				}
				if expelled := m.Gate() != nil; expelled != c.expelled {
					t.Errorf("the lease has ended: %v, want %v", expelled, c.expelled)
				}
				synctest.Wait()
				if lost := len(m.heard(connector.Lost)) > 0; lost != c.expelled {
					t.Errorf("everything is lost: %v, want %v", lost, c.expelled)
				}
			})
		})
	}
}

func TestACommitThatThePartitionsAnswerLeavesOutIsNoSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		m := w.join()
		wait(10 * time.Second)
		w.ControlKey(kmsg.OffsetCommit.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			return r.ResponseKind(), nil, true
		})
		err := m.commitAll(t.Context(), []connector.Progress{{Owner: m.owner("events", 0), Next: 1, Epoch: -1}})
		if !errors.Is(err, errUnanswered) {
			t.Errorf("the commit returned %v", err)
		}
	})
}

func TestACommitWithMoreRangesThanFitKeepsTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		m := w.join()
		wait(10 * time.Second)
		var finished []connector.Range
		for i := range int64(15_000) {
			finished = append(finished, connector.Range{First: 2*i + 1, Last: 2*i + 1})
		}
		if err := m.commitAll(t.Context(), []connector.Progress{{Owner: m.owner("events", 0), Next: 0, Epoch: -1, Finished: finished}}); err != nil {
			t.Fatal(err)
		}
		if _, text := w.committed("events", 0); len(text) > 4096 || len(text) < 3900 {
			t.Errorf("the metadata has %d bytes", len(text))
		}
		if !m.log.has("no room for all finished and held ranges") {
			t.Error("nobody was warned")
		}
	})
}

// What a commit has no room for is not known to be finished, so a restart has to ask for
// it: in doubt is whatever may have been sent since the first record was.
func TestWhatHasNoRoomInACommitIsInDoubt(t *testing.T) {
	began := time.UnixMilli(1_700_000_000_000)
	for name, since := range map[string]time.Time{"nothing is in doubt else": {}, "something newer is": began.Add(time.Hour), "something older is": began.Add(-time.Hour)} {
		var log record
		c := &session{log: slog.New(slog.NewTextHandler(&log, nil))}
		c.room.Store(metadataMost)
		p := connector.Progress{Owner: &connector.Ownership{}, Begun: began, Doubt: connector.Doubt{Since: since, Epoch: -1}}
		for i := range int64(15_000) {
			p.Finished = append(p.Finished, connector.Range{First: 2*i + 1, Last: 2*i + 1})
		}
		want := began
		if !since.IsZero() && since.Before(began) {
			want = since
		}
		m, err := DecodeMetadata(c.metadata(p, topicID), topicID, 0)
		if err != nil || !m.Doubt.Since.Equal(want) {
			t.Errorf("%s: in doubt since %v (%v), want %v", name, m.Doubt.Since, err, want)
		}
	}
}

func TestABrokerThatTakesLessMetadataIsGivenLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		m := w.join()
		wait(10 * time.Second)
		const most = 600 // offset.metadata.max.bytes
		w.ControlKey(kmsg.OffsetCommit.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.KeepControl()
			r := req.(*kmsg.OffsetCommitRequest)
			if len(*r.Topics[0].Partitions[0].Metadata) <= most {
				return nil, nil, false
			}
			answer := r.ResponseKind().(*kmsg.OffsetCommitResponse)
			topic := kmsg.NewOffsetCommitResponseTopic()
			topic.Topic, topic.TopicID = r.Topics[0].Topic, r.Topics[0].TopicID
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.ErrorCode = kerr.OffsetMetadataTooLarge.Code
			topic.Partitions = append(topic.Partitions, p)
			answer.Topics = append(answer.Topics, topic)
			return answer, nil, true
		})
		o := m.owner("events", 0)
		span := o.Span.Load()
		var finished []connector.Range
		for i := range int64(5000) {
			finished = append(finished, connector.Range{First: 2*i + 1, Last: 2*i + 1})
		}
		progress := []connector.Progress{{Owner: o, Next: 0, Epoch: -1, Finished: finished}}
		refused := 0
		for m.commitAll(t.Context(), progress) != nil {
			if refused++; refused > 5 {
				t.Fatal("the commit is refused for ever")
			}
		}
		if _, text := w.committed("events", 0); refused == 0 || len(text) > most || len(text) < most/4 {
			t.Errorf("after %d refusals the metadata has %d bytes, want some and at most %d", refused, len(text), most)
		}
		if now := o.Span.Load(); now >= span/4 || now < 1 {
			t.Errorf("%d offsets beyond the position may be sent, want far less than the %d before", now, span)
		}
	})
}
