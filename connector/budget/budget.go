package budget

import (
	"cmp"
	"time"
)

// A Kind is what a call is made for.
type Kind int

const (
	Backlog Kind = iota // a bulk call
	Live                // a bulk call for live records, which may use the day's reserve
	Read                // a read
)

// A Budget is one member's use of the account's limits. It is not safe for
// concurrent use. It reads the clock only through the times it is given, which
// must carry a monotonic reading, as time.Now's do; those that it returns do too.
type Budget struct {
	cfg   Config
	calls pacer
	reads pacer // spacing 0: reads use the slots of the calls
	day   daily

	skew  func(time.Time) time.Duration // of the wall clock; nil: none
	base  time.Time                     // last reading of the monotonic clock,
	wall  time.Time                     // and of the wall clock, at which the two agreed
	after time.Time                     // nothing is sent before: a pause, wall clock
	least time.Time                     // the part of that pause that Resume does not end, wall clock
	slot  time.Time                     // the last one taken, with a monotonic reading
}

// A pacer is a schedule, and what was learned about its limit.
type pacer struct {
	schedule
	learned learned
}

// New returns the budget that the configuration describes. alone says that one
// member at a time owns every partition, so that it may spend the whole day's calls
// wherever the backlog is. The budget owns every slot, and nothing of the day, until
// Own says otherwise.
func New(cfg Config, alone bool, now time.Time) *Budget {
	b := &Budget{cfg: cfg, base: now, wall: now.Round(0)}
	b.calls.schedule = newSchedule(cfg.Limits, cfg.Share, cfg.Guard)
	b.reads.schedule = newSchedule(roomBeside(cfg, b.calls.spacing), 1, cfg.Guard)
	b.day = newDaily(cfg, alone, 1/max(b.calls.spacing.Seconds(), 0.001))
	b.day.turn(b.wall)
	return b
}

// roomBeside returns what the general limits leave beside the bulk calls, with
// nothing if that is no call in one of their windows.
func roomBeside(cfg Config, spacing time.Duration) (left []Limit) {
	if spacing == 0 {
		return nil
	}
	for _, l := range cfg.GeneralLimits {
		// No window of the server holds more slots than stand in it and the guard.
		bulk := int(ceilDiv(int64(l.Window+cfg.Guard), int64(spacing)))
		l.Calls = l.part(cfg.Share) - bulk
		if l.Calls < 1 {
			return nil
		}
		left = append(left, l)
	}
	return left
}

// Skew sets how far this member's wall clock is off, for tests of members whose
// clocks differ and are set.
func (b *Budget) Skew(by func(now time.Time) time.Duration) {
	b.skew = by
	b.base, b.wall = time.Now(), b.wallAt(time.Now())
}

func (b *Budget) wallAt(now time.Time) time.Time {
	if b.skew == nil {
		return now.Round(0)
	}
	return now.Round(0).Add(b.skew(now))
}

// Limited reports whether bulk calls have any limit but that of a day.
func (b *Budget) Limited() bool { return b.calls.spacing > 0 }

// A Place is a partition's turn in the rotation of slots over all partitions, and
// what its commit said about the day when it was assigned.
type Place struct {
	Turn int
	Day  Reservation
}

// Own sets which partitions are this member's. The keys tell them apart; for one
// that it has already Day does not count. Slot k is for turn k mod turns. Slots
// rotate, they are not divided, so a member that owns every partition has every
// slot, and so has one that is alone, whatever the turns are. unsure says that the
// turns may be wrong: others who share the slots then use some of the same, so none
// is used.
func (b *Budget) Own(mine map[any]Place, turns int, unsure bool, now time.Time) {
	var list []int
	switch {
	case b.day.alone && len(mine) > 0:
		list, turns = []int{0}, 1
	case !unsure:
		for _, p := range mine {
			list = append(list, p.Turn)
		}
	}
	b.calls.own(list, turns)
	b.reads.own(list, turns)
	b.day.own(mine, turns, b.wallAt(now))
}

// Forget drops what is known of a partition that is another member's now. One
// that Own leaves out is kept until then, for its last commit.
func (b *Budget) Forget(key any) { b.day.forget(key) }

// lateness is how late a slot may be taken, and Slot's call be written twice as
// late; the rest of the guard is for calls' ways and for clocks.
func (b *Budget) lateness() time.Duration { return b.cfg.Guard / 4 }

// pacerOf returns what paces calls of the kind.
func (b *Budget) pacerOf(k Kind) *pacer {
	if k == Read && b.reads.spacing > 0 {
		return &b.reads
	}
	return &b.calls
}

// A Chance is when a call may be made.
type Chance struct {
	At  time.Time // the moment, not before now; zero if this member owns no slot
	Why Why       // what it waits for until then
}

// A Why is what a call waits for.
type Why int

const (
	ForSlot    Why = iota // its slot
	ForPause              // the end of a pause, since a call was throttled
	ForDay                // the next day, or the even pace of this one
	ForReserve            // a commit that reserves calls of the day; At is now
)

// Next returns the moment at which Take would succeed first, not before now.
func (b *Budget) Next(now time.Time, k Kind) Chance {
	b.watchClock(now)
	c, _ := b.next(now, k)
	return c
}

// next is Next, with the slot, by the wall clock.
func (b *Budget) next(now time.Time, k Kind) (Chance, time.Time) {
	p := b.pacerOf(k)
	if p.owned == 0 {
		return Chance{}, time.Time{}
	}
	wall := b.wallAt(now)
	at, why := wall, ForSlot
	if b.after.After(at) {
		at, why = b.after, ForPause
	}
	free, reserve := b.day.free(at, k == Live)
	if free.After(at) {
		at, why = free, ForDay
	}
	from := at
	if !at.After(wall) && p.spacing > 0 {
		from = at.Add(-b.lateness())
	}
	slot := p.from(p.learned.reach(from, &p.schedule, b.cfg.Share, b.cfg.Guard))
	if open := b.day.clear(slot); open.After(slot) {
		slot, why = p.from(open), ForDay
	}
	switch {
	case slot.After(wall):
		return Chance{now.Add(slot.Sub(wall)), why}, slot
	case reserve:
		return Chance{now, ForReserve}, slot
	default:
		return Chance{now, why}, slot
	}
}

// Take uses the slot that stands at now, or shortly before it, for a call that
// goes out, and reports whether there was one. Each slot is taken once.
func (b *Budget) Take(now time.Time, k Kind) bool { return b.take(now, k, true) }

// Pass lets the slot that stands at now go by unused.
func (b *Budget) Pass(now time.Time, k Kind) { b.take(now, k, false) }

func (b *Budget) take(now time.Time, k Kind, call bool) bool {
	b.watchClock(now)
	c, slot := b.next(now, k)
	wall := b.wallAt(now)
	if c.At.IsZero() || c.Why == ForReserve || slot.After(wall) {
		return false
	}
	p := b.pacerOf(k)
	b.slot = now.Add(slot.Sub(wall))
	p.use(slot, call)
	if call {
		p.learned.went(now)
		b.day.spend()
		if !b.day.again.IsZero() {
			b.day.refuse(now, wall, b.day.every) // this call finds out, and no other until it is time again
		}
	}
	return true
}

// WriteBy is until when the call of the last slot that was taken may be written:
// one that comes later may arrive in a window that is full. Zero is any time.
func (b *Budget) WriteBy() time.Time {
	if !b.Limited() {
		return time.Time{}
	}
	return b.slot.Add(2 * b.lateness())
}

// watchClock notices that the wall clock was set or that the machine slept.
// Slots follow the wall clock, and the server's window does not jump with it: so
// what was written down by the old clock is translated into the new one, and the
// next slot stands no nearer to the last one than any two.
func (b *Budget) watchClock(now time.Time) {
	at := b.wallAt(now)
	wall, monotonic := at.Sub(b.wall), now.Sub(b.base)
	apart := (wall - monotonic).Abs()
	switch {
	case apart > b.cfg.Guard/2:
		b.base, b.wall = now, at
		step := wall - monotonic
		b.calls.shift(step)
		b.reads.shift(step)
		for _, t := range []*time.Time{&b.after, &b.least, &b.day.again} {
			if !t.IsZero() {
				*t = t.Add(step)
			}
		}
	case monotonic > 10*time.Second:
		b.base, b.wall = now, at // slow drift is the time daemon's business
	}
	b.day.turn(at)
	b.calls.learned.try(now, b.calls.widest, b.cfg.Guard)
	b.reads.learned.try(now, b.reads.widest, b.cfg.Guard)
}

// A Refusal is an answer that refused a call because there were too many.
type Refusal struct {
	Kind       Kind
	Sent       time.Time     // when the call was sent
	Named      Limit         // the limit that the answer named, or zero
	RetryAfter time.Duration // how long it asks to wait, or 0
	DaySpent   bool          // it says that the day's calls are spent
	Aside      bool          // the call was about something else than delivery: one short pause, and nothing is learned
}

// Throttled learns from a refusal, and reports whether the pace is another now.
// Calls that were under way when the first such answer came teach nothing more.
func (b *Budget) Throttled(now time.Time, r Refusal) (lowered bool) {
	b.watchClock(now)
	wall := b.wallAt(now)
	if r.Aside {
		b.pause(wall.Add(b.shortest() + b.cfg.Guard))
		b.least = later(b.least, wall.Add(b.shortest()+b.cfg.Guard))
		return false
	}
	p := b.pacerOf(r.Kind)
	if r.DaySpent || r.Named.Window >= day {
		b.day.refuse(now, wall, cmp.Or(r.RetryAfter, probeSpent))
		return false
	}
	kept := p.widest
	if !p.learned.limit.IsZero() {
		kept = p.learned.limit
	}
	window := r.Named.Window
	if r.Named.IsZero() {
		window = min(kept.Window, b.shortest())
	}
	pause := max(window+b.cfg.Guard, r.RetryAfter)
	if r.Named.IsZero() && p.learned.limit.Calls == 1 {
		// Slower does not help: what is spent is more than a short window's.
		pause = max(pause, min(2*p.learned.pause, probeSpent))
	}
	b.pause(wall.Add(pause))
	b.least = later(b.least, wall.Add(min(pause, max(window+b.cfg.Guard, believed))))
	if p.spacing == 0 || r.Sent.Before(p.learned.since) {
		return false
	}
	p.keep = max(p.keep, window+b.cfg.Guard)
	p.learned.pause = pause
	part := b.cfg.Share * float64(p.owned) / float64(p.turns)
	through := max(0, p.within(wall.Add(r.Sent.Sub(now)), kept.Window)-1) // but for this one
	return p.learned.throttled(now.Add(pause), kept, r.Named, int(float64(through)/max(part, 0.001)), b.cfg.Guard)
}

// shortest is the shortest window of the sliding limits of bulk calls.
func (b *Budget) shortest() time.Duration {
	window := day
	for _, l := range b.cfg.Limits {
		window = min(window, l.Window)
	}
	return window
}

// pause sends nothing before the moment.
func (b *Budget) pause(until time.Time) {
	if until.After(b.after) {
		b.after = until
	}
}

// believed is how long an answer's pause lasts whatever an operator says.
const believed = 5 * time.Minute

// Resume ends what is left of a long pause, at an operator's word: the next call
// finds out whether it is still wanted. The window and what an answer asked for
// within a few minutes are waited for all the same.
func (b *Budget) Resume(now time.Time) {
	b.watchClock(now)
	if b.least.Before(b.after) {
		b.after = later(b.least, b.wallAt(now))
		resumed := now.Add(b.after.Sub(b.wallAt(now)))
		for _, p := range []*pacer{&b.calls, &b.reads} {
			if p.learned.since.After(resumed) {
				p.learned.since = resumed
			}
		}
	}
	if !b.day.again.IsZero() {
		b.day.again = earlier(b.day.again, b.wallAt(now))
	}
}

// Went tells that a call that was sent then was let through, so that a day that
// was said to be spent before that is not.
func (b *Budget) Went(sent time.Time) {
	if !sent.Before(b.day.since) {
		b.day.again = time.Time{}
	}
}

// Unheard tells that a call came to nothing that says whether the day is spent, so
// that another finds out soon.
func (b *Budget) Unheard(now time.Time) {
	if !b.day.again.IsZero() {
		b.day.again = b.wallAt(now).Add(min(quiet, b.day.every))
	}
}

// PausedUntil returns until when nothing may be sent because of a throttling
// answer, zero if nothing holds calls back now.
func (b *Budget) PausedUntil(now time.Time) time.Time {
	if wall := b.wallAt(now); b.after.After(wall) {
		return b.after
	}
	return time.Time{}
}

// Reserves reports whether calls of the day are kept for live records.
func (b *Budget) Reserves() bool { return b.day.quota > 0 && b.day.cfg.Reserve > 0 }

// ReadsApart reports whether reads have slots of their own.
func (b *Budget) ReadsApart() bool { return b.reads.spacing > 0 }

// Rationed reports whether there is a limit for a day.
func (b *Budget) Rationed() bool { return b.day.quota > 0 }

// Short reports whether more calls of the day should be reserved by a commit
// for some of the partitions.
func (b *Budget) Short(keys []any) bool { return b.day.short(keys) }

// Reserve reserves calls of the day on some of the partitions, those whose commits
// are being written: each is to carry what Reservation says then.
func (b *Budget) Reserve(keys []any) { b.day.reserve(keys) }

// Reservation is what the partition's commit has to say about the day.
func (b *Budget) Reservation(key any) Reservation { return b.day.reservation(key) }

// Grant takes in that a commit of the partition with the reservation was
// acknowledged: its calls may be spent.
func (b *Budget) Grant(key any, r Reservation) { b.day.grant(key, r) }
