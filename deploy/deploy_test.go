//go:build deploy

// Package deploy_test judges what people install: the Helm chart, also in a Kubernetes API server, and the compose file.
// The tools come from the Makefile.
package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// tool returns the path of a program that the Makefile builds. Without one there is nothing to judge with.
func tool(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set; run this by make", variable)
	}
	return path
}

// A command is a program with what is special about its run.
type command struct {
	folder string
	env    []string
	stdin  string
}

// output runs a program, which has to succeed, and returns what it wrote to stdout.
func (c command) output(t *testing.T, name string, args ...string) string {
	t.Helper()
	stdout, stderr, err := c.run(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

func (c command) run(t *testing.T, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute) // cleanups run it too
	defer cancel()
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = c.folder, append(os.Environ(), c.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.stdin), &out, &complaints
	err = cmd.Run()
	return out.String(), complaints.String(), err
}

// theBinary is leadsink, built once for all tests.
var theBinary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "leadsink-deploy-")
	if err != nil {
		return "", err
	}
	atEnd = append(atEnd, func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "leadsink")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // outlives the test that builds it
	defer cancel()
	if said, err := exec.CommandContext(ctx, "go", "build", "-o", path, "../cmd/leadsink").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build leadsink: %w\n%s", err, said)
	}
	return path, nil
})

// atEnd is what remains to be done when all tests have run, the last first.
var atEnd []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range slices.Backward(atEnd) {
		f()
	}
	os.Exit(code)
}

func leadsink(t *testing.T) string {
	t.Helper()
	path, err := theBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// An object is one object of Kubernetes.
type object map[string]any

// objects reads a stream of YAML documents.
func objects(t *testing.T, stream string) (all []object) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(stream))
	for {
		var o object
		switch err := decoder.Decode(&o); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("%v in\n%s", err, stream)
		case o != nil:
			all = append(all, o)
		}
	}
}

// at follows keys down from the object, nil where there is nothing.
func (o object) at(keys ...string) any {
	var v any = map[string]any(o)
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

// text is a text at the end of the keys.
func (o object) text(keys ...string) string {
	s, _ := o.at(keys...).(string)
	return s
}

func (o object) String() string { return o.text("kind") + "/" + o.text("metadata", "name") }

// pod returns the pod template among the objects of a release.
func pod(t *testing.T, all []object) object {
	t.Helper()
	for _, o := range all {
		if kind := o.text("kind"); kind == "Deployment" || kind == "StatefulSet" {
			return object(o.at("spec", "template").(map[string]any))
		}
	}
	t.Fatal("the release has neither a Deployment nor a StatefulSet")
	return nil
}

// eventually waits until something holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
