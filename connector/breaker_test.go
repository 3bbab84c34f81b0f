package connector_test

import (
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// callsSince are the calls that reached the fake after the moment.
func (w *world) callsSince(begin time.Time) (at []time.Duration) {
	for _, c := range w.api.Calls(0, 0) {
		if d := c.At.Sub(begin); d > 0 {
			at = append(at, d)
		}
	}
	return at
}

func TestAnOutageAfterABusyTimeCostsAFewCallsBeforeTheFirstPause(t *testing.T) {
	for _, fault := range []fakeapi.Fault{fakeapi.Gateway503, fakeapi.HangBefore} {
		t.Run(string(fault), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.config.Batch = 5
				w.events(4500)
				m := w.start()
				time.Sleep(130 * time.Second)
				if n := len(w.api.Calls(0, 0)); n < 500 {
					t.Fatalf("%d calls in two minutes: not busy", n)
				}
				w.rates(fault, 1.0)
				begin := time.Now()
				time.Sleep(5 * time.Minute)
				most := w.config.Breaker.Failures + w.config.InFlight
				at := w.callsSince(begin)
				before := 0
				for before < len(at) && (before == 0 || at[before]-at[before-1] < w.config.Breaker.OpenFor) {
					before++
				}
				if before > most {
					t.Errorf("%d calls went into the outage before the first pause, want at most %d", before, most)
				}
				if after, want := len(at)-before, int(5*time.Minute/w.config.Breaker.OpenFor); after > want {
					t.Errorf("%d calls after the first pause, want at most one per open_for, %d", after, want)
				}
				if s := m.status(); s.BreakerBy != "in_a_row" || s.BreakerSince.IsZero() || s.BreakerSince.Sub(begin) > 20*time.Second {
					t.Errorf("the breaker is %s by %q since %s, want by failures in a row", s.Breaker, s.BreakerBy, s.BreakerSince)
				}
				w.heal()
			})
		})
	}
}
