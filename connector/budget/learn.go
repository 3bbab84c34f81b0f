package budget

import (
	"math"
	"time"
)

const (
	// quiet is how long a pace is kept before more is tried.
	quiet = time.Minute
	// slowest is how many times as long it is at most, after attempts that failed.
	slowest = 4
	// firstGain is by how much the first attempt raises the pace. Each that
	// succeeds doubles the next gain, to mostGain: from 10/5s back to 25/5s
	// takes five attempts.
	firstGain, mostGain = 0.05, 0.4
	// accepted is the share of calls that may be throttled without that the pace
	// falls: what others do on the account for a moment costs a pause, and no more.
	accepted = 0.02
	// atOnce is how many throttled calls more than that may come together.
	atOnce = 3
	// mostLearned is how many calls a learned limit counts at most: a larger one
	// is kept in shorter windows.
	mostLearned = 512
)

// What throttling answers taught: a limit below the configured ones, zero
// without one. It is kept by leaving slots unused.
type learned struct {
	limit   Limit // of all members together
	before  Limit // before the attempt at more that is still on trial, else zero
	going   int   // calls that went out since that began
	changed time.Time
	patient time.Duration // how long the pace is kept before the next attempt
	gain    float64       // of the next attempt
	since   time.Time     // end of the last throttling answer's pause
	pause   time.Duration // the last one
	over    float64       // throttled calls above the accepted share, lately
	through int           // calls of all members in the window before the last throttled one,
	most    int           // the most of them since over was 0,
	alike   int           // and how many times in a row about as many
}

// went tells that a call went out.
func (l *learned) went(now time.Time) {
	l.going++
	if l.over = max(0, l.over-accepted); l.over == 0 {
		l.most = 0
	}
	felt := l.before.Window <= quiet || now.Sub(l.changed) > 2*l.before.Window
	if !l.before.IsZero() && felt && float64(l.going)*accepted >= 1 {
		l.before, l.patient = Limit{}, 0 // the attempt went well
	}
}

// throttled learns from an answer that named a limit, or none. kept is the pace
// limit that was in force, through how many calls of all members were let through
// in its window; nothing is sent until resumed. It reports whether the pace changed.
func (l *learned) throttled(resumed time.Time, kept, named Limit, through int, guard time.Duration) bool {
	was := l.limit
	l.over, l.most = l.over+1, max(l.most, through)
	l.since = resumed
	l.compare(through, kept)
	// Where a window holds few calls, a pause costs more than an attempt gains.
	few := float64(kept.Calls)*accepted < 1
	lower := !named.IsZero() && named.perSecond() < kept.perSecond()
	failed := !l.before.IsZero() && (few || lower || l.over > 1)
	switch {
	case lower:
		l.limit = named
	case failed:
		l.limit = l.before
	case l.alike > 1, named.IsZero() && (l.over > 1 || l.alike > 0):
		l.limit = Limit{max(1, kept.Calls/4, min(l.most, kept.Calls*9/10)), kept.Window}
	case l.over > atOnce:
		left := l.most
		if !few || 2*left < kept.Calls-1 {
			left = kept.Calls * 3 / 4 // chance has a part in what was let through
		}
		l.limit = Limit{max(1, min(left, kept.Calls*9/10)), kept.Window}
	default:
		return false // perhaps for a moment: the pause is what it asks for
	}
	if failed {
		l.patient = min(2*max(l.patient, l.quiet(guard)), slowest*l.quiet(guard))
	} else {
		l.patient = 0
	}
	if l.settle(resumed); l.limit.Calls == 1 {
		l.over = 1 // it cannot be lower: the next answer is not the first
	}
	l.gain, l.before = firstGain, Limit{}
	return l.limit != was
}

// compare counts the throttled calls before which as many calls were let through, and
// fewer than the pace has: that is a limit, or what others steadily leave, not chance.
func (l *learned) compare(through int, kept Limit) {
	apart := max(through-l.through, l.through-through)
	if l.through > 0 && through < kept.Calls*9/10 && apart <= max(1, kept.Calls/100) {
		l.alike++
	} else {
		l.alike = 0
	}
	l.through = through
}

// settle notes that the pace is another from the moment on: what was counted for
// the one before says nothing about it.
func (l *learned) settle(at time.Time) {
	l.changed, l.over, l.most, l.through, l.alike, l.going = at, 0, 0, 0, 0, 0
}

// try raises the limit by a gain once the pace was kept for long enough and no more
// than the accepted share was throttled, never above the configured one.
func (l *learned) try(now time.Time, configured Limit, guard time.Duration) {
	wait := max(l.patient, l.quiet(guard))
	if !l.before.IsZero() { // so far the last attempt goes well
		wait = l.quiet(guard)
	}
	if l.limit.IsZero() || l.over >= 1 || now.Sub(l.changed) < wait {
		return
	}
	if !l.before.IsZero() {
		l.patient = 0
	}
	l.settle(now)
	l.before = l.limit
	l.limit.Calls = max(l.limit.Calls+1, int(math.Ceil(float64(l.limit.Calls)*(1+l.gain))))
	l.gain = min(2*l.gain, mostGain)
	if l.limit.perSecond() >= configured.perSecond() {
		l.limit = Limit{}
	}
}

// quiet is how long a pace is kept at least: for as long as it needs to be felt, too.
func (l *learned) quiet(guard time.Duration) time.Duration { return max(quiet, l.limit.Window+guard) }

// reach returns the first moment, not before at, at which another call keeps the
// learned limit with the slots that were used, for a member with a part of the turns.
func (l *learned) reach(at time.Time, s *schedule, share float64, guard time.Duration) time.Time {
	if l.limit.IsZero() {
		return at
	}
	calls, window := l.limit.mine(share*float64(s.owned)/float64(s.turns), guard)
	if len(s.log) < calls {
		return at
	}
	if free := s.log[len(s.log)-calls].Add(window); free.After(at) {
		return free
	}
	return at
}

// mine is a part of the limit, as whole calls in a window that has room for the guard.
func (l Limit) mine(part float64, guard time.Duration) (calls int, window time.Duration) {
	pieces := float64((l.Calls + mostLearned - 1) / mostLearned)
	mine := float64(l.Calls) / pieces * part
	window = time.Duration(float64(l.Window)/pieces) + guard
	if mine < 1 {
		return 1, time.Duration(float64(window) / mine)
	}
	return int(mine), window
}
