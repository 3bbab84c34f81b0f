//go:build system

package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
	"github.com/leadsink/leadsink/internal/audit"
)

// A watch reads a run's evidence from outside of it, further with each sample.
// It belongs to one goroutine at a time.
type watch struct {
	of         *delivery
	id         [16]byte // of the topic
	records    *follower
	letters    *follower
	evidence   audit.Evidence
	activities []fakeapi.Activity
	damaged    []string // metadata that cannot be read, a few
}

func newWatch(d *delivery) *watch {
	d.Helper()
	topics, err := d.cluster.admin.ListTopics(d.Context(), d.topic)
	if err := errors.Join(err, topics.Error()); err != nil {
		d.Fatal(err)
	}
	return &watch{of: d, id: topics[d.topic].ID, records: newFollower(d.T, d.cluster, d.topic), letters: newFollower(d.T, d.cluster, d.dead)}
}

// look reads everything that is new: what is committed first, so that whatever
// it counts as finished must be in what is read after it, and the records last,
// so that none of those that it covers is missing.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	positions, err := w.positions(ctx)
	if err != nil {
		return err
	}
	if err := w.readActivities(ctx); err != nil {
		return err
	}
	if err := w.letters.read(ctx, w.letter); err != nil {
		return err
	}
	if err := w.records.read(ctx, w.record); err != nil {
		return err
	}
	w.evidence.Positions = positions
	return nil
}

func (w *watch) positions(ctx context.Context) (all []audit.Position, err error) {
	offsets, err := w.of.cluster.admin.FetchOffsets(ctx, w.of.group)
	if err := errors.Join(err, offsets.Error()); err != nil {
		return nil, err
	}
	for _, o := range offsets[w.of.topic] {
		m, err := kafka.DecodeMetadata(o.Metadata, w.id, o.At)
		if err != nil && len(w.damaged) < 5 {
			w.damaged = append(w.damaged, fmt.Sprintf("the metadata of partition %d at offset %d, %q: %v", o.Partition, o.At, o.Metadata, err))
		}
		p := audit.Position{Topic: o.Topic, Partition: o.Partition, Next: o.At}
		for _, r := range m.Finished {
			p.Finished = append(p.Finished, audit.Range(r))
		}
		all = append(all, p)
	}
	return all, nil
}

func (w *watch) readActivities(ctx context.Context) error {
	for {
		var page struct {
			Items []fakeapi.Activity `json:"items"`
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/_fake/activities?after=%d", w.of.api, len(w.activities)), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		err = json.NewDecoder(resp.Body).Decode(&page)
		_ = resp.Body.Close()
		if err != nil || len(page.Items) == 0 {
			return err
		}
		for _, a := range page.Items {
			w.evidence.Activities = append(w.evidence.Activities, audit.Activity{ID: a.Fields["mx_Custom_1"], Lead: a.Lead, Seq: len(w.evidence.Activities)})
		}
		w.activities = append(w.activities, page.Items...)
	}
}

func (w *watch) letter(r *kgo.Record) error {
	e, err := eventOf(r)
	w.evidence.Letters = append(w.evidence.Letters, e.ID)
	return err
}

func (w *watch) record(r *kgo.Record) error {
	e, err := eventOf(r)
	w.evidence.Records = append(w.evidence.Records, audit.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, ID: e.ID, Lead: e.Lead, Dead: e.Dead,
	})
	return err
}

// sample looks again and again until ctx ends, and returns what it found too
// early. It rests for as long as to leave the machine to the members.
func (w *watch) sample(ctx context.Context) (s samples) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return s
		}
		began := time.Now()
		err := w.look(ctx)
		timer.Reset(max(200*time.Millisecond, min(5*time.Since(began), 2*time.Second)))
		if err != nil {
			if ctx.Err() == nil { // a broker is down, usually
				s.missed++
				s.trouble = err
			}
			continue
		}
		s.taken++
		for _, text := range audit.CheckCommits(w.evidence).Findings {
			s.early++
			if len(s.findings) < 10 {
				s.findings = append(s.findings, time.Now().Format(time.TimeOnly)+" "+text)
			}
		}
	}
}

// samples are what came of looking while the run went on.
type samples struct {
	taken, missed, early int
	findings             []string
	trouble              error // the last that made a sample fail
}

// A follower reads a topic from its start, and goes on from where it was.
type follower struct {
	*cluster
	topic  string
	client *kgo.Client
	next   map[int32]int64
}

func newFollower(t *testing.T, c *cluster, topic string) *follower {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.broker.seeds[overPlaintext]...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &follower{cluster: c, topic: topic, client: client, next: map[int32]int64{}}
}

// read reads up to the topic's present end.
func (f *follower) read(ctx context.Context, take func(*kgo.Record) error) error {
	ends, err := f.admin.ListEndOffsets(ctx, f.topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		return fmt.Errorf("ask for the end of %s: %w", f.topic, err)
	}
	behind := func() bool {
		for partition, end := range ends[f.topic] {
			if f.next[partition] < end.Offset {
				return true
			}
		}
		return false
	}
	for behind() {
		fetches := f.client.PollFetches(ctx)
		for r := range fetches.RecordsAll() { // also beside an error: they come once
			f.next[r.Partition] = r.Offset + 1
			if err := take(r); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("read %s: %w", f.topic, ctx.Err())
		}
	}
	return nil
}
