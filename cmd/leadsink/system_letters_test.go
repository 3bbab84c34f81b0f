//go:build system

package main_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Records are two days old, and what their letters' topic keeps or takes is an hour
// old at most. A record that is written to a topic like it shows that the broker
// means it.
func TestSystemLettersOfOldRecordsAreKeptAndTaken(t *testing.T) {
	c := startKafka(t, overPlaintext)
	if c.broker.container == "" {
		t.Skip("brokers of KAFKA_SEEDS may look for expired records too seldom")
	}
	hour := fmt.Sprint(time.Hour.Milliseconds())
	for name, configs := range map[string]map[string]*string{
		"a topic that keeps an hour": {"retention.ms": &hour},
		"a topic that takes an hour": {"message.timestamp.before.max.ms": &hour},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDelivery(t, c, 0)
			like := d.dead + ".like"
			d.dead += ".letters"
			if _, err := c.admin.CreateTopics(t.Context(), 1, -1, configs, d.dead, like); err != nil {
				t.Fatal(err)
			}
			old := func(topic string, i int) *kgo.Record {
				r := event(i*100 + 99) // of a lead that does not exist
				r.Topic, r.Timestamp = topic, time.Now().Add(-48*time.Hour)
				return r
			}
			d.records = 20
			c.produce(t, d.topic, d.records, func(i int) *kgo.Record { return old(d.topic, i) })
			m := d.start()
			d.drained(30 * time.Second)
			if configs["retention.ms"] == nil {
				if err := c.client.ProduceSync(t.Context(), old(like, 0)).FirstErr(); !errors.Is(err, kerr.InvalidTimestamp) {
					t.Fatalf("the broker takes what is too old: %v", err)
				}
			} else {
				c.produce(t, like, 1, func(i int) *kgo.Record { return old(like, i) })
				eventually(t, 40*time.Second, "the broker has looked for expired records, and deleted one", func() bool {
					starts, err := c.admin.ListStartOffsets(t.Context(), like)
					return err == nil && starts[like][0].Offset == 1
				})
			}
			d.ends(m)
			if letters := c.readAll(t, d.dead); len(letters) != d.records {
				t.Errorf("%d letters are there, want %d", len(letters), d.records)
			}
		})
	}
}
