package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestTheDemoAccountsForEveryEvent(t *testing.T) {
	var stdout, stderr bytes.Buffer
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
	if s.Events != 200 || s.Delivered+s.Filtered+s.Dead != 200 || s.Delivered == 0 || s.Dead == 0 || s.Filtered == 0 || s.Twice != 0 {
		t.Errorf("%+v, want 200 events of every fate and none twice", s)
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
	} {
		t.Run(test.name, func(t *testing.T) {
			s := accountFor(events, test.created, test.buried)
			if s.Missing != test.missing || s.Twice != test.twice || len(s.Wrong) != test.missing {
				t.Errorf("%d missing, %d twice, %v; want %d and %d", s.Missing, s.Twice, s.Wrong, test.missing, test.twice)
			}
		})
	}
}

func TestTheDemoRefusesWrongFlags(t *testing.T) {
	for _, args := range [][]string{{"--events", "0"}, {"--limit", "x"}, {"--fault", "nonsense=1"}, {"--fault", "slow=2"}, {"more"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), append([]string{"demo"}, args...), strings.NewReader(""), &stdout, &stderr); code != exitWrong || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d and %q, want %d and a reason", args, code, stderr.String(), exitWrong)
		}
	}
}
