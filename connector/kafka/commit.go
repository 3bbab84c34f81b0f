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
func (s *Source) Commit(ctx context.Context, progress []connector.Progress) error {
	return s.current.Load().commit(ctx, progress)
}

func (c *session) commit(ctx context.Context, progress []connector.Progress) error {
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
		return fmt.Errorf("commit offsets: %w", err)
	}
	var left error // what prepare left out
	ctx = kgo.PreCommitFnContext(ctx, func(r *kmsg.OffsetCommitRequest) error {
		left = c.prepare(r, byPartition)
		if len(r.Topics) == 0 {
			return errors.Join(left, ErrNotOwned) // an empty request proves nothing
		}
		return nil
	})
	ctx, cancel := either(ctx, c.ctx)
	defer cancel()
	var answer error
	c.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, asked *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		if answer = err; err == nil {
			answer = c.accepted(asked, r)
		}
	})
	if err := errors.Join(answer, left); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	return nil
}

// prepare leaves out what is not owned any more and writes the metadata, where
// the client library would write its member id. It runs at the last moment
// before the request goes out.
func (c *session) prepare(r *kmsg.OffsetCommitRequest, byPartition map[partition]connector.Progress) (left error) {
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
				left = errors.Join(left, fmt.Errorf("%s[%d]: %w", t.Topic, p.Partition, ErrNotOwned))
				continue
			}
			m := Metadata{progress.Finished, progress.FinishedEpoch, progress.Doubt, progress.Day}
			text, left := m.Encode(o.topicID, progress.Next)
			if left > 0 {
				c.log.Warn("a commit's metadata has no room for all finished and held ranges; a restart would send the rest again",
					"topic", t.Topic, "partition", p.Partition, "finished", len(progress.Finished), "held", len(progress.Doubt.Held), "left out", left)
			}
			p.Metadata = &text
			partitions = append(partitions, p)
		}
		if t.Partitions = partitions; len(partitions) > 0 {
			topics = append(topics, t)
		}
	}
	r.Topics = topics
	return left
}

// accepted returns nil if every position that was asked for was taken. An
// answer that says that this is no member any more ends the lease.
func (c *session) accepted(asked *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse) error {
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
	var all []error
	for _, t := range asked.Topics {
		for _, p := range t.Partitions {
			code, ok := codes[name(t.Topic, t.TopicID, p.Partition)]
			err := kerr.ErrorForCode(code)
			if !ok {
				err = errUnanswered
			}
			if err != nil {
				all = append(all, fmt.Errorf("%s[%d]: %w", t.Topic, p.Partition, err))
			}
			if expels(code) {
				c.lease.end(err)
			}
		}
	}
	return errors.Join(all...)
}
