package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/transform"
)

const (
	// MaxTail is the most records that Tail returns.
	MaxTail = 10_000

	maxTailBytes = 256 << 20 // of what Tail holds
	tailBytes    = 1 << 20   // of one answer, unless one batch is larger
	tailAgain    = 100 * time.Millisecond
)

// Tail returns the last n records (1 to MaxTail) of the topics that the
// configuration names, of all partitions or, if it is not negative, of the given
// one. They are ordered by timestamp; records of one time by their positions.
//
// It leaves no trace: it joins no group, commits nothing and creates no topic. Like
// a Source it sees no records of transactions that are open or were aborted. It
// tries until ctx ends; what it has read by then is dropped.
func Tail(ctx context.Context, s Settings, n int, partition int32) ([]transform.Record, error) {
	if n < 1 || n > MaxTail {
		return nil, fmt.Errorf("%d is not a number of records from 1 to %d", n, MaxTail)
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if err := s.probe(ctx); err != nil {
		return nil, err
	}
	options, err := s.common(s.Config.TLS.dialer(s.Dial))
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(append(options, kgo.WithContext(ctx)), s.Options...)...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	t := tail{client: client, admin: kadm.NewClient(client)}
	spans, err := t.spans(ctx, s.Config, partition)
	if err != nil {
		return nil, err
	}
	var last []transform.Record
	for i := range spans {
		records, err := t.last(ctx, &spans[i], n)
		if err != nil {
			return nil, fmt.Errorf("read the end of %s[%d]: %w", spans[i].topic, spans[i].index, err)
		}
		last = append(last, records...)
		slices.SortStableFunc(last, func(a, b transform.Record) int {
			return cmp.Or(a.Timestamp.Compare(b.Timestamp), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
		})
		last = slices.Clone(last[max(0, len(last)-n):])
		if err := t.hold(last); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// A tail reads the ends of partitions.
type tail struct {
	client *kgo.Client
	admin  *kadm.Client
}

// A span is what a partition holds as it was when it was looked at.
type span struct {
	partition
	topicID    [16]byte
	leader     int32
	start, end int64 // the end is that of finished transactions
}

// spans looks the partitions up.
func (t *tail) spans(ctx context.Context, cfg Config, only int32) ([]span, error) {
	details, err := t.admin.ListTopics(ctx, cfg.Topics...)
	if err != nil {
		return nil, fmt.Errorf("look for the topics: %w", err)
	}
	if cfg.TopicsRegex != "" {
		pattern, err := regexp.Compile("^(?:" + cfg.TopicsRegex + ")$")
		if err != nil {
			return nil, fmt.Errorf("kafka.topics_regex: %w", err)
		}
		details.FilterInternal()
		for name := range details {
			if !pattern.MatchString(name) {
				delete(details, name)
			}
		}
		if len(details) == 0 {
			return nil, errors.New("no topic matches kafka.topics_regex; correct it, or allow Describe on the topics")
		}
	}
	names := details.Names()
	starts, err := t.admin.ListStartOffsets(ctx, names...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask where the topics begin: %w", err)
	}
	ends, err := t.admin.ListCommittedOffsets(ctx, names...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask where the topics end: %w", err)
	}
	var spans []span
	for _, d := range details.Sorted() {
		for _, p := range d.Partitions.Sorted() {
			start, known := starts.Lookup(d.Topic, p.Partition)
			end, too := ends.Lookup(d.Topic, p.Partition)
			if known && too && (only < 0 || only == p.Partition) {
				spans = append(spans, span{partition{d.Topic, p.Partition}, d.ID, p.Leader, start.Offset, end.Offset})
			}
		}
	}
	if only >= 0 && len(spans) == 0 {
		return nil, fmt.Errorf("no topic has a partition %d; see how many there are with kafka-topics --describe", only)
	}
	return spans, nil
}

// last returns the last n records of a partition. Where compaction or transactions
// have left gaps it goes back further, in steps that double.
func (t *tail) last(ctx context.Context, p *span, n int) ([]transform.Record, error) {
	var found []transform.Record
	width := int64(n)
	for to := p.end; len(found) < n && to > p.start; width *= 2 {
		from := max(p.start, to-width)
		older, err := t.between(ctx, p, from, to, n-len(found))
		if err != nil {
			return nil, err
		}
		found = append(older, found...)
		to = from
	}
	return found, nil
}

// between returns the last n records between two offsets.
func (t *tail) between(ctx context.Context, p *span, from, to int64, n int) ([]transform.Record, error) {
	var records []transform.Record
	for from < to {
		fetched, next, err := t.fetch(ctx, p, from)
		switch {
		case kerr.IsRetriable(err), err == nil && next == from: // what is before the end is there, or will be
			if waited := pause(ctx, tailAgain); waited != nil {
				return nil, errors.Join(err, waited)
			}
			if err := t.lookForLeader(ctx, p); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		}
		for _, r := range fetched {
			if r.Offset < to {
				records = append(records, copied(r))
			}
		}
		records = slices.Clone(records[max(0, len(records)-n):])
		if err := t.hold(records); err != nil {
			return nil, err
		}
		from = next
	}
	return records, nil
}

// fetch returns the records of one answer and the offset after them, which is
// the given one if there are none yet. It is a request of its own, because a
// consuming client does not tell how far it is where there are no records.
func (t *tail) fetch(ctx context.Context, p *span, offset int64) ([]*kgo.Record, int64, error) {
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.index, offset, tailBytes
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = p.topic, p.topicID, append(topic.Partitions, part)
	request := kmsg.NewPtrFetchRequest()
	request.IsolationLevel = 1 // read_committed, as a Source
	request.MaxBytes = tailBytes
	request.Topics = append(request.Topics, topic)
	answer, err := t.client.Broker(int(p.leader)).RetriableRequest(ctx, request)
	if err != nil {
		return nil, offset, err
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return nil, offset, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return nil, offset, errors.New("the broker's answer is about other partitions than were asked for")
	}
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: p.topic, Partition: p.index,
	}, &response.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if errors.Is(fetched.Err, kerr.OffsetOutOfRange) {
		return nil, offset, fmt.Errorf("the records at offset %d were deleted meanwhile; try again: %w", offset, fetched.Err)
	}
	return fetched.Records, next, fetched.Err
}

// lookForLeader finds out who leads the partition now.
func (t *tail) lookForLeader(ctx context.Context, p *span) error {
	details, err := t.admin.ListTopics(ctx, p.topic)
	if err != nil {
		return err
	}
	if d, ok := details[p.topic].Partitions[p.index]; ok && d.Err == nil {
		p.leader = d.Leader
	}
	return nil
}

// hold refuses to hold more than memory is meant for.
func (t *tail) hold(records []transform.Record) error {
	size := 0
	for i := range records {
		size += records[i].Size()
	}
	if size > maxTailBytes {
		return fmt.Errorf("the records have more than %d MiB; ask for fewer", maxTailBytes>>20)
	}
	return nil
}

// pause waits, and returns ctx's error if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
