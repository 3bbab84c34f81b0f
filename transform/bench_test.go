package transform

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// orderEvent is the event of the first recipe in docs/mapping.md, some 390 bytes.
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

// BenchmarkMapOrderOverUnmarshal compares the two below in one run: by turns, so
// that a machine that is slower for a while is so for both. The median of the
// ratios is to be at most 2.5.
func BenchmarkMapOrderOverUnmarshal(b *testing.B) {
	rules := compile(b, orderConfig(), orderEvent)
	record := orderRecord()
	const turns = 50
	timed := func(f func()) time.Duration {
		start := time.Now()
		for range turns {
			f()
		}
		return time.Since(start)
	}
	var ratios []float64
	for b.Loop() {
		ours := timed(func() {
			if m := rules.Map(record); m.Decision != Send {
				b.Fatal(m.Reason)
			}
		})
		floor := timed(func() {
			var event any
			if err := json.Unmarshal(record.Value, &event); err != nil {
				b.Fatal(err)
			}
		})
		ratios = append(ratios, float64(ours)/float64(floor))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-unmarshal")
	b.ReportMetric(ratios[len(ratios)*9/10], "p90-of-unmarshal")
}

// Allocations are what does not depend on the machine: a step back in the way a
// record is mapped shows here first.
func TestMappingAnOrderAllocatesLittleMoreThanDecodingIt(t *testing.T) {
	rules := compile(t, orderConfig(), orderEvent)
	record := orderRecord()
	ours := testing.AllocsPerRun(100, func() { rules.Map(record) })
	floor := testing.AllocsPerRun(100, func() {
		var event any
		_ = json.Unmarshal(record.Value, &event)
	})
	if ours > 1.2*floor {
		t.Errorf("%.0f allocations, encoding/json alone has %.0f", ours, floor)
	}
}

func orderRecord() *Record {
	return &Record{Topic: "crm.events", Timestamp: time.Unix(1_790_000_000, 0), Value: []byte(orderEvent)}
}

// BenchmarkMapOrder is decoding and mapping.
func BenchmarkMapOrder(b *testing.B) {
	rules := compile(b, orderConfig(), orderEvent)
	record := orderRecord()
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
