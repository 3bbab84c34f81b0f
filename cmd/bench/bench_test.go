//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/transform"
)

// posted is the row that leadsink posts of an activity, as the floor has it.
func posted(a transform.Activity) row {
	r := row{Lead: a.Lead, Code: a.Code, Note: a.Note, Owner: a.Owner, At: a.At.UTC().Format(time.DateTime)}
	for _, f := range a.Fields {
		r.Fields = append(r.Fields, field(f))
	}
	return r
}

func TestBothProgramsPostTheSameRowsOfAnEvent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.yaml")
	if err := os.WriteFile(path, []byte(document("127.0.0.1:9092", "http://127.0.0.1:8085", "bench", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	doc, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if limits := doc.LeadSquared.Budget.Limits; len(limits) != 0 {
		t.Errorf("leadsink is limited to %v", limits)
	}
	rules, problems := doc.Rules()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, i := range []int{0, 1, 24_999, 999_999} {
		var o order
		if err := json.Unmarshal(event(i), &o); err != nil {
			t.Fatal(err)
		}
		m := rules.Map(&transform.Record{Topic: topic, Value: event(i)})
		if m.Decision != transform.Send || len(m.Activities) != 1 {
			t.Fatalf("event %d: %+v", i, m)
		}
		if diff := cmp.Diff(posted(m.Activities[0]), o.row()); diff != "" {
			t.Errorf("event %d (-leadsink +floor):\n%s", i, diff)
		}
	}
}

func TestEventsAreOfTheSizeThatIsDocumented(t *testing.T) {
	for _, i := range []int{0, 999_999} {
		if n := len(event(i)); n < 370 || n > 410 {
			t.Errorf("event %d has %d bytes", i, n)
		}
	}
}

// runs makes a report of rates: floor, leadsink, floor, …
func runs(rates ...float64) *report {
	r := &report{Records: 1_000_000, Measured: nameLeadsink, Base: nameFloor}
	for i, rate := range rates {
		name := nameFloor
		if i%2 == 1 {
			name = nameLeadsink
		}
		r.Runs = append(r.Runs, outcome{Name: name, RowsPerSecond: rate, Memory: memory{Most: 50 << 20, Early: 40 << 20, Late: 40 << 20}})
	}
	return r
}

func TestAMachineThatSlowsDownSteadilyDoesNotChangeTheRatio(t *testing.T) {
	r := runs(100, 45, 80, 35, 60)
	for _, ratio := range r.ratios() {
		if math.Abs(ratio-0.5) > 1e-9 {
			t.Errorf("ratio %v", ratio)
		}
	}
	if diff := cmp.Diff([]float64{0.8, 0.75}, r.control()); diff != "" {
		t.Errorf("control (-want +got):\n%s", diff)
	}
}

func TestEveryGoalCanBeMissedAlone(t *testing.T) {
	if r := runs(100, 60, 100, 40, 100, 50, 100); !r.met() {
		t.Errorf("all is met, but: %v", r.goals())
	}
	for _, c := range []struct {
		says  string
		spoil func(*report)
	}{
		{"of the floor's rows a second", func(r *report) { r.Runs[1].RowsPerSecond, r.Runs[5].RowsPerSecond = 49, 49 }},
		{"MiB at most", func(r *report) { r.Runs[3].Memory.Most = 96 << 20 }},
		{"rows twice", func(r *report) { r.Runs[5].Twice = 1 }},
		{"the last", func(r *report) { r.Runs[1].Memory.Late += goalGrowth + 1 }},
	} {
		r := runs(100, 60, 100, 40, 100, 50, 100)
		c.spoil(r)
		for _, g := range r.goals() {
			if g.met == strings.Contains(g.text, c.says) {
				t.Errorf("goal %q of %q is met: %v", g.text, c.says, g.met)
			}
		}
	}
}

func TestTracesMayCostATwentiethBeyondTheNoise(t *testing.T) {
	for _, c := range []struct {
		rates []float64
		bytes int64
		met   bool
	}{
		{[]float64{100, 96, 100, 96, 100}, 1, true},
		{[]float64{100, 94, 100, 94, 100}, 1, false},
		{[]float64{100, 92, 104, 92, 100}, 1, false}, // noise of 0.039: 0.911 would do
		{[]float64{100, 94, 104, 94, 100}, 1, true},
		{[]float64{100, 100, 100}, 0, false}, // no span arrived
	} {
		r := runs(c.rates...)
		r.Measured, r.Base, r.SpanBytes = nameTraced, nameLeadsink, c.bytes
		if r.met() != c.met {
			t.Errorf("%v with %d bytes of spans: %v", c.rates, c.bytes, r.goals())
		}
	}
}

func TestMemoryIsComparedBetweenThe100000thRowAndTheLast(t *testing.T) {
	samples := []sample{{Rows: 0, Resident: 90}, {Rows: 99_999, Resident: 10}}
	for i, resident := range []int64{20, 22, 60, 30, 30, 30, 33, 31, 32} {
		samples = append(samples, sample{Rows: memoryFrom + i, Resident: resident})
	}
	want := memory{Most: 90, At: 20, After: 60, Last: 32, Early: 22, Late: 32}
	if diff := cmp.Diff(want, remember(samples)); diff != "" {
		t.Errorf("memory (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(memory{Most: 7, Last: 7}, remember([]sample{{Rows: 5, Resident: 7}})); diff != "" {
		t.Errorf("memory of a short run (-want +got):\n%s", diff)
	}
}

func TestWrongArgumentsAreNotMeasured(t *testing.T) {
	for _, args := range [][]string{{"-records", "1001"}, {"-records", "0"}, {"-rounds", "0"}, {"-in-flight", "0"}, {"-limit", "1"}, {"now"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("bench %q: %v", args, err)
		}
	}
}

func TestTheResidentMemoryAndTheProcessorTimeOfAProcessAreKnown(t *testing.T) {
	p, err := start("cat", "cat", "/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	if resident, err := p.resident(); err != nil || resident < 4096 {
		t.Errorf("resident %d, %v", resident, err)
	}
	if cpu, err := p.cpu(); err != nil || cpu < 0 {
		t.Errorf("cpu %v, %v", cpu, err)
	}
}

func TestAProcessThatEndsByItselfIsAnErrorWithItsLastWords(t *testing.T) {
	p, err := start("speaker", "sh", "-c", "echo no room >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.line(t.Context()); err == nil || !strings.Contains(err.Error(), "no room") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("line: %v", err)
	}
	if err := p.stop(); err == nil {
		t.Error("stop said nothing of an end that nobody had asked for")
	}
}

func TestAProcessIsReadUntilItSaysItsFirstLineAndEndsWhenAsked(t *testing.T) {
	p, err := start("server", "sh", "-c", "echo here; exec cat /dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	if line, err := p.line(t.Context()); err != nil || line != "here" {
		t.Errorf("line %q, %v", line, err)
	}
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("cat knows no signal, and its end by SIGTERM is: %v", err)
	}
}
