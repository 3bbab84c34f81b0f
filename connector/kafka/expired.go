package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
)

// fetched follows which records the client has fetched and no poll has returned:
// they are still delivered, though the brokers may have deleted them meanwhile.
type fetched struct {
	mu sync.Mutex
	of map[partition]waiting
}

type waiting struct {
	connector.Range
	records int
}

// OnFetchRecordBuffered implements kgo.HookFetchRecordBuffered.
func (f *fetched) OnFetchRecordBuffered(r *kgo.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := partition{r.Topic, r.Partition}
	w := f.of[at]
	if w.records == 0 {
		w.First = r.Offset
	}
	w.Last = r.Offset
	w.records++
	f.of[at] = w
}

// OnFetchRecordUnbuffered implements kgo.HookFetchRecordUnbuffered. What was polled
// counts until stamp has taken it in, or it would be nowhere meanwhile.
func (f *fetched) OnFetchRecordUnbuffered(r *kgo.Record, polled bool) {
	if !polled {
		f.took(partition{r.Topic, r.Partition}, r.Offset, 1)
	}
}

// took takes in that so many records wait no more, up to the offset.
func (f *fetched) took(at partition, last int64, records int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.of[at]
	w.First = last + 1
	if w.records -= records; w.records <= 0 {
		delete(f.of, at)
		return
	}
	f.of[at] = w
}

// at returns what of the partition waits to be polled.
func (f *fetched) at(p partition) (w connector.Range, any bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	of, any := f.of[p]
	return of.Range, any
}

// startsAt takes in where a partition's log starts, and reports whether records were
// deleted before they were read. The caller holds mu.
func (c *session) startsAt(o *connector.Ownership, start int64) (lost bool) {
	at := partition{o.Topic, o.Partition}
	held := c.owned[at]
	if held.Ownership != o {
		return false
	}
	o.LogStart.Store(max(start, o.LogStart.Load()))
	gone := connector.Range{First: held.next, Last: start - 1}
	if w, any := c.fetched.at(at); any && w.First > held.next {
		gone.Last = min(w.First, start) - 1 // what is behind is judged once that was polled
	} else if any {
		gone.First = w.Last + 1
	}
	return c.judge(at, gone)
}

// missing takes in that a poll goes on at the offset: what was not polled before it
// and before the log's start is gone. The caller holds mu.
func (c *session) missing(at partition, offset, start int64) {
	c.judge(at, connector.Range{First: c.owned[at].next, Last: min(offset, start) - 1})
}

// judge takes in that the offsets are gone, but for those that it knows of, and
// reports whether there are any. The caller holds mu.
func (c *session) judge(at partition, gone connector.Range) (lost bool) {
	held := c.owned[at]
	if held.next < 0 || gone.First > gone.Last {
		return false
	}
	known := held.judged
	lost = c.expired(held.Ownership, connector.Range{First: gone.First, Last: min(gone.Last, known.First-1)})
	lost = c.expired(held.Ownership, connector.Range{First: max(gone.First, known.Last+1), Last: gone.Last}) || lost
	if known.Last < held.next {
		known = gone
	}
	held.judged = connector.Range{First: min(known.First, gone.First), Last: max(known.Last, gone.Last)}
	c.owned[at] = held
	return lost
}

// expired says and counts that the brokers deleted records of the range before they
// were read, less those that an earlier owner has finished.
func (c *session) expired(o *connector.Ownership, gone connector.Range) bool {
	if gone.First > gone.Last {
		return false
	}
	lost := gone.Last + 1 - gone.First
	for _, r := range o.Finished {
		lost -= max(0, min(r.Last, gone.Last)+1-max(r.First, gone.First))
	}
	if before := o.Gone.Load(); before != nil && before.Last+1 == gone.First {
		o.Gone.Store(&connector.Range{First: before.First, Last: gone.Last})
	} else {
		o.Gone.Store(&gone)
	}
	if lost > 0 {
		o.Lost.Add(lost)
		c.log.Error("records were deleted before they were delivered; raise the topic's retention",
			"topic", o.Topic, "partition", o.Partition, "first", gone.First, "last", gone.Last, "records at most", lost)
	}
	return true
}
