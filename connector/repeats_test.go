package connector_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// Without a marker, on an account that stores the rows before the bad one and then
// refuses the call: each refused half stores them again. 25, 13, 7, 4 and 2 rows are
// refused at most, and then the good ones are created.
func TestAGoodRowIsCreatedSixTimesAtMostBecauseOfABadOne(t *testing.T) {
	const most = 6
	cases := [][]int{{23, 24}, {6, 12, 18, 24}, {4, 8, 12, 16, 20, 24}, {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23}}
	for i := range 25 {
		cases = append(cases, []int{i})
	}
	worst := 0
	for _, bad := range cases {
		inWorld(t, func(w *world) {
			w.config.HaltWhen = connector.Proportion{}
			w.api.SetReading(fakeapi.H2Before)
			for i := range 25 {
				if slices.Contains(bad, i) {
					w.put(0, fmt.Sprintf(`{"kind":"plain","lead":"unknown-%d"}`, i), toBury)
				} else {
					w.event(0, fmt.Sprintf("lead-%d", i))
				}
			}
			w.start()
			time.Sleep(5 * time.Minute)
			if !w.everythingCommitted() || w.letters() != len(bad) {
				t.Errorf("bad %v: everything committed: %t, %d dead; want all, and the bad ones", bad, w.everythingCommitted(), w.letters())
			}
			times := map[string]int{}
			for _, a := range w.api.Activities(0, 0) {
				times[a.Note]++
				worst = max(worst, times[a.Note])
			}
		})
	}
	if worst != most {
		t.Errorf("a good row was created %d times at worst, want %d as docs/guarantees.md says", worst, most)
	}
}

// A service that answers late is no reason to look in the wrong minute for what a
// lost call has stored.
func TestWhatASlowServiceStoredIsNotCreatedTwice(t *testing.T) {
	for _, from := range []fakeapi.Fault{fakeapi.Slow, fakeapi.NoFault} {
		inMarkedWorld(t, func(w *world) {
			w.config.Timeout, w.config.ReconcileAfter = 30*time.Second, time.Minute
			w.api.SetSlow(12 * time.Second)
			w.rates(fakeapi.Slow, 1.0)
			if from == fakeapi.Slow { // the clock is read from its late answers
				w.events(50)
				w.start()
				time.Sleep(2 * time.Minute)
			} else {
				w.start()
			}
			w.rates(fakeapi.ResetAfter, 1.0)
			before := w.api.Summary("").Created
			for i := range 20 {
				w.event(0, fmt.Sprintf("lost-%d", i))
			}
			w.until("the lost call has stored its rows", func() bool { return w.api.Summary("").Created == before+20 })
			w.rates(fakeapi.Slow, 1.0)
			time.Sleep(5 * time.Minute)
			if n := w.twice(); n > 0 || !w.everythingCommitted() {
				t.Errorf("%d created twice, everything committed: %t; want none, and all", n, w.everythingCommitted())
			}
		})
	}
}

// What was in doubt when the process went away is asked for over the whole stop,
// however long it was.
func TestWhatWasInDoubtBeforeALongStopIsNotCreatedTwice(t *testing.T) {
	inMarkedWorld(t, func(w *world) {
		w.rates(fakeapi.HangAfter, 1.0)
		for i := range 20 {
			w.event(0, fmt.Sprintf("lead-%d", i))
		}
		m := w.start()
		w.until("the rows are stored", func() bool { return w.api.Summary("").Created == 20 })
		m.crash()
		<-m.ended
		time.Sleep(2 * 24 * time.Hour) // less than Kafka keeps positions of a group without members
		w.heal()
		w.start()
		time.Sleep(2 * time.Minute)
		if n := w.twice(); n > 0 || !w.everythingCommitted() {
			t.Errorf("%d created twice, everything committed: %t; want none, and all", n, w.everythingCommitted())
		}
	})
}
