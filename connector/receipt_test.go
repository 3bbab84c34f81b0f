package connector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// inReceiptedWorld plays a story in a world where receipts are wanted.
func inReceiptedWorld(t *testing.T, story func(w *world)) {
	t.Helper()
	inWorld(t, func(w *world) {
		w.receipts = true
		story(w)
	})
}

// messages returns everything that the topic holds.
func (w *world) messages(topic string) (all []*kgo.Record) {
	w.Helper()
	synctest.Wait() // what is being written is written
	client, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(w.network.DialContext), kgo.ConsumeTopics(topic),
		kgo.DisableClientMetrics(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.must(err)
	defer client.Close()
	ends, err := w.admin.ListEndOffsets(context.Background(), topic)
	w.must(err)
	end, _ := ends.Lookup(topic, 0)
	for int64(len(all)) < end.Offset {
		all = append(all, client.PollFetches(context.Background()).Records()...)
	}
	return all
}

// issued returns the receipts by the activity's id.
func (w *world) issued() map[string]kafka.Receipt {
	w.Helper()
	receipts := map[string]kafka.Receipt{}
	for _, m := range w.messages(doneTopic) {
		var r kafka.Receipt
		w.must(json.Unmarshal(m.Value, &r))
		if string(m.Key) != r.Lead {
			w.Errorf("a receipt's key is %q, want the lead %q", m.Key, r.Lead)
		}
		receipts[r.ActivityID] = r
	}
	return receipts
}

func TestEveryCreatedActivityHasAReceipt(t *testing.T) {
	inReceiptedWorld(t, func(w *world) {
		for i := range 60 {
			p := w.put(int32(i%partitions), fmt.Sprintf(`{"kind":"double","lead":"lead-%d"}`, i), toDeliver)
			w.doubles[p] = true
		}
		w.put(0, `{"kind":"plain","lead":"unknown-1"}`, toBury)
		w.start()
		time.Sleep(30 * time.Second)
		w.finish()
		w.account()
		issued := w.issued()
		if len(issued) != 120 {
			t.Errorf("%d receipts, want one for each of 120 activities", len(issued))
		}
		for _, a := range w.api.Activities(0, 0) {
			r := issued[a.ID]
			if got := fmt.Sprintf("%d-%d", r.Partition, r.Offset); r.Topic != topic || got != strings.TrimSuffix(a.Note, "-second") || r.Lead != a.Lead ||
				r.Code != a.Code || r.Connector != "test" || r.At.Before(a.At) || r.At.Sub(a.At) > time.Minute || r.Found {
				t.Errorf("of activity %+v the receipt says %+v", a, r)
			}
		}
	})
}

func TestWhatIsCommittedHasItsReceiptAndALostTopicHoldsDeliveryUp(t *testing.T) {
	inReceiptedWorld(t, func(w *world) {
		w.config.InFlight = 3
		w.events(300)
		stored := w.refuseProduce()
		m := w.start()
		for range 60 {
			time.Sleep(time.Second)
			for p := range w.produced {
				if w.committed()[p.partition].covers(p.offset) {
					t.Fatalf("%s is committed without its receipt", p)
				}
			}
		}
		s := m.status()
		if calls := len(w.api.Calls(0, 0)); calls != 3 || s.InFlight != 3 {
			t.Errorf("%d calls and %d in flight while no receipt was stored, want the 3 that in_flight allows", calls, s.InFlight)
		}
		if !slices.Contains(s.Waiting, "receipts") || !strings.Contains(s.Words, "receipts") {
			t.Errorf("it waits for %v (%s), want receipts", s.Waiting, s.Words)
		}
		w.consistent()
		stored.Store(true)
		w.finish()
		w.account()
		if twice := w.twice(); twice > 0 {
			t.Errorf("%d activities were created twice though nothing was lost", twice)
		}
		if s := m.status(); slices.Contains(s.Waiting, "receipts") {
			t.Errorf("it still waits for %v", s.Waiting)
		}
	})
}

func TestWhatAnOperatorSaysIsCreatedHasAReceiptBeforeItIsSettled(t *testing.T) {
	inReceiptedWorld(t, func(w *world) {
		w.config.OnUnknown = "hold"
		w.api.Script(fakeapi.HangAfter)
		w.events(20)
		m := w.start()
		time.Sleep(30 * time.Second)
		stored := w.refuseProduce()
		n, err := m.connector.SettleHeld(context.Background(), connector.HeldCreated, connector.HeldChoice{})
		w.must(err)
		time.Sleep(time.Minute)
		if s := m.status(); n != 20 || w.everythingCommitted() || s.Records.Delivered != 0 {
			t.Errorf("%d decided; without receipts %d are delivered, all committed %t", n, s.Records.Delivered, w.everythingCommitted())
		}
		stored.Store(true)
		time.Sleep(time.Minute)
		if s := m.status(); !w.everythingCommitted() || s.Records.Delivered != 20 || s.Held != 0 {
			t.Errorf("%d are delivered, %d held, all committed %t; want 20, 0 and all", s.Records.Delivered, s.Held, w.everythingCommitted())
		}
		told := map[string]bool{}
		for _, message := range w.messages(doneTopic) {
			var r kafka.Receipt
			w.must(json.Unmarshal(message.Value, &r))
			if !r.Operator || r.Found || r.ActivityID != "" || r.Lead == "" || r.Code == 0 {
				t.Errorf("a receipt says %+v, want that an operator said so and no id", r)
			}
			told[fmt.Sprintf("%d-%d", r.Partition, r.Offset)] = true
		}
		if len(told) != 20 {
			t.Errorf("receipts of %d records, want 20", len(told))
		}
	})
}

func TestAStopEndsThoughReceiptsCannotBeStored(t *testing.T) {
	inReceiptedWorld(t, func(w *world) {
		w.events(50)
		w.refuseProduce()
		m := w.start()
		time.Sleep(10 * time.Second)
		begun := time.Now()
		m.end()
		<-m.ended
		if took := time.Since(begun); took > w.config.DrainTimeout+15*time.Second || m.result == nil {
			t.Errorf("the stop took %v and said %v; want the drain timeout, a write's at most, and what was left", took, m.result)
		}
	})
}

func TestWhatLeadSquaredWasAskedForHasAReceiptThatSaysSo(t *testing.T) {
	inMarkedWorld(t, func(w *world) {
		w.receipts = true
		w.api.Script(fakeapi.HangAfter)
		w.events(20)
		w.start()
		time.Sleep(time.Minute)
		w.account()
		issued := w.issued()
		if len(issued) != 20 {
			t.Errorf("%d receipts, want those of the 20 activities that were found", len(issued))
		}
		for _, a := range w.api.Activities(0, 0) {
			if r := issued[a.ID]; !r.Found || r.Lead != a.Lead {
				t.Errorf("of activity %+v the receipt says %+v", a, r)
			}
		}
	})
}
