package budget

import (
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
	whole   bool // this one does
	quota   int
	margin  time.Duration // around the day's start
	block   int           // calls that are reserved ahead
	start   time.Time     // of the day that is counted, wall clock
	next    time.Time     // and of the next
	rations map[int]*ration
	before  past
	used    bool                // nothing more can be reserved, when that was last looked at
	seen    map[int]Reservation // of an earlier owner, by turn

	refused time.Time // when LeadSquared last said that the day is spent, zero if it has not
}

// A past is what was counted of the day before, for a clock that went ahead for a
// moment.
type past struct {
	start   time.Time
	rations map[int]ration
}

func newDaily(c Config, alone bool, pace float64) daily {
	d := daily{alone: alone, cfg: c.Day, quota: c.quota(), margin: turnOfDay + c.Guard, rations: map[int]*ration{}, seen: map[int]Reservation{}}
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
	left := past{d.start, map[int]ration{}}
	d.start, d.next, d.refused, d.used = start, next, time.Time{}, false
	for t, r := range d.rations {
		left.rations[t] = *r
		counted, again := d.before.rations[t]
		again = again && d.before.start.Equal(start)
		*r = ration{part: r.part, leaving: r.leaving, spent: counted.spent, reserved: counted.reserved, granted: counted.granted}
		if !again {
			*r = ration{part: r.part, leaving: r.leaving}
			d.inherit(t, r)
		}
	}
	d.before = left
}

// own sets the turns whose rations are this member's.
func (d *daily) own(mine []int, turns int, inherited map[int]Reservation, wall time.Time) {
	for _, res := range inherited { // another member has seen the next day begin
		if res.Day.After(d.start) && res.Day.Before(wall.Add(furthest)) && d.quota > 0 && d.isStart(res.Day) {
			_, next := d.cfg.Starts.Around(res.Day)
			d.begin(res.Day, next)
		}
	}
	owned := map[int]bool{}
	d.whole = d.alone && len(mine) == turns
	for _, t := range mine {
		owned[t] = true
		r := d.rations[t]
		if r == nil {
			r = &ration{}
			d.rations[t] = r
			d.seen[t] = inherited[t]
			d.inherit(t, r)
		}
		r.part = d.quota*(t+1)/turns - d.quota*t/turns
	}
	for t, r := range d.rations {
		r.leaving = !owned[t] // its last commit is still to come, or was
	}
}

// inherit goes on from what an earlier owner has reserved: of this day, or of one
// that overlaps it since day.starts was another.
func (d *daily) inherit(t int, r *ration) {
	res := d.seen[t]
	overlaps := res.Day.After(d.start.Add(-day)) && res.Day.Before(d.next) && !d.isStart(res.Day)
	if res.Day.Equal(d.start) || overlaps {
		r.spent, r.reserved, r.granted = res.Calls, res.Calls, res.Calls
	}
}

// isStart reports whether a day starts at the moment.
func (d *daily) isStart(at time.Time) bool {
	start, _ := d.cfg.Starts.Around(at)
	return start.Equal(at)
}

// forget drops the ration of a turn that is another member's now.
func (d *daily) forget(t int) {
	delete(d.rations, t)
	delete(d.seen, t)
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
	if again := d.refused.Add(probeSpent); !d.refused.IsZero() && at.Before(again) {
		at = earlier(again, d.next.Add(d.margin))
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
	lowest := 0
	for t, r := range d.rations {
		if !r.leaving && r.spent < r.granted && (from == nil || t < lowest) {
			from, lowest = r, t
		}
	}
	from.spent++ // free has found that there is one
}

// short reports whether a commit for some of the turns should reserve more calls,
// or once more those that a commit failed to reserve. No commit is under way.
func (d *daily) short(turns []int) bool {
	if d.quota == 0 {
		return false
	}
	part, spent, _, reserved := d.sums()
	d.used = reserved >= part || d.roomiest(turns, part-reserved) < 0
	failed := slices.ContainsFunc(turns, func(t int) bool {
		r := d.rations[t]
		return r != nil && !r.leaving && r.granted < r.reserved
	})
	return failed || !d.used && reserved-spent <= d.block/2
}

// reserve reserves calls ahead on some of the turns, those whose commit is being
// written.
func (d *daily) reserve(turns []int) {
	if d.quota == 0 {
		return
	}
	part, spent, _, reserved := d.sums()
	for want := min(d.block-(reserved-spent), part-reserved); want > 0; want-- {
		t := d.roomiest(turns, want)
		if t < 0 {
			return
		}
		d.rations[t].reserved++
	}
}

// roomiest returns the turn with most room for reserved calls, or -1. A member
// that owns every partition, as one always does, may reserve on one what is
// another's part: one without records has no commits to reserve in.
func (d *daily) roomiest(turns []int, inAll int) int {
	best, most := -1, 0
	for _, t := range turns {
		r := d.rations[t]
		if r == nil || r.leaving {
			continue
		}
		room := r.part - r.reserved
		if d.whole && inAll > 0 {
			room = max(room, 1)
		}
		if room > most {
			best, most = t, room
		}
	}
	return best
}

// reservation is what a commit for the turn says now.
func (d *daily) reservation(t int) Reservation {
	r := d.rations[t]
	switch {
	case d.quota == 0 || r == nil:
		return Reservation{}
	case r.leaving:
		return Reservation{d.start, r.spent}
	}
	return Reservation{d.start, r.reserved}
}

// grant takes in that a commit with the reservation was acknowledged.
func (d *daily) grant(t int, res Reservation) {
	if r := d.rations[t]; r != nil && res.Day.Equal(d.start) {
		r.granted = max(r.granted, res.Calls)
	}
}
