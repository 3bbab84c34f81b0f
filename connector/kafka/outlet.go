package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	// together bounds what is stored at once, in bytes: a broker takes a batch of
	// 1 MiB unless it is told otherwise. A larger message goes alone.
	together = 1_000_000
	// renewEvery is the shortest time between two new clients.
	renewEvery = 10 * time.Second
)

// An outlet writes to one topic: to all in-sync replicas, or it says so.
//
// The client library keeps some refusals for good: of a producer id, and of a
// topic that was deleted and made anew. People can mend those, so after a write
// that failed the next one is by a new client.
type outlet struct {
	kind     string // of the topic, in words
	topic    string
	log      *slog.Logger
	settings Settings

	mu      sync.Mutex // guards what follows
	current *kgo.Client
	cancel  context.CancelFunc // of the current client
	since   time.Time          // when it was made
	closed  bool
}

func newOutlet(ctx context.Context, s Settings, kind, topic string) (*outlet, error) {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	o := &outlet{kind: kind, topic: topic, log: s.Log, settings: s, since: time.Now()}
	var err error
	if o.current, o.cancel, err = o.connect(ctx); err != nil {
		return nil, fmt.Errorf("set up the %s producer: %w", kind, err)
	}
	return o, nil
}

// connect makes a client, and what ends all that it does. It outlives the context,
// of which it has the values.
func (o *outlet) connect(ctx context.Context) (*kgo.Client, context.CancelFunc, error) {
	s := o.settings
	options, err := s.common(s.Config.TLS.dialer(s.Dial))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	options = append(options,
		kgo.WithContext(ctx),
		kgo.DefaultProduceTopic(o.topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(storeMost),
		kgo.ProduceRequestTimeout(storeTimeout),
		// A message stored twice is better than a drain that waits without end.
		kgo.AllowIdempotentProduceCancellation(),
	)
	client, err := kgo.NewClient(append(options, s.Options...)...)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return client, cancel, nil
}

// client returns the client to write with now.
func (o *outlet) client() *kgo.Client {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.current
}

// renew puts a new client in the place of one that could not write, unless that was
// done a moment ago.
func (o *outlet) renew(ctx context.Context, old *kgo.Client) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.current != old || time.Since(o.since) < renewEvery {
		return
	}
	client, cancel, err := o.connect(ctx)
	if err != nil {
		o.log.Warn("a producer cannot be set up anew; going on with the one there is", "kind", o.kind, "topic", o.topic, "error", err)
		return
	}
	o.cancel()
	old.Close()
	o.current, o.cancel, o.since = client, cancel, time.Now()
}

// Check returns nil if the topic exists. If it does not, it is created with the
// brokers' defaults, with a warning; the error says why that failed.
func (o *outlet) Check(ctx context.Context) error {
	admin := kadm.NewClient(o.client())
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
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.cancel()
	o.current.Close()
}

// unwritten says that a message was not stored.
func (o *outlet) unwritten(err error) error {
	return fmt.Errorf("write to the %s topic %q: %w", o.kind, o.topic, err)
}

// produce writes the records, in batches that a broker takes, and returns one error
// for each.
func (o *outlet) produce(ctx context.Context, records []*kgo.Record) []error {
	errs := make([]error, 0, len(records))
	for len(records) > 0 {
		n, size := 1, sizeOf(records[0])
		for n < len(records) && size+sizeOf(records[n]) <= together {
			size += sizeOf(records[n])
			n++
		}
		errs = append(errs, o.write(ctx, records[:n])...)
		records = records[n:]
	}
	return errs
}

// sizeOf is at least what a record takes in a batch.
func sizeOf(r *kgo.Record) int {
	const lengths, ofHeader = 40, 10
	n := lengths + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += ofHeader + len(h.Key) + len(h.Value)
	}
	return n
}

// write stores records at once. Those that are too large for the topic together, and
// may not be so each, go again in halves.
func (o *outlet) write(ctx context.Context, records []*kgo.Record) []error {
	errs := o.attempt(ctx, records)
	var large []int
	for i, err := range errs {
		if errors.Is(err, kerr.MessageTooLarge) {
			large = append(large, i)
		}
	}
	if len(records) < 2 {
		return errs
	}
	half := len(large) / 2
	for _, part := range [][]int{large[:half], large[half:]} {
		again := make([]*kgo.Record, len(part))
		for i, at := range part {
			again[i] = anew(records[at])
		}
		for i, err := range o.write(ctx, again) {
			errs[part[i]] = err
		}
	}
	return errs
}

// anew returns the record without what an attempt has written into it.
func anew(r *kgo.Record) *kgo.Record {
	return &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers}
}

// attempt stores records once.
func (o *outlet) attempt(ctx context.Context, records []*kgo.Record) []error {
	type result struct {
		index int
		err   error
	}
	client := o.client()
	results := make(chan result, len(records)) // one per record: a sender never blocks
	for i, r := range records {
		client.Produce(ctx, r, func(_ *kgo.Record, err error) { results <- result{i, err} })
	}
	errs := make([]error, len(records))
	for i := range errs {
		errs[i] = errUnstored
	}
answers:
	for range records {
		select {
		case r := <-results:
			errs[r.index] = r.err
		case <-ctx.Done():
			break answers
		}
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, kerr.MessageTooLarge) {
			o.renew(ctx, client)
			break
		}
	}
	return errs
}

var errUnstored = errors.New("the brokers did not say in time that it is stored")
