package connector_test

import (
	"context"
	"slices"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// A step is one thing that happens in a scenario.
type step struct {
	name   string
	weight int
	do     func(w *world)
}

// steps are the kinds of events. Each must happen in at least 5 % of scenarios.
var steps = slices.Concat(plainSteps, poisonSteps(fakeapi.SpoilFailed, fakeapi.SpoilHang, fakeapi.SpoilForbidden, fakeapi.SpoilQuoted, fakeapi.SpoilLeftOut), kafkaSteps, burdenSteps)

var plainSteps = []step{
	{"records", 6, func(w *world) { w.produce(1 + w.random.IntN(80)) }},
	{"a moment", 4, func(w *world) { time.Sleep(time.Duration(w.random.Int64N(int64(900 * time.Millisecond)))) }},
	{"a while", 4, func(w *world) { time.Sleep(time.Duration(w.random.Int64N(int64(20 * time.Second)))) }},
	{"an outage", 2, func(w *world) { w.rates(fakeapi.Failed500, 0.3, fakeapi.Gateway503, 0.4, fakeapi.ResetBefore, 0.3) }},
	{"hanging calls", 1, func(w *world) { w.rates(fakeapi.HangBefore, 0.4, fakeapi.HangAfter, 0.3) }},
	{"slow answers", 3, func(w *world) { w.rates(fakeapi.Slow, 0.8) }},
	{"partial failures", 2, func(w *world) {
		w.rates(fakeapi.RowMissing, 0.1, fakeapi.RowTwice, 0.1, fakeapi.Renumbered, 0.1, fakeapi.Truncated, 0.1, fakeapi.Reordered, 0.2)
	}},
	{"late calls", 2, func(w *world) { w.rates(fakeapi.Late, 0.4, fakeapi.HangBefore, 0.2) }},
	{"resets", 1, func(w *world) { w.rates(fakeapi.ResetAfter, 0.2, fakeapi.ResetBefore, 0.2) }},
	{"throttling", 1, func(w *world) { w.rates(fakeapi.Throttle, 0.1, fakeapi.Throttle403, 0.1, fakeapi.Throttle200, 0.1) }},
	{"refused calls", 2, func(w *world) { w.api.SetReading(w.reading) }},
	{"large calls", 1, func(w *world) { w.rates(fakeapi.TooLarge, 0.2) }},
	{"keys withdrawn", 1, func(w *world) { w.rates(fakeapi.Denied, 1.0) }},
	{"all well", 4, func(w *world) { w.heal() }},
	{"a new member", 3, func(w *world) {
		if len(w.alive()) < 3 {
			w.start()
		}
	}},
	{"a stop", 3, func(w *world) {
		if m := w.any(); m != nil {
			m.end()
		}
	}},
	{"a stop amid slow answers", 3, func(w *world) {
		w.rates(fakeapi.Slow, 1.0) // slower than the drain
		w.produce(60)
		time.Sleep(1500 * time.Millisecond)
		if m := w.any(); m != nil {
			m.end()
			w.start()
		}
		time.Sleep(5 * time.Second)
	}},
	{"a crash", 3, func(w *world) {
		if m := w.any(); m != nil {
			m.crash()
		}
	}},
	{"a cut from Kafka", 2, func(w *world) {
		if m := w.any(); m != nil {
			m.kafka.cut()
			w.crashes++
		}
	}},
	{"a silent cut from Kafka", 2, func(w *world) {
		if m := w.any(); m != nil {
			m.kafka.drop()
			w.crashes++
		}
	}},
	{"a mended cut", 2, func(w *world) {
		for _, m := range w.members {
			if m.running() && m.kafka.isCut() && !m.api.isCut() {
				m.kafka.mend()
			}
		}
	}},
	{"a pause", 1, func(w *world) {
		if m := w.any(); m != nil {
			_ = m.connector.Pause(context.Background())
			time.Sleep(time.Duration(w.random.Int64N(int64(10 * time.Second))))
			_ = m.connector.Resume(context.Background())
		}
	}},
	{"an operator decides", 1, func(w *world) {
		for _, m := range w.alive() {
			w.decide(m)
		}
	}},
}

// poisonSteps are rows that spoil the calls that they are in, among good ones;
// from then on some of all rows do.
func poisonSteps(of ...fakeapi.Spoil) (all []step) {
	for _, spoil := range of {
		all = append(all, step{"a poison: " + string(spoil), 1, func(w *world) {
			w.poisons = append(w.poisons, spoil)
			w.write([]kind{w.poisonous(spoil)})
			w.produce(30)
			time.Sleep(time.Duration(w.random.Int64N(int64(20 * time.Second))))
		}})
	}
	return all
}

// decide is an operator who settles what a member holds by what LeadSquared has.
// What spoils its calls again and again is dead to him.
func (w *world) decide(m *member) {
	held, err := m.connector.Held(context.Background())
	if err != nil || len(held) == 0 {
		return
	}
	created := w.created()
	for _, h := range held {
		if time.Since(h.Since) < 20*time.Second {
			continue // a late call may yet be applied
		}
		p := position{number(h.Topic, h.Partition), h.Offset}
		what := connector.HeldAbsent
		switch {
		case created[p.String()]:
			what = connector.HeldCreated
		case w.poisoned[p]:
			what = connector.HeldDead
		}
		_, _ = m.connector.SettleHeld(context.Background(), what, connector.HeldChoice{Topic: h.Topic, Partition: &h.Partition, Offset: &h.Offset})
	}
}

// any is one of the members that are well, or nil.
func (w *world) any() *member {
	alive := w.alive()
	if len(alive) == 0 {
		return nil
	}
	return alive[w.random.IntN(len(alive))]
}

// rates sets faults and their rates, given in turn.
func (w *world) rates(pairs ...any) {
	rates := map[fakeapi.Fault]float64{}
	for i := 0; i < len(pairs); i += 2 {
		rates[pairs[i].(fakeapi.Fault)] = pairs[i+1].(float64)
	}
	w.must(w.api.SetRates(rates))
}

func (w *world) heal() {
	w.rates()
	w.api.SetReading(fakeapi.H1)
}

// burdenSteps are what members go through under load.
var burdenSteps = []step{
	{"kills every few seconds", 2, func(w *world) {
		w.produce(200)
		for range 3 {
			time.Sleep(3 * time.Second)
			if m := w.any(); m != nil {
				m.crash()
				w.start()
			}
		}
	}},
	{"a full window", 1, func(w *world) {
		if w.config.Window < 1000 {
			w.produce(300)
			return
		}
		w.heal()
		w.rates(fakeapi.Gateway502, 0.03, fakeapi.Truncated, 0.05, fakeapi.Renumbered, 0.03)
		w.writeTo(w.random.Int32N(partitions), 2500)
		time.Sleep(time.Duration(5+w.random.IntN(15)) * time.Second)
		switch w.random.IntN(3) {
		case 0:
			w.restart()
		case 1:
			w.api.SetReadFault(fakeapi.Gateway502)
			time.Sleep(20 * time.Second)
			w.api.SetReadFault(fakeapi.NoFault)
		}
	}},
	{"a suspended member", 1, func(w *world) {
		if m := w.any(); m != nil {
			w.crashes++
			go func() { _ = m.connector.Suspend(context.Background(), 20*time.Second) }()
			time.Sleep(25 * time.Second)
		}
	}},
	{"good answers that take long", 2, func(w *world) {
		w.rates(fakeapi.Slow, 0.7, fakeapi.ResetAfter, 0.3)
		w.produce(60)
		time.Sleep(40 * time.Second)
	}},
	{"a neighbour", 2, func(w *world) {
		w.produce(100)
		for range 50 { // half of the limit
			w.api.Elsewhere()
			time.Sleep(400 * time.Millisecond)
		}
	}},
	{"refusals of several kinds", 2, func(w *world) {
		w.api.SetReading(w.reading)
		w.produce(20)
		w.write([]kind{
			{value: `{"kind":"plain","lead":"lead-1","number":"none"}`, to: toBury},
			{value: `{"kind":"plain","lead":"unknown-1"}`, to: toBury},
			{value: `{"kind":"plain","lead":"lead-2","number":"many"}`, to: toBury},
		})
		w.produce(20)
		time.Sleep(10 * time.Second)
	}},
	{"two records of an unknown lead alone", 1, func(w *world) {
		w.api.SetReading(w.reading)
		time.Sleep(10 * time.Second)
		w.write([]kind{{value: `{"kind":"plain","lead":"unknown-7"}`, to: toBury}, {value: `{"kind":"plain","lead":"unknown-7"}`, to: toBury}})
		time.Sleep(5 * time.Second)
		w.produce(20)
		time.Sleep(30 * time.Second)
	}},
	{"an outage after a busy time", 2, func(w *world) { w.outageAfterBusy() }},
}

// outageAfterBusy counts the calls that an outage costs: however well the calls
// before went, it is noticed after a few.
func (w *world) outageAfterBusy() {
	w.heal()
	w.produce(400)
	time.Sleep(15 * time.Second)
	w.produce(400)
	w.rates(fakeapi.Gateway502, 1.0)
	began, before, members := time.Now(), len(w.api.Calls(0, 0)), 0
	for _, m := range w.members {
		if m.running() {
			members++
		}
	}
	const lasts = 25 * time.Second
	time.Sleep(lasts)
	b := w.config.Breaker
	most := max(1, members) * (2*b.Failures + w.config.InFlight + int(lasts/b.OpenFor) + 1) // calls of suspected rows say nothing, so many times
	if n := len(w.api.Calls(before, 0)); n > most {
		w.Errorf("an outage that began at %s cost %d calls, want %d at most", began, n, most)
	}
	w.heal()
}
