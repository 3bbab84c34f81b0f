package connector

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Metrics are the connector's numbers for machines. Its methods only add to
// numbers in memory, allocate nothing for words they have met before, are safe
// for concurrent use, and do nothing on a nil *Metrics. Counters count since
// the start of the process.
type Metrics struct {
	records     *tally
	activities  *tally
	calls       *tally
	deadLetters *tally
	unknown     *tally
	commits     *tally
	reads       *tally
	breaker     *tally
	lost        *tally

	callRows     func(context.Context, int)     // take one measurement each
	callDuration func(context.Context, float64) // in seconds
	latency      func(context.Context, float64) // in seconds
}

// NewMetrics makes the instruments with the meter. Counters are kept here and
// gauges are taken from snapshot, both whenever somebody collects; snapshot is
// called by the collector's goroutine and reports false when there is none.
func NewMetrics(meter metric.Meter, version string, snapshot func() (Status, bool)) (*Metrics, error) {
	m := &Metrics{
		records:     newTally("fate", "delivered", "filtered", "dead"),
		activities:  newTally("verdict", "created", "refused", "again", "unknown"),
		calls:       newTally("outcome", "judged", "refused", "throttled", "too_large", "fault", "unknown", "not_applied", "missed"),
		deadLetters: newTally("class"),
		unknown:     newTally("settled_as", "resent", "found", "absent", "unproven_dead_letter", "unproven_hold", "operator_created", "operator_absent", "operator_dead"),
		reads:       newTally("outcome", "judged", "refused", "throttled", "too_large", "fault", "unknown", "not_applied", "missed"),
		breaker:     newTally("by", "in_a_row", "ratio"),
		commits:     newTally("outcome", "accepted", "failed"),
		lost:        newTally("topic"),
	}
	i := &instruments{meter: meter}
	m.callRows = i.rows("leadsink.call.rows", "Activities in a call.")
	m.callDuration = i.seconds("leadsink.call.duration", "From sending a call to its outcome.",
		0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60)
	m.latency = i.seconds("leadsink.delivery.latency", "From a record's timestamp to the proof that its activity was created.",
		0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 4*3600, 24*3600)

	i.tally(m.records, "leadsink.records", "Records by fate.")
	i.tally(m.activities, "leadsink.activities", "Activities by LeadSquared's verdict; one sent again counts again.")
	i.tally(m.calls, "leadsink.calls", "Calls by outcome.")
	i.tally(m.deadLetters, "leadsink.dead_letters", "Dead letters by class.")
	i.tally(m.unknown, "leadsink.unknown", "Activities of calls that may have been applied, by what became of them.")
	i.tally(m.reads, "leadsink.reads", "Pages of activities that were asked for, by outcome.")
	i.tally(m.breaker, "leadsink.breaker.opened", "Times that the breaker opened, by the rule that opened it: failures in a row, or their part of the window's calls.")
	i.tally(m.commits, "leadsink.commits", "Commits by outcome.")
	i.tally(m.lost, "leadsink.lost.records", "Records, at most, that the brokers deleted before they were read, by topic.")

	i.gauges(version, snapshot)
	if i.err != nil {
		return nil, fmt.Errorf("make the connector's metrics: %w", i.err)
	}
	return m, nil
}

// Record counts n records that reached a fate: delivered, filtered, dead.
func (m *Metrics) Record(fate string, n int) {
	if m != nil {
		m.records.add(fate, n)
	}
}

// Activities counts n rows with a verdict: created, refused, again, unknown.
func (m *Metrics) Activities(verdict string, n int) {
	if m != nil {
		m.activities.add(verdict, n)
	}
}

// Call counts a call of so many rows that came to an outcome: judged, refused,
// throttled, too_large, fault, unknown, not_applied, missed. A sampled span in
// ctx becomes an example of the time it took.
func (m *Metrics) Call(ctx context.Context, outcome string, rows int, took time.Duration) {
	if m == nil {
		return
	}
	m.calls.add(outcome, 1)
	m.callRows(ctx, rows)
	m.callDuration(ctx, took.Seconds())
}

// Latency takes the time from a record's timestamp to its delivery. A negative
// one, of a producer whose clock is ahead, counts as zero. A sampled span in ctx
// becomes an example of it.
func (m *Metrics) Latency(ctx context.Context, d time.Duration) {
	if m != nil {
		m.latency(ctx, max(0, d.Seconds()))
	}
}

// DeadLetter counts a dead letter. Classes beyond the first 31 count as other.
func (m *Metrics) DeadLetter(class string) {
	if m != nil {
		m.deadLetters.add(class, 1)
	}
}

// UnknownSettled counts n activities whose call may have been applied, by what
// became of them: resent without asking; found or absent when LeadSquared was
// asked; unproven_dead_letter or unproven_hold when they had alone spoilt their
// calls too often; operator_created, operator_absent or operator_dead when they were held.
func (m *Metrics) UnknownSettled(as string, n int) {
	if m != nil {
		m.unknown.add(as, n)
	}
}

// Read counts a page of activities that was asked for, by its outcome in the
// words of Call.
func (m *Metrics) Read(outcome string) {
	if m != nil {
		m.reads.add(outcome, 1)
	}
}

// BreakerOpened counts that the breaker opened, by failures in a row or by their
// part: in_a_row, ratio.
func (m *Metrics) BreakerOpened(by string) {
	if m != nil {
		m.breaker.add(by, 1)
	}
}

// Commit counts a commit that was accepted or has failed.
func (m *Metrics) Commit(outcome string) {
	if m != nil {
		m.commits.add(outcome, 1)
	}
}

// Lost counts n records of a topic that the brokers deleted before they were read.
// Topics beyond the first 31 count as other.
func (m *Metrics) Lost(topic string, n int) {
	if m != nil {
		m.lost.add(topic, n)
	}
}

// words is how many values a label may have, "other" among them.
const words = 32

// A tally counts by the value of one label. Values beyond its bound are counted
// together as "other", so that nothing a record holds can make series without end.
type tally struct {
	label  string
	counts [words]struct {
		word atomic.Pointer[counted] // set once, from the front; the last is "other" from the start
		n    atomic.Int64
	}
}

type counted struct {
	word   string
	labels metric.MeasurementOption
}

func newTally(label string, known ...string) *tally {
	t := &tally{label: label}
	t.counts[words-1].word.Store(t.counted("other"))
	for _, word := range known {
		t.add(word, 0)
	}
	return t
}

func (t *tally) counted(word string) *counted {
	return &counted{word, metric.WithAttributeSet(attribute.NewSet(attribute.String(t.label, word)))}
}

func (t *tally) add(word string, n int) {
	for i := range t.counts {
		c := &t.counts[i]
		have := c.word.Load()
		if have == nil {
			c.word.CompareAndSwap(nil, t.counted(word))
			have = c.word.Load() // another's word, if that came first
		}
		if have.word == word || i == words-1 {
			c.n.Add(int64(n))
			return
		}
	}
}

// observe hands out the counts. "other" appears once something fell under it.
func (t *tally) observe(to metric.Int64Observer) {
	for i := range t.counts {
		c := &t.counts[i]
		if have := c.word.Load(); have != nil && (i < words-1 || c.n.Load() > 0) {
			to.Observe(c.n.Load(), have.labels)
		}
	}
}
