package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"

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
		o, ok := c.owned[partition{p.Topic, p.Partition}]
		if !ok {
			return
		}
		if len(p.Records) > 0 && p.HighWatermark >= 0 {
			o.End.Store(p.HighWatermark)
		}
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
		Timestamp: r.Timestamp, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value),
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, transform.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	return out
}

// fetchErrors returns the errors of a poll that somebody should know of.
func (c *session) fetchErrors(fetches kgo.Fetches) error {
	var all []error
	fetches.EachError(func(topic string, index int32, err error) {
		var session *kgo.ErrGroupSession
		var loss *kgo.ErrDataLoss
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed),
			errors.As(err, &session): // reported by its hook, and the client joins again by itself
		case errors.As(err, &loss):
			c.log.Error("the brokers lost records; reading goes on where kafka.start says or the logs part", "topic", topic, "partition", index, "error", err)
		default:
			all = append(all, fmt.Errorf("fetch %s[%d]: %w", topic, index, err))
		}
	})
	return errors.Join(all...)
}
