package kafka

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector"
)

// How far the engine got with a rebalance.
type heard int

const (
	untold heard = iota // ctx ended, or the engine was detached, before it took it
	taken               // the same before it was done with it
	done
)

// tell hands a rebalance to the engine and waits until it is done with it. The
// caller holds speak.
func (s *Source) tell(ctx context.Context, kind connector.RebalanceKind, owners []*connector.Ownership) heard {
	return s.hand(ctx, connector.Rebalance{Kind: kind, Owners: owners})
}

func (s *Source) hand(ctx context.Context, r connector.Rebalance) heard {
	answered := make(chan struct{})
	r.Done = func() { close(answered) }
	select {
	case s.rebalances <- r:
	case <-s.detached:
		return untold
	case <-ctx.Done():
		return untold
	}
	select {
	case <-answered:
		return done
	case <-s.detached:
	case <-ctx.Done():
	}
	return taken
}

// tell is Source.tell for callbacks: it waits for its turn, and is mute once
// the session is over.
func (c *session) tell(ctx context.Context, kind connector.RebalanceKind, owners []*connector.Ownership) heard {
	return c.hand(ctx, connector.Rebalance{Kind: kind, Owners: owners})
}

// tellTurns tells the engine the turns of what it owns, nil if they are not known.
func (c *session) tellTurns(turns map[*connector.Ownership]connector.Turn) heard {
	return c.hand(c.ctx, connector.Rebalance{Kind: connector.Renumbered, Turns: turns})
}

func (c *session) hand(ctx context.Context, r connector.Rebalance) heard {
	ctx, cancel := either(ctx, c.ctx)
	defer cancel()
	select {
	case c.source.speak <- struct{}{}:
		defer func() { <-c.source.speak }()
	case <-ctx.Done():
		return untold
	}
	if c.ctx.Err() != nil {
		return untold
	}
	return c.source.hand(ctx, r)
}

// onAssigned runs at each assignment, an empty one too. Ownerships begin in
// onOffsets, since the committed positions are not known yet; here the engine
// only learns that the group was joined.
func (c *session) onAssigned(ctx context.Context, client *kgo.Client, _ map[string][]int32) {
	if c.source.settings.Config.Protocol == "kip848" {
		c.askTimeout(ctx, client)
	}
	c.source.join()
	if !c.announced {
		c.announced = c.tell(ctx, connector.Assigned, nil) != untold
	}
}

// onOffsets runs when the positions of new partitions have been fetched, before
// any record of them is. It returns when the engine has taken the ownerships up.
func (c *session) onOffsets(ctx context.Context, client *kgo.Client, r *kmsg.OffsetFetchResponse) error {
	topics, err := c.topics(ctx, client)
	if err != nil {
		return err
	}
	var begun []owned
	var fresh []*connector.Ownership
	for _, g := range r.Groups {
		for _, t := range g.Topics {
			id := topics[t.Topic].ID
			for _, p := range t.Partitions {
				why := kerr.ErrorForCode(p.ErrorCode)
				if t.Topic != "" { // an unknown topic's id
					c.isRead(partition{t.Topic, p.Partition}, why)
				}
				if why == nil && !c.owns(partition{t.Topic, p.Partition}) {
					delete(c.begins, partition{t.Topic, p.Partition}) // of an assignment that came to nothing
					o := c.ownership(t.Topic, id, p)
					begun = append(begun, owned{Ownership: o, topicID: id})
					if o.Committed < 0 {
						fresh = append(fresh, o)
					}
				}
			}
		}
	}
	if len(begun) == 0 {
		return nil
	}
	if err := c.begin(ctx, client, fresh); err != nil {
		return err
	}
	slices.SortFunc(begun, func(a, b owned) int { return inOrder(a.Ownership, b.Ownership) })
	owners := make([]*connector.Ownership, len(begun))
	for i, o := range begun {
		begun[i].next, begun[i].judged = o.Committed, connector.Range{Last: -1}
		begun[i].turn = turn(topics, o.Topic, o.Partition)
		o.Turn = begun[i].turn
		owners[i] = o.Ownership
	}
	c.own(begun)
	if c.tell(ctx, connector.Assigned, owners) == untold {
		c.disown(owners)
		return errors.Join(ctx.Err(), c.ctx.Err()) // nil if the engine was detached: then nobody polls
	}
	c.lookNow()
	return ctx.Err()
}

func (c *session) ownership(topic string, id kadm.TopicID, p kmsg.OffsetFetchResponseGroupTopicPartition) *connector.Ownership {
	o := &connector.Ownership{Topic: topic, Partition: p.Partition, Committed: max(-1, p.Offset), CommittedEpoch: -1, FinishedEpoch: -1}
	o.End.Store(o.Committed)
	o.Span.Store(max(1, spanOf(int(c.room.Load()))))
	if o.Committed >= 0 {
		o.CommittedEpoch = p.LeaderEpoch
	}
	if p.Metadata == nil || o.Committed < 0 {
		return o
	}
	m, err := DecodeMetadata(*p.Metadata, id, o.Committed)
	switch {
	case errors.Is(err, errTopic) && c.source.isAnew(topic):
		// A commit for the deleted topic that came after the new one was made.
		o.Committed, o.CommittedEpoch = -1, -1
		return o
	case errors.Is(err, errTopic):
		c.log.Error("a position was committed for another topic of this name, and is kept; if the topic was deleted and made anew, what it holds before the position is not read: stop leadsink and set the group's offset to the earliest",
			"topic", topic, "partition", p.Partition, "position", o.Committed, "reason", err)
		return o
	case err != nil:
		c.log.Warn("the commit's metadata is ignored; records finished beyond the committed offset are sent again, and those in doubt are not asked for",
			"topic", topic, "partition", p.Partition, "reason", err)
		return o
	}
	c.groupBegan(m.Start)
	o.Finished, o.FinishedEpoch, o.Doubt, o.Day = m.Finished, m.FinishedEpoch, m.Doubt, m.Day
	return o
}

// onRevoked runs when partitions are to be let go, and with none at all.
func (c *session) onRevoked(ctx context.Context, _ *kgo.Client, revoked map[string][]int32) {
	c.notAssigned(revoked)
	if owners := c.among(revoked); len(owners) > 0 {
		heard := c.tell(ctx, connector.Revoked, owners)
		// Invariant 5: after Done nothing is committed for them.
		c.letGo(owners, heard)
	}
}

// onLost runs when the group has given partitions away already.
func (c *session) onLost(ctx context.Context, _ *kgo.Client, lost map[string][]int32) {
	c.notAssigned(lost)
	if owners := c.among(lost); len(owners) > 0 {
		c.endCommits(owners)
		c.letGo(owners, c.tell(ctx, connector.Lost, owners))
	}
}

// letGo ends ownerships. They are forgotten only if the engine is done with
// them: when the lease ended before that, lose tells it that they are lost.
func (c *session) letGo(owners []*connector.Ownership, heard heard) {
	c.endCommits(owners)
	if heard == done {
		c.disown(owners)
	}
}

// among returns the ownerships of the partitions that the engine has.
func (c *session) among(partitions map[string][]int32) []*connector.Ownership {
	c.mu.Lock()
	defer c.mu.Unlock()
	var owners []*connector.Ownership
	for topic, indexes := range partitions {
		for _, index := range indexes {
			if o, ok := c.owned[partition{topic, index}]; ok {
				owners = append(owners, o.Ownership)
			}
		}
	}
	slices.SortFunc(owners, inOrder)
	return owners
}

func (c *session) owns(p partition) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.owned[p]
	return ok
}

func (c *session) own(begun []owned) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range begun {
		if c.began[o.Topic] == (kadm.TopicID{}) {
			c.began[o.Topic] = o.topicID
		}
		c.owned[partition{o.Topic, o.Partition}] = o
		delete(c.unread, partition{o.Topic, o.Partition})
	}
}

// endCommits makes commits for the ownerships impossible.
func (c *session) endCommits(owners []*connector.Ownership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range owners {
		p := partition{o.Topic, o.Partition}
		if held := c.owned[p]; held.Ownership == o {
			held.ended = true
			c.owned[p] = held
		}
	}
}

func (c *session) disown(owners []*connector.Ownership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range owners {
		p := partition{o.Topic, o.Partition}
		if c.owned[p].Ownership == o {
			delete(c.owned, p)
		}
	}
}

// disownAll ends every ownership and returns them.
func (c *session) disownAll() []*connector.Ownership {
	c.mu.Lock()
	defer c.mu.Unlock()
	var owners []*connector.Ownership
	for _, o := range c.owned {
		owners = append(owners, o.Ownership)
	}
	clear(c.owned)
	slices.SortFunc(owners, inOrder)
	return owners
}

func inOrder(a, b *connector.Ownership) int {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}
