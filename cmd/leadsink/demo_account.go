package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/term"

	"github.com/leadsink/leadsink/connector"
)

// watch shows how far the connector is and returns when the group has committed
// every partition to its end.
func (d *demo) watch(ctx context.Context, c *connector.Connector, stderr io.Writer) error {
	file, ok := stderr.(*os.File)
	live := ok && term.IsTerminal(int(file.Fd()))
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for said := time.Now(); ; {
		select {
		case <-ctx.Done():
			if live {
				_, _ = fmt.Fprintln(stderr) // what comes next has a line of its own
			}
			return nil
		case <-tick.C:
		}
		lag, err := d.behind(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return &exitError{exitFailed, fmt.Errorf("ask for the committed offsets: %w", err)}
		}
		s, err := c.Status(ctx)
		if err != nil {
			return nil // it has stopped
		}
		if s.State == connector.Halted {
			return &exitError{exitFailed, errors.New(s.Words)}
		}
		line := fmt.Sprintf("%6d records  %6d activities  %4d calls  fill %3.0f %%  %6d behind  breaker %s",
			s.Records.Delivered+s.Records.Filtered+s.Records.Dead, s.Activities.Created, s.Calls.Total, 100*s.Fill, lag, s.Breaker)
		switch {
		case live:
			_, _ = fmt.Fprintf(stderr, "\r\x1b[K%s", line)
		case time.Since(said) >= 5*time.Second || lag == 0:
			said = time.Now()
			_, _ = fmt.Fprintln(stderr, line)
		}
		if lag == 0 {
			if live {
				_, _ = fmt.Fprintln(stderr)
			}
			return nil
		}
	}
}

// behind is how many records lie between the group's committed offsets and the
// ends of the topic.
func (d *demo) behind(ctx context.Context) (int64, error) {
	ends, err := d.admin.ListEndOffsets(ctx, demoTopic)
	if err != nil {
		return 0, err
	}
	committed, err := d.admin.FetchOffsets(ctx, demoGroup)
	if err != nil {
		return 0, err
	}
	lag := int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		lag += end.Offset
		if at, ok := committed.Lookup(demoTopic, end.Partition); ok && at.At > 0 {
			lag -= at.At
		}
	})
	return lag, ends.Error()
}

// A demoSummary is how the demo ended, as counted by the fake LeadSquared and
// the dead-letter topic.
type demoSummary struct {
	Events     int      `json:"events"`
	Delivered  int      `json:"delivered"`
	Filtered   int      `json:"filtered"`
	Dead       int      `json:"dead"`
	Activities int      `json:"activities"`
	Calls      int      `json:"calls"`
	Fill       float64  `json:"fill"` // rows ÷ (25 × all calls)
	Seconds    float64  `json:"seconds"`
	Twice      int      `json:"created_twice"`
	OverLimit  int      `json:"calls_over_limit"`
	Wrong      []string `json:"wrong,omitempty"` // the first ten events with another end than they were made for
	Missing    int      `json:"missing"`         // how many there are
}

// account compares event by event and prints the summary.
func (d *demo) account(ctx context.Context, stdout io.Writer, took time.Duration) error {
	buried, err := d.letters(ctx)
	if err != nil {
		return err
	}
	created := map[string]int{}
	for _, a := range d.api.Activities(0, 0) {
		created[a.Fields["mx_Custom_1"]]++
	}
	s := accountFor(d.produced, created, buried)
	sum := d.api.Summary("")
	s.Calls, s.OverLimit, s.Seconds = sum.Calls, sum.Violations, took.Seconds()
	rows := 0
	for _, c := range d.api.Calls(0, 0) {
		rows += c.Rows
	}
	if s.Calls > 0 {
		s.Fill = float64(rows) / float64(25*s.Calls)
	}
	if *d.json {
		if err := encodeJSON(stdout, s); err != nil {
			return err
		}
	} else {
		s.print(stdout)
	}
	return s.failure()
}

// failure is nil if every event is accounted for.
func (s *demoSummary) failure() error {
	if s.Missing > 0 || s.Events != s.Delivered+s.Filtered+s.Dead {
		return &exitError{exitFailed, fmt.Errorf("%d events have not the end that they were made for", s.Missing)}
	}
	return nil
}

// accountFor compares what events were to become with what LeadSquared created,
// by event id, and with the letters that were buried, by record key.
func accountFor(events map[string]demoEvent, created, buried map[string]int) demoSummary {
	s := demoSummary{Events: len(events)}
	for id, e := range events {
		first, second, letters := created[id], created[id+"/large"], buried[id]
		s.Activities += first + second
		s.Twice += max(0, first-1) + max(0, second-1)
		ok := false
		switch {
		case e.dead:
			if ok = letters > 0 && first+second == 0; ok {
				s.Dead++
			}
		case e.activities == 0:
			if ok = letters == 0 && first+second == 0; ok {
				s.Filtered++
			}
		default:
			if ok = letters == 0 && first > 0 && (second > 0) == (e.activities == 2); ok {
				s.Delivered++
			}
		}
		if !ok {
			s.Missing++
			s.Wrong = append(s.Wrong, fmt.Sprintf("%s: %d activities and %d dead letters", id, first+second, letters))
		}
	}
	for id := range created {
		if _, ok := events[strings.TrimSuffix(id, "/large")]; !ok {
			s.Missing++
			s.Wrong = append(s.Wrong, fmt.Sprintf("%q: an activity of no event", id))
		}
	}
	for id := range buried {
		if _, ok := events[id]; !ok {
			s.Missing++
			s.Wrong = append(s.Wrong, fmt.Sprintf("%q: a dead letter of no event", id))
		}
	}
	slices.Sort(s.Wrong)
	s.Wrong = s.Wrong[:min(len(s.Wrong), 10)]
	return s
}

// letters reads the dead-letter topic to its end, by record key.
func (d *demo) letters(ctx context.Context) (map[string]int, error) {
	ends, err := d.admin.ListEndOffsets(ctx, demoDeadTopic)
	if err != nil {
		return nil, &exitError{exitFailed, fmt.Errorf("read the dead-letter topic: %w", err)}
	}
	end, _ := ends.Lookup(demoDeadTopic, 0)
	buried := map[string]int{}
	for next := int64(0); next < end.Offset; {
		fetches := d.kafka.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, &exitError{exitFailed, fmt.Errorf("read the dead-letter topic: %w", err)}
		}
		for _, r := range fetches.Records() {
			buried[string(r.Key)]++
			next = r.Offset + 1
		}
	}
	return buried, nil
}

func (s *demoSummary) print(w io.Writer) {
	verdict := "Every event is accounted for."
	if s.Missing > 0 {
		verdict = fmt.Sprintf("%d events are NOT accounted for:\n  %s", s.Missing, strings.Join(s.Wrong, "\n  "))
	}
	_, _ = fmt.Fprintf(w, `
As counted by LeadSquared and the dead-letter topic:
  events     %7d
  delivered  %7d  as %d activities, %d of them created twice
  filtered   %7d  no rule wanted them
  dead       %7d  in the dead-letter topic, with the reason
  calls      %7d  %.0f %% full, %d over the limit
  seconds    %7.1f
%s
`, s.Events, s.Delivered, s.Activities, s.Twice, s.Filtered, s.Dead, s.Calls, 100*s.Fill, s.OverLimit, s.Seconds, verdict)
}
