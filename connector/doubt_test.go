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

// inMarkedWorld plays a story in a world whose activities carry markers, and
// where LeadSquared is asked for those whose outcome is unknown.
func inMarkedWorld(t *testing.T, story func(w *world)) {
	t.Helper()
	inWorld(t, func(w *world) {
		w.marked = true
		w.config.OnUnknown = "reconcile"
		story(w)
	})
}

// twice is how many activities were created beyond the first of their kind.
func (w *world) twice() int { return w.api.Summary("").Twice }

// callsThat are the bulk calls so far that ended in a way.
func (w *world) callsThat(outcome string) (all []fakeapi.Call) {
	for _, c := range w.api.Calls(0, 0) {
		if c.Outcome == outcome {
			all = append(all, c)
		}
	}
	return all
}

// letters is how many records were buried.
func (w *world) letters() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.buried)
}

func TestRowsInDoubtAreAskedForBeforeTheyAreSentAgain(t *testing.T) {
	for fault, sentAgain := range map[fakeapi.Fault]bool{
		fakeapi.HangAfter: false, fakeapi.ResetAfter: false, fakeapi.Truncated: false, fakeapi.Late: false,
		fakeapi.RowMissing: false, fakeapi.RowTwice: false, fakeapi.Renumbered: false,
		fakeapi.HangBefore: true, fakeapi.ResetBefore: true, fakeapi.Gateway502: true, fakeapi.StatusError: true,
	} {
		t.Run(string(fault), func(t *testing.T) {
			inMarkedWorld(t, func(w *world) {
				w.config.ReconcileAfter = 20 * time.Second
				w.api.Script(fault)
				w.events(20)
				m := w.start()
				time.Sleep(7500 * time.Millisecond) // the first call goes after the linger, and hangs for 6 s at most
				if s := m.status(); s.Doubtful != 20 || !strings.Contains(s.Words, "20 activities may have been created") {
					t.Errorf("%d rows in doubt: %s; want the call's 20", s.Doubtful, s.Words)
				}
				w.event(0, "another lead")
				time.Sleep(2 * time.Second)
				if s := m.status(); s.Records.Delivered != 1 {
					t.Errorf("%d delivered beside the rows in doubt, want the other lead's one", s.Records.Delivered)
				}
				time.Sleep(40 * time.Second)
				if s := m.status(); s.Records.Delivered != 21 || s.Doubtful != 0 {
					t.Errorf("%d delivered and %d in doubt, want 21 and none", s.Records.Delivered, s.Doubtful)
				}
				if again := len(w.callsThat("created")) > 1; again != sentAgain || w.twice() > 0 {
					t.Errorf("sent again: %t, created twice: %d; want %t and none", again, w.twice(), sentAgain)
				}
				w.account()
			})
		})
	}
}

func TestLeadSquaredIsAskedNoSoonerThanReconcileAfter(t *testing.T) {
	inMarkedWorld(t, func(w *world) {
		w.api.Script(fakeapi.HangAfter)
		w.events(20)
		w.start()
		time.Sleep(2 * time.Second)
		call := w.api.Calls(0, 0)[0].At
		// The call hangs for 6 s, and for 8 s more it may still be applied.
		time.Sleep(time.Until(call.Add(13900 * time.Millisecond)))
		if n := w.api.Summary("").Reads; n != 0 {
			t.Errorf("%d reads 13.9 s after the call, want none before 14 s", n)
		}
		time.Sleep(500 * time.Millisecond)
		if n := w.api.Summary("").Reads; n != 1 {
			t.Errorf("%d reads 14.4 s after the call, want 1", n)
		}
	})
}

// What LeadSquared applies later than reconcile_after cannot be told from what it
// never applies: docs/guarantees.md says so.
func TestACallThatIsAppliedAfterReconcileAfterIsCreatedTwice(t *testing.T) {
	inMarkedWorld(t, func(w *world) {
		w.config.ReconcileAfter = 2 * time.Second // the fake applies 3 s after its client has gone
		w.api.Script(fakeapi.Late)
		w.events(20)
		w.start()
		time.Sleep(time.Minute)
		if n := w.twice(); n != 20 {
			t.Errorf("%d created twice, want the late call's 20", n)
		}
	})
}

func TestACrashWithAMarkerDoublesNothing(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late %t", late), func(t *testing.T) {
			inMarkedWorld(t, func(w *world) {
				if late {
					w.rates(fakeapi.Late, 1.0)
				} else {
					w.rates(fakeapi.Slow, 1.0)
				}
				w.events(400)
				m := w.start()
				time.Sleep(2 * time.Second)
				if n := len(w.api.Calls(0, 0)); n < 3 {
					t.Fatalf("%d calls are in flight at the crash, want some", n)
				}
				m.crash()
				w.heal()
				w.start()
				// The group notices the crash after 12 s; then nothing is sent of what may have been for 6 s + 8 s.
				time.Sleep(time.Minute)
				w.finish()
				if n := w.twice(); n > 0 {
					t.Errorf("%d activities were created twice", n)
				}
				if w.watches("an inherited doubt") == 0 || w.watches("some of the rows in doubt found") == 0 {
					t.Error("want rows in doubt inherited, and some of them found")
				}
				w.account()
			})
		})
	}
}

func TestAfterACrashRowsThatWereNotSentBeforeGoAtOnce(t *testing.T) {
	inMarkedWorld(t, func(w *world) {
		w.events(50)
		m := w.start()
		w.start()
		time.Sleep(5 * time.Second)
		if w.alive()[0].status().State == connector.StandBy {
			m = w.alive()[1]
		}
		m.crash()
		time.Sleep(14 * time.Second) // the other one has taken over
		p := w.event(1, "new")
		time.Sleep(2 * time.Second)
		if !w.created()[p.String()] {
			t.Error("a record that was produced after the crash waits for those in doubt")
		}
		w.finish()
		w.account()
	})
}

func TestAHandOverInGoodOrderLeavesNothingInDoubt(t *testing.T) {
	inMarkedWorld(t, func(w *world) {
		w.config.DrainTimeout = 8 * time.Second
		w.events(800)
		m := w.start()
		for range 3 {
			time.Sleep(2 * time.Second)
			next := w.start()
			m.end()
			<-m.ended
			if m.result != nil {
				t.Error(m.result)
			}
			m = next
		}
		time.Sleep(15 * time.Second)
		if n := w.watches("an inherited doubt"); n > 0 || w.twice() > 0 || w.api.Summary("").Reads > 0 {
			t.Errorf("%d doubts were inherited, %d reads, %d created twice; want none", n, w.api.Summary("").Reads, w.twice())
		}
		w.finish()
		w.account()
	})
}

func TestWhatARefusedCallHasCreatedIsFoundFirst(t *testing.T) {
	for _, reading := range []fakeapi.Reading{fakeapi.H2, fakeapi.H2Before} {
		for _, bad := range []int{0, 1, 7, 12, 13, 23, 24} {
			for _, onRefused := range []string{"bisect", "dead_letter"} {
				t.Run(fmt.Sprintf("%s %d %s", reading, bad, onRefused), func(t *testing.T) {
					inMarkedWorld(t, func(w *world) {
						w.config.OnRefused = onRefused
						w.config.HaltWhen = connector.Proportion{}
						w.api.SetReading(reading)
						for i := range 25 {
							if i == bad {
								w.put(0, `{"kind":"plain","lead":"unknown-1"}`, toBury)
							} else {
								w.event(0, fmt.Sprintf("lead-%d", i))
							}
						}
						w.start()
						time.Sleep(3 * time.Minute)
						w.refusedCallIsSettled(bad, onRefused, reading)
					})
				})
			}
		}
	}
}

// refusedCallIsSettled checks what became of a call whose row bad was refused.
func (w *world) refusedCallIsSettled(bad int, onRefused string, reading fakeapi.Reading) {
	w.Helper()
	sum := w.api.Summary("")
	if sum.Twice > 0 {
		w.Errorf("%d created twice", sum.Twice)
	}
	if onRefused == "bisect" {
		w.account()
		if sum.Created != 24 || sum.Calls > 11 {
			w.Errorf("%d created in %d calls, want 24 in 11 at most", sum.Created, sum.Calls)
		}
		return
	}
	stored := 0
	if reading == fakeapi.H2Before {
		stored = bad
	}
	if sum.Created != stored || w.letters() != 25-stored || sum.Calls != 1 {
		w.Errorf("%d created and %d buried in %d calls, want %d and the others in one", sum.Created, w.letters(), sum.Calls, stored)
	}
}

func TestWhileLeadSquaredCannotBeAskedRowsInDoubtWaitAndOthersGoOn(t *testing.T) {
	inMarkedWorld(t, func(w *world) {
		w.api.Script(fakeapi.HangAfter)
		w.events(20)
		m := w.start()
		time.Sleep(8 * time.Second)
		w.api.SetReadFault(fakeapi.Failed500)
		for i := range 20 {
			w.event(0, fmt.Sprintf("other-%d", i))
			time.Sleep(30 * time.Second)
		}
		if s := m.status(); s.Doubtful != 20 || s.Records.Delivered != 20 {
			t.Errorf("%d in doubt and %d delivered after ten minutes of failing reads, want 20 and 20", s.Doubtful, s.Records.Delivered)
		}
		w.api.SetReadFault(fakeapi.NoFault)
		time.Sleep(2 * time.Minute)
		if s := m.status(); s.Doubtful != 0 || s.Records.Delivered != 40 || w.twice() > 0 {
			t.Errorf("%d in doubt, %d delivered, %d created twice; want none, 40, none", s.Doubtful, s.Records.Delivered, w.twice())
		}
		w.account()
	})
}

func TestHeldRowsWaitForAnOperatorThroughARestart(t *testing.T) {
	for decision, want := range map[connector.HeldDecision]struct{ created, buried int }{
		connector.HeldCreated: {20, 0}, connector.HeldAbsent: {40, 0}, connector.HeldDead: {20, 20},
	} {
		t.Run(string(decision), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.config.OnUnknown = "hold"
				w.config.DrainTimeout = 8 * time.Second
				w.config.HaltWhen = connector.Proportion{}
				w.api.Script(fakeapi.HangAfter)
				w.events(20)
				m := w.start()
				time.Sleep(20 * time.Second)
				if s := m.status(); s.Held != 20 || !strings.Contains(s.Words, "20 activities may have been created and are held") {
					t.Errorf("%d held: %s", s.Held, s.Words)
				}
				for _, kill := range []bool{false, true} {
					if kill {
						m.crash()
					} else {
						m.end()
					}
					<-m.ended
					m = w.start()
					time.Sleep(30 * time.Second)
					if s := m.status(); s.Held != 20 || len(w.callsThat("created")) != 0 {
						t.Errorf("killed %t: %d held and %d calls after the restart, want 20 and none", kill, s.Held, len(w.callsThat("created")))
					}
				}
				held, err := m.connector.Held(context.Background())
				w.must(err)
				if len(held) != 20 || held[0].Rules[0] != "all" {
					t.Errorf("%d records are held, the first %+v", len(held), held)
				}
				n, err := m.connector.SettleHeld(context.Background(), decision, connector.HeldChoice{})
				w.must(err)
				time.Sleep(10 * time.Second)
				sum := w.api.Summary("")
				if n != 20 || sum.Created != want.created || w.letters() != want.buried || !w.everythingCommitted() {
					t.Errorf("%d decided, %d created, %d buried, all committed %t; want 20 and %+v", n, sum.Created, w.letters(), w.everythingCommitted(), want)
				}
			})
		})
	}
}

func TestOnlyTheChosenHeldRecordsAreSettled(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.OnUnknown = "hold"
		w.api.Script(fakeapi.HangBefore)
		w.events(20)
		m := w.start()
		time.Sleep(20 * time.Second)
		n, err := m.connector.SettleHeld(context.Background(), connector.HeldAbsent, connector.HeldChoice{Topic: topic, Partition: new(int32(1))})
		w.must(err)
		time.Sleep(5 * time.Second)
		if s := m.status(); n != 7 || s.Held != 13 || s.Records.Delivered != 7 {
			t.Errorf("%d settled, %d held, %d delivered; want partition 1's 7, 13, 7", n, s.Held, s.Records.Delivered)
		}
		w.consistent()
		synctest.Wait()
	})
}

func TestASearchOfManyPagesComesToAnEnd(t *testing.T) {
	inMarkedWorld(t, func(w *world) {
		w.events(2500) // of the last 20 s
		w.start()
		time.Sleep(22 * time.Second)
		w.api.Script(fakeapi.HangAfter)
		for i := range 2500 { // the account is not idle while it is read
			w.event(int32(i%partitions), fmt.Sprintf("lead-%d", i))
		}
		w.rates(fakeapi.Gateway502, 0.1)
		time.Sleep(45 * time.Second)
		w.heal()
		if n := w.api.Summary("").Reads; n < 3 || n > 30 {
			t.Errorf("%d reads, want some of several pages", n)
		}
		w.finish()
		if w.twice() > 0 || w.watches("all of the rows in doubt found")+w.watches("some of the rows in doubt found") == 0 {
			t.Errorf("%d created twice, want none, and rows in doubt found", w.twice())
		}
		w.account()
	})
}
