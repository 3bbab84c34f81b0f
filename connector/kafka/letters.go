package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
)

const (
	// letterTimeout bounds the delivery of one letter. The engine buries again
	// what was not stored.
	letterTimeout = 10 * time.Second
	// letterMost is how large a letter may be on our side; the topic's own limit
	// is usually far lower and decides.
	letterMost = 64 << 20
)

// DeadLetters writes to the dead-letter topic. It implements
// connector.DeadLetters. Its methods are safe for concurrent use.
type DeadLetters struct {
	topic     string
	connector string
	log       *slog.Logger
	client    *kgo.Client
	cancel    context.CancelFunc
}

// NewDeadLetters returns dead letters that go to the topic and name the
// connector in their headers. It connects in the background. The values of ctx
// are kept; its end is not heeded, since a drain outlives it: Close ends it.
func NewDeadLetters(ctx context.Context, s Settings, topic, connectorName string) (*DeadLetters, error) {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	options, err := s.common(s.Config.TLS.dialer(s.Dial))
	if err != nil {
		return nil, fmt.Errorf("set up the dead-letter producer: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	options = append(options,
		kgo.WithContext(ctx),
		kgo.DefaultProduceTopic(topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(letterMost),
		// No RecordDeliveryTimeout: kgo counts it from the record's timestamp, which
		// is the original's, and would never store the letter of an old record.
		kgo.ProduceRequestTimeout(letterTimeout),
		// A letter stored twice is better than a drain that waits without end.
		kgo.AllowIdempotentProduceCancellation(),
	)
	client, err := kgo.NewClient(append(options, s.Options...)...)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("set up the dead-letter producer: %w", err)
	}
	return &DeadLetters{topic: topic, connector: connectorName, log: s.Log, client: client, cancel: cancel}, nil
}

// Check returns nil if the topic exists. If it does not, it is created with the
// brokers' defaults, with a warning; the error says why that failed.
func (d *DeadLetters) Check(ctx context.Context) error {
	admin := kadm.NewClient(d.client)
	topics, err := admin.ListTopics(ctx, d.topic)
	if err != nil {
		return fmt.Errorf("look for the dead-letter topic %q: %w", d.topic, err)
	}
	err = topics[d.topic].Err
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		if _, err = admin.CreateTopic(ctx, -1, -1, nil, d.topic); err == nil {
			d.log.Warn("the dead-letter topic did not exist and was created with the brokers' defaults; see to its retention", "topic", d.topic)
		}
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("the dead-letter topic %q cannot be used; create it and allow Write and Describe on it: %w", d.topic, err)
	}
	return nil
}

// Close ends the connections. Letters under way are given up.
func (d *DeadLetters) Close() {
	d.cancel()
	d.client.Close()
}

// Bury implements connector.DeadLetters. A letter that is larger than the
// topic takes goes without the row as sent and without LeadSquared's answer,
// which can be had again; the record itself is never cut.
func (d *DeadLetters) Bury(ctx context.Context, letters []connector.DeadLetter) []error {
	ctx, cancel := context.WithTimeout(ctx, letterTimeout)
	defer cancel()
	records := make([]*kgo.Record, len(letters))
	for i := range letters {
		records[i] = d.record(&letters[i], true)
	}
	errs := d.produce(ctx, records)
	for i, err := range errs {
		if errors.Is(err, kerr.MessageTooLarge) {
			errs[i] = d.buryLarge(ctx, &letters[i])
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("write to the dead-letter topic %q: %w", d.topic, errs[i])
		}
	}
	return errs
}

// buryLarge writes one letter by itself, since a batch of several may be too
// large where none of them is, and then without what can be had again.
func (d *DeadLetters) buryLarge(ctx context.Context, l *connector.DeadLetter) error {
	err := d.produce(ctx, []*kgo.Record{d.record(l, true)})[0]
	if !errors.Is(err, kerr.MessageTooLarge) {
		return err
	}
	err = d.produce(ctx, []*kgo.Record{d.record(l, false)})[0]
	if errors.Is(err, kerr.MessageTooLarge) {
		return fmt.Errorf("the record from %s[%d] at offset %d is too large for it; raise the topic's max.message.bytes: %w",
			l.Record.Topic, l.Record.Partition, l.Record.Offset, err)
	}
	return err
}

// produce writes the records and returns one error for each.
func (d *DeadLetters) produce(ctx context.Context, records []*kgo.Record) []error {
	type result struct {
		index int
		err   error
	}
	results := make(chan result, len(records)) // one per record: a sender never blocks
	for i, r := range records {
		d.client.Produce(ctx, r, func(_ *kgo.Record, err error) { results <- result{i, err} })
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

// Headers of Kafka Connect, so that existing tools read our letters, and our own.
const (
	connectHeaders = "__connect.errors."
	ownHeaders     = "leadsink."
	redrives       = ownHeaders + "redrives"
)

// record writes a letter as a Kafka record: the original with its headers, and
// the reason in further ones.
func (d *DeadLetters) record(l *connector.DeadLetter, whole bool) *kgo.Record {
	r := &kgo.Record{Topic: d.topic, Key: l.Record.Key, Value: l.Record.Value, Timestamp: l.Record.Timestamp}
	redriven := "0"
	for _, h := range l.Record.Headers {
		switch {
		case h.Key == redrives:
			redriven = string(h.Value)
		case strings.HasPrefix(h.Key, connectHeaders), strings.HasPrefix(h.Key, ownHeaders):
			// Of an earlier death of the same record: the new reason replaces it.
		default:
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	add := func(key, value string) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	add(connectHeaders+"topic", l.Record.Topic)
	add(connectHeaders+"partition", strconv.Itoa(int(l.Record.Partition)))
	add(connectHeaders+"offset", strconv.FormatInt(l.Record.Offset, 10))
	add(connectHeaders+"connector.name", d.connector)
	add(connectHeaders+"stage", l.Reason.Stage)
	add(connectHeaders+"exception.class.name", l.Reason.Class)
	add(connectHeaders+"exception.message", l.Reason.Message)
	add(ownHeaders+"class", l.Reason.Class)
	add(ownHeaders+"reason", l.Reason.Message)
	if l.Reason.Rule != "" {
		add(ownHeaders+"rule", l.Reason.Rule)
	}
	add(ownHeaders+"attempts", strconv.Itoa(l.Attempts))
	if whole && l.Activity != nil {
		add(ownHeaders+"activity", string(l.Activity))
	}
	if whole && l.Response != "" {
		add(ownHeaders+"response", l.Response)
	}
	add(redrives, cmp.Or(redriven, "0"))
	return r
}
