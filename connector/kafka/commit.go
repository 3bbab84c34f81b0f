package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector"
)

var errUnanswered = errors.New("the coordinator's answer leaves it out")

// Commit implements connector.Source. It is the only place where offsets are
// committed. Positions of ownerships that have ended are left out, and reported
// with ErrNotOwned.
func (s *Source) Commit(ctx context.Context, progress []connector.Progress) []error {
	byPartition, err := s.current.Load().commit(ctx, progress)
	errs := make([]error, len(progress))
	for i, p := range progress {
		refused, asked := byPartition[partition{p.Owner.Topic, p.Owner.Partition}]
		switch {
		case err != nil:
			errs[i] = fmt.Errorf("commit offsets: %w", err)
		case !asked:
			errs[i] = fmt.Errorf("commit the offset of %s[%d]: %w", p.Owner.Topic, p.Owner.Partition, errUnanswered)
		case refused != nil:
			errs[i] = fmt.Errorf("commit the offset of %s[%d]: %w", p.Owner.Topic, p.Owner.Partition, refused)
		}
	}
	return errs
}

// commit returns what became of each position, or why that is not known.
func (c *session) commit(ctx context.Context, progress []connector.Progress) (map[partition]error, error) {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	byPartition := map[partition]connector.Progress{}
	for _, p := range progress {
		if offsets[p.Owner.Topic] == nil {
			offsets[p.Owner.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.Owner.Topic][p.Owner.Partition] = kgo.EpochOffset{Epoch: p.Epoch, Offset: p.Next}
		byPartition[partition{p.Owner.Topic, p.Owner.Partition}] = p
	}
	if err := c.gate(); err != nil {
		return nil, err
	}
	results := map[partition]error{}
	ctx = kgo.PreCommitFnContext(ctx, func(r *kmsg.OffsetCommitRequest) error {
		c.prepare(r, byPartition, results)
		if len(r.Topics) == 0 {
			return ErrNotOwned // an empty request proves nothing
		}
		return nil
	})
	ctx, cancel := either(ctx, c.ctx)
	defer cancel()
	var answer error
	c.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, asked *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		if answer = err; err == nil {
			c.accepted(asked, r, results)
		}
	})
	return results, answer
}

// prepare leaves out what is not owned any more and writes the metadata, where
// the client library would write its member id. It runs at the last moment
// before the request goes out.
func (c *session) prepare(r *kmsg.OffsetCommitRequest, byPartition map[partition]connector.Progress, results map[partition]error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	topics := r.Topics[:0]
	for _, t := range r.Topics {
		partitions := t.Partitions[:0]
		for _, p := range t.Partitions {
			at := partition{t.Topic, p.Partition}
			progress, o := byPartition[at], c.owned[at]
			// Invariant 5: after the end of an ownership nothing is committed for it.
			if o.Ownership != progress.Owner || o.ended {
				results[at] = ErrNotOwned
				continue
			}
			p.Metadata = new(c.metadata(progress, o.topicID))
			partitions = append(partitions, p)
		}
		if t.Partitions = partitions; len(partitions) > 0 {
			topics = append(topics, t)
		}
	}
	r.Topics = topics
}

// metadata is what the commit of the position says besides it. The caller holds mu.
func (c *session) metadata(p connector.Progress, topicID [16]byte) string {
	m := Metadata{p.Finished, p.FinishedEpoch, p.Doubt, p.Day, c.start}
	room := int(c.room.Load())
	text, left := m.Encode(topicID, p.Next, room)
	if left > 0 {
		if !p.Begun.IsZero() && (m.Doubt.Since.IsZero() || p.Begun.Before(m.Doubt.Since)) {
			m.Doubt.Since = p.Begun // what is left out is asked for before it is sent again
			text, left = m.Encode(topicID, p.Next, room)
		}
		c.log.Warn("a commit's metadata has no room for all finished and held ranges; after a restart the rest is sent again, or asked for where there is a marker",
			"topic", p.Owner.Topic, "partition", p.Owner.Partition, "finished", len(p.Finished), "held", len(p.Doubt.Held), "left out", left)
	}
	if len(text) > room {
		return "" // a broker that takes less than a few words
	}
	return text
}

// narrow learns that the brokers take less metadata than was written.
func (c *session) narrow() {
	room := max(c.room.Load()/2, metadataLeast)
	if c.room.Swap(room) == room {
		return
	}
	c.log.Warn("the brokers take less metadata with a commit than usual; less can be sent beyond the oldest record without a fate",
		"bytes", room, "advice", "set offset.metadata.max.bytes of the brokers to 4096")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.owned {
		o.Span.Store(max(1, spanOf(int(room))))
	}
}

// accepted notes which of the positions that were asked for were taken. An
// answer that says that this is no member any more ends the lease.
func (c *session) accepted(asked *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, results map[partition]error) {
	type key struct {
		topic string
		id    [16]byte
		index int32
	}
	name := func(topic string, id [16]byte, index int32) key {
		if r.Version >= 10 { // names are left out, ids are in
			return key{id: id, index: index}
		}
		return key{topic: topic, index: index}
	}
	codes := map[key]int16{}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			codes[name(t.Topic, t.TopicID, p.Partition)] = p.ErrorCode
		}
	}
	tooLarge := false
	for _, t := range asked.Topics {
		for _, p := range t.Partitions {
			code, ok := codes[name(t.Topic, t.TopicID, p.Partition)]
			err := kerr.ErrorForCode(code)
			if !ok {
				err = errUnanswered
			}
			results[partition{t.Topic, p.Partition}] = err
			tooLarge = tooLarge || errors.Is(err, kerr.OffsetMetadataTooLarge)
			switch {
			case expels(code):
				c.lease.end(err)
			case topicGone(err):
				c.lookNow()
			}
		}
	}
	if tooLarge {
		c.narrow()
	}
}
