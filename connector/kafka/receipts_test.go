package kafka

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/transform"
)

// receipts returns receipts that go to the topic where letters are read, too.
func (w *world) receipts(change ...func(*Settings)) *Receipts {
	w.t.Helper()
	s := Settings{Config: w.config(), Dial: w.network.DialContext}
	for _, c := range change {
		c(&s)
	}
	r, err := NewReceipts(w.t.Context(), s, "events.dead", "crm-activities")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	return r
}

func receipt(offset int64) connector.Receipt {
	return connector.Receipt{Topic: "events", Offset: offset, Rule: "order placed", Lead: "lead-7", Code: 320, ActivityID: "id", At: time.Now()}
}

func TestRetentionCountsFromWhenAReceiptWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events.dead"))
		of := receipt(1)
		wait(48 * time.Hour) // it could not be stored for as long
		if errs := w.receipts().Issue(t.Context(), []connector.Receipt{of}); errs[0] != nil {
			t.Fatal(errs[0])
		}
		if at := w.read(1)[0].Timestamp; time.Since(at) > time.Minute {
			t.Errorf("it carries %s, want the time at which it was written", at)
		}
	})
}

// takes makes the topic, which takes batches of so many bytes.
func (w *world) takes(bytes int) {
	w.t.Helper()
	if err := w.CreateTopic("events.dead", 1, map[string]string{"max.message.bytes": fmt.Sprint(bytes)}); err != nil {
		w.t.Fatal(err)
	}
}

func TestReceiptsThatAreTooLargeTogetherAreWrittenInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes(2000)
		var all []connector.Receipt
		for i := range 200 {
			r := receipt(int64(i))
			r.ActivityID = noise(64 * (i%3 + 1))
			all = append(all, r)
		}
		for i, err := range w.receipts().Issue(t.Context(), all) {
			if err != nil {
				t.Fatalf("receipt %d: %v", i, err)
			}
		}
		if got := len(w.read(200)); got != 200 {
			t.Errorf("%d receipts, want 200", got)
		}
	})
}

func TestAReceiptThatIsTooLargeGoesWithoutItsTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes(500)
		small, traced, large := receipt(1), receipt(2), receipt(3)
		traced.Trace = []transform.Header{{Key: "traceparent", Value: []byte("00-1-2-01")}, {Key: "tracestate", Value: []byte(noise(512))}}
		large.ActivityID = noise(600)
		errs := w.receipts().Issue(t.Context(), []connector.Receipt{small, traced, large})
		if errs[0] != nil || errs[1] != nil {
			t.Fatalf("receipts that fit: %v, %v", errs[0], errs[1])
		}
		if err := errs[2]; !errors.Is(err, kerr.MessageTooLarge) || !strings.Contains(err.Error(), "events[0] at offset 3") || !strings.Contains(err.Error(), "max.message.bytes") {
			t.Errorf("one that is too large even so: %v", err)
		}
		for _, r := range w.read(2) {
			if len(r.Headers) > 0 {
				t.Errorf("%s has the headers %v", r.Value, r.Headers)
			}
		}
	})
}
