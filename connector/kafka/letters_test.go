package kafka

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/transform"
)

var update = flag.Bool("update", false, "write the golden files anew")

func (w *world) letters(change ...func(*Settings)) (*DeadLetters, *record) {
	w.t.Helper()
	log := &record{}
	s := Settings{Config: w.config(), Dial: w.network.DialContext, Log: slog.New(slog.NewTextHandler(log, nil))}
	for _, c := range change {
		c(&s)
	}
	d, err := NewDeadLetters(w.t.Context(), s, "events.dead", "crm-activities")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(d.Close)
	return d, log
}

// read returns the first n records of the dead-letter topic.
func (w *world) read(n int) []*kgo.Record {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.ListenAddrs()...), kgo.Dialer(w.network.DialContext), kgo.ConsumeTopics("events.dead"), kgo.DisableClientMetrics())
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	var all []*kgo.Record
	for len(all) < n {
		all = append(all, client.PollFetches(w.t.Context()).Records()...)
	}
	return all
}

func letter(value string) connector.DeadLetter {
	return connector.DeadLetter{
		Record: connector.Record{Record: transform.Record{
			Topic: "events", Partition: 3, Offset: 4711, LeaderEpoch: 2,
			Timestamp: time.Date(1999, 6, 2, 3, 4, 5, 0, time.UTC), Key: []byte("lead-7"), Value: []byte(value),
			Headers: []transform.Header{
				{Key: "traceparent", Value: []byte("00-1-2-01")},
				{Key: "x", Value: nil},
				{Key: "__connect.errors.exception.message", Value: []byte("an earlier death")},
				{Key: "leadsink.reason", Value: []byte("an earlier death")},
				{Key: "leadsink.redrives", Value: []byte("2")},
			},
		}},
		Reason:   transform.Reason{Stage: "deliver", Class: "refused", Message: "LeadSquared refused the activity: no such lead", Rule: "order placed"},
		Attempts: 2,
		Activity: []byte(`{"ActivityEvent":320}`),
		Response: "no such lead",
	}
}

func TestALetterHoldsTheRecordAndTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events.dead"))
		d, _ := w.letters()
		if err := d.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		first := letter(`{"type":"order.placed"}`)
		never := letter("")
		never.Record.Value, never.Record.Headers = nil, nil
		never.Reason = transform.Reason{Stage: "decode", Class: "tombstone", Message: "the value is null"}
		never.Attempts, never.Activity, never.Response = 0, nil, ""
		for i, err := range d.Bury(t.Context(), []connector.DeadLetter{first, never}) {
			if err != nil {
				t.Fatalf("letter %d: %v", i, err)
			}
		}
		var text strings.Builder
		for _, r := range w.read(2) {
			fmt.Fprintf(&text, "key %q value %q null %v at %s\n", r.Key, r.Value, r.Value == nil, r.Timestamp.UTC().Format(time.RFC3339))
			for _, h := range r.Headers {
				fmt.Fprintf(&text, "\t%s: %s\n", h.Key, h.Value)
			}
		}
		golden(t, "letters.golden", text.String())
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestALetterThatIsTooLargeGoesWithoutWhatCanBeHadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := w.CreateTopic("events.dead", 1, map[string]string{"max.message.bytes": "10000"}); err != nil {
			t.Fatal(err)
		}
		d, _ := w.letters()
		noise := func(n int) string { // incompressible
			var b strings.Builder
			for i := range n / 8 {
				fmt.Fprintf(&b, "%08x", uint32(i)*2654435761)
			}
			return b.String()
		}
		fits, large, tooLarge := letter(noise(2000)), letter(noise(6000)), letter(noise(40_000))
		fits.Response = ""
		large.Activity = []byte(noise(30_000))
		errs := d.Bury(t.Context(), []connector.DeadLetter{fits, large, tooLarge})
		if errs[0] != nil || errs[1] != nil {
			t.Fatalf("letters that fit: %v, %v", errs[0], errs[1])
		}
		if !errors.Is(errs[2], kerr.MessageTooLarge) || !strings.Contains(errs[2].Error(), "events[3] at offset 4711") {
			t.Errorf("a record larger than the topic takes: %v", errs[2])
		}
		for _, r := range w.read(2) {
			cut := len(r.Value) > 2000
			has := map[string]bool{}
			for _, h := range r.Headers {
				has[h.Key] = true
			}
			if has["leadsink.activity"] == cut || !has["leadsink.reason"] {
				t.Errorf("a letter of %d bytes has the headers %v", len(r.Value), has)
			}
		}
	})
}

func TestLettersFailInTimeWhenNoBrokerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events.dead"))
		wire := &wire{dial: w.network.DialContext}
		d, _ := w.letters(func(s *Settings) { s.Dial = wire.Dial })
		if errs := d.Bury(t.Context(), []connector.DeadLetter{letter("1")}); errs[0] != nil {
			t.Fatal(errs[0])
		}
		wire.cut()
		began := time.Now()
		errs := d.Bury(t.Context(), []connector.DeadLetter{letter("2"), letter("3")})
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %s", took)
		}
		if len(errs) != 2 || errs[0] == nil || errs[1] == nil {
			t.Fatalf("the errors are %v", errs)
		}
		wire.mend()
		if errs := d.Bury(t.Context(), []connector.DeadLetter{letter("2")}); errs[0] != nil {
			t.Errorf("after the brokers came back: %v", errs[0])
		}
	})
}

func TestTheDeadLetterTopicIsCreatedWithAWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, log := w.letters()
		for range 2 {
			if err := d.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if !log.has("was created") || w.TopicInfo("events.dead") == nil {
			t.Error("the topic was not created, or nobody was told")
		}
	})
}

func TestACheckOfTheDeadLetterTopicEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		wire := &wire{dial: w.network.DialContext, isCut: true}
		d, _ := w.letters(func(s *Settings) { s.Dial = wire.Dial })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := d.Check(ctx); err == nil {
			t.Error("no error without brokers")
		}
	})
}
