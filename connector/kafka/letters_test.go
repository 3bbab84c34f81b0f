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

// A topic forgets by the time that its messages carry.
func TestRetentionCountsFromWhenALetterWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := w.CreateTopic("events.dead", 1, map[string]string{"retention.ms": "3600000"}); err != nil {
			t.Fatal(err)
		}
		d, _ := w.letters()
		of := letter("1") // of a record of 1999
		if errs := d.Bury(t.Context(), []connector.DeadLetter{of}); errs[0] != nil {
			t.Fatal(errs[0])
		}
		wait(30 * time.Minute)
		w.ApplyRetention()
		read := w.kept()
		if len(read) != 1 {
			t.Fatalf("after half of the retention %d letters are there, want 1", len(read))
		}
		if got := read[0].Timestamp; !got.Equal(of.Record.Timestamp) {
			t.Errorf("the letter is read as a record of %s, want its own time, %s", got, of.Record.Timestamp)
		}
		wait(time.Hour)
		if w.ApplyRetention(); len(w.kept()) != 0 {
			t.Error("the retention has no effect here, so nothing is shown")
		}
	})
}

// kept returns the letters as records that are read.
func (w *world) kept() []transform.Record {
	w.t.Helper()
	s := Settings{Config: w.config(), Dial: w.network.DialContext}
	s.Config.Topics = []string{"events.dead"}
	read, err := Tail(w.t.Context(), s, 10, -1)
	if err != nil {
		w.t.Fatal(err)
	}
	return read
}

// A letter that was written back to its topic, or whose topic is read itself, dies
// again with the time that the record had in the beginning.
func TestTheTimeOfARecordSurvivesItsDeaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "events.dead"))
		d, _ := w.letters()
		first := letter("1")
		for _, millis := range []time.Duration{0, 1, 999} {
			first.Record.Timestamp = first.Record.Timestamp.Add(millis * time.Millisecond)
			if errs := d.Bury(t.Context(), []connector.DeadLetter{first}); errs[0] != nil {
				t.Fatal(errs[0])
			}
			read := w.kept()
			again := letter("1")
			again.Record.Record = read[len(read)-1]
			if errs := d.Bury(t.Context(), []connector.DeadLetter{again}); errs[0] != nil {
				t.Fatal(errs[0])
			}
			read = w.kept()
			last := read[len(read)-1]
			if !last.Timestamp.Equal(first.Record.Timestamp) {
				t.Errorf("of %s the second letter says %s", first.Record.Timestamp, last.Timestamp)
			}
			times := 0
			for _, h := range last.Headers {
				if h.Key == "leadsink.origin.timestamp" {
					times++
				}
			}
			if times != 1 {
				t.Errorf("the second letter has %d headers with the time, want 1", times)
			}
		}
	})
}

func TestAnOriginThatIsNoTimeIsNotBelieved(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_600_000_000_000)
	for _, text := range []string{"", "yesterday", "1e12", "99999999999999999999", " 1"} {
		r := &kgo.Record{Timestamp: at, Headers: []kgo.RecordHeader{{Key: "leadsink.origin.timestamp", Value: []byte(text)}}}
		if got := copied(r).Timestamp; !got.Equal(at) {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
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

// noise is text that hardly becomes shorter when it is compressed.
func noise(n int) string {
	var b strings.Builder
	for i := range n / 8 {
		fmt.Fprintf(&b, "%08x", uint32(i)*2654435761)
	}
	return b.String()
}

func TestALetterThatIsTooLargeGoesWithoutWhatCanBeHadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := w.CreateTopic("events.dead", 1, map[string]string{"max.message.bytes": "10000"}); err != nil {
			t.Fatal(err)
		}
		d, _ := w.letters()
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
