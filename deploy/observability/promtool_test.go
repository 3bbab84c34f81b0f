//go:build observability

package observability_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
)

// promtool runs Prometheus' own tool.
func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "promtool", arguments...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %v: %v\n%s", arguments, err, out)
	}
}

func TestPromtoolTakesTheRulesAndTheirTests(t *testing.T) {
	promtool(t, "check", "rules", "rules.yaml")
	promtool(t, "test", "rules", "rules_test.yaml")
}

// Expressions of the dashboard are checked as rules, since promtool reads no dashboards.
func TestPromtoolTakesTheDashboardsExpressions(t *testing.T) {
	var recorded []map[string]string
	for _, expression := range expressions(t) {
		recorded = append(recorded, map[string]string{"record": "leadsink:panel", "expr": expression})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": recorded}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
