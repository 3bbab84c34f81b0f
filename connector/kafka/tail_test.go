package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/config/setting"
)

// tail returns what Tail sees within a minute, as TOPIC/PARTITION@OFFSET=VALUE.
func (w *world) tail(n int, partition int32, change ...func(*Settings)) ([]string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	s := Settings{Config: w.config(), Dial: w.network.DialContext, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&s)
	}
	records, err := Tail(ctx, s, n, partition)
	var seen []string
	for _, r := range records {
		seen = append(seen, fmt.Sprintf("%s/%d@%d=%s", r.Topic, r.Partition, r.Offset, r.Value))
	}
	return seen, err
}

// mustTail fails the test if Tail does not return what is wanted.
func (w *world) mustTail(n int, partition int32, want []string, change ...func(*Settings)) {
	w.t.Helper()
	got, err := w.tail(n, partition, change...)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("-want +got:\n%s", diff)
	}
}

// within writes n records into partition 0 of a topic within a transaction.
func (w *world) within(topic string, n int, end kgo.TransactionEndTry) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...), kgo.Dialer(w.network.DialContext), kgo.DisableClientMetrics(),
		kgo.TransactionalID("test"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		if err := client.ProduceSync(w.t.Context(), &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "t%d", i)}).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := client.EndTransaction(w.t.Context(), end); err != nil {
		w.t.Fatal(err)
	}
}

func TestATailHoldsTheLastRecordsOfAllPartitionsByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(3, "events")) // the third stays empty
		for i := range 10 {
			w.produce("events", int32(i%2), 1)
			wait(time.Second)
		}
		w.mustTail(3, -1, []string{"events/1@3=0", "events/0@4=0", "events/1@4=0"})
		w.mustTail(2, 0, []string{"events/0@3=0", "events/0@4=0"})
		w.mustTail(100, 1, []string{"events/1@0=0", "events/1@1=0", "events/1@2=0", "events/1@3=0", "events/1@4=0"})
		w.mustTail(5, 2, nil)
	})
}

func TestATailGoesBackOverGapsAndSeesNoUnfinishedTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 3)
		w.within("events", 40, kgo.TryAbort)
		w.within("events", 1, kgo.TryCommit)
		w.within("events", 40, kgo.TryAbort)
		w.mustTail(3, -1, []string{"events/0@1=1", "events/0@2=2", "events/0@44=t0"})
		w.mustTail(50, -1, []string{"events/0@0=0", "events/0@1=1", "events/0@2=2", "events/0@44=t0"})

		open, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...), kgo.Dialer(w.network.DialContext), kgo.DisableClientMetrics(), kgo.TransactionalID("open"))
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
		if err := open.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := open.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Value: []byte("not yet")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		w.mustTail(1, -1, []string{"events/0@44=t0"})
	})
}

func TestATailBeginsWhereRetentionHasLeftTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 10)
		var upTo kadm.Offsets
		upTo.Add(kadm.Offset{Topic: "events", Partition: 0, At: 8})
		if _, err := kadm.NewClient(w.dial()).DeleteRecords(t.Context(), upTo); err != nil {
			t.Fatal(err)
		}
		w.mustTail(5, -1, []string{"events/0@8=8", "events/0@9=9"})
	})
}

func TestATailReadsTopicsByTheirPattern(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "a.events", "b.events", "events.dead"))
		for _, topic := range []string{"a.events", "b.events", "events.dead"} {
			w.produce(topic, 0, 1)
			wait(time.Second)
		}
		pattern := func(p string) func(*Settings) {
			return func(s *Settings) { s.Config.Topics, s.Config.TopicsRegex = nil, p }
		}
		w.mustTail(5, -1, []string{"a.events/0@0=0", "b.events/0@0=0"}, pattern(`.\.events`))
		if _, err := w.tail(5, -1, pattern("nothing")); err == nil || !strings.Contains(err.Error(), "no topic matches kafka.topics_regex") {
			t.Errorf("got %v", err)
		}
	})
}

// What a tail asks for is all that it does to a cluster.
func TestATailAsksForNothingThatLeavesATrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		w.produce("events", 0, 5)
		asked := map[kmsg.Key]bool{}
		w.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.KeepControl()
			asked[kmsg.Key(r.Key())] = true
			if m, ok := r.(*kmsg.MetadataRequest); ok && m.AllowAutoTopicCreation {
				t.Error("a request lets the broker create topics")
			}
			return nil, nil, false
		})
		w.mustTail(1, -1, []string{"events/0@4=4"})
		if _, err := w.tail(1, -1, func(s *Settings) { s.Config.Topics = []string{"events", "orders"} }); err == nil ||
			!strings.Contains(err.Error(), `topic "orders" does not exist; create it, or correct kafka.topics`) {
			t.Errorf("got %v", err)
		}
		for key := range asked {
			if !slices.Contains([]kmsg.Key{kmsg.ApiVersions, kmsg.Metadata, kmsg.ListOffsets, kmsg.Fetch}, key) {
				t.Errorf("it asks %s", key.Name())
			}
		}
		if len(asked) < 4 {
			t.Errorf("only %d kinds of requests were seen", len(asked))
		}
	})
}

func TestATailFollowsALeaderThatHasMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 5)
		refused := 0
		w.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.KeepControl()
			if refused++; refused > 2 {
				return nil, nil, false
			}
			answer := r.ResponseKind().(*kmsg.FetchResponse)
			topic := kmsg.NewFetchResponseTopic()
			topic.TopicID = r.(*kmsg.FetchRequest).Topics[0].TopicID
			p := kmsg.NewFetchResponseTopicPartition()
			p.ErrorCode = kerr.NotLeaderForPartition.Code
			topic.Partitions = append(topic.Partitions, p)
			answer.Topics = append(answer.Topics, topic)
			return answer, nil, true
		})
		w.mustTail(2, -1, []string{"events/0@3=3", "events/0@4=4"})
		if refused < 3 {
			t.Errorf("%d fetches, want one after those that were refused", refused)
		}
	})
}

func TestATailEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 1)
		w.ControlKey(kmsg.Fetch.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.KeepControl()
			answer := r.ResponseKind().(*kmsg.FetchResponse)
			answer.ErrorCode = kerr.CoordinatorLoadInProgress.Code // for ever
			return answer, nil, true
		})
		began := time.Now()
		_, err := w.tail(1, -1)
		if took := time.Since(began); err == nil || took != time.Minute || !strings.Contains(err.Error(), "read the end of events[0]") {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestWhatKeepsATailFromReadingIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		n         int
		partition int32
		change    func(*Settings)
		want      string
	}{
		"none":         {0, -1, func(*Settings) {}, "0 is not a number of records from 1 to 10000"},
		"too many":     {MaxTail + 1, -1, func(*Settings) {}, "10001 is not a number of records from 1 to 10000"},
		"no partition": {1, 7, func(*Settings) {}, "no topic has a partition 7; see how many there are"},
		"no broker":    {1, -1, func(s *Settings) { s.Config.Brokers = []string{"localhost:1"} }, "broker localhost:1: "},
		"no SASL": {1, -1, func(s *Settings) {
			s.Config.SASL = SASLConfig{Mechanism: "PLAIN", Username: setting.NewSecret("u"), Password: setting.NewSecret("canary-password")}
		}, "kafka.sasl"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(1, "events"), kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right"))
				if name != "no SASL" {
					old := c.change
					c.change = func(s *Settings) {
						s.Config.SASL = SASLConfig{Mechanism: "PLAIN", Username: setting.NewSecret("u"), Password: setting.NewSecret("right")}
						old(s)
					}
				}
				_, err := w.tail(c.n, c.partition, c.change)
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
					t.Errorf("got %v, want %q in it", err, c.want)
				}
			})
		})
	}
}
