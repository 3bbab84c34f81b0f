package connector_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

const undecodable = `{"kind":`

func TestAHaltOfTheRulesHoldsThoughTheKeysAreTakenAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onError = "halt"
		w.events(30)
		w.rates(fakeapi.Denied, 1.0)
		m := w.start()
		time.Sleep(time.Minute)
		bad := w.put(1, undecodable, toBury)
		w.events(30)
		time.Sleep(time.Minute)
		both := m.status()
		if !strings.Contains(both.Fault, "Invalid Access") || !strings.Contains(both.Fault, fmt.Sprintf("offset %d", bad.offset)) {
			t.Errorf("the status says %q, want both reasons", both.Fault)
		}
		w.heal()
		time.Sleep(5 * time.Minute)
		s := m.status()
		if s.State != connector.Halted || strings.Contains(s.Fault, "Invalid Access") || !strings.Contains(s.Fault, fmt.Sprintf("offset %d", bad.offset)) {
			t.Errorf("%s: %q once the keys are taken again, want halted for the record alone", s.State, s.Fault)
		}
		if err := m.connector.Resume(context.Background()); err == nil || !strings.Contains(err.Error(), "offset") {
			t.Errorf("resume says %v, want that the record still halts it", err)
		}
		if c := w.committed()[bad.partition]; c.next > bad.offset {
			t.Errorf("partition %d is committed up to %d, beyond the record that halts at %d", bad.partition, c.next, bad.offset)
		}
	})
}

// A halt for a record stops what comes after it in the order of reading, and nothing
// that came before.
func TestAHaltForARecordStopsWhatComesAfterItAndNothingBefore(t *testing.T) {
	undecodableAt := func(w *world) position { return w.put(1, undecodable, toBury) }
	refusedAt := func(w *world) position { return w.put(1, `{"kind":"plain","lead":"unknown-1"}`, toBury) }
	for _, c := range []struct {
		name    string
		onError string
		letters bool
		bad     func(w *world) position
		resume  bool // is refused
	}{
		{"a rule halts", "halt", true, undecodableAt, true},
		{"undecodable without letters", "", false, undecodableAt, true},
		{"refused without letters", "", false, refusedAt, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.onError, w.lettersOff = c.onError, !c.letters
				for i := range 60 {
					w.event(1, fmt.Sprintf("lead-%d", i%7))
				}
				bad := c.bad(w)
				for i := range 60 {
					w.event(1, fmt.Sprintf("lead-%d", i%7))
				}
				m := w.start()
				time.Sleep(5 * time.Minute)
				s := m.status()
				if s.State != connector.Halted || !strings.Contains(s.Fault, fmt.Sprintf("offset %d", bad.offset)) {
					t.Errorf("%s: %q, want halted and the record named", s.State, s.Fault)
				}
				if s.Records.Delivered < bad.offset || c.resume && s.Records.Delivered > bad.offset {
					t.Errorf("%+v, want the %d records before the one that halts", s.Records, bad.offset)
				}
				if at := w.committed()[1]; at.next != bad.offset {
					t.Errorf("committed up to %d, want everything before the record at %d", at.next, bad.offset)
				}
				calls := len(w.api.Calls(0, 0))
				time.Sleep(10 * time.Minute)
				if more := len(w.api.Calls(0, 0)) - calls; more > 0 {
					t.Errorf("%d calls after that, want none", more)
				}
				if err := m.connector.Resume(context.Background()); (err != nil) != c.resume {
					t.Errorf("resume says %v", err)
				}
				w.consistent()
			})
		})
	}
}
