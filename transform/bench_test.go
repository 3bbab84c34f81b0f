package transform

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/leadsink/leadsink/transform/decode"
)

// orderEvent is a typical event of a shop, some 390 bytes.
const orderEvent = `{"type":"order.placed","id":"evt_01HF8Z7Q2M4X9","occurred_at":"2026-11-23T09:30:00Z",` +
	`"lead":{"id":"5f2b8c1e-7a90-4d3b-9c52-0e6f1a2b3c4d","email":"asha.rao@example.com"},"owner":"sales@example.com",` +
	`"order":{"id":"ORD-2026-118842","total":1299.50,"currency":"INR","coupon":null,"lines":[{"sku":"A-1","qty":2,"price":499.75},` +
	`{"sku":"B-7","qty":1,"price":300}]},"vip":false}`

func orderConfig() Config {
	cfg := Default()
	cfg.Rules = []Rule{
		{
			Name: "order placed", When: `event.type == "order.placed"`, Lead: "event.lead.id", Activity: "320",
			Note: `"Order " + event.order.id`, Owner: "event.owner", At: "event.occurred_at",
			Fields: Entries{
				{"mx_Custom_1", "event.order.id"},
				{"mx_Custom_2", "event.order.total"},
				{"mx_Custom_3", "event.order.currency"},
				{"mx_Custom_4", "event.order.coupon"},
			},
		},
		{Name: "order paid", When: `event.type == "order.paid"`, Lead: "event.lead.id", Activity: "321"},
	}
	return cfg
}

// BenchmarkMapOrder is to be compared with BenchmarkUnmarshalOrder: mapping
// should cost no more than twice as much as encoding/json alone.
func BenchmarkMapOrder(b *testing.B) {
	sample, err := decode.JSON([]byte(orderEvent), 64)
	if err != nil {
		b.Fatal(err)
	}
	rules, problems := Compile(orderConfig(), decode.Default(), sample)
	if problems != nil {
		b.Fatal(problems)
	}
	record := &Record{Topic: "crm.events", Timestamp: time.Unix(1_790_000_000, 0), Value: []byte(orderEvent)}
	b.SetBytes(int64(len(orderEvent)))
	b.ReportAllocs()
	for b.Loop() {
		if m := rules.Map(record); m.Decision != Send {
			b.Fatal(m.Reason)
		}
	}
}

// BenchmarkUnmarshalOrder is the floor: encoding/json into any.
func BenchmarkUnmarshalOrder(b *testing.B) {
	b.SetBytes(int64(len(orderEvent)))
	b.ReportAllocs()
	for b.Loop() {
		var event any
		if err := json.Unmarshal([]byte(orderEvent), &event); err != nil {
			b.Fatal(err)
		}
	}
}
