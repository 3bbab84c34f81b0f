package connector

import (
	"context"
	"time"

	"github.com/leadsink/leadsink/transform"
)

// A Source hands out records and takes back finished positions.
type Source interface {
	// Poll waits for records and returns at most limit of them (limit > 0),
	// each stamped with its partition's ownership. It never holds up the
	// group: what it returns may belong to an ownership that has ended since.
	// Poll returns ctx's error when ctx ends; other errors have been retried
	// inside as far as that makes sense. Only one Poll runs at a time.
	Poll(ctx context.Context, limit int) ([]Record, error)

	// Rebalances delivers beginnings and ends of ownerships, in order. An
	// ownership's Assigned arrives before any record of it can be polled.
	Rebalances() <-chan Rebalance

	// Commit stores the positions and returns one error for each, in order. A nil
	// error means that the group coordinator has accepted that position from this
	// member, which proves the membership too. Only one Commit runs at a time.
	Commit(ctx context.Context, progress []Progress) []error
}

// A Sink makes one attempt to deliver a batch. It never retries.
type Sink interface {
	// Ready reports whether a call could be written at once, on a connection
	// that is already there. It does not block.
	Ready() bool
	// Deliver posts the batch (1 to 25 activities) and returns what that
	// taught, within the Sink's own time limit or when ctx ends. A call that cannot
	// be written before writeBy (zero: any time) is not sent and Missed. Safe
	// for concurrent use.
	Deliver(ctx context.Context, batch []*transform.Activity, writeBy time.Time) Answer
	// Row returns the activity as it is sent, for a dead letter.
	Row(a *transform.Activity) []byte
}

// A Finder tells which activities LeadSquared holds. It never retries.
type Finder interface {
	// Find asks for one page, within the Finder's own time limit or when ctx
	// ends. Safe for concurrent use.
	Find(ctx context.Context, q Query) Page
}

// A Checker checks the rules against the account, by questions to it. It never
// retries.
type Checker interface {
	// Check asks the next question once, if it can be written by writeBy (zero: any
	// time), and says what came of it. Judged means that the check has got ahead;
	// after any other outcome the same question is next. The question after a check
	// that is done is the first of another one. Only one Check runs at a time.
	Check(ctx context.Context, writeBy time.Time) Check
	// Skip goes on without the question that was answered so often and to no end, and
	// says what that led to. Where it is neither done nor Judged, the check is given
	// up and the next question is the first of another one. No Check runs meanwhile.
	Skip(answer Answer) Check
}

// DeadLetters keeps what LeadSquared will never take.
type DeadLetters interface {
	// Bury stores the letters and returns one error per letter, in order; nil
	// means that it is safely stored, on all in-sync replicas.
	Bury(ctx context.Context, letters []DeadLetter) []error
}

// Receipts tells others which activities were created.
type Receipts interface {
	// Issue stores the receipts and returns one error per receipt, in order; nil
	// means that it is safely stored, on all in-sync replicas.
	Issue(ctx context.Context, receipts []Receipt) []error
}

// A Mapper turns a record into activities. It is called from one goroutine at
// a time and must not keep the record.
type Mapper interface {
	// Prepare gets what Map needs from outside, such as the schema of the
	// record, and returns when ctx ends. An error says in words what it waits
	// for: nobody can tell now what the record holds. It does not retry.
	Prepare(ctx context.Context, r *transform.Record) error
	// Map waits for nothing. Prepare of the same record comes before.
	Map(r *transform.Record) transform.Mapping
}
