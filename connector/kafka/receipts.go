package kafka

import (
	"context"
	"encoding/json"
	"time"

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
}

// Issue implements connector.Receipts.
func (w *Receipts) Issue(ctx context.Context, receipts []connector.Receipt) []error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	records := make([]*kgo.Record, len(receipts))
	for i := range receipts {
		records[i] = w.record(&receipts[i])
	}
	errs := w.produce(ctx, records)
	for i, err := range errs {
		if err != nil {
			errs[i] = w.unwritten(err)
		}
	}
	return errs
}

func (w *Receipts) record(r *connector.Receipt) *kgo.Record {
	value, err := json.Marshal(Receipt{
		w.connector, r.Topic, r.Partition, r.Offset, r.Rule, r.Lead, r.Code, r.ActivityID, r.At.UTC(), r.Found,
	})
	if err != nil {
		panic(err) // our own types
	}
	out := &kgo.Record{Topic: w.topic, Key: []byte(r.Lead), Value: value, Timestamp: r.At}
	for _, h := range r.Trace {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}
