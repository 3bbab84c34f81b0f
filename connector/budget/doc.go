// Package budget keeps calls under the account's limits, exactly, over all
// members of the consumer group.
//
// # Slots
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
// up for later. Of several sliding limits the strictest sets the spacing: a
// regular schedule that keeps it keeps the others.
//
// A wall clock that was set, or a machine that slept, shifts what is remembered:
// the next slot stands no nearer to the last call than any two do. A restart
// remembers nothing and needs nothing: it takes longer than slots are apart, so even
// after a clock was set back no slot that is used anew is near its first use. One case
// is left: a machine that sleeps between the taking of a slot and the writing of its
// call writes that one call when it wakes, beside those of whoever took over.
//
// # What is learned
//
// An answer that says that there were too many calls lowers the pace, by leaving
// slots unused: the schedule itself stays where it is, so members who have learned
// different things still never use the same slot, nor slots too near each other.
//
// # The day
//
// A daily limit counts from a fixed time of the day, so it needs a memory that
// all members share. Every partition has its part of the day's calls, as it
// has its part of the slots. A part is spent only after it was reserved: written
// into the partition's commit and acknowledged. Whoever owns the partition next
// goes on from what is reserved, so a crash wastes what was reserved and not
// used, a few calls, and never exceeds the day.
//
// # Reads
//
// Reads have slots of their own where the account's general limits leave room
// beside its limits for bulk calls; else they use the bulk calls' slots.
package budget
