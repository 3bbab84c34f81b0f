package connector

import (
	"slices"
	"time"

	"github.com/leadsink/leadsink/transform"
)

// A doubt is rows that LeadSquared may have created, and nobody can tell
// without asking. They are out of their lanes: what comes after them of their
// leads waits, everything else goes on.
type doubt struct {
	rows  []*row
	since time.Time // when the first call that may have created one of them was sent
	due   time.Time // from then on a read shows whatever was created
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

// unknown takes in rows that a call may have created. They are out.
func (e *engine) unknown(rows []*row) {
	if len(rows) == 0 {
		return
	}
	for _, r := range rows {
		r.resends++
	}
	switch e.cfg.OnUnknown {
	case "reconcile":
		e.doubts = append(e.doubts, &doubt{
			rows: rows, since: earliest(rows), due: e.now.Add(e.cfg.ReconcileAfter),
			then: func(absent []*row, _ int) {
				e.settledAs("absent", len(absent))
				e.goAgain(absent, time.Time{})
			},
		})
		e.log.Warn("rows are in doubt; LeadSquared will be asked for them", "rows", len(rows), "at", e.now.Add(e.cfg.ReconcileAfter))
	case "hold":
		e.hold(rows)
		e.log.Warn("rows are in doubt and held until an operator decides: leadsink held", "rows", len(rows), "held", len(e.held))
	default:
		e.settledAs("resent", len(rows))
		e.goAgain(rows, e.now.Add(e.backoff(e.worst(rows), e.cfg.Breaker.OpenFor)))
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
	case held && e.cfg.OnUnknown == "hold":
		for _, r := range rows {
			r.since = d.Since
		}
		e.takeOut(rows)
		e.hold(rows)
	case asked:
		for _, r := range rows {
			r.since = d.Since
		}
		e.takeOut(rows)
		e.doubts = append(e.doubts, &doubt{
			rows: rows, since: d.Since, due: l.begun.Add(e.cfg.Timeout + e.cfg.ReconcileAfter),
			then: func(absent []*row, _ int) {
				for _, r := range absent {
					r.since = time.Time{}
				}
				e.goAgain(absent, time.Time{})
			},
		})
	}
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
	e.doubts = append(e.doubts, &doubt{rows: rows, since: c.sent, due: e.now.Add(e.cfg.ReconcileAfter), then: then})
}

// answer settles the rows of the doubt that were found, and hands on the others.
func (e *engine) answer(d *doubt, found map[string]bool) {
	var absent []*row
	there := 0
	for _, r := range e.alive(d.rows) {
		if !found[r.activity.Marker] {
			absent = append(absent, r)
			continue
		}
		there++
		e.settledAs("found", 1)
		// Invariant 2: that LeadSquared shows the activity is the proof.
		r.entry.delivered++
		e.finish(r)
	}
	if len(absent) > 0 {
		d.then(absent, there)
	}
}

// dropDoubts forgets rows of ownerships that have ended.
func (e *engine) dropDoubts() {
	e.doubts = slices.DeleteFunc(e.doubts, func(d *doubt) bool {
		d.rows = e.alive(d.rows)
		return len(d.rows) == 0
	})
	e.held = slices.DeleteFunc(e.held, func(r *row) bool { return r.entry.ledger.gone })
}

// hold parks rows until an operator decides about them.
func (e *engine) hold(rows []*row) {
	for _, r := range rows {
		if r.entry.held++; r.entry.held == 1 {
			r.entry.ledger.held++
		}
		r.heldAt = e.now
		// The call keeps its place until a commit says what is held.
		e.changedNow(r.entry.ledger)
	}
	e.held = append(e.held, rows...)
}

// A HeldDecision is what an operator says about held rows.
type HeldDecision string

// The decisions.
const (
	HeldCreated HeldDecision = "created" // LeadSquared has them: they are delivered
	HeldAbsent  HeldDecision = "absent"  // it has not: they are sent again
	HeldDead    HeldDecision = "dead"    // neither: they become dead letters
)

// ParseHeldDecision returns the decision of the name.
func ParseHeldDecision(name string) (HeldDecision, bool) {
	d := HeldDecision(name)
	return d, slices.Contains([]HeldDecision{HeldCreated, HeldAbsent, HeldDead}, d)
}

// A HeldRecord names a record by its position, and its activities that are held.
type HeldRecord struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Rules     []string  `json:"rules"`            // of the activities
	Marker    string    `json:"marker,omitempty"` // of the first, to look for it in LeadSquared
	Since     time.Time `json:"since"`            // when they were held
}

// heldRecords lists the records with held rows, in the order in which they were held.
func (e *engine) heldRecords() []HeldRecord {
	var all []HeldRecord
	at := map[*entry]int{}
	for _, r := range e.held {
		i, known := at[r.entry]
		if !known {
			i = len(all)
			at[r.entry] = i
			o := r.entry.ledger.owner
			h := HeldRecord{Topic: o.Topic, Partition: o.Partition, Offset: r.entry.first, Since: r.heldAt}
			if e.marked() {
				h.Marker = r.activity.Marker
			}
			all = append(all, h)
		}
		all[i].Rules = append(all[i].Rules, r.activity.Rule)
	}
	return all
}

// settleHeld carries out an operator's decision about the rows of the records
// that which picks, and returns how many records there were.
func (e *engine) settleHeld(d HeldDecision, which func(HeldRecord) bool) int {
	chosen := map[*entry]bool{}
	for _, r := range e.held {
		o := r.entry.ledger.owner
		if which(HeldRecord{Topic: o.Topic, Partition: o.Partition, Offset: r.entry.first}) {
			chosen[r.entry] = true
		}
	}
	var rows []*row
	e.held = slices.DeleteFunc(e.held, func(r *row) bool {
		if chosen[r.entry] {
			rows = append(rows, r)
		}
		return chosen[r.entry]
	})
	for _, r := range rows {
		if r.entry.held--; r.entry.held == 0 {
			r.entry.ledger.held--
		}
		e.changedNow(r.entry.ledger)
		e.settledAs("operator_"+string(d), 1)
		switch d {
		case HeldCreated:
			r.entry.delivered++
			e.finish(r)
		case HeldAbsent:
			r.since = time.Time{}
			e.goAgain([]*row{r}, time.Time{})
		case HeldDead:
			e.dead(r, transform.Reason{
				Stage: "deliver", Class: "unknown", Rule: r.activity.Rule,
				Message: "nobody could tell whether LeadSquared created the activity, and an operator decided to bury it",
			}, "")
		}
	}
	e.log.Info("an operator decided about held rows", "decision", d, "records", len(chosen), "rows", len(rows), "held", len(e.held))
	return len(chosen)
}
