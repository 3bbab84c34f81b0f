package connector_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// longest is the length of the longest metadata of the group's commits.
func (w *world) longest() (most int) {
	responses, err := w.admin.FetchOffsets(context.Background(), group)
	w.must(err)
	responses.Each(func(r kadm.OffsetResponse) { most = max(most, len(r.Metadata)) })
	return most
}

func TestThePositionFollowsTheOldestRecordClosely(t *testing.T) {
	inWorld(t, func(w *world) {
		const records, leads = 30_000, 400
		w.config.Window = 10_000
		for range records {
			w.event(w.random.Int32N(partitions), fmt.Sprintf("lead-%d", w.random.IntN(leads)))
		}
		m := w.start()
		behind, text := 0, 0
		for range 300 {
			time.Sleep(time.Second)
			positions := int64(0)
			for _, c := range w.committed() {
				positions += c.next
			}
			behind = max(behind, w.api.Summary("").Created-int(positions))
			text = max(text, w.longest())
		}
		if s := m.status(); s.Records.Delivered != records {
			t.Fatalf("%d records delivered, want %d", s.Records.Delivered, records)
		}
		t.Logf("at most %d activities created beyond the positions, and %d bytes of metadata", behind, text)
		if most := (2 + w.config.InFlight) * w.config.Batch; behind > most {
			t.Errorf("%d activities were created beyond the positions, want at most %d", behind, most)
		}
		if text >= 200 {
			t.Errorf("a commit's metadata has %d bytes, want less than 200", text)
		}
	})
}

func TestNoRowIsSentBeyondWhatACommitCanDescribe(t *testing.T) {
	inWorld(t, func(w *world) {
		const span = 200
		w.config.Window, w.config.Attempts = 10_000, 1000
		w.span = span
		stuck := w.event(0, "busy") // LeadSquared wants it to be tried again
		for i := range 1000 {
			w.event(0, fmt.Sprintf("lead-%d", i))
		}
		m := w.start()
		time.Sleep(time.Minute)
		highest := int64(0)
		for _, a := range w.api.Activities(0, 0) {
			highest = max(highest, noted(a.Note).offset)
		}
		if want := stuck.offset + span - 1; highest != want {
			t.Errorf("records up to offset %d were sent, want up to %d", highest, want)
		}
		w.consistent()
		account := fakeapi.DefaultAccount()
		account.BusyLead = "nobody"
		w.api.SetAccount(account)
		time.Sleep(2 * time.Minute)
		if s := m.status(); s.Records.Delivered != 1001 || s.Stalls > 0 {
			t.Errorf("%d records delivered and %d stalls, want 1001 and none", s.Records.Delivered, s.Stalls)
		}
		w.account()
	})
}

func TestHeldRecordsStopAPartitionOnlyAtTheWindow(t *testing.T) {
	inWorld(t, func(w *world) {
		const held, others = 700, 1500
		w.config.OnUnknown = "hold"
		w.config.Window, w.config.InFlight = 10_000, 100
		w.config.Breaker.Failures = 1_000_000
		w.rates(fakeapi.ResetAfter, 1.0)
		for i := range held {
			w.event(0, fmt.Sprintf("lead-%d", i))
		}
		m := w.start()
		w.until("the first are held", func() bool { return m.status().Held == held })
		w.heal()
		for i := range others {
			w.event(0, fmt.Sprintf("other-%d", i))
		}
		time.Sleep(2 * time.Minute)
		if s := m.status(); s.Records.Delivered != others {
			t.Errorf("%d of %d others were delivered beside %d held", s.Records.Delivered, others, s.Held)
		}
	})
}
