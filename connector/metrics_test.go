package connector_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/leadsink/leadsink/connector"
)

var update = flag.Bool("update", false, "write the golden files anew")

// gathering returns metrics over the snapshot, and what Prometheus would scrape.
func gathering(t *testing.T, snapshot func() (connector.Status, bool)) (*connector.Metrics, func() map[string]*dto.MetricFamily) {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := promexporter.New(promexporter.WithRegisterer(registry),
		promexporter.WithoutScopeInfo(), promexporter.WithoutTargetInfo())
	if err != nil {
		t.Fatal(err)
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	m, err := connector.NewMetrics(provider.Meter("test"), "1.2.3", snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return m, func() map[string]*dto.MetricFamily {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]*dto.MetricFamily{}
		for _, f := range families {
			byName[f.GetName()] = f
		}
		return byName
	}
}

func working() (connector.Status, bool) {
	return connector.Status{
		Name: "crm", State: connector.Active, Waiting: []string{"slot"}, Breaker: "half_open", Unsettled: 7, DrainETA: 90,
		Partitions: []connector.PartitionStatus{{Topic: "crm.events", Partition: 3, Lag: 12, Todo: 5, DrainETA: 33}},
		Arrivals:   3.5, Behind: true, Account: connector.CheckResult{At: time.Unix(1, 0), Problems: []string{"a", "b"}},
		Budget: connector.BudgetStatus{
			Configured: 5, Learned: 4, Share: 2, Windows: []connector.WindowStatus{{Limit: "25/5s", Spent: 11}},
			Day: &connector.DayStatus{Calls: 2000, Part: 1000, Spent: 640},
		},
	}, true
}

// value returns the value of the series of a family with the label, NaN-free;
// the label is "" for a series without one.
func value(t *testing.T, families map[string]*dto.MetricFamily, name, label, word string) float64 {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		if label == "" || slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
			return l.GetName() == label && l.GetValue() == word
		}) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no series %s{%s=%q}", name, label, word)
	return 0
}

func TestMetricNamesAndLabelsAreThoseThatDashboardsRelyOn(t *testing.T) {
	m, gather := gathering(t, working)
	m.DeadLetter("no_rule")
	m.Lost("crm.events", 1)
	m.UnknownSettled("resent", 1)
	m.Call(t.Context(), "judged", 25, time.Second)
	m.Latency(t.Context(), time.Second)

	var lines []string
	for name, f := range gather() {
		labels := map[string]map[string]bool{}
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if labels[l.GetName()] == nil {
					labels[l.GetName()] = map[string]bool{}
				}
				labels[l.GetName()][l.GetValue()] = true
			}
		}
		var line strings.Builder
		line.WriteString(strings.ToLower(f.GetType().String()) + " " + name)
		for _, label := range slices.Sorted(maps.Keys(labels)) {
			line.WriteString(" " + label + "=" + strings.Join(slices.Sorted(maps.Keys(labels[label])), "|"))
		}
		line.WriteString("  # " + f.GetHelp())
		lines = append(lines, line.String())
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"

	const golden = "testdata/metrics.golden"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("metrics differ from %s (-want +got); write it anew with -update if that is meant:\n%s", golden, diff)
	}
}

func TestCountersCountWhatTheyAreTold(t *testing.T) {
	m, gather := gathering(t, working)
	m.Record("delivered", 3)
	m.Record("delivered", 2)
	m.Activities("refused", 1)
	m.Call(t.Context(), "throttled", 20, 250*time.Millisecond)
	m.UnknownSettled("resent", 25)
	m.Commit("accepted")
	m.Lost("crm.events", 39_499)
	m.Latency(t.Context(), -time.Hour)

	families := gather()
	for _, c := range []struct {
		name, label, word string
		want              float64
	}{
		{"leadsink_records_total", "fate", "delivered", 5},
		{"leadsink_records_total", "fate", "dead", 0},
		{"leadsink_activities_total", "verdict", "refused", 1},
		{"leadsink_calls_total", "outcome", "throttled", 1},
		{"leadsink_unknown_total", "settled_as", "resent", 25},
		{"leadsink_commits_total", "outcome", "accepted", 1},
		{"leadsink_lag_records", "partition", "3", 12},
		{"leadsink_todo_records", "partition", "3", 5},
		{"leadsink_lost_records_total", "topic", "crm.events", 39_499},
		{"leadsink_unsettled_records", "", "", 7},
		{"leadsink_waiting", "reason", "slot", 1},
		{"leadsink_waiting", "reason", "breaker", 0},
		{"leadsink_breaker_state", "", "", 1},
		{"leadsink_budget_calls_per_second", "kind", "share", 2},
		{"leadsink_drain_eta_seconds", "", "", 90},
		{"leadsink_partition_drain_eta_seconds", "partition", "3", 33},
		{"leadsink_budget_spent_calls", "window", "5s", 11},
		{"leadsink_budget_spent_calls", "window", "day", 640},
		{"leadsink_arrivals_records_per_second", "", "", 3.5},
		{"leadsink_will_not_catch_up", "", "", 1},
		{"leadsink_config_info", "version", "1.2.3", 1},
	} {
		if got := value(t, families, c.name, c.label, c.word); got != c.want {
			t.Errorf("%s{%s=%q} = %v, want %v", c.name, c.label, c.word, got, c.want)
		}
	}
	rows := families["leadsink_call_rows"].GetMetric()[0].GetHistogram()
	if rows.GetSampleSum() != 20 || rows.GetBucket()[5].GetUpperBound() != 20 || rows.GetBucket()[5].GetCumulativeCount() != 1 {
		t.Errorf("leadsink_call_rows = %v, want one call of 20 rows", rows)
	}
	if latency := families["leadsink_delivery_latency_seconds"].GetMetric()[0].GetHistogram(); latency.GetSampleSum() != 0 {
		t.Errorf("a record from the future took %v s, want 0", latency.GetSampleSum())
	}
}

func TestClassesBeyondTheBoundCountAsOther(t *testing.T) {
	m, gather := gathering(t, working)
	for i := range 100 {
		m.DeadLetter(fmt.Sprintf("class_%d", i))
	}
	families := gather()
	if n := len(families["leadsink_dead_letters_total"].GetMetric()); n != 32 {
		t.Errorf("%d series, want 32", n)
	}
	if got := value(t, families, "leadsink_dead_letters_total", "class", "other"); got != 69 {
		t.Errorf("other = %v, want the 69 beyond the first 31", got)
	}
}

func TestGaugesAreAbsentWhileNothingIsKnown(t *testing.T) {
	_, gather := gathering(t, func() (connector.Status, bool) { return connector.Status{}, false })
	if f := gather()["leadsink_unsettled_records"]; f != nil {
		t.Errorf("without a snapshot there is %v", f)
	}
	_, gather = gathering(t, func() (connector.Status, bool) { return connector.Status{DrainETA: -1}, true })
	if f := gather()["leadsink_drain_eta_seconds"]; f != nil {
		t.Errorf("with an unknown end there is %v", f)
	}
}

func TestNilMetricsDoNothing(t *testing.T) {
	var m *connector.Metrics
	m.Record("delivered", 1)
	m.Activities("created", 1)
	m.Call(t.Context(), "judged", 1, time.Second)
	m.Latency(t.Context(), time.Second)
	m.DeadLetter("no_rule")
	m.UnknownSettled("resent", 1)
	m.Commit("accepted")
}

func TestCountingACallAllocatesNothing(t *testing.T) {
	m, _ := gathering(t, working)
	m.DeadLetter("no_rule")
	if n := testing.AllocsPerRun(100, func() {
		m.Record("delivered", 25)
		m.Activities("created", 25)
		m.Call(t.Context(), "judged", 25, time.Second)
		m.Latency(t.Context(), time.Second)
		m.DeadLetter("no_rule")
		m.Commit("accepted")
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
