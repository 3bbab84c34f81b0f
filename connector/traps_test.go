package connector_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/connector/leadsquared"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// Each test here is named after a trap that bit another connector, and steps
// where the trap was.

// inTrap plays a story in a world, whose members share the partitions if spread.
// The world is ended even when the story gives up, so that its words are seen.
func inTrap(t *testing.T, spread bool, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, spread)
		defer w.closeSoon()
		story(w)
	})
}

// closeSoon ends the world, and the test with all that it has said when a member
// of the world does not end: in a bubble it would be waited for without end.
func (w *world) closeSoon() {
	ended := make(chan struct{})
	go func() { // ends with the world
		defer close(ended)
		w.close()
	}()
	select {
	case <-ended:
		w.report()
	case <-time.After(time.Hour):
		w.mu.Lock()
		defer w.mu.Unlock()
		panic(fmt.Sprintf("%s: the members have not ended within an hour; before that: %q", w.Name(), w.wrong))
	}
}

// partitionsOf are the partitions that the member owns.
func (m *member) partitionsOf() (all []int32) {
	m.world.Helper()
	for _, p := range m.status().Partitions {
		all = append(all, p.Partition)
	}
	return all
}

// until waits until it is so, and gives the test up after two minutes.
func (w *world) until(what string, so func() bool) {
	w.Helper()
	for began := time.Now(); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			w.Fatalf("after two minutes it is not so that %s", what)
		}
	}
}

// awaitCalls waits until more than n calls have arrived, and says how many.
func (w *world) awaitCalls(n int) (arrived int) {
	w.Helper()
	w.until(fmt.Sprintf("more than %d calls have arrived", n), func() bool {
		arrived = len(w.api.Calls(0, 0))
		return arrived > n
	})
	return arrived
}

// leaves ends the member in good order and waits until it has.
func (m *member) leaves() {
	m.world.Helper()
	m.end()
	m.world.until(m.name+" has ended", func() bool { return !m.running() })
}

// watches counts how often the wrappers saw it.
func (w *world) watches(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[what]
}

// franz-go takes a partition that was revoked into its uncommitted map again
// when a record of it is marked late, and its autocommit then passes rows of the
// new owner. Here the new owner has done nothing, so nothing may move.
func TestTrapLateAckAfterRevoke(t *testing.T) {
	inTrap(t, true, func(w *world) {
		w.config.DrainTimeout = 2 * time.Second
		w.config.Batch, w.config.InFlight = 5, 40
		w.rates(fakeapi.Slow, 1.0) // 5 s: the drain does not wait for them
		for i := range 300 {
			w.event(2, fmt.Sprintf("lead-%d", i)) // the second member gets this partition
		}
		w.start()
		w.awaitCalls(10)
		second := w.start()
		w.must(second.connector.Pause(context.Background()))
		w.until("the second member has a partition", func() bool { return len(second.partitionsOf()) > 0 })
		late, before := w.watches("a late answer after a revoke"), w.committed()
		for range 30 {
			w.event(0, "so that the first owner goes on committing")
			time.Sleep(500 * time.Millisecond)
		}
		after := w.committed()
		if w.watches("a late answer after a revoke") == late {
			w.Error("no answer came after the partition was handed over")
		}
		for _, p := range second.partitionsOf() {
			if !reflect.DeepEqual(before[p], after[p]) {
				w.Errorf("partition %d was at %+v when it was handed over, and late answers moved it to %+v", p, before[p], after[p])
			}
		}
		w.finish()
		w.account()
	})
}

// Whatever held a partition back, the window or an operator, must hold it no
// longer once it was lost and regained: a pause that is kept in the Kafka client
// outlives the ownership.
func TestTrapPausedPartitionsStayPaused(t *testing.T) {
	for name, hold := range map[string]func(*world, *member){
		"by a full window": func(w *world, _ *member) { w.rates(fakeapi.Gateway503, 1.0) },
		"by an operator":   func(w *world, m *member) { w.must(m.connector.Pause(context.Background())) },
	} {
		t.Run(name, func(t *testing.T) {
			inTrap(t, true, func(w *world) {
				w.config.Window = 30
				first := w.start()
				hold(w, first)
				w.events(200)
				time.Sleep(20 * time.Second)
				second := w.start()
				time.Sleep(20 * time.Second)
				second.leaves()
				time.Sleep(20 * time.Second)
				if w.watches("a partition regained") == 0 || len(first.partitionsOf()) != partitions {
					w.Fatalf("the first member has partitions %v and regained %d", first.partitionsOf(), w.watches("a partition regained"))
				}
				w.heal()
				w.must(first.connector.Resume(context.Background()))
				time.Sleep(time.Minute)
				if !w.everythingCommitted() {
					w.Errorf("a minute after everything was mended only %+v is committed of 200 records", w.committed())
				}
				w.account()
			})
		})
	}
}

// The reader goes on behind the record that failed: two outages, each with the
// breaker open and the window full, must leave no gap and repeat nothing.
func TestTrapResumingWithoutSeeking(t *testing.T) {
	inTrap(t, false, func(w *world) {
		const records = 300
		w.config.WindowBytes = 20_000 // far fewer than a poll brings
		w.config.Breaker.Ratio = 0    // many good calls of single rows come between the outages
		for range records {
			w.event(0, "one lead, so that order shows")
		}
		m := w.start()
		opened := 0
		for range 2 {
			w.rates(fakeapi.Gateway503, 1.0) // applies nothing
			time.Sleep(30 * time.Second)
			w.check("an outage")
			if m.status().Breaker != "closed" {
				opened++
			}
			w.heal()
			w.until("activities are created", func() bool { return len(w.api.Activities(0, 0)) >= 60*opened })
		}
		time.Sleep(time.Minute)
		if opened != 2 {
			w.Errorf("the breaker opened in %d of two outages", opened)
		}
		var got, want []string
		for _, a := range w.api.Activities(0, 0) {
			got = append(got, a.Note)
		}
		for i := range records {
			want = append(want, position{0, int64(i)}.String())
		}
		if !slices.Equal(got, want) {
			w.Errorf("LeadSquared holds %d activities in the order %v, want %d without a gap", len(got), got, records)
		}
	})
}

// A commit that the coordinator refuses because of a rebalance ended the poll
// loop without a word. Members come and go here while calls are in flight and
// commits are refused; the member that stays must work on by itself.
func TestTrapCommitDuringARebalance(t *testing.T) {
	inTrap(t, true, func(w *world) {
		var storm atomic.Bool
		var refused atomic.Int32
		w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			if !storm.Load() {
				return nil, nil, false
			}
			refused.Add(1)
			answer := refusedCommit(req).(*kmsg.OffsetCommitResponse)
			for i := range answer.Topics {
				for j := range answer.Topics[i].Partitions {
					answer.Topics[i].Partitions[j].ErrorCode = kerr.RebalanceInProgress.Code
				}
			}
			return answer, nil, true
		})
		stays := w.start()
		w.rates(fakeapi.Slow, 1.0)
		calls := 0
		for range 6 {
			w.events(60)
			calls = w.awaitCalls(calls)
			storm.Store(true)
			m := w.start()
			time.Sleep(3 * time.Second)
			storm.Store(false)
			time.Sleep(2 * time.Second)
			m.leaves()
		}
		w.heal()
		time.Sleep(time.Minute)
		if refused.Load() == 0 || w.watches("a revoke with calls in flight") == 0 {
			w.Errorf("%d commits were refused, %d revokes found calls in flight", refused.Load(), w.watches("a revoke with calls in flight"))
		}
		if !stays.running() || !w.everythingCommitted() {
			w.Errorf("a minute after the storm the member that stayed has committed %+v", w.committed())
		}
		w.account()
	})
}

// Every deploy doubled what was in flight. Each restart here ends a member whose
// calls take 5 s, and each activity must be there once.
func TestTrapRevokeWithoutFlush(t *testing.T) {
	for name, spread := range map[string]bool{"single": false, "spread": true} {
		t.Run(name, func(t *testing.T) {
			inTrap(t, spread, func(w *world) {
				w.config.DrainTimeout = 8 * time.Second
				w.rates(fakeapi.Slow, 1.0)
				old := w.start()
				time.Sleep(2 * time.Second)
				amid := 0
				for range 5 {
					w.events(90)
					next := w.start()
					time.Sleep(2 * time.Second)
					amid += old.rowsInCalls()
					old.end()
					w.events(30) // while it drains
					old.leaves()
					if old.result != nil {
						w.Errorf("%s ended with %v", old.name, old.result)
					}
					old = next
				}
				w.finish()
				w.account()
				if amid == 0 {
					w.Error("no restart found a call in flight")
				}
				if twice := w.api.Summary("").Twice; twice > 0 {
					w.Errorf("%d activities are there twice after restarts in good order", twice)
				}
			})
		})
	}
}

// Rows that go again lay in a queue beside the window until memory was full. For
// an hour here every row goes again, and the heap must not have grown.
func TestTrapUnboundedRetryQueue(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.config.Window = 100
		w.config.Breaker.Failures = 1_000_000 // or only probes would go again
		w.config.Breaker.OpenFor, w.config.Backoff.Max = time.Minute, time.Minute
		w.rates(fakeapi.Failed500, 0.8, fakeapi.Throttle, 0.2)
		w.events(1500)
		m := w.start()
		time.Sleep(10 * time.Minute)
		early := heapInUse()
		for range 50 {
			time.Sleep(time.Minute)
			w.consistent()
		}
		if s := m.status(); s.Unsettled != 100 || s.Waits > 100 {
			w.Errorf("%d records are unsettled and %d rows wait, want the window's 100", s.Unsettled, s.Waits)
		}
		if resent := m.status().Activities.Unknown; resent < 500 {
			w.Errorf("%d rows went again in an hour, too few to fill anything", resent)
		}
		if late := heapInUse(); late > early+4<<20 {
			w.Errorf("the heap has grown from %d to %d KiB within 50 minutes", early>>10, late>>10)
		}
	})
}

// heapInUse is how many bytes of the heap are in use.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A call that was denied, and others behind it that were not: their success must
// not take the position over its rows.
func TestTrapRejectedBatchSkipped(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.budget.Limits = nil // so that all four calls are in flight together
		for i := range 100 {
			w.event(0, fmt.Sprintf("lead-%d", i))
		}
		w.api.Script(fakeapi.NoFault, fakeapi.Denied, fakeapi.NoFault, fakeapi.NoFault)
		m := w.start()
		time.Sleep(5 * time.Second)
		w.check("a denied call")
		calls := w.api.Calls(0, 0)
		if len(calls) != 4 || calls[1].Outcome != "denied" || calls[3].Outcome != "created" || m.status().State != connector.Halted {
			w.Fatalf("calls %+v and state %s, want the second of four denied", calls, m.status().State)
		}
		uncommitted := 0
		for i := range int64(100) {
			if !w.committed()[0].covers(i) {
				uncommitted++
			}
		}
		if uncommitted != 25 {
			w.Errorf("%d records are not committed, want those of the denied call", uncommitted)
		}
		time.Sleep(time.Minute) // the halt's probe finds the keys taken again
		w.account()
		if s := w.api.Summary(""); s.Created != 100 || s.Twice != 0 || !w.everythingCommitted() {
			w.Errorf("%d created, %d twice, %+v committed; want all 100 once", s.Created, s.Twice, w.committed())
		}
	})
}

// A record that is out of the queue and not yet sent is in neither place when
// the process dies. It dies here with rows that wait for company, and then with
// rows in a call that has not been applied.
func TestTrapDequeueBeforeSend(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.config.Linger = 5 * time.Second
		w.events(10)
		m := w.start()
		time.Sleep(3 * time.Second)
		if s := m.status(); s.Unsettled != 10 || s.Waits != 10 || s.Calls.Total != 0 {
			w.Fatalf("%+v, want ten records that wait to be sent", s)
		}
		w.check("taking in")
		m.crash()
		w.rates(fakeapi.HangBefore, 1.0)
		m = w.start()
		w.until("a call is in flight", func() bool { return m.rowsInCalls() > 0 })
		w.check("sending")
		m.crash()
		w.finish()
		w.account()
		if s := w.api.Summary(""); s.Created != 10 || s.Twice != 0 {
			w.Errorf("%d created, %d twice; want all 10 once", s.Created, s.Twice)
		}
	})
}

// An outage of ten minutes, longer than the session timeout of 12 s and the
// rebalance timeout of 15 s, must not cost membership, and another member must
// get its share while it lasts.
func TestTrapRetryInsideThePollLoop(t *testing.T) {
	inTrap(t, true, func(w *world) {
		w.config.Window = 100
		w.events(300)
		w.rates(fakeapi.HangBefore, 0.5, fakeapi.Gateway503, 0.5)
		first := w.start()
		time.Sleep(10 * time.Minute)
		if n := w.watches("an end of ownership"); n > 0 {
			w.Errorf("%d partitions were taken away during the outage", n)
		}
		if n := len(first.partitionsOf()); n != partitions {
			w.Fatalf("the member has %d partitions after the outage", n)
		}
		second := w.start()
		time.Sleep(w.config.DrainTimeout + 6*time.Second)
		if len(second.partitionsOf()) == 0 {
			w.Error("the member that retries held up the group")
		}
		w.finish()
		w.account()
	})
}

// A null value, a null key or both ended tasks. The default skips a null value;
// a null key is nothing special, and neither is what stands beside.
func TestTrapTombstone(t *testing.T) {
	inTrap(t, false, func(w *world) {
		good := []byte(`{"kind":"plain","lead":"lead"}`)
		for _, r := range []struct {
			key, value []byte
			to         fate
		}{
			{[]byte("key"), good, toDeliver},
			{[]byte("key"), nil, toFilter},
			{nil, good, toDeliver},
			{nil, nil, toFilter},
			{[]byte{}, []byte{}, toBury}, // empty is not null, and no event
			{[]byte{}, good, toDeliver},
		} {
			sent, err := w.client.ProduceSync(context.Background(), &kgo.Record{Topic: topic, Key: r.key, Value: r.value}).First()
			w.must(err)
			w.produced[position{sent.Partition, sent.Offset}] = r.to
		}
		m := w.start()
		time.Sleep(20 * time.Second)
		if got, want := m.status().Records, (connector.RecordCounts{Delivered: 3, Filtered: 2, Dead: 1}); got != want {
			w.Errorf("%+v, want %+v", got, want)
		}
		if s := m.status(); s.State != connector.Active || !w.everythingCommitted() {
			w.Errorf("%s with %+v committed, want all of it", s.State, w.committed())
		}
		w.account()
	})
}

// Ten minutes of nothing but rate-limit answers, in all three forms, are neither
// fatal, nor anybody's attempt, nor silent: the log and the status say so, once
// and not at each answer.
func TestTrap429(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.events(200)
		w.rates(fakeapi.Throttle, 0.4, fakeapi.Throttle403, 0.3, fakeapi.Throttle200, 0.3)
		var log bytes.Buffer
		c, end := w.runWith(otherParts{log: &log})
		defer end()
		time.Sleep(10 * time.Minute)
		s, err := c.Status(context.Background())
		w.must(err)
		if s.State != connector.Active || s.Breaker != "closed" || s.Records != (connector.RecordCounts{}) || s.Calls.Throttled != s.Calls.Total {
			w.Errorf("%s, breaker %s, %+v, %+v; want it active with nothing dead", s.State, s.Breaker, s.Records, s.Calls)
		}
		if s.Trouble == "" || s.Budget.PausedUntil.IsZero() || !strings.Contains(s.Words, "Nothing is sent until") {
			w.Errorf("the status does not tell that calls are throttled: %q, %q", s.Words, s.Trouble)
		}
		// A throttled call is followed by a pause of the window and the guard.
		if calls := len(w.api.Calls(0, 0)); calls < 100 || calls > 600/5+2 {
			w.Errorf("%d calls in ten minutes, want one per window", calls)
		}
		stricter, err := budget.ParseLimit("10/5s")
		w.must(err)
		w.heal()
		w.api.SetLimits([]budget.Limit{stricter})
		w.events(12_000)
		time.Sleep(15 * time.Minute) // until the pace is tried that the limit does not allow
		w.account()
		end()
		if n := strings.Count(log.String(), "LeadSquared throttles calls"); n != 1 {
			w.Errorf("the log tells it %d times, want once", n)
		}
		if !strings.Contains(log.String(), "throttled") || !strings.Contains(log.String(), "limit of 10 in 5") {
			w.Errorf("the log does not quote the limit that was exceeded:\n%s", log.String())
		}
	})
}

// gobreaker forgets a failure whose call began before its window did, so calls
// that hang longer than the window never count; and calls in flight dilute the
// ratio. The window here is the shortest that a document may have.
func TestTrapBreakerNeverOpensOnHangingCalls(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.config.Breaker.Window = 2 * w.config.Timeout
		w.config.Breaker.Ratio = 1
		w.config.InFlight = 60 // a new call in every slot, however many hang
		w.config.Batch = 1
		w.events(500)
		w.rates(fakeapi.HangBefore, 1.0)
		m := w.start()
		w.awaitCalls(0)
		time.Sleep(2 * w.config.Timeout)
		if s := m.status(); s.Breaker != "open" {
			w.Errorf("the breaker is %s after twice the timeout of calls that hang: %+v", s.Breaker, s.Calls)
		}
	})
}

// gobreaker goes half-open only when it is asked. Here nobody asks: the window
// is full, so nothing is taken in, and nobody looks at the status.
func TestTrapBreakerNeverHalfOpens(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.config.Window = 30
		w.config.Breaker.Failures = 1
		w.events(100)
		w.rates(fakeapi.Gateway503, 1.0)
		w.start()
		time.Sleep(5 * time.Second) // the first call fails, the breaker opens
		calls := len(w.api.Calls(0, 0))
		if calls == 0 || calls > w.config.InFlight {
			w.Fatalf("%d calls before the outage ends", calls)
		}
		w.heal()
		time.Sleep(w.config.Breaker.OpenFor + 5*time.Second)
		if s := w.api.Summary(""); s.Created != 100 {
			w.Errorf("%d of 100 created after %d calls: nothing woke the breaker", s.Created, s.Calls)
		}
		w.account()
	})
}

// gobreaker holds its mutex while it tells of a change, so reading its state for
// the metrics in there never returns. In a bubble a goroutine that waits for a
// mutex stops virtual time, so real time has to end this test.
func TestTrapReadingTheBreakerInItsCallback(t *testing.T) {
	watchdog := time.AfterFunc(time.Minute, func() { panic("a change of the breaker's state has deadlocked") })
	defer watchdog.Stop()
	inTrap(t, false, func(w *world) {
		w.events(400)
		var c *connector.Connector
		m, gather := gathering(w.T, func() (connector.Status, bool) {
			s, err := c.Status(context.Background())
			return s, err == nil
		})
		c, end := w.runWith(otherParts{metrics: m})
		defer end()
		states := map[float64]bool{}
		for i := range 4 * 60 {
			switch i % 120 {
			case 0:
				w.rates(fakeapi.HangBefore, 1.0)
			case 60:
				w.heal()
			}
			time.Sleep(time.Second)
			states[value(w.T, gather(), "leadsink_breaker_state", "", "")] = true
		}
		if len(states) != 3 {
			w.Errorf("the metrics showed the states %v, want closed, half open and open", states)
		}
	})
}

// A limiter that counts in fixed windows, or that makes up for idle time, lets
// two limits pass around an edge. The fake counts by its own clock, over bursts
// after idle times and over restarts.
func TestTrapWindowDoubledAtItsEdge(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.config.Batch = 1 // a call per record
		w.config.Linger = 0
		m := w.start()
		for i := range 6 {
			time.Sleep(4900 * time.Millisecond) // idle until just before an edge
			w.events(60)
			time.Sleep(8 * time.Second)
			if i%2 == 1 {
				m.leaves()
				m = w.start()
			}
		}
		w.finish()
		s := w.api.Summary("")
		if most := s.Most["25/5s"]; s.Violations > 0 || most > 25 || most < 24 {
			w.Errorf("%d calls over the limit, %d in one window; want the 25 used and none over", s.Violations, most)
		}
		w.account()
	})
}

// Dashboards went blank when a switch renamed a metric. The names are those of
// the golden list in every mode.
func TestTrapMetricsRenamedByAMode(t *testing.T) {
	golden, err := os.ReadFile("testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(golden)) {
		want = append(want, strings.Join(strings.Fields(line)[:2], " "))
	}
	for name, mode := range map[string]func(*world){
		"as is":       func(*world) {},
		"spread":      func(w *world) { w.kafka.Assignment = "spread" },
		"kip848":      func(w *world) { w.kafka.Assignment, w.kafka.Protocol = "spread", "kip848" },
		"reconcile":   func(w *world) { w.marked, w.config.OnUnknown = true, "reconcile" },
		"hold":        func(w *world) { w.config.OnUnknown = "hold" },
		"unordered":   func(w *world) { w.config.Order = "none" },
		"dead_letter": func(w *world) { w.config.OnRefused = "dead_letter" },
		"unlimited":   func(w *world) { w.budget.Limits = nil },
	} {
		t.Run(name, func(t *testing.T) {
			inTrap(t, false, func(w *world) {
				mode(w)
				w.events(50)
				w.put(0, "undecodable", toBury)
				var c *connector.Connector
				m, gather := gathering(w.T, func() (connector.Status, bool) {
					s, err := c.Status(context.Background())
					return s, err == nil
				})
				c, end := w.runWith(otherParts{metrics: m})
				defer end()
				time.Sleep(30 * time.Second)
				var got []string
				for name, family := range gather() {
					got = append(got, strings.ToLower(family.GetType().String())+" "+name)
				}
				slices.Sort(got)
				want := slices.DeleteFunc(slices.Clone(want), func(line string) bool {
					return name == "unlimited" && strings.HasSuffix(line, "_spent_calls") // no window, no series
				})
				if !slices.Equal(got, want) {
					w.Errorf("the metrics are\n%s\nwant those of the golden list\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		})
	}
}

// A call that must dial first, over TLS and 120 ms of way, arrives half a second
// after its slot, and the window that it arrives in overflows. Connections die
// here all the time.
func TestTrapColdConnection(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.config.Batch = 1
		w.events(450)
		w.rates(fakeapi.ResetBefore, 0.3)
		w.config.Breaker.Failures = 1_000_000 // resets are not what is looked at
		address, ca := w.serveTLS()
		c, end := w.runWith(otherParts{api: func(c *leadsquared.Config, s *leadsquared.Settings) {
			c.Host, c.CAFile = "https://"+address, ca
			s.Dial = far(s.Dial, func() time.Duration { return 120 * time.Millisecond })
		}})
		defer end()
		time.Sleep(90 * time.Second)
		s := w.api.Summary("")
		if most := s.Most["25/5s"]; s.Violations > 0 || most > 25 {
			w.Errorf("%d calls over the limit, %d in one window", s.Violations, most)
		}
		if s.Calls < 200 || s.Outcomes["reset_before"] < 50 {
			w.Errorf("%d calls of which %d lost their connection, too few to show anything", s.Calls, s.Outcomes["reset_before"])
		}
		status, err := c.Status(context.Background())
		w.must(err)
		if status.Calls.Missed > 0 {
			w.Errorf("%d calls took a slot without a connection", status.Calls.Missed)
		}
	})
}

// serveTLS serves the fake with TLS too, until the test ends. ca is the file of
// its certificate.
func (w *world) serveTLS() (address, ca string) {
	const at = "localhost:8443"
	cert, pool, err := fakeapi.Certificate()
	w.must(err)
	ca = filepath.Join(w.TempDir(), "ca.pem")
	w.must(os.WriteFile(ca, pool, 0o600))
	l, err := w.network.Listen("tcp", at)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { // ends with ctx
		defer close(served)
		if err := w.api.Serve(ctx, l, &cert); err != nil {
			w.Error(err)
		}
	}()
	plain := w.stopAPI
	w.stopAPI = func() { cancel(); <-served; plain() }
	return at, ca
}

// A member whose packets to Kafka are dropped hears of no error and still reaches
// LeadSquared. It must fall silent before another owns its partitions. The other
// one sends nothing here, so every call is the zombie's.
func TestTrapCutOffMemberKeepsSending(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.config.Batch = 1 // a backlog for the whole story
		// Calls that no commit records must not be what stops it.
		w.config.InFlight = 100
		w.events(300)
		dropped := &atomic.Bool{}
		var gate func() error
		first, end := w.runWith(otherParts{
			kafka: func(s *kafka.Settings) { s.Dial = dropping(s.Dial, dropped) },
			api:   func(_ *leadsquared.Config, s *leadsquared.Settings) { gate = s.Lease() },
		})
		defer end()
		time.Sleep(3 * time.Second)
		second := w.start()
		time.Sleep(3 * time.Second)
		w.must(second.connector.Pause(context.Background()))
		s, err := first.Status(context.Background())
		w.must(err)
		if len(s.Partitions) != partitions {
			w.Fatalf("the first member has %+v", s.Partitions)
		}
		dropped.Store(true)
		w.crashes++
		cut := time.Now()
		w.until("another member has taken over", func() bool { return len(second.partitionsOf()) > 0 })
		s, err = first.Status(context.Background())
		w.must(err)
		if gate() == nil || len(s.Partitions) > 0 {
			w.Errorf("another member has its partitions, and the one that was cut off still has %+v, its gate says %v", s.Partitions, gate())
		}
		time.Sleep(time.Minute)
		calls := w.api.Calls(0, 0)
		// Without an accepted commit for 5 s nothing goes out, long before the
		// session of 12 s ends.
		if last := calls[len(calls)-1].At.Sub(cut); last > 6*time.Second {
			w.Errorf("a member cut off from Kafka sent its last call after %s", last)
		}
		w.finish()
		w.account()
	})
}

// dropping is a network that drops every packet while told so: nothing arrives,
// nothing fails.
func dropping(dial func(context.Context, string, string) (net.Conn, error), dropped *atomic.Bool) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if dropped.Load() {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		c, err := dial(ctx, network, address)
		return droppingConn{c, dropped}, err
	}
}

type droppingConn struct {
	net.Conn
	dropped *atomic.Bool
}

func (c droppingConn) Write(p []byte) (int, error) {
	if c.dropped.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c droppingConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.dropped.Load() {
			return n, err
		}
	}
}

// A poll with a limit of 0 brings all that the client has. While the window is
// full no poll may begin, and every limit must be above 0 and within the window.
func TestTrapPollZeroIsUnbounded(t *testing.T) {
	inTrap(t, false, func(w *world) {
		w.config.Window = 40
		w.events(500)
		w.rates(fakeapi.Gateway503, 1.0)
		polls := &notedPolls{}
		c, end := w.runWith(otherParts{source: func(s connector.Source) connector.Source {
			polls.Source = s
			return polls
		}})
		defer end()
		time.Sleep(20 * time.Second)
		full, err := c.Status(context.Background())
		w.must(err)
		before := polls.n.Load()
		time.Sleep(10 * time.Minute)
		if n := polls.n.Load() - before; full.Unsettled != 40 || n > 0 {
			w.Errorf("%d polls in ten minutes with %d records in a window of 40", n, full.Unsettled)
		}
		if least, most := polls.least.Load(), polls.most.Load(); least < 1 || most > 40 {
			w.Errorf("polls asked for %d to %d records, want 1 to 40", least, most)
		}
		w.heal()
		time.Sleep(time.Minute)
		if least, most := polls.least.Load(), polls.most.Load(); least < 1 || most > 40 || !w.everythingCommitted() {
			w.Errorf("polls asked for %d to %d records, want 1 to 40; committed %+v", least, most, w.committed())
		}
	})
}

// notedPolls is a source that notes what polls ask for. Only one poll runs at a time.
type notedPolls struct {
	connector.Source
	n, least, most atomic.Int64
}

func (l *notedPolls) Poll(ctx context.Context, limit int) ([]connector.Record, error) {
	if asked := int64(limit); l.n.Add(1) == 1 {
		l.least.Store(asked)
		l.most.Store(asked)
	} else {
		l.least.Store(min(l.least.Load(), asked))
		l.most.Store(max(l.most.Load(), asked))
	}
	if limit < 1 { // it is noted, and would be repeated without an end
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return l.Source.Poll(ctx, limit)
}

// An id read into a float64 loses its last digits above 2^53. Ids here go the
// whole way, from a record to what LeadSquared stores.
func TestTrapIntegersAbove2To53(t *testing.T) {
	inTrap(t, false, func(w *world) {
		ids := []string{"9007199254740993", "1234567890123456789", "-9223372036854775808", "9223372036854775809", "123456789012345678901234567890"}
		for _, id := range ids {
			w.put(0, `{"kind":"plain","lead":`+id+`}`, toDeliver)
		}
		w.start()
		time.Sleep(20 * time.Second)
		w.account()
		var got []string
		for _, a := range w.api.Activities(0, 0) {
			got = append(got, a.Lead)
		}
		if !slices.Equal(got, ids) {
			w.Errorf("leads %v, want %v", got, ids)
		}
	})
}

// otherParts are those of a connector that a test wants to be others than a member's.
type otherParts struct {
	log     io.Writer
	metrics *connector.Metrics
	kafka   func(*kafka.Settings)
	api     func(*leadsquared.Config, *leadsquared.Settings)
	source  func(connector.Source) connector.Source
	mapper  connector.Mapper
}

// runWith runs a connector of real parts, some of them changed, until end.
func (w *world) runWith(p otherParts) (c *connector.Connector, end func()) {
	w.Helper()
	if p.log == nil {
		p.log = w.Output()
	}
	log := slog.New(slog.NewTextHandler(p.log, nil))
	ctx, cancel := context.WithCancel(context.Background())
	ks := kafka.Settings{Config: w.kafka, Dial: w.network.DialContext, Log: log}
	if p.kafka != nil {
		p.kafka(&ks)
	}
	source, err := kafka.New(ctx, ks)
	w.must(err)
	letters, err := kafka.NewDeadLetters(ctx, ks, deadTopic, "test")
	w.must(err)
	api := leadsquared.Default()
	api.Host, api.Timeout = "http://localhost:8085", w.config.Timeout
	api.AccessKey, api.SecretKey = setting.NewSecret("key"), setting.NewSecret("secret")
	if w.marked {
		api.Marker = "mx_Custom_5"
	}
	as := leadsquared.Settings{Lease: source.Lease, Dial: w.network.DialContext, Log: log}
	if p.api != nil {
		p.api(&api, &as)
	}
	client, err := leadsquared.New(api, as)
	w.must(err)
	s := connector.Settings{
		Config: w.config, Source: source, Sink: client, Letters: watchedLetters{letters, &member{world: w}}, Metrics: p.metrics,
		Log: log, Mapper: w.rules(), Budget: budget.New(w.budget, w.kafka.Single(), time.Now()),
	}
	if w.marked {
		s.Finder = client
	}
	if p.mapper != nil {
		s.Mapper = p.mapper
	}
	if p.source != nil {
		s.Source = p.source(source)
	}
	c = connector.New(s)
	done := make(chan struct{})
	go func() { // ends with end
		defer close(done)
		_ = c.Run(ctx)
		source.Detach()
		client.Close()
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = source.Close(leave)
		letters.Close()
	}()
	return c, func() { cancel(); <-done } // more than once is fine
}
