package kafka

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/leadsink/leadsink/connector"
)

func TestTheClientsMetricsAreThoseThatDashboardsRelyOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		exporter, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo(), promexporter.WithoutTargetInfo())
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, kfake.SeedTopics(1, "events.dead"))
		d, _ := w.letters(func(s *Settings) { s.Meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)) })
		for _, err := range d.Bury(t.Context(), []connector.DeadLetter{letter("x")}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		d.Close()
		synctest.Wait() // the connection has ended
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, f := range families {
			labels := map[string]bool{}
			for _, l := range f.GetMetric()[0].GetLabel() {
				labels[l.GetName()] = true
			}
			var line strings.Builder
			line.WriteString(strings.ToLower(f.GetType().String()) + " " + f.GetName())
			for _, l := range []string{"node_id", "outcome", "topic"} {
				if labels[l] {
					line.WriteString(" " + l)
				}
			}
			lines = append(lines, line.String())
		}
		slices.Sort(lines)
		got := strings.Join(lines, "\n") + "\n"
		const golden = "testdata/metrics.golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
		}
	})
}
