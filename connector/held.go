package connector

import (
	"fmt"
	"slices"
	"time"

	"github.com/leadsink/leadsink/transform"
)

// A HeldDecision is what an operator says about held rows.
type HeldDecision string

// The decisions.
const (
	HeldCreated HeldDecision = "created" // LeadSquared has them: they are delivered
	HeldAbsent  HeldDecision = "absent"  // it has not: they are sent again
	HeldDead    HeldDecision = "dead"    // neither: they become dead letters
)

// ParseHeldDecision returns the decision of the name.
func ParseHeldDecision(name string) (HeldDecision, error) {
	if d := HeldDecision(name); slices.Contains([]HeldDecision{HeldCreated, HeldAbsent, HeldDead}, d) {
		return d, nil
	}
	return "", fmt.Errorf("%q is no decision; write created (LeadSquared has them), absent (it has not: they are sent again) or dead (they become dead letters)", name)
}

// A HeldRecord names a record by its position, and its activities that are held.
type HeldRecord struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Rules     []string  `json:"rules"` // that made the activities
	Since     time.Time `json:"since"` // when they were held
}

// A HeldChoice picks held records by their position. What is not given is any.
type HeldChoice struct {
	Topic     string `json:"topic,omitempty"`
	Partition *int32 `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
}

func (c HeldChoice) picks(r *row) bool {
	o := r.entry.ledger.owner
	return (c.Topic == "" || c.Topic == o.Topic) && (c.Partition == nil || *c.Partition == o.Partition) &&
		(c.Offset == nil || *c.Offset == r.entry.first)
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
			all = append(all, HeldRecord{Topic: o.Topic, Partition: o.Partition, Offset: r.entry.first, Since: r.heldAt})
		}
		all[i].Rules = append(all[i].Rules, r.activity.Rule)
	}
	return all
}

// settleHeld carries out an operator's decision about the rows of the records
// that are chosen, and returns how many records there were.
func (e *engine) settleHeld(d HeldDecision, choice HeldChoice) int {
	chosen := map[*entry]bool{}
	var rows []*row
	e.held = slices.DeleteFunc(e.held, func(r *row) bool {
		if !choice.picks(r) {
			return false
		}
		chosen[r.entry] = true
		rows = append(rows, r)
		return true
	})
	e.onceReceipted(d, rows, func() { e.decided(d, e.alive(rows)) })
	e.log.Info("an operator decided about held rows", "decision", d, "records", len(chosen), "rows", len(rows), "held", len(e.held))
	return len(chosen)
}

// onceReceipted goes on once the rows have their receipts, where they are created and
// receipts are wanted. Until then commits tell them as held.
func (e *engine) onceReceipted(d HeldDecision, rows []*row, then func()) {
	if d != HeldCreated || e.receipts == nil || len(rows) == 0 {
		then()
		return
	}
	receipts := make([]Receipt, len(rows))
	for i, r := range rows {
		receipts[i] = e.receipt(r, "")
		receipts[i].Operator = true
	}
	e.slips = append(e.slips, slip{receipts, 0, then})
}

// decided settles rows that were held as an operator said.
func (e *engine) decided(d HeldDecision, rows []*row) {
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
			r.since, r.blame = time.Time{}, 0
			e.goAgain([]*row{r}, time.Time{})
		case HeldDead:
			e.dead(r, transform.Reason{
				Stage: "deliver", Class: "unknown", Rule: r.activity.Rule,
				Message: "nobody could tell whether LeadSquared created the activity, and an operator decided to bury it",
			}, "")
		}
	}
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
