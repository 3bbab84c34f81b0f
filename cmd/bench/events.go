//go:build linux

package main

import (
	"fmt"
	"time"
)

const (
	topic      = "crm.orders"
	partitions = 6
	leads      = 50_000 // so that nearly all that waits at a time is of different leads
	batch      = 25     // rows of a call
)

// firstEvent is when the first order was placed; one follows each second.
var firstEvent = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// leadOf is whom the event is about. Neighbours differ.
func leadOf(i int) string {
	n := i * 7919 % leads
	return fmt.Sprintf("5f2b8c1e-7a90-4d3b-9c52-%012d", n)
}

// event is the i-th order of a shop, some 390 bytes of JSON.
func event(i int) []byte {
	return fmt.Appendf(make([]byte, 0, 400),
		`{"type":"order.placed","id":"evt_%013d","occurred_at":%q,`+
			`"lead":{"id":%q,"email":"asha.rao.%d@example.com"},"owner":"sales@example.com",`+
			`"order":{"id":"ORD-2026-%07d","total":%d.%d,"currency":"INR","coupon":null,`+
			`"lines":[{"sku":"A-%d","qty":2,"price":499.75},{"sku":"B-7","qty":1,"price":300}]},"vip":false}`,
		i, firstEvent.Add(time.Duration(i)*time.Second).Format(time.RFC3339), leadOf(i), i%leads, i, 100+i%9000, 1+i%9, i%500)
}

// document is leadsink's: everything that guarantees something is as usual,
// only the limits are off.
func document(kafka, api, group string, inFlight int) string {
	return fmt.Sprintf(`name: bench
kafka: {brokers: [%q], topics: [%q], group: %q}
transform:
  rules:
    - name: order placed
      when: event.type == "order.placed"
      lead: event.lead.id
      activity: %d
      note: '"Order " + event.order.id'
      owner: event.owner
      at: event.occurred_at
      fields:
        mx_Custom_1: event.order.id
        mx_Custom_2: event.order.total
        mx_Custom_3: event.order.currency
        mx_Custom_4: event.order.coupon
leadsquared: {host: %q, access_key: %q, secret_key: %q, target: lead_id, limits: [], batch: %d, in_flight: %d}
admin: {listen: "127.0.0.1:0"}
log: {level: warn}
`, kafka, topic, group, activityCode, api, accessKey, secretKey, batch, inFlight)
}
