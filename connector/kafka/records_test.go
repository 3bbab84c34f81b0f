package kafka

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
)

func TestAPollReturnsAtMostItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		w.produce("events", 0, 25)
		w.produce("events", 1, 25)
		m := w.join()
		seen := 0
		for seen < 50 {
			n := len(m.poll(7))
			if n > 7 {
				t.Fatalf("%d records from a poll of 7", n)
			}
			seen += n
		}
	})
}

func TestARecordLargerThanAFetchArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000000"}), kfake.SeedTopics(1, "events"))
		large := bytes.Repeat([]byte("x"), 6<<20)
		client := w.dial(kgo.ProducerBatchMaxBytes(16<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Value: large}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		m := w.join()
		if r := m.poll(1); len(r) != 1 || !bytes.Equal(r[0].Value, large) {
			t.Error("the large record did not arrive")
		}
	})
}

func TestARecordArrivesAsItWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		at := time.UnixMilli(1_700_000_000_123)
		sent := []*kgo.Record{
			{Topic: "events", Key: []byte("k"), Value: []byte("v"), Timestamp: at, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}}},
			{Topic: "events", Key: nil, Value: nil, Timestamp: at},
			{Topic: "events", Key: []byte{}, Value: []byte{}, Timestamp: at},
		}
		if err := w.dial().ProduceSync(t.Context(), sent...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		m := w.join()
		got := m.poll(10)
		if len(got) != 3 {
			t.Fatalf("%d records", len(got))
		}
		first := got[0]
		if string(first.Key) != "k" || string(first.Value) != "v" || !first.Timestamp.Equal(at) || first.Topic != "events" || first.Offset != 0 {
			t.Errorf("the record is %+v", first)
		}
		if len(first.Headers) != 2 || string(first.Headers[0].Value) != "1" || first.Headers[1].Value != nil {
			t.Errorf("its headers are %+v", first.Headers)
		}
		if first.Owner != m.owner("events", 0) {
			t.Error("it does not carry its partition's ownership")
		}
		if got[1].Key != nil || got[1].Value != nil {
			t.Error("null became something")
		}
		if got[2].Key == nil || got[2].Value == nil {
			t.Error("empty became null")
		}
	})
}

func TestAGroupWithoutOffsetsBeginsWhereTheDocumentSays(t *testing.T) {
	for start, want := range map[string][]string{
		"earliest":             {"old", "middle", "new", "later"},
		"latest":               {"later"},
		"2026-01-02T00:00:00Z": {"middle", "new", "later"},
	} {
		t.Run(start, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(1, "events"))
				write := func(value string, at time.Time) {
					r := &kgo.Record{Topic: "events", Value: []byte(value), Timestamp: at}
					if err := w.dial().ProduceSync(t.Context(), r).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
				day := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
				write("old", day)
				write("middle", day.AddDate(0, 0, 1))
				write("new", day.AddDate(0, 0, 2))
				m := w.join(func(s *Settings) { s.Config.Start = start })
				wait(20 * time.Second)
				if o := m.owner("events", 0); o.Committed != -1 {
					t.Errorf("committed is %d without a commit", o.Committed)
				}
				write("later", day.AddDate(0, 0, 3))
				if got := m.values(len(want)); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		})
	}
}

func TestRecordsDeletedBeforeTheirDeliveryAreLoudlyReportedAndTheRestFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 10)
		first := w.join()
		first.values(10)
		if err := first.Commit(t.Context(), []connector.Progress{{Owner: first.owner("events", 0), Next: 2, Epoch: -1}}); err != nil {
			t.Fatal(err)
		}
		first.leave()
		if err := w.DeleteRecords("events", 0, 6); err != nil {
			t.Fatal(err)
		}
		// Neither from the beginning nor from the end: where the log begins now.
		second := w.join(func(s *Settings) { s.Config.Start = "latest" })
		if got := second.values(4); got[0] != "6" {
			t.Errorf("it goes on at %s, want 6", got[0])
		}
		synctest.Wait()
		if !second.log.has("records were deleted before they were delivered") {
			t.Error("nobody was told")
		}
	})
}

func TestAPollEndsWithItsContextAndTheGroupGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		first := w.join(spread)
		wait(10 * time.Second)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := first.Poll(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the poll returned %v", err)
			}
			cancel()
		}
		second := w.join(spread)
		wait(10 * time.Second)
		if len(second.owned()) != 1 {
			t.Error("a poll that was given up holds the group")
		}
	})
}

func TestAPollThatWaitsDoesNotHoldTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		first := w.join(spread)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = first.Poll(ctx, 10)
		}()
		wait(10 * time.Second)
		second := w.join(spread)
		wait(10 * time.Second)
		if len(second.owned()) != 1 {
			t.Error("the second member got nothing")
		}
		cancel()
		<-done
	})
}

func TestEndOffsetsAreFollowedWithoutPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		m := w.join()
		wait(10 * time.Second)
		w.produce("events", 0, 30)
		wait(16 * time.Second)
		if end := m.owner("events", 0).End.Load(); end != 30 {
			t.Errorf("the end offset is %d, want 30", end)
		}
	})
}

func TestRecordsOfAbortedTransactionsAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		client := w.dial(kgo.TransactionalID("t"))
		for _, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			value := map[kgo.TransactionEndTry]string{kgo.TryAbort: "aborted", kgo.TryCommit: "committed"}[commit]
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := client.EndTransaction(t.Context(), commit); err != nil {
				t.Fatal(err)
			}
		}
		m := w.join()
		if got := m.values(1); got[0] != "committed" {
			t.Errorf("read %q", got)
		}
	})
}
