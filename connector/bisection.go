package connector

import (
	"slices"
	"time"
)

// A bisection looks for the bad row of a call that LeadSquared refused as a
// whole. Its rows are out of their lanes until they stand alone, are created, or
// are known to be innocent and go again.
type bisection struct {
	refusal Answer            // the last one
	alone   map[string]string // refusals of single rows, in LeadSquared's words, and the first lead that met each
	created bool              // some row of it was created, so the configuration is not at fault
}

// A part is rows of a bisection that are sent together and with nobody else.
// If they are created, the bad row is among rest, which was not sent: that is
// what saves half of the calls.
type part struct {
	bisection *bisection
	rows      []*row
	rest      []*row
	notBefore time.Time
	teaches   string // the kind of refusal that stores nothing, if its one row is good: it was the first of the call
}

// refused begins or continues a bisection after a call was refused as a whole.
func (e *engine) refused(c *call, a Answer) {
	rows := e.alive(c.rows)
	if c.probe && e.halts.about(a) { // others are refused too
		if c.part != nil {
			e.goAgain(e.alive(c.part.rest), time.Time{})
		}
		e.goAgain(rows, time.Time{})
		return
	}
	b := &bisection{alone: map[string]string{}}
	if c.part != nil {
		b = c.part.bisection
		e.goAgain(e.alive(c.part.rest), time.Time{})
	} else if i := slices.IndexFunc(rows, func(r *row) bool { return r.bisection != nil }); i >= 0 {
		b = rows[i].bisection // its rows went again and met a refusal again
	}
	b.refusal = a
	for _, r := range rows {
		r.bisection = b
	}
	switch {
	case len(rows) == 0:
	case len(c.rows) > 1 && e.marked() && !e.kinds[a.kind()].nothing:
		e.askFirst(c, rows, func(absent []*row, found int) { e.refusedOf(c, absent, found) })
	case len(c.rows) > 1 && (len(rows) < len(c.rows) || ending(rows)):
		// What the refusal says holds for all its rows together, and some of
		// them are on their way to another member.
		e.goAgain(rows, time.Time{})
	case e.cfg.OnRefused == "dead_letter":
		e.deadAll(b, rows)
	case len(c.rows) == 1:
		e.refusedAlone(b, rows[0], a)
	default:
		e.split(b, rows)
	}
}

func (e *engine) deadAll(b *bisection, rows []*row) {
	for _, r := range rows {
		e.dead(r, refusalReason(r, b.refusal), b.refusal.Message)
	}
}

// refusedOf goes on with the rows of a refused call that LeadSquared does not
// hold. If it holds some, it has stored the rows before the bad one, which is the
// first of the absent then. If it holds none, either a refused call stores
// nothing, or its first row is the bad one: sending that alone tells.
func (e *engine) refusedOf(c *call, absent []*row, found int) {
	b := absent[0].bisection
	if found > 0 {
		e.kinds.stores(b.refusal.kind())
	}
	switch {
	case ending(absent) || len(absent)+found < len(c.rows):
		// Some are on their way to another member, and the bad one may be among them.
		e.goAgain(absent, time.Time{})
	case e.cfg.OnRefused == "dead_letter":
		e.deadAll(b, absent)
	case len(absent) == 1:
		e.parts = append(e.parts, &part{bisection: b, rows: absent})
	default:
		b.created = b.created || found > 0
		p := &part{bisection: b, rows: absent[:1], rest: absent[1:]}
		if found == 0 {
			p.teaches = b.refusal.kind()
		}
		e.parts = append(e.parts, p)
	}
}

// refusedAlone settles a row that was refused with no neighbour to blame. Two
// such rows of different leads with the same words, and none of their neighbours
// created, are no matter of data: the configuration is at fault, and nothing more
// is buried until some other row is created. If one is, it was a matter of data.
// A bisection of which a row was created goes on with rows of later calls, so more
// such rows in a row than calls in flight tell the same.
func (e *engine) refusedAlone(b *bisection, r *row, a Answer) {
	words := a.said()
	e.sameWords.note(words, r.lane.lead)
	lead, again := b.alone[words]
	if again && lead != r.lane.lead && !b.created || e.sameWords.rows > e.cfg.InFlight {
		e.sameWords = sameWords{}
		b.created = true // the next time, as the halt ends with a row that is created
		e.goAgain([]*row{r}, time.Time{})
		e.halt(halt{words: "LeadSquared refuses one row after another in the same words: " + a.Message +
			"; correct the rules or the account. It goes on once LeadSquared takes another activity, which is tried now and then", probe: true, refusal: words})
		return
	}
	if !again && !b.created && len(b.alone) < maxKinds {
		b.alone[words] = r.lane.lead
	}
	e.dead(r, refusalReason(r, a), a.Message)
}

// sameWords are rows refused alone in the same words, one after another, each of another
// lead than the one before, while nothing is created.
type sameWords struct {
	words, lead string
	rows        int
}

func (s *sameWords) note(words, lead string) {
	switch {
	case s.words != words:
		*s = sameWords{words, lead, 1}
	case s.lead != lead:
		s.lead = lead
		s.rows++
	}
}

// split halves rows of which at least one is bad. A single one is the bad one:
// it is not sent again.
func (e *engine) split(b *bisection, rows []*row) {
	if len(rows) == 1 {
		e.dead(rows[0], refusalReason(rows[0], b.refusal), b.refusal.Message)
		return
	}
	if ending(rows) {
		e.goAgain(rows, time.Time{}) // to those who own them next
		return
	}
	half := (len(rows) + 1) / 2
	e.parts = append(e.parts, &part{bisection: b, rows: rows[:half], rest: rows[half:]})
}

// ending reports whether an ownership of the rows has ended or is draining:
// nothing new is sent for it.
func ending(rows []*row) bool {
	return slices.ContainsFunc(rows, func(r *row) bool {
		return r.entry.ledger.gone || r.entry.ledger.draining
	})
}

// partJudged concludes from a part whose rows were judged one by one.
func (e *engine) partJudged(c *call, a Answer) {
	p := c.part
	for _, v := range a.Verdicts {
		if v.Kind != RowCreated {
			// Judged by itself after all, so nothing follows for the rest.
			e.goAgain(e.alive(p.rest), time.Time{})
			return
		}
	}
	if p.teaches != "" {
		e.kinds.storesNothing(p.teaches)
	}
	if rest := e.alive(p.rest); len(rest) == len(p.rest) && len(rest) > 0 {
		e.split(p.bisection, rest)
	} else {
		e.goAgain(rest, time.Time{}) // the bad row may have gone with its ownership
	}
}

// nextPart returns the first part that may be sent now.
func (e *engine) nextPart(now time.Time) (index int, ok bool) {
	for i, p := range e.parts {
		if !p.notBefore.After(now) {
			return i, true
		}
	}
	return 0, false
}

// dropParts ends bisections that hold rows of ownerships that end: their other
// rows go again, since what was known holds for all of them together only.
func (e *engine) dropParts() {
	kept := e.parts[:0]
	for _, p := range e.parts {
		rows := slices.Concat(p.rows, p.rest)
		if ending(rows) {
			e.goAgain(e.alive(rows), time.Time{})
			continue
		}
		kept = append(kept, p)
	}
	clear(e.parts[len(kept):])
	e.parts = kept
}
