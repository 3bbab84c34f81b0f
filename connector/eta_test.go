package connector_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// drained waits for the end of every partition's lag, and returns the seconds that
// each and all of them took.
func (f *fleet) drained(m *member) (each map[int32]float64, all float64) {
	each = map[int32]float64{}
	for from := time.Now(); ; time.Sleep(time.Second) {
		s, took := m.status(), time.Since(from).Seconds()
		for _, p := range s.Partitions {
			if _, done := each[p.Partition]; p.Lag == 0 && !done {
				each[p.Partition] = took
			}
		}
		if s.Lag == 0 {
			return each, took
		}
		if took > 3600 {
			f.Fatal("the lag has no end")
		}
	}
}

func about(got, want float64) bool { return math.Abs(got-want) <= 5+0.05*want }

// What is said about the end of a lag comes true, per partition and in all, with a
// limit for a day too.
func TestTheTimeToDrainComesTrue(t *testing.T) {
	for name, limits := range map[string][]string{"a window": {"10/5s"}, "days": {"10/5s", "800/day"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, false, 1, limits...)
				f.dayStarts("00:10 UTC")
				// So large that no answer to a fetch holds them all: a poll takes what an
				// answer has of one partition before what it has of the next.
				much := strings.Repeat("x", 2<<10)
				for i := range 1500 {
					f.put([]int32{0, 1, 1, 2, 2, 2}[i%6], `{"kind":"plain","lead":"lead-`+time.Duration(i).String()+`","much":"`+much+`"}`, toDeliver)
				}
				m := f.start()
				if s := m.status(); s.DrainETA != -1 {
					t.Errorf("the end of the lag is told in %v s before anything is known", s.DrainETA)
				}
				time.Sleep(time.Minute)
				told := m.status()
				each, all := f.drained(m)
				for _, p := range told.Partitions {
					if !about(p.DrainETA, each[p.Partition]) {
						t.Errorf("partition %d, %d behind: %.0f s were told, %.0f came", p.Partition, p.Lag, p.DrainETA, each[p.Partition])
					}
				}
				if !about(told.DrainETA, all) {
					t.Errorf("%d behind: %.0f s were told, %.0f came", told.Lag, told.DrainETA, all)
				}
				f.close()
				f.report()
			})
		})
	}
}

// More arrive than the budget is enough for, and then fewer.
func TestItIsSaidWhenAConnectorWillNotCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false, 1, "10/5s") // 1.96 calls per second, of one row each
		m := f.start()
		arrive := func(every, d time.Duration) (s connector.Status) {
			for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(every) {
				f.event(int32(time.Now().UnixNano()%partitions), "lead-"+time.Now().String())
			}
			return m.status()
		}
		if s := arrive(400*time.Millisecond, 10*time.Minute); !s.Behind || !about(s.Arrivals*100, 250) || !about(s.Capacity*100, 196) ||
			!strings.Contains(s.Words, "Will not catch up: 2.5 records arrive per second, and the call budget is enough for 2.0.") {
			t.Errorf("%s: %.2f records arrive per second, the budget is enough for %.2f; want 2.5 and 1.96", s.Words, s.Arrivals, s.Capacity)
		}
		if s := arrive(time.Second, 5*time.Minute); s.Behind {
			t.Errorf("%s: %.2f records arrive per second; want it to catch up", s.Words, s.Arrivals)
		}
		f.close()
		f.report()
	})
}

// Near the end of a day's calls rows wait longer for each other.
func TestTheLingerGrowsNearTheEndOfADaysCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false, 1, "10/5s", "200/day")
		f.config.Batch = 25
		f.dayStarts("01:00 UTC")
		f.start()
		time.Sleep(20 * time.Second)
		for range 3500 {
			f.event(0, "lead-"+time.Now().String())
			time.Sleep(time.Second)
		}
		calls := f.api.Calls(0, 0)
		first, last := calls[:20], calls[len(calls)-15:]
		if len(calls) > 200 {
			t.Errorf("%d calls in the day", len(calls))
		}
		for _, c := range first {
			if c.Rows > 5 {
				t.Errorf("an early call has %d rows", c.Rows)
			}
		}
		for _, c := range last {
			if c.Rows < 24 {
				t.Errorf("a call has %d rows near the end of the day's calls, want it full", c.Rows)
			}
		}
		f.close()
		f.report()
	})
}

// Nothing is promised while nothing is sent, and what nobody knows is not said.
func TestNothingIsPromisedWhileNothingIsSent(t *testing.T) {
	inWorld(t, func(w *world) {
		w.events(6000)
		m := w.start()
		standby := w.start()
		time.Sleep(10 * time.Second)
		if len(m.status().Partitions) == 0 {
			m, standby = standby, m
		}
		if s := m.status(); s.DrainETA <= 0 || s.Capacity <= 0 {
			t.Fatalf("%+v; want an end of the lag while all is well", s)
		}
		silent := func(when, since string) {
			t.Helper()
			s := m.status()
			if s.DrainETA != -1 || strings.Contains(s.Words, "about ") {
				t.Errorf("%s: %q, the lag ends in %v s; want no promise", when, s.Words, s.DrainETA)
			}
			if !strings.Contains(s.Words, since) {
				t.Errorf("%s: %q does not say since when", when, s.Words)
			}
			for _, p := range s.Partitions {
				if p.DrainETA > 0 {
					t.Errorf("%s: partition %d ends in %v s; want no promise", when, p.Partition, p.DrainETA)
				}
			}
		}
		w.must(m.connector.Pause(context.Background()))
		silent("paused", "since 2000-01-01 00:00:1")
		w.must(m.connector.Resume(context.Background()))
		w.rates(fakeapi.Gateway503, 1.0)
		time.Sleep(5 * time.Second)
		silent("the breaker is open", "since 2000-01-01 00:00:1")
		w.heal()
		time.Sleep(15 * time.Second)
		w.rates(fakeapi.Denied, 1.0)
		time.Sleep(5 * time.Second)
		silent("halted", "since 2000-01-01 00:00:3")
		if s := standby.status(); s.Capacity != 0 || s.DrainETA != -1 {
			t.Errorf("a standby says %v records per second and %v s", s.Capacity, s.DrainETA)
		}
	})
}

func TestAConnectorThatHasNeverReachedLeadSquaredSaysSo(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stopAPI()
		m := w.start()
		time.Sleep(20 * time.Second)
		if s := m.status(); !strings.Contains(s.Words, "LeadSquared has not been reached since the start") {
			t.Errorf("the words are %q", s.Words)
		}
		w.startAPI(false)
		time.Sleep(2 * time.Minute)
		if s := m.status(); strings.Contains(s.Words, "not been reached") {
			t.Errorf("once it answers the words are %q", s.Words)
		}
	})
}
