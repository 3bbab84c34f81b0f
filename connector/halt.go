package connector

import (
	"errors"
	"fmt"
	"math"
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
	from    uint64    // place of the record that it is for: only what comes from there on is stopped; 0 stops all
	refusal string    // that a probe must not meet again; "" for any other reason
	since   time.Time // when it began
}

// strength orders halts by what it takes to end them.
func (h *halt) strength() int {
	switch {
	case h.restart:
		return 2
	case h.probe:
		return 0
	}
	return 1
}

// mostHalts bounds how many reasons are kept, those that take most to end.
const mostHalts = 8

// halts are all reasons that hold. Each ends by itself: by a call that LeadSquared
// takes, by an operator, or by a restart. Owned by Run.
type halts struct {
	all     []halt
	next    time.Time // when the next probe may go
	probing bool      // one is under way
}

func (h *halts) any() bool { return len(h.all) > 0 }

// bar reports whether nothing may be sent, whatever record it is of.
func (h *halts) bar() bool {
	return slices.ContainsFunc(h.all, func(h halt) bool { return h.from == 0 })
}

// probed reports whether calls may be made to find out that all is well again.
func (h *halts) probed() bool {
	return !slices.ContainsFunc(h.all, func(h halt) bool { return h.from == 0 && !h.probe })
}

// from is the place of the first record that one of them is for. What came before
// it still goes; without any it is beyond all places.
func (h *halts) from() uint64 {
	first := uint64(math.MaxUint64)
	for i := range h.all {
		if at := h.all[i].from; at > 0 {
			first = min(first, at)
		}
	}
	return first
}

// add notes a reason, and reports whether it was not known before.
func (h *halts) add(reason halt) bool {
	for i := range h.all {
		if known := &h.all[i]; known.words == reason.words && known.strength() >= reason.strength() {
			return false
		}
	}
	if len(h.all) == mostHalts {
		weakest := 0
		for i := range h.all {
			if h.all[i].strength() < h.all[weakest].strength() {
				weakest = i
			}
		}
		if h.all[weakest].strength() >= reason.strength() {
			h.all[weakest].from = min(h.all[weakest].from, reason.from) // as much holds without it
			return true
		}
		h.all = slices.Delete(h.all, weakest, weakest+1)
	}
	h.all = append(h.all, reason)
	return true
}

// end ends the reasons of at most this strength.
func (h *halts) end(strength int) {
	h.all = slices.DeleteFunc(h.all, func(h halt) bool { return h.strength() <= strength })
}

// about reports whether one of them is just what the answer says.
func (h *halts) about(a Answer) bool {
	return a.Outcome == Refused && slices.ContainsFunc(h.all, func(h halt) bool { return h.refusal == a.said() })
}

// words says all reasons.
func (h *halts) words() string {
	words := make([]string, len(h.all))
	for i, one := range h.all {
		words[i] = fmt.Sprintf("%s (since %s)", one.words, clock(one.since))
	}
	return strings.Join(words, "; ")
}

// halt stops sending for one more reason.
func (e *engine) halt(h halt) {
	h.since = e.now
	first := !e.halts.any()
	if !e.halts.add(h) {
		return
	}
	if first {
		e.halts.next = e.now.Add(haltProbe)
	}
	e.log.Error("halted", "reason", h.words)
	e.sendBefore(e.halts.from())
}

// sendBefore lets rows go only of records that were taken in before the place.
func (e *engine) sendBefore(place uint64) {
	for _, l := range e.ledgers {
		if l.before == place {
			continue
		}
		l.before = place
		e.queue.unpark(l, e.now)
		e.queue.park(l, e.now)
	}
}

// splitNothingBeyond ends bisections that hold rows of records that are not to be
// sent: their other rows go again without them.
func (e *engine) splitNothingBeyond(place uint64) {
	if place == math.MaxUint64 {
		return
	}
	e.parts = slices.DeleteFunc(e.parts, func(p *part) bool {
		rows := slices.Concat(p.rows, p.rest)
		if !slices.ContainsFunc(rows, func(r *row) bool { return r.entry.place >= place }) {
			return false
		}
		e.goAgain(e.alive(rows), time.Time{})
		return true
	})
}

// probed takes in the answer to a probe. One that LeadSquared takes ends the
// reasons that a call can tell of, and no others.
func (e *engine) probed(a Answer) {
	e.halts.probing = false
	e.halts.next = e.now.Add(haltProbe)
	if !e.halts.any() {
		return // an operator was faster
	}
	switch a.Outcome {
	case Judged, Refused:
		if e.halts.about(a) {
			return // still refused
		}
		e.halts.end(0)
		if e.halts.any() {
			e.log.Error("LeadSquared takes calls again, but still halted", "reason", e.halts.words())
			return
		}
		e.log.Info("going on: LeadSquared takes calls again")
	case Throttled, TooLarge, Fault, Unknown, NotApplied, Missed:
		// nothing is proven
	}
}

// pause stops sending until resume.
func (e *engine) pause() {
	if !e.paused {
		e.paused, e.pausedAt = true, e.now
	}
}

// resume ends a pause, a long one of the budget too, and every halt that needs no
// restart. Whoever resumes has seen what was lost.
func (e *engine) resume() error {
	e.paused, e.losses = false, nil
	e.budget.Resume(e.now)
	if !e.halts.any() {
		return nil
	}
	e.halts.end(1)
	e.sendBefore(e.halts.from())
	e.deaths.forget()
	if e.halts.any() {
		return errors.New("still halted: " + e.halts.words())
	}
	return nil
}

func haltedAt(m *mapped) string {
	r := &m.record
	return fmt.Sprintf("%s: %s (topic %s, partition %d, offset %d); records that came before it are still delivered; correct the document and restart",
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
