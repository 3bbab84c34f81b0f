//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

// A benchmark that counted in the measured program, or by its own clock, measured
// its instrumentation. Rows and seconds are the fake's alone here, whatever the
// sampler saw when; and the report shows beside every ratio what the floor
// measured against itself gives, so that noise is not taken for a result.
func TestTrapBenchmarkMeasuresItsOwnInstrumentation(t *testing.T) {
	first := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	counted := summary{Calls: 40, Rows: 1000, Created: 1000, First: first, Last: first.Add(2 * time.Second)}
	for _, samples := range [][]sample{
		{{Seconds: 2.1, Rows: 1000}},
		{{Seconds: 0.2, Rows: 10}, {Seconds: 60, Rows: 999}, {Seconds: 90, Rows: 1000}}, // a sampler that was held up
	} {
		s := &sampler{rows: 1000, reached: counted, samples: samples}
		o := s.outcome(nameLeadsink, counted)
		if o.RowsPerSecond != 500 || o.Seconds != 2 || o.Rows != 1000 || o.Calls != 40 {
			t.Errorf("%+v with samples %+v, want the fake's 1000 rows in 2 s", o, samples)
		}
	}
	var said strings.Builder
	if err := runs(100, 60, 130, 60, 91).print(&said); err != nil {
		t.Fatal(err)
	}
	if want := "floor/floor: median 1.000, from 0.700 to 1.300"; !strings.Contains(said.String(), want) {
		t.Errorf("the report lacks %q:\n%s", want, said.String())
	}
}
