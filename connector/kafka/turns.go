package kafka

import (
	"context"
	"maps"
	"regexp"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
)

// topics describes the topics that are consumed. Turns depend on it, so it is an
// error if one of them cannot be described.
func (c *session) topics(ctx context.Context, client *kgo.Client) (kadm.TopicDetails, error) {
	ctx, cancel := context.WithTimeout(ctx, endsTimeout) // the group waits for it
	defer cancel()
	cfg := c.source.settings.Config
	admin := kadm.NewClient(client)
	if cfg.TopicsRegex == "" {
		topics, err := admin.ListTopics(ctx, cfg.Topics...)
		if err != nil {
			return nil, err
		}
		return topics, topics.Error()
	}
	// Of the client's own list every member has another, up to five minutes old.
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	wanted, err := regexp.Compile(cfg.wholeRegex())
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(topics, func(name string, _ kadm.TopicDetail) bool { return !wanted.MatchString(name) })
	return topics, topics.Error()
}

// turn is the partition's place among all partitions of the topics, ordered by
// topic and partition.
func turn(topics kadm.TopicDetails, topic string, index int32) (t connector.Turn) {
	for _, d := range topics.Sorted() {
		n := len(d.Partitions)
		switch {
		case d.Topic == topic:
			n = max(n, int(index)+1) // metadata may be older than the assignment
			t.Turn += int(index)
		case d.Topic < topic:
			t.Turn += n
		}
		t.Of += n
	}
	return t
}

// agreeing is how many looks at the topics must give the same turns before they
// are used: within that time every other member has noticed too, and uses no slot.
const agreeing = 3

// turns keeps the turns of what is owned right while partitions share the slots:
// when partitions are added, members with turns of another count would use the same
// slots. It belongs to one goroutine.
type turns struct {
	session *session
	stale   bool // the engine was told that turns are not known
	last    map[*connector.Ownership]connector.Turn
	agreed  int // looks in a row that gave the last ones
}

// count looks at the topics.
func (t *turns) count() error {
	c := t.session
	if c.source.settings.Config.Single() {
		return nil // one member has every slot, whatever its turns are
	}
	topics, err := c.topics(c.ctx, c.client)
	if err != nil {
		return err
	}
	now, changed := c.turnsBy(topics)
	if !t.stale && !changed {
		return nil
	}
	if !t.stale {
		c.log.Info("partitions have been added or topics have gone: slots are not used until every member has noticed")
		if c.tellTurns(nil) != done {
			return nil
		}
		t.stale = true
	}
	if !maps.Equal(now, t.last) {
		t.last, t.agreed = now, 0
	}
	if t.agreed++; t.agreed < agreeing || c.tellTurns(now) != done {
		return nil
	}
	t.stale, t.last = false, nil
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, o := range c.owned {
		if turn, ok := now[o.Ownership]; ok {
			o.turn = turn
			c.owned[p] = o
		}
	}
	return nil
}

// turnsBy returns the turns of what is owned, and whether they are others than the
// engine knows.
func (c *session) turnsBy(topics kadm.TopicDetails) (now map[*connector.Ownership]connector.Turn, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now = map[*connector.Ownership]connector.Turn{}
	for p, o := range c.owned {
		now[o.Ownership] = turn(topics, p.topic, p.index)
		changed = changed || now[o.Ownership] != o.turn
	}
	return now, changed
}
