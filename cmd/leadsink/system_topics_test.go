//go:build system

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A listed topic is deleted and made anew, after a while and at once, while records
// are written to it and to another.
func TestSystemATopicThatIsMadeAnewUnderLoadHoldsUpNoOther(t *testing.T) {
	c := startKafka(t, overPlaintext)
	d := newDelivery(t, c, 0, "--latency", "20ms")
	other := c.createTopic(t, 3)
	d.also = []string{other}
	m := d.start()
	steady := d.load(d.topic, "steady")
	from := time.Now()
	stop := d.load(other, "life1")
	eventually(t, 20*time.Second, "the topic is read", func() bool { return d.delivered("life1") > 100 })
	for i, between := range []time.Duration{5 * time.Second, 0} {
		if _, err := c.admin.DeleteTopic(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		stop()
		pause(t, between)
		eventually(t, 10*time.Second, "the topic is made anew", func() bool {
			_, err := c.admin.CreateTopic(t.Context(), 3, -1, nil, other)
			return err == nil
		})
		made, life := time.Now(), fmt.Sprintf("life%d", i+2)
		stop = d.load(other, life)
		eventually(t, 30*time.Second, "the new topic is read", func() bool { return d.delivered(life) > 100 })
		t.Logf("%s after the topic was made anew it is read", time.Since(made).Round(100*time.Millisecond))
	}
	newest, others := stop(), steady()
	until := time.Now()
	eventually(t, 20*time.Second, "everything is delivered", func() bool { return d.missing(slices.Concat(newest, others)) == 0 })
	d.ends(m)
	d.once(newest)
	d.once(others)
	if longest := d.longestPause("steady", from, until); longest > 10*time.Second {
		t.Errorf("the other topic's delivery stood still for %s", longest)
	}
}

// delivered is how many records of a name have an activity.
func (d *delivery) delivered(name string) (n int) {
	d.Helper()
	for id := range d.stored() {
		if strings.HasPrefix(id, name+"-") {
			n++
		}
	}
	return n
}

// longestPause is the longest time within which no record of the name was stored.
func (d *delivery) longestPause(name string, from, until time.Time) (longest time.Duration) {
	d.Helper()
	moments := []time.Time{from, until}
	for id, at := range d.stored() {
		if strings.HasPrefix(id, name+"-") {
			moments = append(moments, at...)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	for i, at := range moments[1:] {
		longest = max(longest, at.Sub(moments[i]))
	}
	d.Logf("the longest pause of %s was %s", name, longest.Round(10*time.Millisecond))
	return longest
}

func TestSystemStartLatestLosesNothingThroughRestartsAndANewPartition(t *testing.T) {
	c := startKafka(t, overPlaintext)
	d := newDelivery(t, c, 0)
	d.extra = "  start: latest\n"
	c.produce(t, d.topic, 100, func(i int) *kgo.Record { return told("before", i) })
	var ids []string
	write := func(with *kgo.Client, name string, partition int32) {
		for i := range 30 {
			r := told(name, i)
			r.Topic, r.Partition = d.topic, partition
			if err := with.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, fmt.Sprintf("%s-%d", name, i))
		}
	}
	m := d.start()
	for _, name := range []string{"restart1", "restart2", "restart3"} {
		d.ends(m)                // the first time before any record has come
		write(c.client, name, 0) // by key
		m = d.start()
	}
	if _, err := c.admin.UpdatePartitions(t.Context(), 7, d.topic); err != nil {
		t.Fatal(err)
	}
	chosen, err := kgo.NewClient(
		kgo.SeedBrokers(c.broker.seeds[overPlaintext]...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer chosen.Close()
	write(chosen, "partition", 6)
	eventually(t, 45*time.Second, "everything is delivered", func() bool { return d.missing(ids) == 0 })
	d.ends(m)
	d.once(ids)
	if n := d.delivered("before"); n > 0 {
		t.Errorf("%d records from before the start were delivered", n)
	}
}
