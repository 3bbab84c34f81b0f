//go:build system

package main_test

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
)

// image is leadsink's own, as `make image` builds it.
func image() string {
	if name := os.Getenv("LEADSINK_IMAGE"); name != "" {
		return name
	}
	return "leadsink:dev"
}

// docker runs Docker's command line, which has to succeed.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	said, err := exec.CommandContext(context.WithoutCancel(t.Context()), "docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return string(said)
}

// confined are the flags of a container that may do nothing: the restricted profile, and a root that cannot be written to.
var confined = []string{"run", "--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"}

func TestImageIsSmallAndSaysWhatItIs(t *testing.T) {
	var all []struct {
		Size   int64
		Config struct {
			User   string
			Labels map[string]string
		}
	}
	if err := json.Unmarshal([]byte(docker(t, "image", "inspect", image())), &all); err != nil {
		t.Fatal(err)
	}
	i := all[0]
	t.Logf("%s has %.1f MB", image(), float64(i.Size)/1e6)
	if i.Size > 40e6 {
		t.Errorf("the image has %d bytes, want at most 40 MB", i.Size)
	}
	if i.Config.User != "65532:65532" {
		t.Errorf("the image's user is %q, want a number that is not root's", i.Config.User)
	}
	var b struct{ Version, Commit, Date, Platform string }
	if err := json.Unmarshal([]byte(docker(t, append(slices.Clone(confined), image(), "version", "--json")...)), &b); err != nil {
		t.Fatal(err)
	}
	for label, want := range map[string]string{"version": b.Version, "revision": b.Commit, "created": b.Date, "licenses": "Apache-2.0"} {
		if got := i.Config.Labels["org.opencontainers.image."+label]; got == "" || got != want {
			t.Errorf("the label %s is %q, and the program says %q", label, got, want)
		}
	}
}

// The image was built in a container, this one by the same Go on this machine, in another folder.
func TestImageHoldsTheBytesOfAnyOtherBuild(t *testing.T) {
	folder := t.TempDir()
	id := strings.TrimSpace(docker(t, "create", image()))
	defer docker(t, "rm", id)
	docker(t, "cp", id+":/leadsink", folder+"/from-image")
	inspect, err := exec.CommandContext(t.Context(), "go", "version", folder+"/from-image").Output()
	if err != nil {
		t.Fatal(err)
	}
	var b struct{ Version, Commit, Date string }
	if err := json.Unmarshal([]byte(docker(t, append(slices.Clone(confined), image(), "version", "--json")...)), &b); err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(inspect)) // PATH: go1.26.8
	build := exec.CommandContext(t.Context(), "make", "-C", "../..", "build",
		"VERSION="+b.Version, "COMMIT="+b.Commit, "DATE="+b.Date, "BINARY="+folder+"/from-here")
	build.Env = append(os.Environ(), "GOTOOLCHAIN="+fields[len(fields)-1])
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build leadsink: %v\n%s", err, said)
	}
	one, err := os.ReadFile(folder + "/from-image")
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(folder + "/from-here")
	if err != nil {
		t.Fatal(err)
	}
	if string(one) != string(two) {
		t.Errorf("two builds of %s by %s differ: %d and %d bytes", b.Commit, fields[len(fields)-1], len(one), len(two))
	}
}

func TestImageNeedsNothingOfItsSurroundings(t *testing.T) {
	folder := t.TempDir()
	path := writeFile(t, folder, "leadsink.yaml", `kafka: {brokers: ["kafka:9092"], topics: [t], group: g}
transform:
  rules: [{name: r, lead: event.lead, activity: 320}]
leadsquared: {host: "https://api-in21.leadsquared.com", access_key: k, secret_key: s, limits: [25/5s, 1000/day], day: {starts: "00:00 Asia/Kolkata"}}
`)
	if err := os.Chmod(path, 0o644); err != nil { //nolint:gosec // nobody in the container has to read it
		t.Fatal(err)
	}
	said := docker(t, append(slices.Clone(confined), "-v", path+":/etc/leadsink/leadsink.yaml:ro", image(), "validate", "-c", "/etc/leadsink/leadsink.yaml")...)
	if !strings.Contains(said, "is valid") {
		t.Errorf("the image says %q", said)
	}
}

// A pod is leadsink's container as the chart makes it of its values, on this machine's network.
type pod struct {
	*testcontainers.DockerContainer
	t     *testing.T
	admin string
	grace time.Duration // from SIGTERM to SIGKILL
}

// A podSpec is what a container engine can make true of a pod.
type podSpec struct {
	Grace           int `yaml:"terminationGracePeriodSeconds"`
	SecurityContext struct {
		User  int `yaml:"runAsUser"`
		Group int `yaml:"runAsGroup"`
	} `yaml:"securityContext"`
	Containers []struct {
		Args            []string
		SecurityContext struct {
			ReadOnly     bool `yaml:"readOnlyRootFilesystem"`
			Capabilities struct{ Drop []string }
		} `yaml:"securityContext"`
		Lifecycle struct {
			PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
		}
	}
}

// startPod renders the chart, and starts the container of its pod with the document and the secrets that it made.
func (d *delivery) startPod() *pod {
	d.Helper()
	t, port := d.T, freePort(d.T)
	folder := t.TempDir()
	values := writeFile(t, folder, "values.yaml", fmt.Sprintf(`config:
  kafka:
%s    topics: [%s]
    group: %s
  transform:
    rules:
      - name: order
        lead: event.lead
        activity: 320
        fields: {mx_Custom_1: event.id}
  leadsquared: {host: %q, limits: [%s], guard: %s, in_flight: 8}
  dead_letters: {topic: %s}
  admin: {listen: ":%d"}
secrets:
  inline: {access-key: key, secret-key: secret}
`, indented(d.cluster.section), d.topic, d.group, d.api, d.inLimit, d.guard, d.dead, port))
	helm := os.Getenv("HELM")
	if helm == "" {
		t.Fatal("HELM is not set; run this by make")
	}
	rendered, err := exec.CommandContext(t.Context(), helm, "template", "crm", "../../deploy/helm/leadsink", "-f", values).Output()
	if err != nil {
		t.Fatalf("render the chart: %v", err)
	}
	template := d.unpack(rendered, folder)
	c := template.Containers[0]
	grace := template.Grace - c.Lifecycle.PreStop.Sleep.Seconds
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	node, err := testcontainers.Run(
		ctx, image(),
		testcontainers.WithCmd(c.Args...),
		testcontainers.WithConfigModifier(func(config *container.Config) {
			config.User = fmt.Sprintf("%d:%d", template.SecurityContext.User, template.SecurityContext.Group)
		}),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.NetworkMode = "host"
			host.ReadonlyRootfs = c.SecurityContext.ReadOnly
			host.CapDrop = c.SecurityContext.Capabilities.Drop
			host.SecurityOpt = []string{"no-new-privileges"}
			host.Binds = []string{folder + "/config:/etc/leadsink:ro", folder + "/secrets:/run/secrets:ro"}
		}),
	)
	if err != nil {
		t.Fatalf("start %s: %v (`make image` builds it)", image(), err)
	}
	if err := endWithProcess("docker", "rm", "--force", "--volumes", node.GetContainerID()); err != nil {
		t.Fatal(err)
	}
	p := &pod{DockerContainer: node, t: t, admin: "http://" + loopback(port), grace: time.Duration(grace) * time.Second}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", p.admin, words(context.WithoutCancel(t.Context()), node))
		}
		docker(t, "rm", "--force", "--volumes", node.GetContainerID())
	})
	eventually(t, 2*time.Minute, "the pod is ready", func() bool { return p.readiness() == http.StatusOK })
	return p
}

// unpack puts the chart's document and secrets into the folders config and secrets, and returns the pod that mounts them.
func (d *delivery) unpack(rendered []byte, folder string) (template podSpec) {
	d.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(rendered))
	for {
		var o struct {
			Kind       string
			Data       map[string]string
			StringData map[string]string `yaml:"stringData"`
			Spec       struct{ Template struct{ Spec podSpec } }
		}
		switch err := decoder.Decode(&o); {
		case errors.Is(err, io.EOF):
			return template
		case err != nil:
			d.Fatalf("read what the chart made: %v", err)
		}
		if o.Kind == "Deployment" {
			template = o.Spec.Template.Spec
		}
		for within, files := range map[string]map[string]string{"config": o.Data, "secrets": o.StringData} {
			for name, content := range files {
				path := filepath.Join(folder, within, name)
				//nolint:gosec // nobody in the container has to read them
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
					d.Fatal(err)
				}
			}
		}
	}
}

func indented(section string) string {
	return strings.ReplaceAll("  "+strings.TrimSuffix(section, "\n"), "\n", "\n  ") + "\n"
}

// readiness is the answer to the readiness probe, 0 without one.
func (p *pod) readiness() int {
	resp, err := http.Get(p.admin + "/readyz") //nolint:noctx // loopback
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// stop does what a kubelet does: SIGTERM, and SIGKILL when the grace period is over. It returns the answers to the
// readiness probe until the end, without repetitions, the exit code, and how long it took.
func (p *pod) stop() (answers []int, code int, took time.Duration) {
	p.t.Helper()
	began, done := time.Now(), make(chan error, 1)
	go func() { done <- p.Stop(p.t.Context(), &p.grace) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if answer := p.readiness(); len(answers) == 0 || answers[len(answers)-1] != answer {
			answers = append(answers, answer)
		}
		select {
		case <-tick.C:
		case err := <-done:
			took = time.Since(began)
			if err != nil {
				p.t.Fatal(err)
			}
			state, err := p.State(p.t.Context())
			if err != nil {
				p.t.Fatal(err)
			}
			return answers, state.ExitCode, took
		}
	}
}

func TestImageDrainsWithinThePodsGracePeriod(t *testing.T) {
	d := newDelivery(t, startKafka(t, overPlaintext), 3000, "--latency", "2s")
	active, standBy := d.startPod(), d.startPod()
	d.produce()
	eventually(t, time.Minute, "something is delivered", func() bool { return d.cluster.behind(t, d.group, d.topic) < int64(d.records)-100 })

	answers, code, took := active.stop()
	left := d.cluster.behind(t, d.group, d.topic)
	t.Logf("stopped in %s of %s with exit code %d and %d records left; /readyz said %v", took.Round(time.Millisecond), active.grace, code, left, answers)
	if code != 0 || took > active.grace-10*time.Second {
		t.Errorf("exit code %d after %s, want 0 well within %s", code, took, active.grace)
	}
	if !slices.Contains(answers, http.StatusServiceUnavailable) {
		t.Error("/readyz was never false while it drained")
	}
	if left == 0 {
		t.Error("it was stopped when the load was over")
	}
	d.drained(5 * time.Minute)
	if answers, code, _ := standBy.stop(); code != 0 {
		t.Errorf("the pod that took over ended with exit code %d; /readyz said %v", code, answers)
	}
	d.account(0) // nothing is lost, and nothing created twice
}

func TestImageIsBuiltForTheOtherPlatformToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leadsink")
	build := exec.CommandContext(t.Context(), "make", "-C", "../..", "build", "BINARY="+path)
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build leadsink: %v\n%s", err, said)
	}
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	libraries, err := file.ImportedLibraries()
	if file.Machine != elf.EM_AARCH64 || len(libraries) > 0 || err != nil {
		t.Errorf("it is for %v and needs %v (%v), want a static one for arm64", file.Machine, libraries, err)
	}
}
