//go:build system

package main_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
	"github.com/leadsink/leadsink/internal/audit"
)

// judge compares all that was produced with all that came of it.
func (s *storm) judge(w *watch, seen samples) {
	if err := w.look(s.Context()); err != nil {
		s.Fatalf("read the evidence: %v", err)
	}
	calls := pages[fakeapi.Call](s.delivery, "/_fake/calls")
	unproven := 0
	for _, c := range calls {
		if c.Outcome != "created" {
			unproven += c.Created
		}
	}
	if !s.marker {
		w.evidence.MayTwice = unproven
		for _, b := range s.struck {
			if b.kind.doubts() {
				w.evidence.MayTwice += chaosInFlight * chaosBatch
			}
		}
	}
	r := audit.Check(w.evidence)
	for _, text := range slices.Concat(r.Findings, seen.findings, w.damaged) {
		s.Error(text)
	}
	if r.Records != s.records {
		s.Errorf("the topic holds %d records, want %d", r.Records, s.records)
	}
	s.judgeSamples(seen)
	s.summarize(r, fmt.Sprintf("%d created twice (%d allowed, %d of unproven calls)", r.Twice, w.evidence.MayTwice, unproven))
	s.logPace(calls)
	s.repetitions(w.activities, calls)
}

// judgeSamples makes sure that it was looked often enough to see a commit that
// came early, and that none did.
func (s *storm) judgeSamples(seen samples) {
	s.Logf("%d samples, and %d that failed, the last with: %v", seen.taken, seen.missed, seen.trouble)
	if seen.early > 0 {
		s.Errorf("%d of %d samples found commits that came early", seen.early, seen.taken)
	}
	if seen.taken < int(s.plan.takes.Seconds()) {
		s.Errorf("only %d samples were taken", seen.taken)
	}
}

// summarize holds the calls against the limit, and says in a line how the run was.
func (s *storm) summarize(r audit.Report, twice string) {
	var sum fakeapi.Summary
	s.get("/_fake/summary", &sum)
	if sum.Violations > 0 {
		s.Errorf("%d calls came over the limit by the fake's clock, at most %v in a window", sum.Violations, sum.Most)
	}
	counts := map[kind]int{weather: len(s.plan.weather)}
	for _, b := range s.struck {
		counts[b.kind]++
	}
	s.Logf("seed %d: %d records, faults %v, %d lost, %s, %d dead, %d calls %v, %d over the limit, %d reads, %.1f minutes",
		s.seed, r.Records, counts, r.Lost, twice, r.Dead, sum.Calls, sum.Outcomes, sum.Violations, sum.Reads, time.Since(s.began).Minutes())
}

// logPace shows when calls were made, since a run in which nothing flows between
// the faults proves little.
func (s *storm) logPace(calls []fakeapi.Call) {
	const step = 5 * time.Second
	var pace []int
	for _, c := range calls {
		for at := int(c.At.Sub(s.began) / step); len(pace) <= at; {
			pace = append(pace, 0)
		}
		pace[len(pace)-1]++
	}
	s.Logf("calls in each %s: %v", step, pace)
}

// repetitions tells what made activities be created twice. Unless the first call
// was answered without proof, a fault must have kept its outcome from being
// committed: at the time of the call, or a little later. That is for people to
// read; of faults close to each other the last one is named.
func (s *storm) repetitions(activities []fakeapi.Activity, calls []fakeapi.Call) {
	last, causes := map[string]int{}, map[string]int{}
	for _, a := range activities {
		id := a.Fields["mx_Custom_1"]
		if first, ok := last[id]; ok {
			cause := s.cause(calls[first-1])
			if causes[cause]++; cause == "" && causes[cause] == 1 {
				s.Errorf("%s was created twice, by call %d (%s after %s) and call %d, and no fault explains it",
					id, first, calls[first-1].Outcome, calls[first-1].At.Sub(s.began), a.Call)
			}
			if s.marker && causes[cause] <= 5 {
				s.Logf("%s, of lead %s with the marker %q, was created by call %d (%s after %s) and by call %d (%s after %s, stored after %s)", id, a.Lead, a.Fields["mx_Custom_5"],
					first, calls[first-1].Outcome, calls[first-1].At.Sub(s.began), a.Call, calls[a.Call-1].Outcome, a.At.Sub(s.began), a.Stored.Sub(s.began))
			}
		}
		last[id] = a.Call
	}
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		s.Logf("%4d created again after %s", causes[cause], cause)
	}
}

// recentCall is how old a call can be that no commit records, while nothing is
// wrong: its timeout, and a commit.
const recentCall = 6 * time.Second

// cause is why a call's outcome was not recorded.
func (s *storm) cause(c fakeapi.Call) string {
	if c.Outcome != "created" {
		return "calls that were answered without proof"
	}
	for _, b := range slices.Backward(s.struck) {
		if b.kind.doubts() && c.At.After(b.began.Add(-recentCall)) && c.At.Before(b.ended.Add(chaosSession)) {
			return fmt.Sprintf("%s at %s", b.kind, b.began.Sub(s.began).Round(100*time.Millisecond))
		}
	}
	return ""
}
