package connector

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A LossStatus says that the brokers deleted records of a topic before they were
// read. It stays until an operator resumes, or the process ends.
type LossStatus struct {
	Topic   string    `json:"topic"`
	Records int64     `json:"records"` // at most: offsets without a record count too
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"` // when the latest loss was noticed
}

// mostLosses bounds for how many topics losses are remembered; the log has all.
const mostLosses = 20

// lookForLosses takes in what the brokers deleted before it was read.
func (e *engine) lookForLosses() {
	for _, l := range e.ledgers {
		e.countLosses(l)
		if l.skip() {
			e.changedNow(l)
			e.queue.unpark(l, e.now)
		}
	}
}

// countLosses counts what the ledger's owner has lost since it was last asked.
func (e *engine) countLosses(l *ledger) {
	n := l.owner.Lost.Load() - l.lost
	if n == 0 {
		return
	}
	l.lost += n
	topic := l.owner.Topic
	e.metrics.Lost(topic, int(n))
	i := slices.IndexFunc(e.losses, func(s LossStatus) bool { return s.Topic == topic })
	if i < 0 {
		if len(e.losses) == mostLosses {
			return
		}
		i = len(e.losses)
		e.losses = append(e.losses, LossStatus{Topic: topic, Since: e.now})
	}
	e.losses[i].Records += n
	e.losses[i].Last = e.now
}

// lossesInWords says for people what was lost, "" if nothing was.
func lossesInWords(losses []LossStatus) string {
	if len(losses) == 0 {
		return ""
	}
	parts := make([]string, len(losses))
	for i, l := range losses {
		parts[i] = fmt.Sprintf("at most %d of %s since %s", l.Records, l.Topic, clock(l.Since))
	}
	return fmt.Sprintf(" Records were deleted in Kafka before they were delivered: %s; raise the retention. This line stays until leadsink resume.", strings.Join(parts, ", "))
}
