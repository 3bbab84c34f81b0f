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
				if o := m.owner("events", 0); o.Committed != int64(4-len(want)) || !o.Fresh {
					t.Errorf("it begins at %d, fresh: %v, want %d", o.Committed, o.Fresh, 4-len(want))
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
		if err := first.commitAll(t.Context(), []connector.Progress{{Owner: first.owner("events", 0), Next: 2, Epoch: -1}}); err != nil {
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

func TestRecordsThatExpireUnderARunningMemberAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 5)
		m := w.join()
		m.values(5)
		o := m.owner("events", 0)
		expire := func(written int, before int64) {
			m.crash() // so that nothing is fetched ahead
			w.produce("events", 0, written)
			if err := w.DeleteRecords("events", 0, before); err != nil {
				t.Fatal(err)
			}
			m.wire.mend()
		}
		expire(10, 12)
		if got := m.values(3); got[0] != "7" {
			t.Errorf("it goes on at %s, want 7", got[0])
		}
		if lost := o.Lost.Load(); lost != 7 || !m.log.has("first=5 last=11") {
			t.Errorf("%d records are counted as lost, want 7", lost)
		}
		told := len(m.heard(connector.Expired)) // the poll and a look both may have come first
		expire(4, 19)                           // and nothing is left
		wait(30 * time.Second)
		if lost, start, end := o.Lost.Load(), o.LogStart.Load(), o.End.Load(); lost != 11 || start != 19 || end != 19 {
			t.Errorf("%d lost, the log from %d to %d, want 11 and nothing from 19 to 19", lost, start, end)
		}
		if gone := o.Gone.Load(); gone == nil || *gone != (connector.Range{First: 15, Last: 18}) || len(m.heard(connector.Expired)) != told+1 {
			t.Errorf("%v is gone, and that was told %d times without a poll, want 15 to 18, and once", gone, len(m.heard(connector.Expired))-told)
		}
		if m.owner("events", 0) != o {
			t.Error("the ownership was lost meanwhile")
		}
	})
}

func TestRecordsThatWereFetchedBeforeTheyExpiredAreNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events"))
		w.produce("events", 0, 20)
		m := w.join()
		m.poll(5) // the client has fetched the others too
		o := m.owner("events", 0)
		expire := func(before int64) {
			if err := w.DeleteRecords("events", 0, before); err != nil {
				t.Fatal(err)
			}
		}
		expire(12)
		wait(30 * time.Second)
		if lost := o.Lost.Load(); lost != 0 || o.LogStart.Load() != 12 {
			t.Errorf("%d records are counted as lost that the client has, and the log starts at %d, want none and 12", lost, o.LogStart.Load())
		}
		w.produce("events", 0, 10)
		expire(25)
		wait(30 * time.Second)
		if lost := o.Lost.Load(); lost != 5 || len(m.heard(connector.Expired)) != 1 {
			t.Errorf("%d records are counted as lost while nothing is polled, want the 5 behind those that the client has", lost)
		}
		if got := m.values(20); got[0] != "5" || got[14] != "19" || got[15] != "5" || o.Lost.Load() != 5 || !m.log.has("first=20 last=24") {
			t.Errorf("polled %v, and %d lost; want the 15 that the client had, the last five, and 5", got, o.Lost.Load())
		}
	})
}
