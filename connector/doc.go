// Package connector is the engine: it takes records in, sends their activities
// in batches, and commits positions only when everything before them has its
// fate.
//
// # One loop
//
// One goroutine, Run, owns all state: ledgers, lanes, the breaker, the budget,
// credits and drains. It blocks only in its one select. One goroutine polls and
// maps, a grant at a time. A short goroutine carries each call, each commit and
// each write of dead letters, and sends one value into a channel that has room
// for it. So there is no lock in this package, and nothing is decided anywhere
// but in the loop.
//
// # Words
//
// A record is a Kafka message. Its activities become rows, which wait in the
// lane of their lead. A call is a batch on its way. LeadSquared gives each row a
// verdict; the last verdict gives the record its fate: delivered, filtered or
// dead. A row that may have been created, and nobody can tell, is in doubt.
// With its fate the ledger settles a record, and the position in front of the oldest
// record without a fate is what a commit stores, with the finished runs behind.
//
// # Invariants
//
// The places that enforce one carry its number, and for each there is a
// deliberate breakage (see breakages_test.go) that a named test catches.
//
//  1. A position is committed only when every earlier record of its partition
//     has its fate, or is listed as unfinished beside the commit.
//  2. A record is settled only as delivered (proven), filtered (by a rule), or
//     dead (the write of its dead letter was acknowledged).
//  3. Of one lead in one partition at most one call is in flight, and rows
//     travel in offset order.
//  4. Unsettled records never exceed the window (in number and bytes, but for a
//     single record larger than all of it), batches never exceed 25, and calls
//     sent whose outcome no acknowledged commit records never exceed in_flight.
//  5. From a revoke or the end of the lease on nothing new is sent for a
//     partition; after Done nothing is committed for it.
//  6. A batch keeps identity: verdict i is for row i. No verdict means unknown,
//     never success.
//  7. While calls' ways differ by less than the guard, the account's limit is
//     exceeded in no window, over all members together, by the server's clock.
//  8. The loop never blocks outside its select; no goroutine outlives Run.
//  9. A secret appears in no log, error, span, metric, page, receipt or dead letter.
//  10. With a marker no record is sent beyond the reach of an acknowledged commit,
//     and no row that may have been created is sent again before LeadSquared was
//     asked for it.
//  11. With receipts an activity counts as created only once its receipt is stored.
package connector
