package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// silentFor is how long the group may be silent after an error before that is
	// trouble: heartbeats go out every few seconds, and one is answered.
	silentFor = 10 * time.Second
	// quietFor is for how long polls must have been without a partition's error.
	quietFor = 10 * time.Second
	// afterErrors is the wait after a poll that brought nothing but errors: the
	// brokers answer them at once.
	afterErrors = 250 * time.Millisecond
)

// A plight is what keeps a partition, or a whole topic, from being read.
type plight struct {
	why         error
	since, last time.Time
}

// wholeTopic stands for all partitions of a topic.
const wholeTopic = -1

func (p partition) attributes() slog.Attr {
	if p.index == wholeTopic {
		return slog.String("topic", p.topic)
	}
	return slog.Group("", "topic", p.topic, "partition", p.index)
}

// Trouble returns what keeps the member from its work now, and since when: what
// stands between it and the group, or a topic or partition that cannot be read. It
// returns "" when all is well. It is cheap and safe for concurrent use.
func (s *Source) Trouble() (why string, since time.Time) {
	c := s.current.Load()
	proven := c.lease.proven()
	s.mu.Lock()
	trouble, since := s.trouble, s.troubledAt
	s.mu.Unlock()
	if trouble != nil && since.After(proven) && (proven.IsZero() || age(proven, time.Now()) > silentFor) {
		return fmt.Sprintf("the consumer group %q cannot be reached: %v", s.settings.Config.Group, trouble), since
	}
	return c.plight()
}

// plight returns the plight that began first, and how many others there are.
func (c *session) plight() (why string, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.plights) == 0 {
		return "", time.Time{}
	}
	at := make([]partition, 0, len(c.plights))
	for p := range c.plights {
		at = append(at, p)
	}
	first := slices.MinFunc(at, func(a, b partition) int {
		return cmp.Or(c.plights[a].since.Compare(c.plights[b].since), strings.Compare(a.topic, b.topic), cmp.Compare(a.index, b.index))
	})
	why = c.plights[first].why.Error()
	if first.index != wholeTopic {
		why = fmt.Sprintf("%s[%d] cannot be read: %s", first.topic, first.index, why)
	}
	if n := len(at) - 1; n > 0 {
		why += fmt.Sprintf(" (and %d more)", n)
	}
	return why, c.plights[first].since
}

// troubled notes what keeps the member from the group.
func (s *Source) troubled(err error) {
	proven := s.proven()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == nil || !s.troubledAt.After(proven) {
		s.troubledAt = time.Now()
	}
	s.trouble = err
}

// proven is when the group last proved the membership.
func (s *Source) proven() time.Time {
	if c := s.current.Load(); c != nil {
		return c.lease.proven()
	}
	return time.Time{}
}

// hear notes the errors of a poll, each when it begins, and reports whether there
// was any.
func (c *session) hear(fetches kgo.Fetches) (any bool) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		at := partition{p.Topic, p.Partition}
		var group *kgo.ErrGroupSession
		var loss *kgo.ErrDataLoss
		switch err := p.Err; {
		case err == nil:
			if len(p.Records) > 0 {
				c.recovered(at)
			}
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed),
			errors.As(err, &group): // reported by its hook, and the client joins again by itself
		case errors.As(err, &loss):
			c.log.Error("the brokers lost records; reading goes on where kafka.start says or the logs part", "topic", p.Topic, "partition", p.Partition, "error", err)
		default:
			any = true
			c.suffers(at, err)
			if errors.Is(err, kerr.UnknownTopicID) && at.index != wholeTopic && !c.owns(at) {
				c.isRead(at, err) // the answer with the positions names an old topic by its id alone
			}
			if topicGone(err) {
				// The brokers answer at once, again and again. A look at the topics decides.
				c.client.PauseFetchTopics(p.Topic)
				c.lookNow()
			}
		}
	})
	return any
}

// suffers notes a plight, and says it when it is new.
func (c *session) suffers(at partition, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	was, known := c.plights[at]
	if !known || was.why.Error() != err.Error() {
		c.log.Warn("what is to be read cannot be read for now", at.attributes(), "error", err)
	}
	if !known {
		was.since = now
	}
	c.plights[at] = plight{err, was.since, now}
}

// recovered notes the end of a plight.
func (c *session) recovered(at partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, known := c.plights[at]; known {
		delete(c.plights, at)
		c.log.Info("what could not be read can be read again", at.attributes(), "after", time.Since(was.since).Round(time.Second).String())
	}
}

// recover ends the plights of partitions of which polls have brought no error for a while.
func (c *session) recover() {
	c.mu.Lock()
	var quiet []partition
	for at, p := range c.plights {
		if _, unread := c.unread[at]; !unread && at.index != wholeTopic && c.polled.Sub(p.last) > quietFor {
			quiet = append(quiet, at)
		}
	}
	c.mu.Unlock()
	for _, at := range quiet {
		c.recovered(at)
	}
}

// forgetPlights drops those of a topic's partitions, which are not owned any more.
func (c *session) forgetPlights(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := range c.plights {
		if at.topic == topic && at.index != wholeTopic {
			delete(c.plights, at)
			delete(c.unread, at)
		}
	}
}
