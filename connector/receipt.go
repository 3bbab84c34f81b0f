package connector

import (
	"context"
	"slices"
	"time"
)

// A slip is receipts that must be stored before what they are about is settled.
type slip struct {
	receipts []Receipt
	calls    int // whose outcome it is: 1, or 0 if LeadSquared was asked
	then     func()
}

// receive takes in the answer to a call. What it created is settled once the
// receipts are stored: a position that is committed has all of them. Until then
// the call is in flight, which bounds how many receipts wait.
func (e *engine) receive(o outcome) {
	var receipts []Receipt
	if e.receipts != nil && o.answer.Outcome == Judged {
		for i, v := range o.answer.Verdicts[:min(len(o.answer.Verdicts), len(o.call.rows))] {
			if v.Kind == RowCreated {
				receipts = append(receipts, e.receipt(o.call.rows[i], v.ActivityID))
			}
		}
	}
	if len(receipts) == 0 {
		e.settle(o)
		return
	}
	e.slips = append(e.slips, slip{receipts, 1, func() { e.settle(o) }})
}

// receipt says that LeadSquared has created the activity of the row.
func (e *engine) receipt(r *row, activityID string) Receipt {
	owner := r.entry.ledger.owner
	return Receipt{
		Topic: owner.Topic, Partition: owner.Partition, Offset: r.entry.first, Rule: r.activity.Rule,
		Lead: r.activity.Lead, Code: r.activity.Code, ActivityID: activityID, At: e.now, Trace: e.carryOn(r.entry),
	}
}

// issue stores receipts, all that wait at once.
func (e *engine) issue() {
	if len(e.slips) == 0 || len(e.issuing) > 0 || e.now.Before(e.issueAt) {
		return
	}
	var receipts []Receipt
	for _, s := range e.slips {
		receipts = append(receipts, s.receipts...)
	}
	e.issuing, e.slips = e.slips, nil
	// Ends within the time limit; join waits.
	go func() {
		ctx, cancel := context.WithTimeout(e.calling, commitTimeout)
		defer cancel()
		e.issued <- e.receipts.Issue(ctx, receipts)
	}()
}

// issuedAcknowledged goes on with what has all its receipts. The receipts that
// were not stored are tried again.
func (e *engine) issuedAcknowledged(errs []error) {
	slips := e.issuing
	e.issuing = nil
	var failed error
	missing := 0
	for _, s := range slips {
		var left []Receipt
		for _, r := range s.receipts {
			// Invariant 11: what is settled as created has its receipt.
			if len(errs) == 0 || errs[0] != nil {
				left = append(left, r)
			}
			if len(errs) > 0 {
				if failed == nil {
					failed = errs[0]
				}
				errs = errs[1:]
			}
		}
		if len(left) > 0 {
			missing += len(left)
			s.receipts = left
			e.slips = append(e.slips, s)
			continue
		}
		s.then()
	}
	e.issueAt = time.Time{}
	if missing > 0 {
		e.issueAt = e.now.Add(tryAgain)
		e.log.Warn("receipts could not be stored; trying again, and what they are about is not committed", "receipts", missing, "error", failed)
	}
}

// answered is how many calls in flight have their answer and wait for receipts.
func (e *engine) answered() (calls int) {
	for _, s := range slices.Concat(e.slips, e.issuing) {
		calls += s.calls
	}
	return calls
}
