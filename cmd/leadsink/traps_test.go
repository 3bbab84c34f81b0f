package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
)

// Kubernetes puts the addresses of every Service into the environment of every
// container, so a Service named leadsink gives LEADSINK_PORT=tcp://10.0.0.7:8080,
// which programs that read their options from there take for a port. Nothing here
// may change with any of these variables.
func TestTrapEnvironmentVariablesOfServices(t *testing.T) {
	t.Setenv("LSQ_ACCESS_KEY", "key")
	t.Setenv("LSQ_SECRET_KEY", "secret")
	path := filepath.Join("..", "..", "deploy", "examples", "minimal.yaml")
	before, said := loaded(t, path)
	for _, service := range []string{"LEADSINK", "LEADSINK_ADMIN", "LEADSINK_METRICS", "KAFKA", "LEADSQUARED", "LSQ", "ADMIN", "OTEL", "OTEL_COLLECTOR"} {
		serviceVariables(t, service, "10.0.0.7", 8080)
	}
	after, saidThen := loaded(t, path)
	if diff := cmp.Diff(before, after, cmpopts.EquateComparable(setting.Secret{}), cmpopts.IgnoreUnexported(config.Document{})); diff != "" {
		t.Errorf("the document changes with a Service's variables:\n%s", diff)
	}
	if diff := cmp.Diff(said, saidThen); diff != "" {
		t.Errorf("what the commands say changes with a Service's variables:\n%s", diff)
	}
}

// serviceVariables are those that the kubelet makes of a Service.
func serviceVariables(t *testing.T, name, ip string, port int) {
	at := fmt.Sprintf("tcp://%s:%d", ip, port)
	tcp := fmt.Sprintf("%s_PORT_%d_TCP", name, port)
	for variable, value := range map[string]string{
		name + "_SERVICE_HOST": ip, name + "_SERVICE_PORT": fmt.Sprint(port), name + "_SERVICE_PORT_HTTP": fmt.Sprint(port),
		name + "_PORT": at, tcp: at, tcp + "_PROTO": "tcp", tcp + "_PORT": fmt.Sprint(port), tcp + "_ADDR": ip,
	} {
		t.Setenv(variable, value)
	}
}

// loaded is the document, and what commands say that could take a
// default from the environment.
func loaded(t *testing.T, path string) (doc *config.Document, said string) {
	t.Helper()
	doc, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, args := range [][]string{
		{"validate", "-c", path},
		{"schema"},
		{"run", "--help"},
		{"status", "--help"},
		{"demo", "--help"},
		{"fake-api", "--help"},
		{"validate"},
		{"status", "-c", path, "--admin", "http://127.0.0.1:1"},
	} {
		code, stdout, stderr := command(t, args...)
		fmt.Fprintf(&all, "%v: exit %d\n%s\n%s\n", args, code, stdout, stderr)
	}
	return doc, all.String()
}
