package connector

import (
	"log/slog"
	"testing"
	"time"
)

// A turn that would sleep on work, with nothing under way that could wake it, is a
// fault of ours. It is counted and told, and the loop turns again.
func TestAStallIsCountedAndTheLoopTurnsAgain(t *testing.T) {
	now := time.Now()
	e := &engine{now: now, queue: newQueue(), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if at := e.watch(); !at.IsZero() || e.stalls != 0 {
		t.Errorf("without work it turns again at %v, and %d stalls are counted", at, e.stalls)
	}
	e.doubts = []*doubt{{}}
	if at := e.watch(); !at.Equal(now.Add(tryAgain)) || e.stalls != 1 || !e.stalled {
		t.Errorf("with work that nothing wakes it turns again at %v, %d stalls, stalled: %t; want in %v, and one", at, e.stalls, e.stalled, tryAgain)
	}
	for what, set := range map[string]func(is bool){
		"a call is under way":   func(is bool) { e.sending = map[bool]int{true: 1}[is] },
		"an operator paused it": func(is bool) { e.paused = is },
		"it has no slots":       func(is bool) { e.next.noSlots = is },
	} {
		set(true)
		if at := e.watch(); !at.IsZero() || e.stalls != 1 || e.stalled {
			t.Errorf("%s: it turns again at %v, and %d stalls are counted; want to wait for the event", what, at, e.stalls)
		}
		set(false)
	}
}

// What one candidate waits for wakes the loop, whatever the others wait for.
func TestTheLoopWakesForTheEarliestOfAllCandidates(t *testing.T) {
	e, _ := unreadableCode(t)
	e.queue, e.maxRows = newQueue(), 25
	due := e.now.Add(8 * time.Second)
	for _, d := range e.doubts {
		d.due = due
	}
	if c := e.decide(); c.what != nothing || !c.until.Equal(due) {
		t.Errorf("with rows in doubt until %v: %d goes out, and it decides again at %v", due, c.what, c.until)
	}
	l := newLedger(&Ownership{}, e.now)
	en, _ := l.track(Record{})
	ln := l.lane("", false)
	ln.rows = []*row{{entry: en, lane: ln, notBefore: e.now.Add(3 * time.Second)}}
	e.queue.push(ln, e.now)
	if c := e.decide(); c.what != nothing || !c.until.Equal(e.now.Add(3*time.Second)) {
		t.Errorf("with a row that goes again in 3 s: %d goes out, and it decides again at %v", c.what, c.until)
	}
}
