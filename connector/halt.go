package connector

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A halt is why nothing is sent although the service may be well: a fault that
// people must mend. The process lives, keeps its ownerships and loses nothing;
// exiting would only make it be restarted into the same fault.
type halt struct {
	words   string    // what is wrong and what to do
	probe   bool      // a call can tell whether it is mended
	restart bool      // only another document can help
	next    time.Time // when the next probe may go
	probing bool      // one is under way
}

// halt stops sending. The first reason stays until it is mended, unless a
// later one needs more.
func (e *engine) halt(h halt) {
	if e.halted != nil {
		e.halted.restart = e.halted.restart || h.restart
		e.halted.probe = e.halted.probe && h.probe
		return
	}
	h.next = e.now.Add(haltProbe)
	e.halted = &h
	e.log.Error("halted", "reason", h.words)
}

// probed takes in the answer to a probe.
func (e *engine) probed(a Answer) {
	e.halted.probing = false
	e.halted.next = e.now.Add(haltProbe)
	switch a.Outcome {
	case Judged, Refused:
		e.halted = nil
		e.log.Info("going on: LeadSquared takes calls again")
	case Throttled, TooLarge, Fault, Unknown, NotApplied, Missed:
		// nothing is proven
	}
}

// resume ends a pause and a halt.
func (e *engine) resume() error {
	e.paused = false
	if e.halted == nil {
		return nil
	}
	if e.halted.restart {
		return errors.New("still halted: " + e.halted.words)
	}
	e.halted = nil
	e.deaths.forget()
	return nil
}

func haltedAt(m *mapped) string {
	r := &m.record
	return fmt.Sprintf("%s: %s (topic %s, partition %d, offset %d); correct the document and restart",
		m.mapping.Reason.Class, m.mapping.Reason.Message, r.Topic, r.Partition, r.Offset)
}

// A Proportion is so many of the last so many, written as 50/100. The zero
// value is none.
type Proportion struct{ Part, Of int }

// UnmarshalText reads a proportion from the document.
func (p *Proportion) UnmarshalText(text []byte) error {
	part, of, ok := strings.Cut(string(text), "/")
	a, errA := strconv.Atoi(part)
	b, errB := strconv.Atoi(of)
	if !ok || errA != nil || errB != nil || a < 1 || b < a || b > maxProportion {
		return fmt.Errorf("%q is not a proportion; write PART/OF with 1 <= PART <= OF <= %d, for instance 50/100", text, maxProportion)
	}
	*p = Proportion{a, b}
	return nil
}

// String returns the proportion as it is written in the document.
func (p Proportion) String() string { return fmt.Sprintf("%d/%d", p.Part, p.Of) }

// MarshalText writes a proportion as it is written in the document.
func (p Proportion) MarshalText() ([]byte, error) {
	if p == (Proportion{}) {
		return nil, nil
	}
	return []byte(p.String()), nil
}

const maxProportion = 100_000

// deaths remembers which records died, by their place among all that were taken
// in, so that a wrong mapping halts the connector before it buries a topic. The
// order of their fates would not do: a lead's records go into few calls, so many
// leads with one bad record each come together behind all the others.
type deaths struct {
	limit  Proportion
	places []uint64 // of dead records, ascending
}

// add notes a death and returns the most dead records among so many in a row
// with this one that the limit speaks of, and whether they are too many.
func (d *deaths) add(place uint64) (dead int, tooMany bool) {
	if d.limit.Of == 0 {
		return 0, false
	}
	at, _ := slices.BinarySearch(d.places, place)
	d.places = slices.Insert(d.places, at, place)
	length := uint64(d.limit.Of)
	first, _ := slices.BinarySearch(d.places, place+1-min(length, place+1))
	for i := at; i < len(d.places) && d.places[i] < place+length; i++ { // rows of records that end with i
		for d.places[first]+length <= d.places[i] {
			first++
		}
		dead = max(dead, i-first+1)
	}
	if most := 2*d.limit.Of + 1000; len(d.places) > most {
		d.places = slices.Delete(d.places, 0, len(d.places)-most)
	}
	return dead, dead >= d.limit.Part
}

func (d *deaths) forget() { d.places = nil }
