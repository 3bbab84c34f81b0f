package kafka

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/transform"
)

// stamp turns what was polled into records with their ownerships. Polls and
// callbacks exclude each other, so a partition without one was lost with the
// lease.
func (c *session) stamp(fetches kgo.Fetches) []connector.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	var records []connector.Record
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		at := partition{p.Topic, p.Partition}
		if len(p.Records) == 0 {
			return
		}
		last := p.Records[len(p.Records)-1].Offset
		c.fetched.took(at, last, len(p.Records))
		o, ok := c.owned[at]
		if !ok {
			return
		}
		if p.HighWatermark >= 0 {
			o.End.Store(p.HighWatermark)
		}
		c.missing(at, p.Records[0].Offset, p.LogStartOffset) // before what is behind a loss hides it
		o = c.owned[at]
		o.next = max(o.next, last+1)
		c.owned[at] = o
		for _, r := range p.Records {
			records = append(records, connector.Record{Record: copied(r), Owner: o.Ownership})
		}
	})
	return records
}

// copied copies the content too: otherwise a record that waits long would keep
// the whole answer in memory that it came with.
func copied(r *kgo.Record) transform.Record {
	out := transform.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, LeaderEpoch: r.LeaderEpoch,
		Timestamp: ownTime(r), Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value),
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, transform.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	return out
}
