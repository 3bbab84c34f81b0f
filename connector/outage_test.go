package connector_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

func TestADayOfOutageBuriesNothingAndEndsWithinOpenForASlotAndASecond(t *testing.T) {
	for fault, timeout := range map[fakeapi.Fault]bool{fakeapi.Gateway503: false, fakeapi.HangBefore: true} {
		t.Run(string(fault), func(t *testing.T) {
			inWorld(t, func(w *world) {
				// Fewer heartbeats and probes than usual make a day shorter.
				w.kafka.SessionTimeout, w.kafka.RebalanceTimeout = 45*time.Second, time.Minute
				w.config.Breaker.OpenFor = time.Minute
				w.events(500)
				w.rates(fault, 1.0)
				m := w.start()
				time.Sleep(24 * time.Hour)
				s := m.status()
				if s.Records != (connector.RecordCounts{}) || s.Breaker == "closed" {
					t.Errorf("after a day of outage %+v and the breaker %s, want no fate and no closed breaker", s.Records, s.Breaker)
				}
				for partition, c := range w.committed() {
					if c.next > 0 || len(c.finished) > 0 {
						t.Errorf("partition %d has %+v committed, nothing has a fate", partition, c)
					}
				}
				if calls := len(w.api.Calls(0, 0)); calls > 24*60+20 {
					t.Errorf("%d calls in a day of outage, want one per open_for", calls)
				}
				w.heal()
				w.firstGoodCallWithin(timeout)
				w.finish()
				w.account()
			})
		})
	}
}

// firstGoodCallWithin checks when the first call after an outage that ends now
// succeeds: after open_for, one slot and a second, and a timeout more if a probe
// hangs at the end of the outage.
func (w *world) firstGoodCallWithin(timeout bool) {
	w.Helper()
	const slot = 5100 * time.Millisecond / 25
	most := w.config.Breaker.OpenFor + slot + time.Second
	if timeout {
		most += w.config.Timeout
	}
	ended := time.Now()
	time.Sleep(most + time.Second)
	synctest.Wait()
	for _, c := range w.api.Calls(0, 0) {
		if c.Outcome == "created" {
			if first := c.At.Sub(ended); first > most {
				w.Errorf("the first good call came %s after the outage, want at most %s", first, most)
			}
			return
		}
	}
	w.Errorf("no good call within %s after the outage", most+time.Second)
}

func TestAStuckLeadDelaysNoOtherLeadAndNoPartition(t *testing.T) {
	last := func(stuck bool) (at time.Duration) {
		inWorld(t, func(w *world) {
			w.config.Attempts = 1000
			if stuck {
				for range 50 {
					w.event(0, "busy")
				}
			}
			w.events(1500)
			m := w.start()
			begun := time.Now()
			time.Sleep(2 * time.Minute)
			if s := m.status(); s.Records.Delivered != 1500 {
				t.Errorf("stuck lead %t: %d delivered, want all 1,500 of the others", stuck, s.Records.Delivered)
			}
			for _, a := range w.api.Activities(0, 0) {
				at = max(at, a.At.Sub(begun))
			}
			for partition, c := range w.committed() {
				if want := map[bool]int64{true: 0, false: 500}[stuck && partition == 0]; c.next != want {
					t.Errorf("stuck lead %t: partition %d is committed up to %d, want %d", stuck, partition, c.next, want)
				}
			}
			w.consistent()
		})
		return at
	}
	without, with := last(false), last(true)
	// Its attempts share calls with other rows, which costs those one more call at most.
	if with > without+time.Second {
		t.Errorf("the others were done after %s with a stuck lead, and after %s without", with, without)
	}
}

func TestAnHourOfRowsThatAllGoAgainNeedsNoMoreMemory(t *testing.T) {
	inWorld(t, func(w *world) {
		w.budget.Limits = []budget.Limit{{Calls: 5, Window: 5 * time.Second}}
		w.stopAPI()
		w.startAPI(true)
		w.config.Attempts = 1000
		w.config.Backoff.Max = 30 * time.Second
		w.config.Window = 2000
		for i := range 4000 {
			w.event(int32(i%partitions), fmt.Sprintf("busy-%d", i%700))
		}
		m := w.start()
		time.Sleep(5 * time.Minute)
		five := heap()
		time.Sleep(55 * time.Minute)
		sixty := heap()
		w.consistent()
		if s := m.status(); s.Records != (connector.RecordCounts{}) || s.Activities.Again < 10_000 {
			t.Errorf("after an hour %+v and %d rows to be tried again, want no fate and thousands", s.Records, s.Activities.Again)
		}
		t.Logf("heap in use: %d KiB after 5 minutes, %d KiB after 60", five>>10, sixty>>10)
		if float64(sixty) > 1.1*float64(five) {
			t.Errorf("%d bytes are in use after an hour, %d after five minutes; want at most 1.1 times that", sixty, five)
		}
	})
}

// heap is how many bytes are in use, of everything in this process.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
