package connector_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// badNumber writes a record whose value LeadSquared refuses.
func (w *world) badNumber(partition int32, lead string) position {
	return w.put(partition, fmt.Sprintf(`{"kind":"plain","lead":%q,"number":"no number"}`, lead), toBury)
}

// unknownLead writes a record of a lead that LeadSquared does not know.
func (w *world) unknownLead(partition int32, lead string) position {
	return w.put(partition, fmt.Sprintf(`{"kind":"plain","lead":%q}`, "unknown-"+lead), toBury)
}

func TestWhatARefusedCallStoresIsConcludedForItsKindOfRefusalOnly(t *testing.T) {
	for _, reading := range []fakeapi.Reading{fakeapi.H2, fakeapi.H2Before, fakeapi.H2Mixed} {
		for _, bad := range [][2]int{{5, 20}, {20, 5}, {0, 24}, {24, 0}, {3, 4}, {4, 3}, {12, 13}} {
			t.Run(fmt.Sprintf("%s %v", reading, bad), func(t *testing.T) {
				inMarkedWorld(t, func(w *world) {
					w.config.HaltWhen = connector.Proportion{}
					w.api.SetReading(reading)
					for i := range 25 {
						switch lead := fmt.Sprintf("lead-%d", i); i {
						case bad[0]:
							w.unknownLead(0, lead)
						case bad[1]:
							w.badNumber(0, lead)
						default:
							w.event(0, lead)
						}
					}
					w.start()
					time.Sleep(5 * time.Minute)
					w.account()
					if !w.everythingCommitted() || w.letters() != 2 {
						t.Errorf("all committed %t, %d buried; want all, and the two bad ones", w.everythingCommitted(), w.letters())
					}
				})
			})
		}
	}
}

func TestManyRefusalsOfManyKindsDoubleNothingAndLoseNothing(t *testing.T) {
	for _, reading := range []fakeapi.Reading{fakeapi.H2, fakeapi.H2Before, fakeapi.H2Mixed} {
		t.Run(string(reading), func(t *testing.T) {
			inMarkedWorld(t, func(w *world) {
				w.config.HaltWhen = connector.Proportion{}
				w.api.SetReading(reading)
				w.start()
				for i := range 1500 {
					lead := fmt.Sprintf("lead-%d", i%400)
					switch w.random.IntN(40) {
					case 0:
						w.unknownLead(int32(i%partitions), lead)
					case 1:
						w.badNumber(int32(i%partitions), lead)
					default:
						w.event(int32(i%partitions), lead)
					}
					if i%25 == 0 {
						time.Sleep(500 * time.Millisecond)
					}
				}
				w.finish()
				w.account()
			})
		})
	}
}

// Two bad rows without a neighbour are no proof that the configuration is at fault.
func TestTwoBadRowsAloneInACallHoldUpNobodyForLong(t *testing.T) {
	for name, write := range map[string]func(w *world){
		"one lead that is unknown":  func(w *world) { w.unknownLead(0, "one"); w.unknownLead(0, "one") },
		"two leads, the same words": func(w *world) { w.badNumber(0, "one"); w.badNumber(0, "another") },
	} {
		for _, marked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s marked %t", name, marked), func(t *testing.T) {
				inWorld(t, func(w *world) {
					w.marked = marked
					if marked {
						w.config.OnUnknown = "reconcile"
					}
					w.config.HaltWhen = connector.Proportion{}
					w.api.SetReading(fakeapi.H2)
					write(w)
					m := w.start()
					time.Sleep(10 * time.Minute)
					if s := m.status(); name == "one lead that is unknown" && s.State != connector.Active {
						t.Errorf("%s after two bad rows of one lead, which say nothing of others: %s", s.State, s.Fault)
					}
					for i := range 20 {
						w.event(1, fmt.Sprintf("lead-%d", i))
						time.Sleep(time.Minute)
					}
					if s := m.status(); s.State != connector.Active || s.Records.Delivered != 20 || s.Records.Dead != 2 {
						t.Errorf("%s, %d delivered, %d dead: %s; want active, 20, 2", s.State, s.Records.Delivered, s.Records.Dead, s.Fault)
					}
					w.account()
				})
			})
		}
	}
}

// What is wrong with the account buries one record, not a topic, and ends by itself.
func TestRefusalsOfEverythingHaltAfterOrdinaryOnesToo(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.HaltWhen = connector.Proportion{}
		w.rates(fakeapi.RefuseCall, 0.5)
		w.events(3000)
		m := w.start()
		time.Sleep(20 * time.Second)
		before := m.status().Records.Dead
		w.rates(fakeapi.RefuseCall, 1.0)
		time.Sleep(time.Hour)
		if s := m.status(); s.State != connector.Halted || s.Records.Dead > before+2*int64(w.config.InFlight) {
			t.Errorf("%s with %d dead after an hour in which everything was refused and %d before, want halted, and two in each call in flight at most", s.State, s.Records.Dead, before)
		}
		w.heal()
		time.Sleep(10 * time.Minute)
		if s := m.status(); s.State != connector.Active || s.Records.Delivered+s.Records.Dead != 3000 {
			t.Errorf("%s, %d delivered and %d dead after it was mended; want active and all 3,000", s.State, s.Records.Delivered, s.Records.Dead)
		}
	})
}

func TestRefusalsOfEverythingHaltUntilSomethingIsTaken(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.HaltWhen = connector.Proportion{}
		w.rates(fakeapi.RefuseCall, 1.0)
		w.events(200)
		m := w.start()
		time.Sleep(time.Hour)
		if s := m.status(); s.State != connector.Halted || s.Records.Dead > int64(w.config.InFlight) {
			t.Errorf("%s with %d dead after an hour in which everything was refused, want halted, and one in each call in flight", s.State, s.Records.Dead)
		}
		if n := len(w.callsThat("refused")); n > 3600/30+100 {
			t.Errorf("%d calls were refused in an hour, want a probe every 30 s", n)
		}
		w.heal()
		time.Sleep(2 * time.Minute)
		if s := m.status(); s.State != connector.Active || s.Records.Delivered+s.Records.Dead != 200 {
			t.Errorf("%s, %d delivered and %d dead after it was mended; want active and all 200", s.State, s.Records.Delivered, s.Records.Dead)
		}
	})
}
