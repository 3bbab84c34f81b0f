package connector

import (
	"context"
	"fmt"
	"time"
)

// Check asks a running connector to look through its own books. It returns
// what does not add up, "" if everything does.
func (c *Connector) Check(ctx context.Context) (wrong string, err error) {
	err = c.ask(ctx, func(e *engine) { wrong = e.check() })
	return wrong, err
}

func (e *engine) check() string {
	unsettled, bytes, out, rows := 0, int64(0), 0, 0
	for _, l := range e.ledgers {
		unsettled += l.unsettled
		out += l.out
		open, runs := 0, 0
		for en := l.front; en != nil; en = en.next {
			if en.settled {
				runs++
				if en.prev == nil || en.prev.settled {
					return "a settled run stands at the front or beside another"
				}
				continue
			}
			open++
			bytes += en.size
		}
		if open != l.unsettled || runs != l.runs {
			return fmt.Sprintf("a ledger counts %d unsettled and %d runs, but holds %d and %d", l.unsettled, l.runs, open, runs)
		}
		for lead, lane := range l.lanes {
			rows += len(lane.rows)
			last := int64(-1)
			for _, r := range lane.rows {
				if r.entry.first < last {
					return fmt.Sprintf("the lane of %s is out of order", lead)
				}
				last = r.entry.first
			}
			if lane.out < 0 || lane.out > len(lane.rows) {
				return fmt.Sprintf("the lane of %s has %d of %d rows out", lead, lane.out, len(lane.rows))
			}
			if lane.out == 0 && lane.in == nil && !lane.beyond && len(lane.rows) > 0 && !l.draining {
				return fmt.Sprintf("the lane of %s has rows, none out, and is not queued: it would wait for ever", lead)
			}
		}
	}
	switch {
	case unsettled != e.unsettled || bytes != e.bytes:
		return fmt.Sprintf("%d records and %d bytes are charged, %d and %d are unsettled", e.unsettled, e.bytes, unsettled, bytes)
	case e.unsettled > e.cfg.Window:
		return fmt.Sprintf("%d unsettled records in a window of %d", e.unsettled, e.cfg.Window)
	case e.bytes > int64(e.cfg.WindowBytes) && e.unsettled > 1:
		return fmt.Sprintf("%d unsettled bytes in a window of %d", e.bytes, e.cfg.WindowBytes)
	case e.inFlight() > e.cfg.InFlight:
		return fmt.Sprintf("%d calls without a recorded outcome, in_flight is %d", e.inFlight(), e.cfg.InFlight)
	case len(e.unrecorded) > 2*e.cfg.InFlight:
		return fmt.Sprintf("%d calls whose outcome is not recorded are kept, in_flight is %d", len(e.unrecorded), e.cfg.InFlight)
	}
	ready := 0
	for _, l := range e.queue.ready.list {
		ready += len(l.rows)
	}
	if ready != e.queue.rows {
		return fmt.Sprintf("%d rows are counted as ready, %d are", e.queue.rows, ready)
	}
	return ""
}

// Suspend keeps the loop from turning for a while of virtual time, as when the process is stopped.
func (c *Connector) Suspend(ctx context.Context, d time.Duration) error {
	return c.ask(ctx, func(*engine) { <-time.NewTimer(d).C })
}
