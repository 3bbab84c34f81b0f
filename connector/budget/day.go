package budget

import (
	"maps"
	"math"
	"slices"
	"time"
)

const (
	// turnOfDay is how long before and after the day's start nothing is sent,
	// besides the guard: by the server's clock a call may belong to either day.
	turnOfDay = 2 * time.Second
	// probeSpent is how often a call is made to see whether a day that LeadSquared
	// says is spent has begun anew: its start may be another than day.starts.
	probeSpent = 15 * time.Minute
	// furthest is how far ahead of this clock a day may begin and still be believed
	// in: one that a clock began which was wrong by more would block all calls.
	furthest = time.Hour
)

// A Reservation is what a partition's commit says about the day: so many calls
// of the day that starts then are, or may have been, spent. The zero value says
// nothing.
type Reservation struct {
	Day   time.Time
	Calls int
}

// A ration is a partition's part of the day's calls.
type ration struct {
	turn     int // in the rotation of slots, which orders partitions
	part     int // its calls of a day
	spent    int // by this member, and everything that was reserved before it
	reserved int // written into a commit, acknowledged or not
	granted  int // acknowledged
	leaving  bool
}

// daily is the count of the day's calls. Without a limit for a day quota is 0.
type daily struct {
	cfg     DayConfig
	alone   bool // one member at a time owns every partition
	quota   int
	margin  time.Duration // around the day's start
	block   int           // calls that are reserved ahead
	start   time.Time     // of the day that is counted, wall clock
	next    time.Time     // and of the next
	rations map[any]*ration
	before  past
	used    bool                // nothing more can be reserved, when that was last looked at
	seen    map[any]Reservation // of an earlier owner

	again time.Time     // LeadSquared says that the day is spent: when a call finds out, wall clock; else zero
	every time.Duration // and how long after that the next one does
	since time.Time     // of the last refusal, or call that finds out
}

// A past is what was counted of the day before, for a clock that went ahead for a
// moment.
type past struct {
	start   time.Time
	rations map[any]ration
}

func newDaily(c Config, alone bool, pace float64) daily {
	d := daily{alone: alone, cfg: c.Day, quota: c.quota(), margin: turnOfDay + c.Guard, rations: map[any]*ration{}, seen: map[any]Reservation{}}
	// What a crash wastes: a few calls, for a second or two at the full pace.
	d.block = max(1, min(d.quota/400, int(math.Ceil(2*pace))))
	return d
}

// turn goes over to the next day when it is time. A clock that is set to a little
// before the start goes on with the day that has begun; one that had gone far
// ahead returns to the day that it had left.
func (d *daily) turn(wall time.Time) {
	if wall.Before(d.next) && !d.start.After(wall.Add(furthest)) {
		return
	}
	d.begin(d.cfg.Starts.Around(wall))
}

func (d *daily) begin(start, next time.Time) {
	left := past{d.start, map[any]ration{}}
	d.start, d.next, d.again, d.used = start, next, time.Time{}, false
	for t, r := range d.rations {
		left.rations[t] = *r
		counted, again := d.before.rations[t]
		again = again && d.before.start.Equal(start)
		*r = ration{turn: r.turn, part: r.part, leaving: r.leaving}
		switch {
		case again:
			r.spent, r.reserved, r.granted = counted.spent, counted.reserved, counted.granted
		case d.seen[t].Day.Equal(start):
			r.inherit(d.seen[t])
		}
	}
	d.before = left
}

// refuse notes that LeadSquared says that the day is spent, or that a call finds
// out: the next one does so much later.
func (d *daily) refuse(now, wall time.Time, every time.Duration) {
	d.since, d.every, d.again = now, every, wall.Add(every)
}

// own sets the partitions whose rations are this member's.
func (d *daily) own(mine map[any]Place, turns int, wall time.Time) {
	keys := slices.SortedFunc(maps.Keys(mine), func(a, b any) int { return mine[a].Turn - mine[b].Turn })
	for _, k := range keys { // another member has seen the next day begin
		if at := mine[k].Day.Day; at.After(d.start) && at.Before(wall.Add(furthest)) && d.quota > 0 && d.isStart(at) {
			_, next := d.cfg.Starts.Around(at)
			d.begin(at, next)
		}
	}
	for i, k := range keys {
		r := d.rations[k]
		if r == nil {
			r = &ration{}
			d.rations[k], d.seen[k] = r, mine[k].Day
			// Of this day, or of one that overlaps it since day.starts was another.
			at := mine[k].Day.Day
			if at.Equal(d.start) || at.After(d.start.Add(-day)) && at.Before(d.next) && !d.isStart(at) {
				r.inherit(mine[k].Day)
			}
		}
		t, of := mine[k].Turn, turns
		if d.alone {
			t, of = i, len(keys)
		}
		r.turn, r.part = t, d.quota*(t+1)/of-d.quota*t/of
	}
	for k, r := range d.rations {
		_, owned := mine[k]
		r.leaving = !owned // its last commit is still to come, or was
	}
}

// inherit goes on from what an earlier owner has reserved.
func (r *ration) inherit(from Reservation) {
	r.spent, r.reserved, r.granted = from.Calls, from.Calls, from.Calls
}

// isStart reports whether a day starts at the moment.
func (d *daily) isStart(at time.Time) bool {
	start, _ := d.cfg.Starts.Around(at)
	return start.Equal(at)
}

// forget drops the ration of a partition that is another member's now.
func (d *daily) forget(key any) {
	delete(d.rations, key)
	delete(d.seen, key)
}

// sums adds up this member's rations.
func (d *daily) sums() (part, spent, granted, reserved int) {
	for _, r := range d.rations {
		if r.leaving {
			continue
		}
		part += r.part
		spent += r.spent
		granted += r.granted
		reserved += r.reserved
	}
	return part, spent, granted, reserved
}

// kept is the part of the reserve that is this member's.
func (d *daily) kept(part int) int {
	return (d.cfg.Reserve*part + d.quota - 1) / d.quota
}

// free returns the first moment, not before at, at which the day lets a call go,
// and whether a reservation has to come first.
func (d *daily) free(at time.Time, live bool) (_ time.Time, reserve bool) {
	if !d.again.IsZero() && at.Before(d.again) {
		at = earlier(d.again, d.next.Add(d.margin))
	}
	if d.quota == 0 {
		return at, false
	}
	part, spent, granted, _ := d.sums()
	most := part
	if !live {
		most -= d.kept(part)
	}
	if spent >= most {
		return d.clear(d.next), false
	}
	if d.cfg.Policy == Spread {
		// The even line: call n of the day comes when n parts of it are over.
		due := d.start.Add(time.Duration(float64(d.next.Sub(d.start)) * float64(spent) / float64(part)))
		if due.After(at) {
			at = due
		}
	}
	if spent >= granted && d.used {
		return d.clear(d.next), false
	}
	return d.clear(at), spent >= granted
}

// clear returns the first moment, not before at, that is not near the turn of
// the day.
func (d *daily) clear(at time.Time) time.Time {
	if d.quota == 0 {
		return at
	}
	for _, turn := range []time.Time{d.start, d.next} {
		if at.After(turn.Add(-d.margin)) && at.Before(turn.Add(d.margin)) {
			return turn.Add(d.margin)
		}
	}
	if at.Before(d.start) { // another member's clock is ahead, and has begun the day
		return d.start.Add(d.margin)
	}
	return at
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// spend charges a call to one of the rations that have reserved calls left.
func (d *daily) spend() {
	if d.quota == 0 {
		return
	}
	var from *ration
	for _, r := range d.rations {
		if !r.leaving && r.spent < r.granted && (from == nil || r.turn < from.turn) {
			from = r
		}
	}
	from.spent++ // free has found that there is one
}

// short reports whether a commit for some of the partitions should reserve more calls,
// or once more those that a commit failed to reserve. No commit is under way.
func (d *daily) short(keys []any) bool {
	if d.quota == 0 {
		return false
	}
	part, spent, _, reserved := d.sums()
	d.used = reserved >= part || d.roomiest(keys, part-reserved) == nil
	failed := slices.ContainsFunc(keys, func(k any) bool {
		r := d.rations[k]
		return r != nil && !r.leaving && r.granted < r.reserved
	})
	return failed || !d.used && reserved-spent <= d.block/2
}

// reserve reserves calls ahead on some of the partitions, those whose commit is
// being written.
func (d *daily) reserve(keys []any) {
	if d.quota == 0 {
		return
	}
	part, spent, _, reserved := d.sums()
	for want := min(d.block-(reserved-spent), part-reserved); want > 0; want-- {
		r := d.roomiest(keys, want)
		if r == nil {
			return
		}
		r.reserved++
	}
}

// roomiest returns the ration with most room for reserved calls, or nil. A member
// that is alone may reserve on one what is another's part: one without records has
// no commits to reserve in.
func (d *daily) roomiest(keys []any, inAll int) (best *ration) {
	most := 0
	for _, k := range keys {
		r := d.rations[k]
		if r == nil || r.leaving {
			continue
		}
		room := r.part - r.reserved
		if d.alone && inAll > 0 {
			room = max(room, 1)
		}
		if room > most || best != nil && room == most && r.turn < best.turn { // the same among equals every time
			best, most = r, room
		}
	}
	return best
}

// reservation is what a commit for the partition says now.
func (d *daily) reservation(key any) Reservation {
	r := d.rations[key]
	switch {
	case d.quota == 0 || r == nil:
		return Reservation{}
	case r.leaving:
		return Reservation{d.start, r.spent}
	}
	return Reservation{d.start, r.reserved}
}

// grant takes in that a commit with the reservation was acknowledged.
func (d *daily) grant(key any, res Reservation) {
	if r := d.rations[key]; r != nil && res.Day.Equal(d.start) {
		r.granted = max(r.granted, res.Calls)
	}
}
