package budget

import (
	"math"
	"time"
)

const (
	// quiet is how long no throttling answer must have come before more is tried,
	// so that trying costs at most one throttled call a minute.
	quiet = time.Minute
	// slowest is how many times as long it is at most, after attempts that failed.
	slowest = 4
	// firstGain is by how much the first attempt raises the pace. Each that
	// succeeds doubles the next gain, to mostGain: from 10/5s back to 25/5s
	// takes five attempts.
	firstGain, mostGain = 0.05, 0.4
	// mostLearned is how many calls a learned limit counts at most: a larger one
	// is kept in shorter windows.
	mostLearned = 512
)

// What throttling answers taught: a limit below the configured ones, zero
// without one. It is kept by leaving slots unused.
type learned struct {
	limit   Limit // of all members together
	before  Limit // before the last attempt at more
	tried   time.Time
	patient time.Duration // how long it must be quiet before the next attempt
	gain    float64       // of the next attempt
	since   time.Time     // of the last attempt, or end of the last throttling answer's pause
	pause   time.Duration // the last one
	others  time.Time     // when an answer last named a limit that is kept
}

// throttled lowers the limit after an answer that named a limit, or none.
// kept is the pace limit that was in force; nothing is sent until resumed, so that
// quiet begins then. It reports whether the pace changed.
func (l *learned) throttled(now, resumed time.Time, kept, named Limit, guard time.Duration) bool {
	was := l.limit
	failed := !l.tried.IsZero() && now.Sub(l.tried) < 2*(kept.Window+guard)
	l.tried = time.Time{}
	switch {
	case failed && !l.before.IsZero():
		l.limit = l.before
		l.patient = min(2*l.patient, slowest*l.quiet(guard))
		if !named.IsZero() && named.perSecond() < kept.perSecond() {
			l.limit = named
		}
	case named.IsZero():
		l.limit = Limit{max(1, kept.Calls/2), kept.Window}
	case named.perSecond() < kept.perSecond():
		l.limit, l.patient = named, 0
	case !l.others.IsZero() && now.Sub(l.others) < quiet:
		// The limit is kept, and still calls are too many: others use the account.
		l.limit = Limit{max(1, kept.Calls*4/5), kept.Window}
		l.others = now
	default:
		l.others = now // perhaps for a moment: the pause is what it asks for
	}
	l.patient = max(l.patient, l.quiet(guard))
	l.gain, l.since = firstGain, resumed
	return l.limit != was
}

// try raises the limit by a gain once it was quiet for long enough, never above
// the configured one.
func (l *learned) try(now time.Time, configured Limit, guard time.Duration) {
	if l.limit.IsZero() {
		return
	}
	wentWell := !l.tried.IsZero() // the last attempt did
	if now.Sub(l.since) < l.quiet(guard) || !wentWell && now.Sub(l.since) < l.patient {
		return
	}
	if wentWell {
		l.patient = l.quiet(guard)
	}
	l.before, l.tried, l.since = l.limit, now, now
	l.limit.Calls = max(l.limit.Calls+1, int(math.Ceil(float64(l.limit.Calls)*(1+l.gain))))
	l.gain = min(2*l.gain, mostGain)
	if l.limit.perSecond() >= configured.perSecond() {
		l.limit = Limit{}
	}
}

// quiet is how long it has to be quiet: for as long as an attempt needs to be
// felt, too.
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
