package connector

import (
	"sync/atomic"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/transform"
)

// A Record is a polled Kafka message, stamped with the ownership under which
// it was polled. Once that ownership has ended the engine drops the record.
type Record struct {
	transform.Record
	Owner *Ownership
}

// An Ownership is the right to process one partition, from one assignment to
// the revoke, loss or stop that ends it. Its address is its identity: a
// partition lost and regained gets a new one, so whatever refers to the old one
// is recognised by a comparison. The Source creates it; apart from Turn and
// what is atomic its fields do not change.
type Ownership struct {
	Topic     string
	Partition int32

	// Committed is the group's committed position when the partition was
	// assigned: the offset of the next record, or -1 without one.
	Committed int64
	// CommittedEpoch is the leader epoch of the record before Committed, or -1.
	CommittedEpoch int32
	// Fresh says that the group had no position here: Committed is where it begins
	// by kafka.start, and is to be committed at once, so that this is decided once.
	Fresh bool
	// Finished lists what an earlier owner finished beyond Committed, read
	// from the commit's metadata: ascending, disjoint. Records in it whose
	// leader epoch is at most FinishedEpoch are not sent again.
	Finished      []Range
	FinishedEpoch int32

	// Doubt is what an earlier owner may have sent beyond what is finished, read
	// from the same place.
	Doubt Doubt

	// Day is what the commit says of the day's calls.
	Day budget.Reservation

	// Turn is the partition's place in the rotation of call slots over all
	// partitions of all topics. The engine changes it when it is told to.
	Turn Turn

	// Span is how many offsets from the position on a commit can tell apart as
	// finished or not, whatever their pattern: no record beyond them is sent. The
	// Source sets it, and lowers it where a broker takes less. 0 is no bound.
	Span atomic.Int64

	// End is the partition's end offset (the next to be written) as far as it
	// is known; the Source keeps it up to date.
	End atomic.Int64
	// LogStart is the offset of the oldest record that the brokers still have, likewise.
	LogStart atomic.Int64
	// Lost is how many records, at most, the brokers deleted before they could be read
	// under this ownership. The Source says each loss in the log.
	Lost atomic.Int64
	// Gone are the offsets of the last such loss, nil before the first: what was polled
	// before it was polled all. Losses without a record between them are one.
	Gone atomic.Pointer[Range]
}

// A Turn is a place in a rotation: 0 <= Turn < Of.
type Turn struct{ Turn, Of int }

// A Range is a run of offsets, both ends included. Only ends are stored, but it
// is made of records that were seen: offsets between them that have no record
// (compaction, transaction markers) belong to it.
type Range struct{ First, Last int64 }

// A Doubt says what of a partition may have been created beyond what is
// finished, for whoever takes the partition over. The zero value is nothing.
type Doubt struct {
	// Since is when the first call was sent whose outcome is not settled; zero:
	// nothing is in doubt. Only activities with a marker can be asked for, so
	// it is zero without one.
	Since time.Time
	// Reach is the highest offset that may have been sent. With a marker no
	// record beyond the Reach of an acknowledged commit is sent.
	Reach int64
	// Epoch is the highest leader epoch among those records, or -1.
	Epoch int32
	// Held are unsettled records, as runs, that wait for an operator's word.
	Held []Range
}

// A Rebalance tells the engine that ownerships began or ended. The Source waits
// for Done before it lets the group go on; Done is called exactly once.
type Rebalance struct {
	Kind   RebalanceKind
	Owners []*Ownership
	Turns  map[*Ownership]Turn // of Renumbered; nil while they are not known
	Done   func()
}

// A RebalanceKind is what happened to ownerships.
type RebalanceKind int

const (
	Assigned   RebalanceKind = iota // new ownerships, or none for a member that stands by
	Revoked                         // orderly end: drain, commit, let go, then Done
	Lost                            // they are another member's already: forget them, commit nothing
	Renumbered                      // partitions were added, or topics: slots rotate otherwise
	Expired                         // records of these were deleted before they were read
)

// A Progress is what is to be committed for one partition.
type Progress struct {
	Owner         *Ownership
	Next          int64   // every record before this offset has its fate
	Epoch         int32   // leader epoch of the record before Next, or -1
	Finished      []Range // finished records at or beyond Next, ascending, disjoint
	FinishedEpoch int32   // highest leader epoch among the records in Finished, or -1
	Doubt         Doubt   // what may have been created besides
	Day           budget.Reservation

	// Begun is since when the records that Finished has no room for may have been
	// created, for a Doubt that takes their place; zero without a marker.
	Begun time.Time
}

// A DeadLetter is a record that LeadSquared will never take, with the reason.
type DeadLetter struct {
	Record   Record
	Reason   transform.Reason
	Attempts int    // calls whose answer judged it; 0 if it was never sent
	Activity []byte // the row as sent (JSON), nil if it was never sent
	Response string // LeadSquared's own words, "" if there are none

	// Trace is the W3C trace context that the letter carries on, as headers in
	// place of the record's own; none without one.
	Trace []transform.Header
}

// A Receipt says that an activity was created.
type Receipt struct {
	Topic      string
	Partition  int32
	Offset     int64
	Rule       string
	Lead       string
	Code       int
	ActivityID string    // ProspectActivityId
	At         time.Time // when the proof came
	Found      bool      // LeadSquared was asked, since no answer to the call had proven it
	Operator   bool      // an operator said so of a held record; the id is not known

	// Trace is the W3C trace context that the receipt carries on, as headers.
	Trace []transform.Header
}
