package kafka

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/leadsink/leadsink/connector"
)

const (
	membersEvery   = 15 * time.Second
	membersTimeout = 5 * time.Second
)

// Members lists the members of the group as far as they are known, which may be
// half a minute old; nil before the first answer.
func (s *Source) Members() []connector.MemberStatus {
	c := s.current.Load()
	if c == nil {
		return nil
	}
	if known := c.members.Load(); known != nil {
		return slices.Clone(*known)
	}
	return nil
}

// followGroup keeps the list of members up to date. It ends with the session.
func (c *session) followGroup() {
	ticker := time.NewTicker(membersEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-c.ctx.Done():
			return
		}
		if err := c.lookAtGroup(); err != nil && c.ctx.Err() == nil {
			// It costs nobody anything but a list on the status page.
			c.log.Debug("the members of the group are not known", "error", err)
		}
	}
}

func (c *session) lookAtGroup() error {
	ctx, cancel := context.WithTimeout(c.ctx, membersTimeout)
	defer cancel()
	admin := kadm.NewClient(c.client)
	cfg := c.source.settings.Config
	self, _ := c.client.GroupMetadata()
	var members []connector.MemberStatus
	add := func(id, host string, instance *string, partitions int) {
		m := connector.MemberStatus{ID: id, Host: host, Partitions: partitions, Self: id == self}
		if instance != nil {
			m.Instance = *instance
		}
		members = append(members, m)
	}
	if cfg.Protocol == "kip848" {
		groups, err := admin.DescribeConsumerGroups(ctx, cfg.Group)
		if err := cmp.Or(err, groups[cfg.Group].Err); err != nil {
			return err
		}
		for _, m := range groups[cfg.Group].Members {
			add(m.MemberID, m.ClientHost, m.InstanceID, count(m.Assignment))
		}
	} else {
		groups, err := admin.DescribeGroups(ctx, cfg.Group)
		if err := cmp.Or(err, groups[cfg.Group].Err); err != nil {
			return err
		}
		for _, m := range groups[cfg.Group].Members {
			partitions := 0
			if assigned, ok := m.Assigned.AsConsumer(); ok {
				for _, t := range assigned.Topics {
					partitions += len(t.Partitions)
				}
			}
			add(m.MemberID, m.ClientHost, m.InstanceID, partitions)
		}
	}
	c.members.Store(&members)
	return nil
}

func count(set kadm.TopicsSet) (partitions int) {
	for _, of := range set {
		partitions += len(of)
	}
	return partitions
}
