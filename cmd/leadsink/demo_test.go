package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// A transcript is written by the log and by the demo at the same time, as a
// process's stderr is.
type transcript struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func TestTheDemoAccountsForEveryEvent(t *testing.T) {
	var stdout bytes.Buffer
	var stderr transcript
	code := run(t.Context(), []string{
		"demo", "--json", "--events", "200", "--limit", "none",
		"--fault", "failed_500=0.1", "--fault", "reset_before=0.1", "--fault", "reordered=0.2",
	}, strings.NewReader(""), &stdout, &stderr)
	if code != exitFine {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	var s demoSummary
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		t.Fatalf("stdout is not one JSON document: %v\n%s", err, stdout.String())
	}
	var keys map[string]any
	if err := json.Unmarshal(stdout.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"activities", "calls", "calls_over_limit", "created_twice", "dead", "delivered", "events", "fill", "filtered", "missing", "seconds",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(keys))); diff != "" {
		t.Errorf("the summary's keys (-want +got):\n%s", diff)
	}
	if s.Activities < s.Delivered || s.Calls == 0 || s.Fill <= 0 || s.Fill > 1 || s.Seconds <= 0 {
		t.Errorf("%+v, want activities, calls, their fill as a part of 1, and seconds", s)
	}
	if s.Events != 200 || s.Delivered+s.Filtered+s.Dead != 200 || s.Delivered == 0 || s.Dead == 0 || s.Filtered == 0 || s.Twice != 0 {
		t.Errorf("%+v, want 200 events of every fate and none twice", s)
	}
}

func TestWithAMarkerTheDemoCreatesNothingTwice(t *testing.T) {
	for _, marked := range []bool{false, true} {
		var stdout bytes.Buffer
		var stderr transcript
		args := []string{"demo", "--json", "--events", "300", "--limit", "100/1s", "--fault", "reset_after=0.2", "--fault", "late=0.1"}
		if marked {
			args = append(args, "--marker")
		}
		code := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
		var s demoSummary
		if err := json.Unmarshal(stdout.Bytes(), &s); err != nil || code != exitFine {
			t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout.String(), stderr.String())
		}
		if (s.Twice == 0) != marked {
			t.Errorf("with a marker %t: %d created twice", marked, s.Twice)
		}
	}
}

func TestTheDemoAccountsForEveryEventUnderEachFault(t *testing.T) {
	for _, fault := range fakeapi.Faults() {
		if fault == fakeapi.Denied || fault == fakeapi.RefuseCall {
			continue // halts the connector; refuses what the events were not made for
		}
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			var stdout bytes.Buffer
			var stderr transcript
			// A throttled call waits for the limit's window, so the window is short.
			code := run(t.Context(), []string{"demo", "--json", "--events", "200", "--limit", "1000/1s", "--fault", string(fault) + "=0.1"},
				strings.NewReader(""), &stdout, &stderr)
			if code != exitFine {
				t.Fatalf("exit code %d\n%s%s", code, stdout.String(), stderr.String())
			}
			var s demoSummary
			if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
				t.Fatal(err)
			}
			if s.Events != 200 || s.Delivered+s.Filtered+s.Dead != 200 || s.Missing != 0 {
				t.Errorf("%+v, want every one of 200 events accounted for", s)
			}
		})
	}
}

func TestTheDemoFailsWhenTheConnectorHalts(t *testing.T) {
	var stdout bytes.Buffer
	var stderr transcript
	code := run(t.Context(), []string{"demo", "--json", "--events", "50", "--limit", "none", "--fault", "denied=1"},
		strings.NewReader(""), &stdout, &stderr)
	if code == exitFine || stdout.Len() > 0 {
		t.Errorf("exit code %d and %q, want a failure and no summary", code, stdout.String())
	}
}

func TestTheDemosAccountingFindsWhatIsWrong(t *testing.T) {
	events := map[string]demoEvent{"a": {activities: 1}, "b": {activities: 2}, "c": {dead: true}, "d": {}}
	right := map[string]int{"a": 1, "b": 1, "b/large": 1}
	letters := map[string]int{"c": 1}
	for _, test := range []struct {
		name           string
		created        map[string]int
		buried         map[string]int
		missing, twice int
	}{
		{"everything as it should be", right, letters, 0, 0},
		{"an event is lost", map[string]int{"b": 1, "b/large": 1}, letters, 1, 0},
		{"one of two activities is lost", map[string]int{"a": 1, "b": 1}, letters, 1, 0},
		{"an activity is created twice", map[string]int{"a": 2, "b": 1, "b/large": 1}, letters, 0, 1},
		{"a dead event is not buried", right, nil, 1, 0},
		{"an event is delivered and buried", right, map[string]int{"c": 1, "a": 1}, 1, 0},
		{"an event that no rule wanted is delivered", map[string]int{"a": 1, "b": 1, "b/large": 1, "d": 1}, letters, 1, 0},
		{"an event that no rule wanted is buried", right, map[string]int{"c": 1, "d": 1}, 1, 0},
		{"a dead event is delivered and buried", map[string]int{"a": 1, "b": 1, "b/large": 1, "c": 1}, letters, 1, 0},
		{"an activity that no rule makes", map[string]int{"a": 1, "a/large": 1, "b": 1, "b/large": 1}, letters, 1, 0},
		{"a second activity is created twice", map[string]int{"a": 1, "b": 1, "b/large": 3}, letters, 0, 2},
		{"an activity of no event", map[string]int{"a": 1, "b": 1, "b/large": 1, "x": 1}, letters, 1, 0},
		{"a dead letter of no event", right, map[string]int{"c": 1, "x": 1}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := accountFor(events, test.created, test.buried)
			if s.Missing != test.missing || s.Twice != test.twice || len(s.Wrong) != test.missing {
				t.Errorf("%d missing, %d twice, %v; want %d and %d", s.Missing, s.Twice, s.Wrong, test.missing, test.twice)
			}
			if failed := s.failure() != nil; failed != (test.missing > 0) {
				t.Errorf("fails: %t, with %d missing", failed, test.missing)
			}
		})
	}
}

func TestTheDemoRefusesWrongFlags(t *testing.T) {
	for _, args := range [][]string{{"--events", "0"}, {"--limit", "x"}, {"--fault", "nonsense=1"}, {"--fault", "slow=2"}, {"more"}} {
		var stdout bytes.Buffer
		var stderr transcript
		if code := run(t.Context(), append([]string{"demo"}, args...), strings.NewReader(""), &stdout, &stderr); code != exitWrong || stderr.String() == "" {
			t.Errorf("%v: exit code %d and %q, want %d and a reason", args, code, stderr.String(), exitWrong)
		}
	}
}
