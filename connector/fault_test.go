package connector_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// A firewall that turns calls away for what one event holds is not a fault of the keys.
func TestARowThatAFirewallTurnsAwayIsFoundAndTheOthersGoOn(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		for _, onUnproven := range []string{"dead_letter", "hold"} {
			t.Run(fmt.Sprintf("quiet %t %s", quiet, onUnproven), func(t *testing.T) {
				inWorld(t, func(w *world) {
					w.config.HaltWhen = connector.Proportion{}
					w.config.OnUnproven = onUnproven
					bad := w.event(0, "the bad one")
					for i := range 24 {
						w.event(0, fmt.Sprintf("lead-%d", i))
					}
					w.poison(fakeapi.SpoilForbidden, bad)
					m := w.start()
					others, every := 600, time.Second
					if quiet {
						others, every = 20, time.Minute
					}
					halted := 0
					for i := range others {
						w.event(1, fmt.Sprintf("other-%d", i))
						time.Sleep(every)
						if m.status().State == connector.Halted {
							halted++
						}
					}
					time.Sleep(time.Minute)
					s := m.status()
					if dead, held := s.Records.Dead, s.Held; onUnproven == "hold" && held != 1 || onUnproven != "hold" && dead != 1 {
						t.Errorf("%d dead and %d held, want the one that is turned away", dead, held)
					}
					if s.State != connector.Active || int(s.Records.Delivered) != others+24 || w.twice() > 0 || halted > others/4 {
						t.Errorf("%s, %d of %d delivered, %d twice, halted %d of %d times; want active, all, none, and few", s.State, s.Records.Delivered, others+24, w.twice(), halted, others)
					}
				})
			})
		}
	}
}

// Keys that are withdrawn now and then halt, and bury nobody.
func TestKeysThatComeAndGoBuryNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.HaltWhen = connector.Proportion{}
		m := w.start()
		for i := range 40 {
			for j := range 40 {
				w.event(int32(j%partitions), fmt.Sprintf("lead-%d-%d", i, j))
			}
			w.rates(fakeapi.Denied, 1.0)
			time.Sleep(time.Duration(w.random.IntN(60)) * time.Second)
			w.heal()
			time.Sleep(time.Duration(w.random.IntN(40_000)) * time.Millisecond)
		}
		w.heal()
		w.finish()
		if s := m.status(); s.Records.Delivered != 1600 || s.Records.Dead > 0 || w.twice() > 0 {
			t.Errorf("%d delivered, %d dead, %d twice; want 1,600 and none", s.Records.Delivered, s.Records.Dead, w.twice())
		}
	})
}
