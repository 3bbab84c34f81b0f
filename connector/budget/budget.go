package budget

import (
	"math"
	"time"
)

const (
	// quiet is how long no throttling answer must have come before a learned
	// pace is raised by a step, so that probing costs at most one throttled
	// call a minute.
	quiet = time.Minute
	// step is what a raise multiplies the pace by: from 10/5s back to 25/5s
	// takes six quiet minutes.
	step = 1.2
)

// A Budget is one member's use of the schedule. It is not safe for concurrent
// use. It reads the clock only through the times it is given, which must carry
// a monotonic reading, as time.Now's do.
type Budget struct {
	cfg     Config
	widest  Limit         // the limit that sets the spacing
	spacing time.Duration // between slots as configured; 0 without limits
	learned time.Duration // between slots as learned from throttling answers, >= spacing

	turns int    // partitions that the slots rotate over
	mine  []bool // which turns this member may use
	owned int

	base   time.Time // last reading of the monotonic clock,
	wall   time.Time // and of the wall clock, at which the two agreed
	used   time.Time // moment of the last slot used or passed, wall clock
	after  time.Time // nothing is sent before: a pause, wall clock
	lowest time.Time // when the pace was last lowered or raised
}

// New returns the budget that the configuration describes. It owns every slot
// until Own says otherwise.
func New(cfg Config, now time.Time) *Budget {
	b := &Budget{cfg: cfg, base: now, wall: now.Round(0), turns: 1, mine: []bool{true}, owned: 1}
	for _, l := range cfg.Limits {
		if s := b.spacingFor(l); s > b.spacing {
			b.spacing, b.widest = s, l
		}
	}
	b.learned = b.spacing
	return b
}

// spacingFor is the distance between slots under one limit.
func (b *Budget) spacingFor(l Limit) time.Duration {
	return time.Duration(math.Ceil(float64(l.Window+b.cfg.Guard) / (float64(l.Calls) * b.cfg.Share)))
}

// Limited reports whether there is any limit.
func (b *Budget) Limited() bool { return b.spacing > 0 }

// Own sets which turns of the rotation over all partitions this member uses:
// 0 <= turn < turns. Slot k is turn k mod turns. Slots rotate, they are not
// divided, so a member that owns every partition has every slot.
func (b *Budget) Own(mine []int, turns int) {
	b.turns = max(turns, 1)
	b.mine = make([]bool, b.turns)
	b.owned = 0
	for _, t := range mine {
		if t >= 0 && t < b.turns && !b.mine[t] {
			b.mine[t] = true
			b.owned++
		}
	}
}

// lateness is how late a slot may still be used; the rest of the guard is for
// calls' ways and for clocks.
func (b *Budget) lateness() time.Duration { return b.cfg.Guard / 2 }

// Next returns the moment at which Take would succeed first, not before now.
// ok is false if this member owns no slot.
func (b *Budget) Next(now time.Time) (at time.Time, ok bool) {
	b.watchClock(now)
	if !b.Limited() {
		return later(now, b.after), true
	}
	slot, ok := b.next(now)
	return later(now, slot), ok
}

// next returns the earliest slot of this member that may still be used.
func (b *Budget) next(now time.Time) (time.Time, bool) {
	if b.owned == 0 {
		return time.Time{}, false
	}
	from := later(now.Round(0).Add(-b.lateness()), b.after)
	if !b.used.IsZero() {
		// After a change of the spacing the grid is another one: the first
		// slot must not stand nearer to the last one used than the spacing.
		from = later(from, b.used.Add(b.learned))
	}
	k := ceilDiv(from.UnixNano(), int64(b.learned))
	for !b.mine[int(k%int64(b.turns))] {
		k++
	}
	return time.Unix(0, k*int64(b.learned)), true
}

// Take uses the slot that stands at now, or shortly before it, and reports
// whether there was one. Each slot is taken once.
func (b *Budget) Take(now time.Time) bool {
	b.watchClock(now)
	if !b.Limited() {
		return !now.Before(b.after)
	}
	slot, ok := b.next(now)
	if !ok || slot.After(now.Round(0)) {
		return false
	}
	// Invariant 7: every slot carries at most one call.
	b.used = slot
	return true
}

// watchClock notices that the wall clock was set or that the machine slept.
// Slots follow the wall clock, and the server's window does not jump with it: so
// nothing is sent for a whole window, and then the clock is taken anew.
func (b *Budget) watchClock(now time.Time) {
	wall, monotonic := now.Round(0).Sub(b.wall), now.Sub(b.base)
	apart := (wall - monotonic).Abs()
	switch {
	case apart > b.cfg.Guard/2 && b.Limited():
		b.base, b.wall, b.used = now, now.Round(0), time.Time{}
		b.after = now.Round(0).Add(b.widest.Window + b.cfg.Guard)
	case monotonic > 10*time.Second:
		b.base, b.wall = now, now.Round(0) // slow drift is the time daemon's business
		b.raise(now)
	}
}

// Throttled learns from an answer that refused a call, sent at the moment sent,
// for the number of calls. named is the limit that the answer named, or zero;
// retryAfter is what it asks to wait, or 0. Calls that were under way when the
// first such answer came teach nothing more.
func (b *Budget) Throttled(now, sent time.Time, named Limit, retryAfter time.Duration) {
	window := b.widest.Window
	if !named.IsZero() {
		window = named.Window
	}
	pause := max(window+b.cfg.Guard, retryAfter)
	b.after = later(b.after, now.Round(0).Add(pause))
	if !b.Limited() || sent.Before(b.lowest) {
		return
	}
	if named.IsZero() {
		b.learned *= 2
	} else {
		// An answer that names the pace we keep is about calls of others, or
		// about a moment: the pause is what it asks for.
		b.learned = max(b.learned, b.spacingFor(named))
	}
	b.lowest = now
}

// PausedUntil returns until when nothing may be sent because of a throttling
// answer or of a clock that was set, zero if nothing holds calls back now.
func (b *Budget) PausedUntil(now time.Time) time.Time {
	if b.after.After(now.Round(0)) {
		return b.after
	}
	return time.Time{}
}

// raise shortens a learned spacing by a step after a quiet minute.
func (b *Budget) raise(now time.Time) {
	if b.learned > b.spacing && now.Sub(b.lowest) >= quiet {
		b.learned = max(b.spacing, time.Duration(float64(b.learned)/step))
		b.lowest = now
	}
}

// Pace returns calls per second: as configured, as learned, and what this
// member may use of it with the slots it owns. All are 0 without a limit.
func (b *Budget) Pace() (configured, learned, share float64) {
	if !b.Limited() {
		return 0, 0, 0
	}
	configured = 1 / b.spacing.Seconds()
	learned = 1 / b.learned.Seconds()
	return configured, learned, learned * float64(b.owned) / float64(b.turns)
}

// later returns the later of two times, by the wall clock for times without a
// monotonic reading.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}
