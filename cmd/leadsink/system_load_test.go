//go:build system

package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// told is the ith record of a name: it tells whose it is.
func told(name string, i int) *kgo.Record {
	return &kgo.Record{
		Key:   fmt.Appendf(nil, "lead-%d", i%500),
		Value: fmt.Appendf(nil, `{"id":"%s-%d","lead":"lead-%d","total":%d}`, name, i, i%500, i),
	}
}

// load writes records of a name to a topic, some two hundred a second, until it is
// told to stop. Then it returns the ids of those that the broker has taken: while
// a topic is deleted or its broker is away it may refuse some.
func (d *delivery) load(topic, name string) (stop func() (ids []string)) {
	d.Helper()
	// With a client of its own: one that knew the topic's earlier life would hold on to it.
	client, err := kgo.NewClient(
		kgo.SeedBrokers(d.cluster.broker.seeds[overPlaintext]...), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(client.Close)
	ctx, cancel := context.WithCancel(d.Context())
	var mu sync.Mutex // guards taken, which the client adds to
	var taken []string
	writing := make(chan struct{})
	go func() { // ends with ctx
		defer close(writing)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			id := fmt.Sprintf("%s-%d", name, i)
			client.Produce(ctx, told(name, i), func(_ *kgo.Record, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					taken = append(taken, id)
				}
			})
			if i%20 != 19 {
				continue
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() []string {
		cancel()
		<-writing
		client.Close() // what is not taken by now never is
		mu.Lock()
		defer mu.Unlock()
		return taken
	}
}

// stored is when LeadSquared stored each activity, by the id of its record.
func (d *delivery) stored() map[string][]time.Time {
	d.Helper()
	all := map[string][]time.Time{}
	for _, a := range pages[fakeapi.Activity](d, "/_fake/activities") {
		id := a.Fields["mx_Custom_1"]
		all[id] = append(all[id], a.Stored)
	}
	return all
}

// missing is how many of the records have no activity.
func (d *delivery) missing(ids []string) (n int) {
	d.Helper()
	stored := d.stored()
	for _, id := range ids {
		if len(stored[id]) == 0 {
			n++
		}
	}
	return n
}

// once makes sure that each of the records has one activity.
func (d *delivery) once(ids []string) {
	d.Helper()
	stored, lost, twice := d.stored(), 0, 0
	for _, id := range ids {
		n := len(stored[id])
		lost += max(0, 1-n)
		twice += max(0, n-1)
	}
	d.Logf("of %d records %d are lost and %d created twice", len(ids), lost, twice)
	if lost > 0 || twice > 0 || len(ids) == 0 {
		d.Errorf("of %d records %d are lost and %d created twice", len(ids), lost, twice)
	}
}

// fails has the next calls go wrong in these ways, one after the other.
func (d *delivery) fails(script ...fakeapi.Fault) {
	d.Helper()
	body, err := json.Marshal(map[string]any{"script": script})
	if err != nil {
		d.Fatal(err)
	}
	resp, err := http.Post(d.api+"/_fake/faults", "application/json", bytes.NewReader(body)) //nolint:noctx // loopback
	if err != nil {
		d.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusNoContent {
		d.Fatalf("set faults: status %d", resp.StatusCode)
	}
}

// ends ends members as a deployment does.
func (d *delivery) ends(crew ...*crewMember) {
	d.Helper()
	for _, m := range crew {
		m.terminate(d.T)
		if code := m.wait(d.T, time.Minute); code != 0 {
			d.Errorf("a member ended with exit code %d after SIGTERM, want 0", code)
		}
	}
}

// pause waits: for what goes on in other processes meanwhile.
func pause(t *testing.T, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
