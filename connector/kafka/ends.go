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
)

// followEnds keeps the end offsets of what is owned up to date, also while
// nothing is polled. It ends with the session.
func (c *session) followEnds() {
	ticker := time.NewTicker(endsEvery)
	defer ticker.Stop()
	checked := map[*connector.Ownership]bool{} // against the start of the log
	turns := turns{session: c}
	for {
		select {
		case <-ticker.C:
		case <-c.nudge:
		case <-c.ctx.Done():
			return
		}
		owners := c.all()
		if len(owners) == 0 {
			clear(checked)
			continue
		}
		if err := turns.count(); err != nil && c.ctx.Err() == nil {
			c.log.Warn("partitions that are added are not noticed", "error", err)
		}
		if err := c.lookAtLogs(owners, checked); err != nil && c.ctx.Err() == nil {
			c.log.Warn("end offsets are not known; the lag is out of date", "error", err)
		}
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

func (c *session) lookAtLogs(owners []*connector.Ownership, checked map[*connector.Ownership]bool) error {
	ctx, cancel := context.WithTimeout(c.ctx, endsTimeout)
	defer cancel()
	admin := kadm.NewClient(c.client)
	topics := topicsOf(owners)
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	unchecked := false
	for _, o := range owners {
		if end, ok := ends.Lookup(o.Topic, o.Partition); ok && end.Err == nil {
			o.End.Store(end.Offset)
		}
		unchecked = unchecked || !checked[o]
	}
	if !unchecked {
		return nil
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	for _, o := range owners {
		start, ok := starts.Lookup(o.Topic, o.Partition)
		if checked[o] || !ok || start.Err != nil {
			continue
		}
		checked[o] = true
		if o.Committed >= 0 && o.Committed < start.Offset {
			c.log.Error("records were deleted before they were delivered; raise the topic's retention",
				"topic", o.Topic, "partition", o.Partition, "committed", o.Committed, "log start", start.Offset)
		}
	}
	return nil
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
