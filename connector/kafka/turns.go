package kafka

import (
	"maps"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/leadsink/leadsink/connector"
)

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
func (t *turns) count(topics kadm.TopicDetails) {
	c := t.session
	if c.source.settings.Config.Single() {
		return // one member has every slot, whatever its turns are
	}
	now, changed := c.turnsBy(topics)
	if !t.stale && !changed {
		return
	}
	if !t.stale {
		c.log.Info("partitions have been added or topics have gone: slots are not used until every member has noticed")
		if c.tellTurns(nil) != done {
			return
		}
		t.stale = true
	}
	if !maps.Equal(now, t.last) {
		t.last, t.agreed = now, 0
	}
	if t.agreed++; t.agreed < agreeing || c.tellTurns(now) != done {
		return
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
