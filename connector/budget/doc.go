// Package budget keeps calls under the account's limits, exactly, over all
// members of the consumer group.
//
// # Why slots
//
// LeadSquared counts calls as they arrive, in a window that slides. Token
// buckets and fixed windows let nearly twice the limit into such a window. So
// time is divided into slots: slot k stands at the fixed wall-clock moment
// k × spacing, with spacing = (window + guard) / calls, and every slot carries
// at most one call. The guard is what calls may differ by between their slot
// and their arrival: ways to the server, clocks, and lateness in using a slot.
// While they differ by less, no window of the server holds more arrivals than
// slots stand in window + guard, which is the limit.
//
// The schedule has no state: whoever owns a partition uses the partition's
// slots, and a hand-over, a restart or a crash changes nothing about where the
// slots stand. A slot is used at its moment or not at all; calls are never made
// up for later.
//
// # Several windows
//
// Slots stand as far apart as the strictest limit asks; a regular schedule
// that satisfies it satisfies the others. A daily limit is therefore spread over
// the day.
package budget
