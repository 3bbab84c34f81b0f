package kafka

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector"
)

// topics describes the topics that are consumed. One that cannot be described for
// now is given as it was last; one that is missing, or may not be read, has an
// error and no partitions. So no topic stands in the way of another.
func (c *session) topics(ctx context.Context, client *kgo.Client) (kadm.TopicDetails, error) {
	ctx, cancel := context.WithTimeout(ctx, endsTimeout) // the group waits for it
	defer cancel()
	cfg := c.source.settings.Config
	// With a regular expression all are asked for: of the client's own list every
	// member has another, up to five minutes old.
	topics, err := kadm.NewClient(client).ListTopics(ctx, cfg.Topics...)
	if err != nil {
		return nil, err
	}
	if cfg.TopicsRegex != "" {
		wanted, err := regexp.Compile(cfg.wholeRegex())
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(topics, func(name string, _ kadm.TopicDetail) bool { return !wanted.MatchString(name) })
	}
	for name, d := range topics {
		if d.Err == nil {
			c.recovered(partition{name, wholeTopic})
		} else {
			c.suffers(partition{name, wholeTopic}, explained(name, d.Err, "correct kafka.topics"))
		}
	}
	c.source.looked(topics)
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, d := range topics {
		last, known := c.known[name]
		switch {
		case d.Err == nil:
			c.known[name] = d
		case known && !topicGone(d.Err):
			topics[name] = last
		}
	}
	return topics, nil
}

// topicGone reports whether the error says that there is no such topic, or no more.
func topicGone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

// lookNow has the topics looked at soon.
func (c *session) lookNow() {
	select {
	case c.nudge <- struct{}{}:
	default: // one is waiting already
	}
}

// stuckAfter is for how long a partition's topic is said to be unknown before it is
// taken up anew.
const stuckAfter = time.Minute

// goneAfter is how many looks in a row must miss a topic: a broker that has just
// started may not know it yet.
const goneAfter = 2

// lives follows the lives of the topics of which partitions are owned. A topic that
// is deleted, or deleted and made anew, does not come back by itself: the client
// library stays with the topic that it began with, and its commits are refused. It
// belongs to one goroutine.
type lives struct {
	session *session
	missing map[string]int // looks in a row
}

func (l *lives) look(topics kadm.TopicDetails) {
	c := l.session
	l.discover(topics)
	l.takeUp(topics)
	for name, id := range c.beganWith() {
		d, listed := topics[name]
		switch {
		case !listed || topicGone(d.Err):
			if l.missing[name]++; l.missing[name] < goneAfter {
				continue
			}
			c.log.Error("a topic was deleted: its partitions are given up, and what was not delivered of it is gone; the other topics go on. If it is made anew it is read from its beginning", "topic", name)
		case (d.Err != nil || sameTopic(d.ID, id)) && !c.stuck(name):
			delete(l.missing, name)
			c.client.ResumeFetchTopics(name)
			continue
		default:
			c.log.Error("a topic was deleted and made anew: what was not delivered of the old one is gone, and the new one is read from its beginning", "topic", name)
		}
		delete(l.missing, name)
		c.giveUp(name)
	}
}

// takeUp takes topics up anew of which partitions are assigned but not read, once
// their positions can be had. By itself the client library leaves such partitions
// alone until the next rebalance that moves them.
func (l *lives) takeUp(topics kadm.TopicDetails) {
	c := l.session
	for name, unread := range c.allUnread() {
		d, listed := topics[name]
		if !listed || d.Err != nil {
			continue
		}
		if slices.ContainsFunc(slices.Collect(maps.Values(unread)), func(err error) bool { return errors.Is(err, kerr.UnknownTopicID) }) {
			c.log.Error("a topic was deleted and made anew before its partitions were assigned: it is read from its beginning", "topic", name)
			c.giveUp(name)
			continue
		}
		if !c.positions(d, unread) {
			continue
		}
		c.log.Info("positions that could not be had can be had again: the topic is taken up anew", "topic", name)
		owners := c.of(name)
		c.letGo(owners, c.tell(c.ctx, connector.Revoked, owners))
		c.subscribeAnew(name)
	}
}

// positions reports whether the group's positions of the partitions can be had.
func (c *session) positions(d kadm.TopicDetail, of map[int32]error) bool {
	ctx, cancel := context.WithTimeout(c.ctx, endsTimeout)
	defer cancel()
	topic := kmsg.NewOffsetFetchRequestGroupTopic()
	topic.Topic, topic.TopicID, topic.Partitions = d.Topic, d.ID, slices.Collect(maps.Keys(of))
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group, group.Topics = c.source.settings.Config.Group, []kmsg.OffsetFetchRequestGroupTopic{topic}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Groups = append(req.Groups, group)
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil || len(resp.Groups) != 1 || resp.Groups[0].ErrorCode != 0 {
		return false
	}
	for _, t := range resp.Groups[0].Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return false
			}
		}
	}
	return true
}

// isRead notes whether the position of an assigned partition could be had.
func (c *session) isRead(p partition, why error) {
	if why != nil {
		c.suffers(p, why)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if why == nil {
		delete(c.unread, p)
		return
	}
	c.unread[p] = why
}

// notAssigned forgets partitions that are not the member's any more.
func (c *session) notAssigned(partitions map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, indexes := range partitions {
		for _, index := range indexes {
			delete(c.unread, partition{topic, index})
		}
	}
}

// allUnread returns the partitions that are assigned but not read, by topic, and why.
func (c *session) allUnread() map[string]map[int32]error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]map[int32]error{}
	for p, why := range c.unread {
		if all[p.topic] == nil {
			all[p.topic] = map[int32]error{}
		}
		all[p.topic][p.index] = why
	}
	return all
}

// discover has the client library take notice of partitions that were added, and of
// topics that match the regular expression now. By itself it looks every five minutes.
func (l *lives) discover(topics kadm.TopicDetails) {
	client := l.session.client
	read := client.GetConsumeTopics()
	for name, d := range topics {
		if d.Err == nil && (!slices.Contains(read, name) || !knows(client, name, len(d.Partitions))) {
			client.ForceMetadataRefresh()
			return
		}
	}
}

// knows reports whether the client library has heard of so many partitions.
func knows(client *kgo.Client, topic string, partitions int) bool {
	leader, epoch, err := client.PartitionLeader(topic, int32(partitions)-1) //nolint:gosec // Kafka counts them by 32 bits
	return leader >= 0 || epoch >= 0 || err != nil
}

// beganWith returns the topics of which partitions are or were owned, with the ids
// under which the client library reads them.
func (c *session) beganWith() map[string]kadm.TopicID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.began)
}

// sameTopic reports whether two ids may be one topic's. Old brokers give none.
func sameTopic(a, b kadm.TopicID) bool {
	return a == b || a == kadm.TopicID{} || b == kadm.TopicID{}
}

// stuck reports whether the brokers have said for long that they do not know the
// topic under the id with which it is read, though it is there.
func (c *session) stuck(topic string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, p := range c.plights {
		if at.topic == topic && at.index != wholeTopic && topicGone(p.why) && p.last.Sub(p.since) > stuckAfter {
			return true
		}
	}
	return false
}

// giveUp lets go of the partitions of a topic that is not there any more, and has
// the client library begin anew with whatever has its name from now on.
func (c *session) giveUp(topic string) {
	owners := c.of(topic)
	c.mu.Lock()
	delete(c.began, topic)
	c.mu.Unlock()
	c.source.madeAnew(topic)
	c.endCommits(owners)
	if len(owners) > 0 { // with KIP-848 the brokers may have revoked them already
		c.letGo(owners, c.tell(c.ctx, connector.Lost, owners))
	}
	c.subscribeAnew(topic)
}

// of returns the topic's partitions that the engine has.
func (c *session) of(topic string) (owners []*connector.Ownership) {
	for _, o := range c.all() {
		if o.Topic == topic {
			owners = append(owners, o)
		}
	}
	return owners
}

// subscribeAnew has the client library forget the topic, and ask for whatever has its name.
func (c *session) subscribeAnew(topic string) {
	if c.ctx.Err() != nil {
		return
	}
	c.forgetPlights(topic)
	c.client.ResumeFetchTopics(topic)
	c.client.PurgeTopicsFromConsuming(topic)
	c.client.AddConsumeTopics(topic) // nothing with a regular expression, which finds it by itself
}
