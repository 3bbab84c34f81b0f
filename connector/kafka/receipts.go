package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
)

// Receipts writes to the topic of receipts. It implements connector.Receipts.
// Its methods are safe for concurrent use.
type Receipts struct {
	*outlet
	connector string
}

// NewReceipts returns receipts that go to the topic and name the connector. It
// connects in the background. The values of ctx are kept; its end is not heeded,
// since a drain outlives it: Close ends it.
func NewReceipts(ctx context.Context, s Settings, topic, connectorName string) (*Receipts, error) {
	o, err := newOutlet(ctx, s, "receipts", topic)
	if err != nil {
		return nil, err
	}
	return &Receipts{o, connectorName}, nil
}

// A Receipt is the value of a receipt's message, as JSON. Its key is the lead.
type Receipt struct {
	Connector  string    `json:"connector"`
	Topic      string    `json:"topic"` // of the record that the activity was made of
	Partition  int32     `json:"partition"`
	Offset     int64     `json:"offset"`
	Rule       string    `json:"rule"`
	Lead       string    `json:"lead"`          // as the rule gives it: an id, or the value of search_by
	Code       int       `json:"activity_code"` // ActivityEvent
	ActivityID string    `json:"activity_id"`   // ProspectActivityId
	At         time.Time `json:"at"`            // when leadsink learned of it
	Found      bool      `json:"found,omitempty"`
	Operator   bool      `json:"operator,omitempty"` // said so of a held record, so the id is not known
}

// Issue implements connector.Receipts. A receipt that is larger than the topic
// takes goes without the context of its trace.
func (w *Receipts) Issue(ctx context.Context, receipts []connector.Receipt) []error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	records := make([]*kgo.Record, len(receipts))
	for i := range receipts {
		records[i] = w.record(&receipts[i])
	}
	errs := w.produce(ctx, records)
	for i, err := range errs {
		if errors.Is(err, kerr.MessageTooLarge) {
			errs[i] = w.issueLarge(ctx, receipts[i])
		}
		if errs[i] != nil {
			errs[i] = w.unwritten(errs[i])
		}
	}
	return errs
}

// issueLarge writes a receipt that is too large by itself without its trace.
func (w *Receipts) issueLarge(ctx context.Context, r connector.Receipt) error {
	r.Trace = nil
	err := w.write(ctx, []*kgo.Record{w.record(&r)})[0]
	if errors.Is(err, kerr.MessageTooLarge) {
		return fmt.Errorf("the receipt of %s[%d] at offset %d is too large for it; raise the topic's max.message.bytes: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return err
}

// record writes a receipt as a Kafka record, stamped when it is written as a letter is.
func (w *Receipts) record(r *connector.Receipt) *kgo.Record {
	value, err := json.Marshal(Receipt{
		w.connector, r.Topic, r.Partition, r.Offset, r.Rule, r.Lead, r.Code, r.ActivityID, r.At.UTC(), r.Found, r.Operator,
	})
	if err != nil {
		panic(err) // our own types
	}
	out := &kgo.Record{Topic: w.topic, Key: []byte(r.Lead), Value: value}
	for _, h := range r.Trace {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}
