package budget

import (
	"math"
	"time"
)

// Pace returns calls per second: as configured, as learned, and what this
// member may use of it with the slots it owns. All are 0 without a limit. The
// day's limit is not part of it.
func (b *Budget) Pace() (configured, learned, share float64) {
	if !b.Limited() {
		return 0, 0, 0
	}
	p := &b.calls
	part := float64(p.owned) / float64(p.turns)
	configured = 1 / p.spacing.Seconds()
	learned, share = configured, configured*part
	if !p.learned.limit.IsZero() {
		calls, window := p.learned.limit.mine(b.cfg.Share, b.cfg.Guard)
		learned = min(learned, float64(calls)/window.Seconds())
		if part > 0 {
			calls, window = p.learned.limit.mine(b.cfg.Share*part, b.cfg.Guard)
			share = min(share, float64(calls)/window.Seconds())
		}
	}
	return configured, learned, share
}

// Learned returns the limit that throttling answers taught, zero without one.
func (b *Budget) Learned() Limit { return b.calls.learned.limit }

// A Spent is how many calls this member has made in a window that ends now.
type Spent struct {
	Limit Limit
	Calls int
}

// Spent lists the sliding limits of bulk calls.
func (b *Budget) Spent(now time.Time) (all []Spent) {
	for _, l := range b.cfg.Limits {
		if !l.Daily() {
			all = append(all, Spent{l, b.calls.within(b.wallAt(now), l.Window)})
		}
	}
	return all
}

// A DayStatus is the state of the day's calls.
type DayStatus struct {
	Start, End time.Time
	Quota      int  // of all members together, 0 without a limit for a day
	Part       int  // this member's
	Spent      int  // of it, with what earlier owners reserved
	Refused    bool // LeadSquared says that the day is spent
}

// Today returns the state of the day's calls.
func (b *Budget) Today(now time.Time) DayStatus {
	b.day.turn(b.wallAt(now))
	part, spent, _, _ := b.day.sums()
	return DayStatus{b.day.start, b.day.next, b.day.quota, part, spent, !b.day.again.IsZero()}
}

const (
	// scarce is the part of the day's calls with which linger begins to grow.
	scarce = 0.1
	// mostLinger is how long it grows at most.
	mostLinger = 5 * time.Minute
)

// Linger returns how long an activity should wait for others to share its call:
// at least so long, and when the last tenth of the day's calls has begun, so
// long that they last until the day's end.
func (b *Budget) Linger(now time.Time, least time.Duration) time.Duration {
	b.day.turn(b.wallAt(now))
	part, spent, _, _ := b.day.sums()
	left := part - spent
	if b.day.cfg.Policy == Spread || part == 0 || left <= 0 || float64(left) > scarce*float64(part) {
		return least
	}
	return max(least, min(b.day.next.Sub(b.wallAt(now))/time.Duration(left), mostLinger))
}

// Lasts returns how long so many calls take from now on, at the present pace, over
// pauses and the ends of days; ok is false if they cannot be made at all.
func (b *Budget) Lasts(now time.Time, calls float64) (_ time.Duration, ok bool) {
	_, _, pace := b.Pace()
	if b.Limited() && pace == 0 {
		return 0, false
	}
	wall := b.wallAt(now)
	b.day.turn(wall)
	at := wall
	if b.after.After(at) {
		at = b.after
	}
	if !b.day.again.IsZero() && b.day.next.After(at) {
		at = b.day.next // LeadSquared says so
	}
	if !b.Limited() {
		pace = math.Inf(1)
	}
	if b.day.quota == 0 {
		return at.Sub(wall) + seconds(calls/pace), true
	}
	part, spent, _, _ := b.day.sums()
	whole := part - b.day.kept(part)
	if whole <= 0 {
		return 0, false
	}
	left := max(0, float64(whole-spent))
	if start := b.day.start; at.Before(start) {
		at = start
	}
	end := b.day.next
	if !at.Before(end) {
		left = float64(whole)
		_, end = b.day.cfg.Starts.Around(end)
	}
	for range mostDays {
		rate := pace
		if b.day.cfg.Policy == Spread { // what is behind the even line can be made up for
			rate = min(rate, max(left, 0)/max(end.Sub(at).Seconds(), 1))
		}
		today := min(left, rate*max(end.Sub(at).Seconds(), 0))
		if calls <= today {
			return at.Sub(wall) + seconds(calls/rate), true
		}
		calls -= today
		at, left = end, float64(whole)
		_, end = b.day.cfg.Starts.Around(end)
	}
	return 0, false
}

// mostDays is how far Lasts looks ahead.
const mostDays = 1000

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Daily returns the most calls per second that this member can make for long:
// its pace, or what its part of a day's calls comes to. It is 0 without a limit.
func (b *Budget) Daily() float64 {
	_, _, pace := b.Pace()
	if part, _, _, _ := b.day.sums(); b.day.quota > 0 {
		return min(pace, float64(part)/day.Seconds())
	}
	return pace
}
