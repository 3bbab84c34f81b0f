package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
)

// kafka.start is applied once, to the group, and what it means for a partition is
// committed when the partition is first taken up: otherwise "latest" would mean
// something else after each restart, and skip what was written meanwhile.
//
// A group without any commit begins now. One that has commits has begun before: a
// partition or topic without a commit appeared later, and is read from its
// beginning. Only when the group is a few minutes old may it be that several members
// met it at the same moment, and that one ended before its first commit. So every
// commit says when the group began, and in a young group "latest" is the first
// record from that moment on.
//
// What this process has not seen at its first look has appeared since, and is read
// from its beginning in whatever group: a young one goes by the records' own times,
// which may be of long ago.

// youngFor is how long after its beginning a group may have partitions that were
// there then and have no commit.
const youngFor = 10 * time.Minute

// A beginning is where a partition without a position begins.
type beginning struct {
	kind  int // one of the kinds below
	milli int64
}

const (
	atBeginning = iota
	atEnd
	atTime
)

// offset is the beginning for the client library, which looks it up itself as soon
// as the partition has a leader.
func (b beginning) offset() kgo.Offset {
	if b.kind == atBeginning {
		return kgo.NewOffset().AtStart()
	}
	return kgo.NewOffset().AfterMilli(b.milli)
}

// begin decides where partitions begin that have no position.
func (c *session) begin(ctx context.Context, client *kgo.Client, fresh []*connector.Ownership) error {
	if len(fresh) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endsTimeout)
	defer cancel()
	admin := kadm.NewClient(client)
	commits, err := admin.FetchOffsets(ctx, c.source.settings.Config.Group)
	if err != nil {
		return err
	}
	begun := false
	commits.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			begun = true
			c.groupBegan(metadataStart(o.Metadata))
		}
	})
	now := time.Now()
	if !begun {
		c.groupBegan(now)
	}
	kinds := map[beginning][]*connector.Ownership{}
	for _, o := range fresh {
		b := c.beginning(partition{o.Topic, o.Partition}, begun, now)
		kinds[b] = append(kinds[b], o)
	}
	for b, owners := range kinds {
		if err := c.resolve(ctx, admin, b, owners); err != nil {
			return err
		}
	}
	return nil
}

// groupBegan notes when the group began, of several moments the first.
func (c *session) groupBegan(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !at.IsZero() && (c.start.IsZero() || at.Before(c.start)) {
		c.start = at
	}
}

func (c *session) beginning(p partition, begun bool, now time.Time) beginning {
	c.mu.Lock()
	start := c.start
	c.mu.Unlock()
	text := c.source.settings.Config.Start
	if text == "earliest" || c.source.isAnew(p.topic) || c.source.appeared(p) || begun && (start.IsZero() || now.Sub(start) > youngFor) {
		return beginning{kind: atBeginning}
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return beginning{atTime, at.UnixMilli()}
	}
	if begun {
		return beginning{atTime, start.UnixMilli()}
	}
	return beginning{atEnd, now.UnixMilli()}
}

// looked remembers the first look at the topics.
func (s *Source) looked(topics kadm.TopicDetails) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first != nil {
		return
	}
	s.first = map[string]int{}
	for name, d := range topics {
		switch {
		case d.Err == nil:
			s.first[name] = len(d.Partitions)
		case !topicGone(d.Err):
			s.first[name] = -1
		}
	}
}

// appeared reports whether the partition was not there at the first look.
func (s *Source) appeared(p partition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, there := s.first[p.topic]
	return s.first != nil && (!there || n >= 0 && int(p.index) >= n)
}

// resolve looks up the offsets of beginnings of one kind. A partition without a
// leader is left to the client library: no other waits for it.
func (c *session) resolve(ctx context.Context, admin *kadm.Client, b beginning, owners []*connector.Ownership) error {
	var listed kadm.ListedOffsets
	var err error
	switch topics := topicsOf(owners); b.kind {
	case atBeginning:
		listed, err = admin.ListStartOffsets(ctx, topics...)
	case atEnd: // of what is readable: a transaction under way may be committed yet
		listed, err = admin.ListCommittedOffsets(ctx, topics...)
	case atTime:
		listed, err = admin.ListOffsetsAfterMilli(ctx, b.milli, topics...)
	}
	var some *kadm.ShardErrors
	if err != nil && !errors.As(err, &some) {
		return err
	}
	for _, o := range owners {
		at := b.offset()
		if l, ok := listed.Lookup(o.Topic, o.Partition); ok && l.Err == nil && l.Offset >= 0 {
			at = kgo.NewOffset().At(l.Offset)
			o.Committed, o.Fresh = l.Offset, true
			o.End.Store(l.Offset)
			c.log.Info("a partition without a position begins", "topic", o.Topic, "partition", o.Partition, "offset", l.Offset)
		}
		c.begins[partition{o.Topic, o.Partition}] = at
	}
	return nil
}

// adjust has the client library begin where begin decided.
func (c *session) adjust(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for at, offset := range c.begins {
		if _, asked := offsets[at.topic][at.index]; asked {
			offsets[at.topic][at.index] = offset
		}
	}
	clear(c.begins)
	return offsets, nil
}
