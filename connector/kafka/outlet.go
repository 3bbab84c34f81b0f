package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// storeTimeout bounds the storing of messages. The engine stores again what
	// was not stored.
	storeTimeout = 10 * time.Second
	// storeMost is how large a message may be on our side; the topic's own limit
	// is usually far lower and decides.
	storeMost = 64 << 20
)

// An outlet writes to one topic: to all in-sync replicas, or it says so.
type outlet struct {
	kind   string // of the topic, in words
	topic  string
	log    *slog.Logger
	client *kgo.Client
	cancel context.CancelFunc
}

func newOutlet(ctx context.Context, s Settings, kind, topic string) (*outlet, error) {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	options, err := s.common(s.Config.TLS.dialer(s.Dial))
	if err != nil {
		return nil, fmt.Errorf("set up the %s producer: %w", kind, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	options = append(options,
		kgo.WithContext(ctx),
		kgo.DefaultProduceTopic(topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(storeMost),
		// No RecordDeliveryTimeout: kgo counts it from the record's timestamp, which
		// is the original's in a dead letter, and would never store that of an old record.
		kgo.ProduceRequestTimeout(storeTimeout),
		// A message stored twice is better than a drain that waits without end.
		kgo.AllowIdempotentProduceCancellation(),
	)
	client, err := kgo.NewClient(append(options, s.Options...)...)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("set up the %s producer: %w", kind, err)
	}
	return &outlet{kind: kind, topic: topic, log: s.Log, client: client, cancel: cancel}, nil
}

// Check returns nil if the topic exists. If it does not, it is created with the
// brokers' defaults, with a warning; the error says why that failed.
func (o *outlet) Check(ctx context.Context) error {
	admin := kadm.NewClient(o.client)
	topics, err := admin.ListTopics(ctx, o.topic)
	if err != nil {
		return fmt.Errorf("look for the %s topic %q: %w", o.kind, o.topic, err)
	}
	err = topics[o.topic].Err
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		if _, err = admin.CreateTopic(ctx, -1, -1, nil, o.topic); err == nil {
			o.log.Warn("a topic to write to did not exist and was created with the brokers' defaults; see to its retention", "kind", o.kind, "topic", o.topic)
		}
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("the %s topic %q cannot be used; create it and allow Write and Describe on it: %w", o.kind, o.topic, err)
	}
	return nil
}

// Close ends the connections. Messages under way are given up.
func (o *outlet) Close() {
	o.cancel()
	o.client.Close()
}

// unwritten says that a message was not stored.
func (o *outlet) unwritten(err error) error {
	return fmt.Errorf("write to the %s topic %q: %w", o.kind, o.topic, err)
}

// produce writes the records and returns one error for each.
func (o *outlet) produce(ctx context.Context, records []*kgo.Record) []error {
	type result struct {
		index int
		err   error
	}
	results := make(chan result, len(records)) // one per record: a sender never blocks
	for i, r := range records {
		o.client.Produce(ctx, r, func(_ *kgo.Record, err error) { results <- result{i, err} })
	}
	errs := make([]error, len(records))
	for i := range errs {
		errs[i] = errUnstored
	}
	for range records {
		select {
		case r := <-results:
			errs[r.index] = r.err
		case <-ctx.Done():
			return errs
		}
	}
	return errs
}

var errUnstored = errors.New("the brokers did not say in time that it is stored")
