package connector

import (
	"errors"
	"fmt"
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
	case Throttled, TooLarge, Fault, Unknown, NotApplied:
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

// MarshalText writes a proportion as it is written in the document.
func (p Proportion) MarshalText() ([]byte, error) {
	if p == (Proportion{}) {
		return nil, nil
	}
	return fmt.Appendf(nil, "%d/%d", p.Part, p.Of), nil
}

const maxProportion = 100_000

// deaths remembers which of the last records died, so that a wrong mapping
// halts the connector before it buries a topic.
type deaths struct {
	limit Proportion
	last  []bool // a ring of up to limit.Of
	at    int
	dead  int
}

// add notes one record and reports whether too many of the last ones are dead.
func (d *deaths) add(dead bool) (tooMany bool) {
	if d.limit.Of == 0 {
		return false
	}
	if len(d.last) < d.limit.Of {
		d.last = append(d.last, dead)
	} else {
		if d.last[d.at] {
			d.dead--
		}
		d.last[d.at] = dead
		d.at = (d.at + 1) % d.limit.Of
	}
	if dead {
		d.dead++
	}
	return d.dead >= d.limit.Part
}

func (d *deaths) forget() { d.last, d.at, d.dead = nil, 0, 0 }
