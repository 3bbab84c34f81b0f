package connector_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// poison makes the records spoil every call that they are in. Their notes are the
// words, so there must be no other record whose note holds one.
func (w *world) poison(spoil fakeapi.Spoil, all ...position) {
	words := map[string]fakeapi.Spoil{}
	for _, p := range all {
		words[p.String()] = spoil
	}
	w.must(w.api.SetPoison(words))
}

// wherever is a document that says what becomes of rows without proof.
type wherever struct {
	name string
	set  func(w *world)
}

// withoutProof are the ways of dealing with rows of calls without proof.
var withoutProof = []wherever{
	{"resend", func(*world) {}},
	{"reconcile", func(w *world) { w.marked, w.config.OnUnknown = true, "reconcile" }},
}

func TestARowThatSpoilsItsCallsIsIsolatedAndItsNeighboursAreCreated(t *testing.T) {
	for _, mode := range withoutProof {
		for _, spoil := range []fakeapi.Spoil{fakeapi.SpoilFailed, fakeapi.SpoilLeftOut, fakeapi.SpoilHang, fakeapi.SpoilHangAfter} {
			for _, quiet := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s quiet %t", mode.name, spoil, quiet), func(t *testing.T) {
					inWorld(t, func(w *world) {
						mode.set(w)
						w.config.HaltWhen = connector.Proportion{}
						w.oneRowSpoilsItsCalls(spoil, quiet)
					})
				})
			}
		}
	}
}

// oneRowSpoilsItsCalls checks what becomes of a row that spoils its calls, and of
// its neighbours, among others that come all the time, or now and then.
func (w *world) oneRowSpoilsItsCalls(spoil fakeapi.Spoil, quiet bool) {
	w.Helper()
	var bad position
	for i := range 25 {
		p := w.event(0, fmt.Sprintf("lead-%d", i))
		if i == 12 {
			bad = p
		}
	}
	w.produced[bad] = toBury
	w.poison(spoil, bad)
	m := w.start()
	others, every := 400, time.Second
	if quiet {
		others, every = 10, time.Minute
	}
	for i := range others {
		time.Sleep(every)
		w.event(1, fmt.Sprintf("other-%d", i))
		if i == others/2 {
			if s := m.status(); s.Breaker == "open" && !quiet {
				w.Error("the breaker is open although everybody else's calls are judged")
			}
		}
	}
	time.Sleep(time.Minute)
	w.neighboursAreCreatedAtMostTwiceMore(bad)
	if found := w.marked && spoil == fakeapi.SpoilHangAfter; found { // LeadSquared has stored it, and shows it
		if len(w.buried) > 0 || w.twice() > 0 {
			w.Errorf("%d buried and %d created twice, want none", len(w.buried), w.twice())
		}
	} else if n := w.buried[bad]; n != 1 || !strings.Contains(w.reasons[bad], "nobody can tell") && !strings.Contains(w.reasons[bad], "may have been created") {
		w.Errorf("the row that spoils its calls was buried %d times: %q; want once, and that it may have been created", n, w.reasons[bad])
	}
	if !w.everythingCommitted() {
		w.Error("not everything is committed")
	}
	w.consistent()
}

// neighboursAreCreatedAtMostTwiceMore checks everybody but the bad ones.
func (w *world) neighboursAreCreatedAtMostTwiceMore(bad ...position) {
	w.Helper()
	spoils := map[string]bool{}
	for _, p := range bad {
		spoils[p.String()] = true
	}
	times := map[string]int{}
	for _, a := range w.api.Activities(0, 0) {
		times[a.Note]++
	}
	most := 3
	if w.marked {
		most = 1
	}
	for p := range w.produced {
		if n := times[p.String()]; !spoils[p.String()] && (n == 0 || n > most) {
			w.Errorf("%s was created %d times, want once, and %d times at most", p, n, most)
		}
	}
}

func TestARowThatSpoilsItsCallsIsHeldWhereItIsWanted(t *testing.T) {
	for _, mode := range withoutProof {
		t.Run(mode.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				mode.set(w)
				w.config.OnUnproven = "hold"
				w.config.DrainTimeout = 8 * time.Second
				bad := w.event(0, "bad")
				w.events(60)
				w.poison(fakeapi.SpoilFailed, bad)
				m := w.start()
				for i := range 300 {
					time.Sleep(time.Second)
					w.event(1, fmt.Sprintf("other-%d", i))
				}
				for range 2 {
					held, err := m.connector.Held(context.Background())
					w.must(err)
					if len(held) != 1 || held[0].Partition != bad.partition || held[0].Offset != bad.offset || m.status().Held != 1 {
						t.Errorf("%+v are held, want the one that spoils its calls", held)
					}
					m.end()
					<-m.ended
					m = w.start()
					time.Sleep(20 * time.Second)
				}
				w.must(w.api.SetPoison(nil))
				if _, err := m.connector.SettleHeld(context.Background(), connector.HeldAbsent, connector.HeldChoice{}); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Second)
				w.neighboursAreCreatedAtMostTwiceMore()
				if !w.everythingCommitted() || len(w.buried) > 0 {
					t.Errorf("everything committed: %t, %d buried; want all of it, and none", w.everythingCommitted(), len(w.buried))
				}
			})
		})
	}
}

// A row is blamed only if others fare well.
func TestAnOutageIsNobodysDoing(t *testing.T) {
	for _, mode := range withoutProof {
		t.Run(mode.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				mode.set(w)
				w.rates(fakeapi.Gateway502, 1.0)
				w.events(25) // a call's
				w.start()
				time.Sleep(2 * time.Minute)
				if n := len(w.api.Calls(0, 0)); n > 30 {
					t.Errorf("%d calls in two minutes of an outage, want some and one in each open_for", n)
				}
				time.Sleep(time.Hour)
				w.heal()
				time.Sleep(time.Minute)
				w.finish()
				w.account()
			})
		})
	}
}

func TestACallInFiveThatFailsBuriesNobody(t *testing.T) {
	for _, mode := range withoutProof {
		t.Run(mode.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				mode.set(w)
				w.rates(fakeapi.Failed500, 0.1, fakeapi.ResetAfter, 0.05, fakeapi.HangBefore, 0.05)
				m := w.start()
				for i := range 3000 {
					w.event(int32(i%partitions), fmt.Sprintf("lead-%d", i))
					if i%10 == 9 {
						time.Sleep(time.Second)
					}
				}
				w.heal()
				w.finish()
				if n := w.letters(); n > 0 || m.status().Records.Delivered != 3000 {
					t.Errorf("%d were buried and %d delivered, want none and 3,000", n, m.status().Records.Delivered)
				}
			})
		})
	}
}

// Nearly every call of a backlog is then one of suspected rows, so their first calls
// alone have to tell how the service fares.
func TestThreeCallsInTenThatFailBuryNobodyOfABacklog(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, false)
			w.budget.Limits = limitsOf(t, "100/1s")
			w.stopAPI()
			w.startAPI(false)
			w.config.Backoff.Initial, w.config.Backoff.Max, w.config.Timeout, w.config.Breaker.OpenFor = 200*time.Millisecond, 2*time.Second, 2*time.Second, 2*time.Second
			w.rates(fakeapi.ResetAfter, 0.2, fakeapi.Late, 0.1)
			w.events(300)
			w.start()
			time.Sleep(20 * time.Minute)
			w.heal()
			w.finish()
			if n := w.letters(); n > 0 || !w.everythingCommitted() {
				t.Errorf("seed %d: %d were buried, everything committed: %t; want none, and all", seed, n, w.everythingCommitted())
			}
			w.close()
			w.report()
		})
	}
}

func TestARowThatSpoilsItsCallsIsBuriedThoughNothingFollows(t *testing.T) {
	for _, mode := range withoutProof {
		t.Run(mode.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				mode.set(w)
				w.config.HaltWhen = connector.Proportion{}
				w.events(60)
				bad := w.event(0, "bad")
				w.produced[bad] = toBury
				w.poison(fakeapi.SpoilHang, bad)
				w.start()
				time.Sleep(5 * time.Minute)
				w.neighboursAreCreatedAtMostTwiceMore(bad)
				if w.letters() != 1 || !w.everythingCommitted() {
					t.Errorf("%d buried, everything committed: %t; want the one that spoils its calls, and all", w.letters(), w.everythingCommitted())
				}
			})
		})
	}
}
