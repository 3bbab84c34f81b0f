//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// The goals.
const (
	goalRatio    = 0.5
	goalTraced   = 0.95 // of the rows a second without traces
	goalResident = 96 << 20
	memoryFrom   = 100_000 // memory does not grow after so many rows
	// goalGrowth is how far two medians of resident memory may be apart without
	// anything having grown: the collector lets the heap breathe by more.
	goalGrowth = 4 << 20
)

// A report is the result of all runs, in their order: floor, leadsink, floor, …
type report struct {
	Records   int       `json:"records"`
	InFlight  int       `json:"in_flight"`
	Measured  string    `json:"measured"`
	Base      string    `json:"base"` // what it is compared with
	SpanBytes int64     `json:"span_bytes,omitempty"`
	Runs      []outcome `json:"runs"`
}

// An outcome is the result of one run.
type outcome struct {
	Name            string   `json:"name"`
	Rows            int      `json:"rows"`  // that the fake counted
	Twice           int      `json:"twice"` // of them, beyond the backlog
	Calls           int      `json:"calls"`
	Seconds         float64  `json:"seconds"` // between the first call and the last
	RowsPerSecond   float64  `json:"rows_per_second"`
	CPUMicrosPerRow float64  `json:"cpu_micros_per_row"` // of the measured process alone
	Memory          memory   `json:"memory"`
	Samples         []sample `json:"samples"`
}

func (o outcome) String() string {
	return fmt.Sprintf("%-8s %7.0f rows/s, %5.1f rows a call, %5.1f us of processor a row, %5.1f MiB at most",
		o.Name, o.RowsPerSecond, float64(o.Rows)/float64(max(1, o.Calls)), o.CPUMicrosPerRow, mib(o.Memory.Most))
}

// A memory is resident memory in bytes, as the samples show it.
type memory struct {
	Most  int64 `json:"most_bytes"`  // of the whole run
	Early int64 `json:"early_bytes"` // median of the first third after memoryFrom rows; 0 if there were not so many
	Late  int64 `json:"late_bytes"`  // median of the last third
	At    int64 `json:"at_bytes"`    // at the first sample after memoryFrom rows
	After int64 `json:"after_bytes"` // the most after that
	Last  int64 `json:"last_bytes"`  // at the last sample
}

func (m memory) grown() int64 { return m.Late - m.Early }

// remember says what the samples say about memory.
func remember(samples []sample) memory {
	var m memory
	var after []int64
	for _, s := range samples {
		m.Most = max(m.Most, s.Resident)
		if s.Rows >= memoryFrom {
			after = append(after, s.Resident)
		}
	}
	if len(samples) > 0 {
		m.Last = samples[len(samples)-1].Resident
	}
	if third := len(after) / 3; third > 0 {
		m.At, m.After = after[0], slices.Max(after)
		m.Early, m.Late = median(after[:third]), median(after[len(after)-third:])
	}
	return m
}

// number is what a median is taken of.
type number interface{ ~int64 | ~float64 }

func median[N number](values []N) N {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// ratios compares every run of the measured program with the mean of the two runs
// of the other around it, so that a machine that slows down steadily cancels out.
func (r *report) ratios() []float64 {
	var all []float64
	for i := 1; i+1 < len(r.Runs); i += 2 {
		all = append(all, r.Runs[i].RowsPerSecond/((r.Runs[i-1].RowsPerSecond+r.Runs[i+1].RowsPerSecond)/2))
	}
	return all
}

// control compares every run of the base with the one before: what the
// machine's noise alone makes of a ratio of 1.
func (r *report) control() []float64 {
	var all []float64
	for i := 2; i < len(r.Runs); i += 2 {
		all = append(all, r.Runs[i].RowsPerSecond/r.Runs[i-2].RowsPerSecond)
	}
	return all
}

// of returns the outcomes of one program.
func (r *report) of(name string) []outcome {
	var all []outcome
	for _, o := range r.Runs {
		if o.Name == name {
			all = append(all, o)
		}
	}
	return all
}

// A goal is what was wanted and what came of it.
type goal struct {
	text string
	met  bool
}

// noise is how far a ratio of 1 typically is from 1.
func (r *report) noise() float64 {
	var off []float64
	for _, c := range r.control() {
		off = append(off, math.Abs(c-1))
	}
	return median(off)
}

// tracing judges what traces cost.
func (r *report) tracing() []goal {
	ratio, least := median(r.ratios()), goalTraced-r.noise()
	return []goal{
		{fmt.Sprintf("with traces leadsink reaches %.3f of its rows a second without (goal: at least %.2f, less the noise, %.3f)", ratio, goalTraced, least), ratio >= least},
		{fmt.Sprintf("%d bytes of spans arrived (goal: some)", r.SpanBytes), r.SpanBytes > 0},
	}
}

// goals judges: the ratio by its median, memory and rows by the worst run.
func (r *report) goals() []goal {
	if r.Measured == nameTraced {
		return r.tracing()
	}
	var most, grown int64 = 0, math.MinInt64
	twice := 0
	for _, o := range r.of(nameLeadsink) {
		most, grown = max(most, o.Memory.Most), max(grown, o.Memory.grown())
		twice += o.Twice
	}
	ratio := median(r.ratios())
	goals := []goal{
		{fmt.Sprintf("leadsink reaches %.2f of the floor's rows a second (goal: at least %.2f)", ratio, goalRatio), ratio >= goalRatio},
		{fmt.Sprintf("leadsink's resident memory is %.1f MiB at most (goal: under %d MiB)", mib(most), goalResident>>20), most < goalResident},
		{fmt.Sprintf("leadsink sent %d rows twice (goal: none)", twice), twice == 0},
	}
	if r.Records >= 2*memoryFrom {
		goals = append(goals, goal{
			fmt.Sprintf("leadsink's resident memory changes by %+.1f MiB between the %dth row and the last (goal: at most %+d MiB)", mib(grown), memoryFrom, goalGrowth>>20),
			grown <= goalGrowth,
		})
	}
	return goals
}

func (r *report) met() bool {
	return !slices.ContainsFunc(r.goals(), func(g goal) bool { return !g.met })
}

func (r *report) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\nrun\tprogram\trows/s\trows/call\tcpu us/row\tRSS MiB: at %dth\tmost after\tlast\tmost\t\n", memoryFrom)
	for i, o := range r.Runs {
		m := o.Memory
		fmt.Fprintf(table, "%d\t%s\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", i+1, o.Name, o.RowsPerSecond,
			float64(o.Rows)/float64(max(1, o.Calls)), o.CPUMicrosPerRow, mib(m.At), mib(m.After), mib(m.Last), mib(m.Most))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d records, %d calls in flight\n", r.Records, r.InFlight)
	fmt.Fprintf(w, "%s/%s: %s\n%s/%s: %s (the noise)\n\n", r.Measured, r.Base, spread(r.ratios()), r.Base, r.Base, spread(r.control()))
	for _, g := range r.goals() {
		verdict := "met   "
		if !g.met {
			verdict = "MISSED"
		}
		if _, err := fmt.Fprintln(w, verdict, g.text); err != nil {
			return err
		}
	}
	return nil
}

func spread(ratios []float64) string {
	if len(ratios) == 0 {
		return "none"
	}
	return fmt.Sprintf("median %.3f, from %.3f to %.3f", median(ratios), slices.Min(ratios), slices.Max(ratios))
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
