// Package observability_test checks that dashboard and alerts go by metrics that there are.
package observability_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/leadsink/leadsink/connector/telemetry"
)

// A rule is one of rules.yaml.
type rule struct {
	Record, Alert, Expr, For string
	Labels                   map[string]string
	Annotations              map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal(read(t, "rules.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// A panel is one of dashboard.json.
type panel struct {
	Type, Title string
	Targets     []struct{ Expr string }
	GridPos     struct{ X, Y, W, H int }
}

func panels(t *testing.T) []panel {
	t.Helper()
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal(read(t, "dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	return dashboard.Panels
}

// expressions are those of the dashboard, by panel, with values for Grafana's variables.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	values := strings.NewReplacer("$__rate_interval", "5m", "$job", "leadsink", "$instance", ".+")
	all := map[string]string{}
	for _, p := range panels(t) {
		for i, target := range p.Targets {
			all[p.Title+" "+string(rune('A'+i))] = values.Replace(target.Expr)
		}
	}
	return all
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var (
	inBraces = regexp.MustCompile(`\{[^}]*\}|"[^"]*"`)
	inGroups = regexp.MustCompile(`\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)`)
	names    = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	spans    = regexp.MustCompile(`\[[^\]]*\]|\boffset\s+\w+`)
)

// metrics are the names in an expression that are those of metrics.
func metrics(expression string) []string {
	for _, rest := range []*regexp.Regexp{inBraces, inGroups, spans} {
		expression = rest.ReplaceAllString(expression, " ")
	}
	found := map[string]bool{}
	for _, name := range names.FindAllString(expression, -1) {
		name = strings.TrimSpace(name)
		switch name {
		case "and", "or", "unless", "bool", "by", "on", "ignoring":
		default:
			if !strings.HasSuffix(name, "(") {
				found[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// known are the metrics of the golden lists, and those of Go and of the process.
func known(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, golden := range []string{"../../connector/testdata/metrics.golden", "../../connector/kafka/testdata/metrics.golden"} {
		for line := range strings.Lines(string(read(t, golden))) {
			kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			name, _, _ := strings.Cut(rest, " ")
			all[name] = kind != "histogram"
			if kind == "histogram" {
				all[name+"_bucket"], all[name+"_sum"], all[name+"_count"] = true, true, true
			}
		}
	}
	tel, err := telemetry.Start(t.Context(), telemetry.Default(), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if words := strings.Fields(line); len(words) == 4 && words[1] == "TYPE" {
			all[words[2]] = true
		}
	}
	return all
}

func TestDashboardAndRulesUseMetricsThatThereAre(t *testing.T) {
	have := known(t)
	check := func(what, expression string) {
		found := metrics(expression)
		if len(found) == 0 {
			t.Errorf("%s uses no metric: %s", what, expression)
		}
		for _, name := range found {
			if !have[name] {
				t.Errorf("%s uses %s, which is in no golden list", what, name)
			}
		}
	}
	for _, r := range rules(t) {
		check("rule "+r.Alert+r.Record, r.Expr)
		if r.Record != "" {
			have[r.Record] = true
		}
	}
	for panel, expression := range expressions(t) {
		check("panel "+panel, expression)
	}
}

func TestEveryMetricOfTheContractIsOnTheDashboard(t *testing.T) {
	shown := map[string]bool{}
	for _, expression := range expressions(t) {
		for _, name := range metrics(expression) {
			shown[name] = true
		}
	}
	for line := range strings.Lines(string(read(t, "../../connector/testdata/metrics.golden"))) {
		name := strings.Fields(line)[1]
		if name != "leadsink_config_info" && name != "leadsink_will_not_catch_up" && name != "leadsink_stalls_total" && !shown[name] && !shown[name+"_bucket"] && !shown[name+"_sum"] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestEveryAlertIsTestedAndHasARunbookEntry(t *testing.T) {
	runbook, tests := string(read(t, "../../docs/runbook.md")), string(read(t, "rules_test.yaml"))
	alerts := 0
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		alerts++
		if !strings.Contains(runbook, "\n## "+r.Alert+"\n") {
			t.Errorf("docs/runbook.md has no entry %s", r.Alert)
		}
		if want := "docs/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s points to %q, want %q", r.Alert, r.Annotations["runbook"], want)
		}
		if severity := r.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s is of the severity %q, want page or ticket", r.Alert, severity)
		}
		if !strings.Contains(tests, "exp_alerts:\n          - exp_labels: {severity: "+r.Labels["severity"]) || !strings.Contains(tests, "alertname: "+r.Alert+"\n") {
			t.Errorf("rules_test.yaml does not see %s fire", r.Alert)
		}
	}
	if n := strings.Count(runbook, "\n## Leadsink"); n != alerts {
		t.Errorf("docs/runbook.md has %d entries for %d alerts", n, alerts)
	}
}

func TestPanelsLieBesideOneAnother(t *testing.T) {
	taken := map[[2]int]string{}
	for _, p := range panels(t) {
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %s, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
