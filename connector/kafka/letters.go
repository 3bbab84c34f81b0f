package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
)

// DeadLetters writes to the dead-letter topic. It implements
// connector.DeadLetters. Its methods are safe for concurrent use.
type DeadLetters struct {
	*outlet
	connector string
}

// NewDeadLetters returns dead letters that go to the topic and name the
// connector in their headers. It connects in the background. The values of ctx
// are kept; its end is not heeded, since a drain outlives it: Close ends it.
func NewDeadLetters(ctx context.Context, s Settings, topic, connectorName string) (*DeadLetters, error) {
	o, err := newOutlet(ctx, s, "dead-letter", topic)
	if err != nil {
		return nil, err
	}
	return &DeadLetters{o, connectorName}, nil
}

// Bury implements connector.DeadLetters. A letter that is larger than the
// topic takes goes without the row as sent and without LeadSquared's answer,
// which can be had again; the record itself is never cut.
func (d *DeadLetters) Bury(ctx context.Context, letters []connector.DeadLetter) []error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
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
			errs[i] = d.unwritten(errs[i])
		}
	}
	return errs
}

// buryLarge writes a letter that is too large by itself without what can be had again.
func (d *DeadLetters) buryLarge(ctx context.Context, l *connector.DeadLetter) error {
	err := d.write(ctx, []*kgo.Record{d.record(l, false)})[0]
	if errors.Is(err, kerr.MessageTooLarge) {
		return fmt.Errorf("the record from %s[%d] at offset %d is too large for it; raise the topic's max.message.bytes: %w",
			l.Record.Topic, l.Record.Partition, l.Record.Offset, err)
	}
	return err
}

// Headers of Kafka Connect, so that existing tools read our letters, and our own.
const (
	connectHeaders = "__connect.errors."
	ownHeaders     = "leadsink."
	redrives       = ownHeaders + "redrives"
	// originTime is the record's own time, in milliseconds since 1970.
	originTime = ownHeaders + "origin.timestamp"
)

// ownTime is when the record was made. A letter's own timestamp says when it was
// buried, and so does that of a letter that was written back to its topic: who
// reads either goes by the header.
func ownTime(r *kgo.Record) time.Time {
	for _, h := range r.Headers {
		if h.Key != originTime {
			continue
		}
		if millis, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil {
			return time.UnixMilli(millis)
		}
	}
	return r.Timestamp
}

// record writes a letter as a Kafka record: the original with its headers, and
// the reason in further ones. It is stamped when it is written: retention counts
// from there, and topics may refuse what is old.
func (d *DeadLetters) record(l *connector.DeadLetter, whole bool) *kgo.Record {
	r := &kgo.Record{Topic: d.topic, Key: l.Record.Key, Value: l.Record.Value}
	redriven := "0"
	for _, h := range l.Record.Headers {
		switch {
		case h.Key == redrives:
			redriven = string(h.Value)
		case strings.HasPrefix(h.Key, connectHeaders), strings.HasPrefix(h.Key, ownHeaders):
			// Of an earlier death of the same record: the new reason replaces it.
		case len(l.Trace) > 0 && (h.Key == "traceparent" || h.Key == "tracestate"):
			// The letter carries on the context of its own processing.
		default:
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	for _, h := range l.Trace {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	add := func(key, value string) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
	add(connectHeaders+"topic", l.Record.Topic)
	add(connectHeaders+"partition", strconv.Itoa(int(l.Record.Partition)))
	add(connectHeaders+"offset", strconv.FormatInt(l.Record.Offset, 10))
	add(originTime, strconv.FormatInt(l.Record.Timestamp.UnixMilli(), 10))
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
