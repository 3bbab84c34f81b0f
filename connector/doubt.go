package connector

import (
	"slices"
	"time"
)

// A doubt is rows that LeadSquared may have created, and nobody can tell
// without asking. They are out of their lanes: what comes after them of their
// leads waits, everything else goes on.
type doubt struct {
	rows  []*row
	since time.Time // when the first call that may have created one of them was sent
	due   time.Time // from then on a read shows whatever was created
	begun bool      // LeadSquared is being asked
	whole bool      // its rows are to be judged together, all or none
	// then takes the rows of living ownerships that were not created, at least
	// one, and how many others were found.
	then func(absent []*row, found int)
}

// refreshEvery is how old a partition's last commit may become before the next
// commit of another partition takes it along: a call follows an accepted commit
// within recent, so what may be in doubt after a crash is hardly older than both.
const refreshEvery = 30 * time.Second

// marked reports whether activities carry markers that can be asked for.
func (e *engine) marked() bool { return e.finder != nil }

// unknown takes in rows that the call may have created. They are out.
func (e *engine) unknown(c *call, rows []*row) {
	if len(rows) == 0 {
		return
	}
	e.suspect(c, rows, false)
	wait := e.backoff(e.worst(rows), e.cfg.Breaker.OpenFor)
	for _, r := range rows {
		r.resends++
	}
	switch e.cfg.OnUnknown {
	case "reconcile":
		e.doubts = append(e.doubts, &doubt{
			rows: rows, since: earliest(rows), due: e.now.Add(e.cfg.ReconcileAfter),
			then: func(absent []*row, _ int) {
				e.settledAs("absent", len(absent))
				e.absent(absent)
			},
		})
		e.log.Warn("rows are in doubt; LeadSquared will be asked for them", "rows", len(rows), "at", e.now.Add(e.cfg.ReconcileAfter))
	case "hold":
		e.hold(rows)
		e.log.Warn("rows are in doubt and held until an operator decides: leadsink held", "rows", len(rows), "held", len(e.held))
	default:
		rows = e.unlessSpent(rows, "unproven", mayBeThere)
		e.settledAs("resent", len(rows))
		e.goAgain(rows, e.now.Add(wait))
	}
}

// settledAs counts what became of rows whose call may have created them.
func (e *engine) settledAs(how string, rows int) { e.metrics.UnknownSettled(how, rows) }

// earliest is when the first call was sent that may have created one of the rows.
func earliest(rows []*row) (at time.Time) {
	for _, r := range rows {
		if !r.since.IsZero() && (at.IsZero() || r.since.Before(at)) {
			at = r.since
		}
	}
	return at
}

// uncreated notes that the call created nothing: rows that no earlier call may
// have created are in no doubt.
func uncreated(c *call) {
	for _, r := range c.rows {
		if r.since.Equal(c.sent) {
			r.since = time.Time{}
		}
	}
}

// inherit puts a record's rows in doubt that an earlier owner may have sent:
// nobody knows which of its calls arrived. They stand in front of their lanes,
// since everything before them is in doubt as well or has its fate.
func (e *engine) inherit(l *ledger, rows []*row) {
	d := &l.inheritedDoubt
	at := rows[0].entry.first
	held := slices.ContainsFunc(d.Held, func(r Range) bool { return r.First <= at && at <= r.Last })
	asked := e.marked() && !d.Since.IsZero() && at <= d.Reach
	if rows[0].entry.epoch > d.Epoch { // another record, after an unclean election
		return
	}
	switch {
	case held && e.holds():
		for _, r := range rows {
			r.since = d.Since
		}
		e.takeOut(rows)
		e.hold(rows)
	case asked: // Invariant 10
		for _, r := range rows {
			r.since = d.Since
		}
		e.takeOut(rows)
		if l.asking == nil || l.asking.begun {
			l.asking = &doubt{since: d.Since, due: l.begun.Add(e.cfg.Timeout + e.cfg.ReconcileAfter), then: func(absent []*row, _ int) { e.absent(absent) }}
			e.doubts = append(e.doubts, l.asking)
		}
		l.asking.rows = append(l.asking.rows, rows...)
	}
}

// absent sends rows that LeadSquared does not hold: they are in no doubt any more.
func (e *engine) absent(rows []*row) {
	for _, r := range rows {
		r.since = time.Time{}
	}
	e.goAgain(e.unlessSpent(rows, "unproven", notFound), time.Time{})
}

// takeOut takes rows out of the front of their lanes.
func (e *engine) takeOut(rows []*row) {
	for _, r := range rows {
		r.lane.out++
		e.queue.remove(r.lane)
	}
}

// askFirst asks what a refused call has created before its rows are judged by
// the refusal: whether the rows before the bad one are stored is not known.
func (e *engine) askFirst(c *call, rows []*row, then func(absent []*row, found int)) {
	e.doubts = append(e.doubts, &doubt{whole: true, rows: rows, since: c.sent, due: e.now.Add(e.cfg.ReconcileAfter), then: then})
}

// answer settles the rows of the doubt that were found, once they have their
// receipts, and hands on the others.
func (e *engine) answer(d *doubt, found map[string]bool, ids map[string]string) {
	var absent, there []*row
	var receipts []Receipt
	for _, r := range e.alive(d.rows) {
		if !found[r.activity.Marker] {
			absent = append(absent, r)
			continue
		}
		there = append(there, r)
		if e.receipts != nil {
			receipt := e.receipt(r, ids[r.activity.Marker])
			receipt.Found = true
			receipts = append(receipts, receipt)
		}
	}
	then := func() {
		for _, r := range e.alive(there) {
			e.settledAs("found", 1)
			r.found(ids[r.activity.Marker])
			// Invariant 2: that LeadSquared shows the activity is the proof.
			r.entry.delivered++
			e.finish(r)
		}
	}
	if len(receipts) > 0 {
		e.slips = append(e.slips, slip{receipts, 0, then})
	} else {
		then()
	}
	if len(absent) > 0 {
		d.then(absent, len(there))
	}
}

// dropDoubts forgets rows of ownerships that have ended.
func (e *engine) dropDoubts() {
	dead := func(d *doubt) bool {
		d.rows = e.alive(d.rows)
		return len(d.rows) == 0
	}
	e.doubts = slices.DeleteFunc(e.doubts, dead)
	if s := e.search; s != nil {
		s.doubts = slices.DeleteFunc(s.doubts, dead)
		e.search = s.unlessIdle()
	}
	e.held = slices.DeleteFunc(e.held, func(r *row) bool { return r.entry.ledger.gone })
}
