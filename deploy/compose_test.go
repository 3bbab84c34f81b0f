//go:build deploy

package deploy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A project is a run of the compose file under a name of its own.
type project struct {
	*testing.T
	name string
	env  []string
	fake string // where the fake LeadSquared is reached
	page string // where leadsink's admin address is
}

func newProject(t *testing.T) *project {
	t.Helper()
	ports := freePorts(t, 2)
	p := &project{T: t, name: "leadsink-test", fake: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), page: fmt.Sprintf("http://127.0.0.1:%d", ports[1])}
	p.env = []string{
		fmt.Sprintf("FAKE_API_PORT=%d", ports[0]), fmt.Sprintf("LEADSINK_PORT=%d", ports[1]), "COMPOSE_PROFILES=", "COMPOSE_ANSI=never",
	}
	return p
}

// compose runs docker compose on the file of the repository.
func (p *project) compose(args ...string) string {
	p.Helper()
	return command{folder: "..", env: p.env}.output(p.T, tool(p.T, "COMPOSE"), append([]string{"--project-name", p.name}, args...)...)
}

// left are the containers, networks and volumes of the project.
func (p *project) left() (all []string) {
	p.Helper()
	for _, list := range [][]string{{"ps", "--all"}, {"network", "ls"}, {"volume", "ls"}} {
		all = append(all, strings.Fields(command{}.output(p.T, "docker", append(list, "--quiet", "--filter", "label=com.docker.compose.project="+p.name)...))...)
	}
	return all
}

// get reads a JSON answer, and reports whether there was one.
func get(address string, to any) bool {
	resp, err := http.Get(address) //nolint:noctx // loopback
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK && json.Unmarshal(body, to) == nil
}

func TestComposeShowsEventsArriveAndLeavesNothing(t *testing.T) {
	p := newProject(t)
	p.Cleanup(func() {
		if p.Failed() {
			p.Log(p.compose("logs", "--no-color", "--tail", "40"))
		}
		p.compose("down", "--volumes", "--timeout", "5")
	})
	began := time.Now()
	p.compose("up", "--detach", "--no-build", "--wait", "leadsink", "generator")
	p.Logf("up and healthy after %s", time.Since(began).Round(time.Second))
	var summary struct{ Created, Violations int }
	eventually(t, 2*time.Minute, "100 activities arrive at the fake", func() bool {
		return get(p.fake+"/_fake/summary", &summary) && summary.Created >= 100
	})
	var status struct{ State string }
	if !get(p.page+"/status", &status) || status.State == "" {
		t.Error("leadsink's admin address does not answer")
	}
	p.Logf("%d activities after %s, %d calls over the limit, leadsink is %s", summary.Created, time.Since(began).Round(time.Second), summary.Violations, status.State)
	if summary.Violations > 0 {
		t.Errorf("%d calls came over the limit", summary.Violations)
	}
	var containers []struct {
		Service, State string
		ExitCode       int
	}
	stop := time.Now()
	p.compose("stop", "leadsink")
	decoder := json.NewDecoder(strings.NewReader(p.compose("ps", "--all", "--format", "json", "leadsink")))
	for decoder.More() {
		var c struct {
			Service, State string
			ExitCode       int
		}
		if err := decoder.Decode(&c); err != nil {
			t.Fatal(err)
		}
		containers = append(containers, c)
	}
	if len(containers) != 1 || containers[0].ExitCode != 0 {
		t.Errorf("leadsink ended otherwise than with exit code 0: %+v", containers)
	}
	p.Logf("leadsink drained and stopped in %s", time.Since(stop).Round(time.Millisecond))
	p.compose("down", "--volumes", "--timeout", "5")
	if left := p.left(); len(left) > 0 {
		t.Errorf("down leaves %v", left)
	}
}

// What CI cannot start for want of images is at least read, and every image named by its version.
func TestComposeIsWellFormedWithObservability(t *testing.T) {
	p := newProject(t)
	var model struct {
		Services map[string]struct{ Image string }
	}
	if err := json.Unmarshal([]byte(p.compose("--profile", "observability", "config", "--format", "json")), &model); err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`:v?[0-9]+\.[0-9]+\.[0-9]+$|^leadsink:dev$`)
	var names []string
	for name, service := range model.Services {
		names = append(names, name)
		if !pinned.MatchString(service.Image) {
			t.Errorf("%s has the image %q, which names no version", name, service.Image)
		}
	}
	slices.Sort(names)
	want := []string{"collector", "fake-api", "generator", "grafana", "jaeger", "kafka", "leadsink", "prometheus", "topics"}
	if !slices.Equal(names, want) {
		t.Errorf("the services are %v, want %v", names, want)
	}
}
