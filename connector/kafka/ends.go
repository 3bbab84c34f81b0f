package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/leadsink/leadsink/connector"
)

const (
	endsEvery   = 15 * time.Second
	endsTimeout = 10 * time.Second
	lookGap     = time.Second // between two looks, however many want one
)

// followEnds keeps the end offsets of what is owned up to date, also while
// nothing is polled. It ends with the session.
func (c *session) followEnds() {
	ticker := time.NewTicker(endsEvery)
	defer ticker.Stop()
	topics, turns := lives{session: c, missing: map[string]int{}}, turns{session: c}
	var looked time.Time
	for {
		select {
		case <-ticker.C:
		case <-c.nudge:
			rest(c.ctx, lookGap-time.Since(looked))
		case <-c.ctx.Done():
			return
		}
		looked = time.Now()
		c.recover()
		if there, err := c.topics(c.ctx, c.client); err == nil {
			topics.look(there)
			turns.count(there)
		} else if c.ctx.Err() == nil {
			c.log.Warn("topics that are deleted, and partitions that are added, are not noticed", "error", err)
		}
		owners := c.all()
		if len(owners) == 0 {
			continue
		}
		lost, err := c.lookAtLogs(owners)
		if err != nil && c.ctx.Err() == nil {
			c.log.Warn("end offsets are not known; the lag is out of date", "error", err)
		}
		if len(lost) > 0 {
			c.tell(c.ctx, connector.Expired, lost)
		}
	}
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (c *session) all() []*connector.Ownership {
	c.mu.Lock()
	defer c.mu.Unlock()
	owners := make([]*connector.Ownership, 0, len(c.owned))
	for _, o := range c.owned {
		owners = append(owners, o.Ownership)
	}
	return owners
}

// lookAtLogs learns the ends of the logs, and their starts: what the brokers deleted
// before it was read is lost. It returns where that is so.
func (c *session) lookAtLogs(owners []*connector.Ownership) (lost []*connector.Ownership, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, endsTimeout)
	defer cancel()
	admin := kadm.NewClient(c.client)
	topics := topicsOf(owners)
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range owners {
		if end, ok := ends.Lookup(o.Topic, o.Partition); ok && end.Err == nil {
			o.End.Store(end.Offset)
		}
		if start, ok := starts.Lookup(o.Topic, o.Partition); ok && start.Err == nil {
			if c.startsAt(o, start.Offset) {
				lost = append(lost, o)
			}
		}
	}
	return lost, nil
}

func topicsOf(owners []*connector.Ownership) []string {
	seen := map[string]bool{}
	var topics []string
	for _, o := range owners {
		if !seen[o.Topic] {
			seen[o.Topic] = true
			topics = append(topics, o.Topic)
		}
	}
	return topics
}
