package connector

import (
	"context"
	"slices"
	"time"

	"github.com/leadsink/leadsink/transform"
)

// mostPolled is the most records of one poll.
const mostPolled = 500

// liveFor is how old a record may be when it is taken in to count as live: calls
// of the day that are kept in reserve are for such records.
const liveFor = 5 * time.Minute

// mostUnprepared bounds how long the intake waits before it tries again to
// prepare a record.
const mostUnprepared = 15 * time.Second

// A grant is the leave to take in so much.
type grant struct {
	records int
	bytes   int64
	alone   bool       // nothing is unsettled: a record larger than the whole window may go in
	without *Ownership // that has ended: its records are not worth waiting for
}

// mapped is a record with what the rules made of it.
type mapped struct {
	record  Record
	mapping transform.Mapping
}

// size is what the record takes of the window.
func (m *mapped) size() int64 { return int64(m.record.Size() + m.mapping.Size()) }

// taken is what the intake made of one grant.
type taken struct {
	records []mapped
	next    int64 // size of the next record, which was polled and did not fit; 0 without one
	err     error // the poll failed
	unready *unready
}

// An unready record cannot be mapped for now: what it needs from outside
// cannot be had. The intake keeps it, and those behind it.
type unready struct {
	owner *Ownership
	why   error
}

// An intake polls, decodes and maps, one grant at a time. What it hands over
// may belong to ownerships that have ended since: the loop drops it. So it
// never waits for the loop while the group waits for it.
type intake struct {
	source Source
	mapper Mapper
	grants chan grant // of capacity 1: the loop gives none before the last was used
	taken  chan taken
	done   chan struct{}
	stop   func()

	polled []Record // polled beyond a grant's bytes; owned by run
}

func startIntake(ctx context.Context, source Source, mapper Mapper) *intake {
	ctx, cancel := context.WithCancel(ctx)
	in := &intake{
		source: source, mapper: mapper,
		grants: make(chan grant, 1), taken: make(chan taken, 1), done: make(chan struct{}),
	}
	in.stop = func() { cancel(); <-in.done }
	go in.run(ctx) // ends with ctx; stop waits for it
	return in
}

func (in *intake) run(ctx context.Context) {
	defer close(in.done)
	for {
		select {
		case g := <-in.grants:
			t := in.use(ctx, g)
			if ctx.Err() != nil {
				return
			}
			in.taken <- t // has room: one grant, one taken
		case <-ctx.Done():
			return
		}
	}
}

// use polls for the grant if nothing is left of the last poll, and maps what
// fits into it.
func (in *intake) use(ctx context.Context, g grant) taken {
	if g.without != nil {
		in.polled = slices.DeleteFunc(in.polled, func(r Record) bool { return r.Owner == g.without })
	}
	if len(in.polled) == 0 {
		records, err := in.source.Poll(ctx, min(g.records, mostPolled))
		if err != nil {
			return taken{err: err}
		}
		in.polled = records
	}
	var t taken
	for len(in.polled) > 0 && len(t.records) < g.records {
		r := in.polled[0]
		size := int64(r.Size())
		if g.bytes -= size; g.bytes < 0 && (!g.alone || len(t.records) > 0) {
			t.next = size
			break
		}
		if err := in.mapper.Prepare(ctx, &r.Record); err != nil {
			t.unready = &unready{r.Owner, err}
			break
		}
		// A small record may make many activities: they are charged too, and mapped
		// again when there is room for them.
		m := mapped{r, in.mapper.Map(&r.Record)}
		if g.bytes -= m.size() - size; g.bytes < 0 && (!g.alone || len(t.records) > 0) {
			t.next = m.size()
			break
		}
		in.polled[0] = Record{}
		in.polled = in.polled[1:]
		t.records = append(t.records, m)
	}
	return t
}

// grant gives the intake leave to take in as much as the window has room for.
func (e *engine) grant() {
	if e.unready != nil && e.ledgers[e.unready.owner] == nil {
		e.gone, e.unready, e.prepares, e.pollAt = e.unready.owner, nil, 0, time.Time{}
	}
	room := grant{e.cfg.Window - e.unsettled, int64(e.cfg.WindowBytes) - e.bytes, e.unsettled == 0, e.gone}
	if e.granted || e.stopping || len(e.ledgers) == 0 || e.now.Before(e.pollAt) || e.halts.from() <= e.placed {
		return
	}
	if room.records <= 0 || room.bytes < max(e.nextSize, 1) && !room.alone {
		return
	}
	e.granted, e.gone = true, nil
	e.intake.grants <- room // has room: nothing was granted before
}

// take tracks records and puts their activities into lanes.
func (e *engine) take(t taken) {
	e.granted, e.nextSize = false, t.next
	e.lookForArrivals()
	e.lookForLosses()
	if t.err != nil {
		e.log.Warn("poll failed", "error", t.err)
		e.pollAt = e.now.Add(tryAgain)
		return
	}
	for i := range t.records {
		m := &t.records[i]
		l := e.ledgers[m.record.Owner]
		// Invariant 5: the ownership has ended, so the record is another
		// member's, or will be polled again.
		if l == nil || l.draining || l.stale(&m.record) {
			continue
		}
		if l.truncated(&m.record) {
			l = e.startOver(l, m.record.Offset)
		}
		if halted := e.takeOne(l, m); halted {
			return // until a restart: what comes after the record stays in Kafka
		}
	}
	e.await(t)
}

// await lets the intake try again, later, where it could not prepare a record.
func (e *engine) await(t taken) {
	waited := e.unready != nil
	e.unready = t.unready
	switch {
	case t.unready != nil:
		if !waited {
			e.log.Warn("records cannot be decoded for now, and wait", "for", t.unready.why)
		}
		if len(t.records) > 0 {
			e.prepares = 0
		}
		e.pollAt = e.now.Add(e.backoff(e.prepares, mostUnprepared))
		e.prepares++
	case waited:
		e.log.Info("records can be decoded again", "tries", e.prepares)
		e.prepares = 0
	}
}

// takeOne tracks a record. It reports whether that halts the connector until it is
// started with another document.
func (e *engine) takeOne(l *ledger, m *mapped) (halted bool) {
	entry, finished := l.track(m.record)
	entry.size = m.size()
	e.placed++
	entry.place = e.placed
	entry.live = e.now.Sub(m.record.Timestamp) <= liveFor
	if finished {
		e.changedNow(l)
		return false
	}
	// Invariant 4: every unsettled record is charged until its fate.
	e.unsettled++
	e.bytes += entry.size
	e.follow(entry)
	switch m.mapping.Decision {
	case transform.Send:
		e.line(l, entry, m.mapping.Activities)
	case transform.Filter:
		e.fate(entry, "filtered")
	case transform.Bury:
		e.die(entry, &DeadLetter{Record: m.record, Reason: m.mapping.Reason})
		return e.letters == nil
	case transform.Halt:
		e.halt(halt{from: entry.place, words: haltedAt(m), restart: true})
		return true
	}
	return false
}

// line puts a record's activities into the lanes of their leads.
func (e *engine) line(l *ledger, en *entry, activities []transform.Activity) {
	rows := make([]*row, len(activities))
	for i := range activities {
		a := &activities[i]
		lane := l.lane(a.Lead, e.cfg.Order == "lead")
		e.rowed++
		rows[i] = &row{activity: a, entry: en, lane: lane, place: e.rowed, arrived: e.now, hindered: e.hindered}
		lane.rows = append(lane.rows, rows[i])
		e.queue.grew(lane)
		e.queue.push(lane, e.now)
	}
	en.open, en.all = len(rows), rows
	e.inherit(l, rows)
	if !l.told(en) {
		e.changedNow(l) // a commit is to say so before it is sent
	}
}
