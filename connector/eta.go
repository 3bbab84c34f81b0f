package connector

import (
	"math"
	"slices"
	"time"
)

const (
	// settling is how long the end of a partition is not looked at after it was
	// assigned, since it becomes known only then.
	settling = 15 * time.Second
	// sampling is the least time between two looks, and remembering how long one
	// weighs on the rate of arrivals.
	sampling, remembering = 5 * time.Second, 5 * time.Minute
	// fillCalls is how many calls the recent fill is taken from.
	fillCalls = 100
)

// arrivals are how fast records are written to a partition.
type arrivals struct {
	end  int64
	at   time.Time // of the last look, zero before the first
	rate float64   // records per second, -1 before the second look
}

// look takes in where the partition ends now.
func (a *arrivals) look(end int64, now time.Time) {
	dt := now.Sub(a.at)
	switch {
	case a.at.IsZero():
		a.rate = -1
	case dt < sampling:
		return
	case a.rate < 0:
		a.rate = max(0, float64(end-a.end)/dt.Seconds())
	default:
		weight := 1 - math.Exp(-dt.Seconds()/remembering.Seconds())
		a.rate += weight * (max(0, float64(end-a.end)/dt.Seconds()) - a.rate)
	}
	a.end, a.at = end, now
}

// fill is the rows of the last calls.
type fill struct {
	rows [fillCalls]int
	n    int // calls so far
	sum  int
}

func (r *fill) add(rows int) {
	at := r.n % fillCalls
	r.sum += rows - r.rows[at]
	r.rows[at] = rows
	r.n++
}

// perCall is how many rows the last calls had on average, 0 before any.
func (r *fill) perCall() float64 {
	if r.n == 0 {
		return 0
	}
	return float64(r.sum) / float64(min(r.n, fillCalls))
}

// settled reports whether the end of the partition is known.
func (l *ledger) settled(now time.Time) bool {
	return l.owner.End.Load() > l.owner.Committed || now.Sub(l.begun) >= settling
}

// rest is how many records were not yet taken in.
func (l *ledger) rest() int64 {
	return max(0, l.owner.End.Load()-max(l.lastSeen+1, l.next, l.owner.LogStart.Load()))
}

// todo is how many records have no fate yet: what was not taken in, less what an
// earlier owner has finished, and what is inside.
func (l *ledger) todo() int64 {
	todo := l.rest()
	from := max(l.lastSeen+1, l.next, l.owner.LogStart.Load())
	for _, r := range l.inherited {
		todo -= max(0, min(r.Last+1, l.owner.End.Load())-max(r.First, from))
	}
	return max(0, todo) + int64(l.unsettled)
}

// lookForArrivals takes in where partitions end now.
func (e *engine) lookForArrivals() {
	for _, l := range e.ledgers {
		if e.now.Sub(l.begun) >= settling {
			l.arrivals.look(l.owner.End.Load(), e.now)
		}
	}
}

// left is how many records have no fate yet; ok is false while that is unknown.
func (e *engine) left() (records float64, ok bool) {
	for _, l := range e.ledgers {
		if !l.settled(e.now) {
			return 0, false
		}
		records += float64(int64(l.unsettled) + l.rest())
	}
	return records, len(e.ledgers) > 0
}

// before is how many records have their fate about when the last one of the
// ledger has: records go in the order in which they were taken in, and of those
// that were not yet, every partition gives as many.
func (e *engine) before(last *ledger) (records float64) {
	rest := last.rest()
	for _, l := range e.ledgers {
		switch {
		case rest > 0:
			records += float64(int64(l.unsettled) + min(l.rest(), rest))
		case last.unsettled > 0 && l.unsettled > 0:
			from, to := float64(l.front.place), float64(l.back.place)
			part := (float64(last.back.place) - from + 1) / (to - from + 1)
			records += float64(l.unsettled) * min(max(part, 0), 1)
		}
	}
	return records
}

// sends reports whether calls go out as slots come.
func (e *engine) sends() bool {
	return !e.paused && !e.halts.any() && e.breaker.state() == "closed"
}

// outlook says how long the lag takes, per partition and in all, and whether it
// ever ends. The partitions are those of the status.
func (e *engine) outlook(s *Status) {
	e.lookForArrivals()
	for _, l := range e.ledgers {
		s.Arrivals += max(0, l.arrivals.rate)
	}
	// A record may become no row or several, and rows go again.
	fated := e.counts.records.Delivered + e.counts.records.Filtered + e.counts.records.Dead
	rowsPerRecord := 1.0
	if fated >= fillCalls {
		rowsPerRecord = max(float64(e.counts.rows)/float64(fated), 0.001)
	}
	perCall := e.fill.perCall()
	lasts := func(records float64) float64 {
		switch {
		case records == 0:
			return 0
		case !e.sends(): // nobody knows until when
			return -1
		case perCall == 0 || !e.budget.Limited():
			return -1
		}
		d, ok := e.budget.Lasts(e.now, records*rowsPerRecord/perCall)
		if !ok {
			return -1
		}
		return d.Seconds()
	}
	s.DrainETA = -1
	if all, ok := e.left(); ok {
		s.DrainETA = lasts(all)
	}
	for i := range s.Partitions {
		s.Partitions[i].DrainETA = -1
	}
	for _, l := range e.ledgers {
		if !l.settled(e.now) {
			continue
		}
		i := slices.IndexFunc(s.Partitions, func(p PartitionStatus) bool {
			return p.Topic == l.owner.Topic && p.Partition == l.owner.Partition
		})
		s.Partitions[i].DrainETA = lasts(e.before(l))
	}
	if e.budget.Limited() && len(e.ledgers) > 0 && perCall > 0 {
		s.Capacity = e.budget.Daily() * float64(e.cfg.Batch) / rowsPerRecord
		s.Behind = s.Lag > 0 && s.Arrivals > s.Capacity
	}
}
