//go:build system

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var theBinary = sync.OnceValues(func() (string, error) {
	// Outlives the test that builds it.
	dir, err := os.MkdirTemp("", "leadsink-system-")
	if err != nil {
		return "", err
	}
	if err := endWithProcess("rm", "-rf", dir); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "leadsink")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // outlives the test that builds it
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build leadsink: %w\n%s", err, output)
	}
	return path, nil
})

// buildBinary returns the path of the program, which the first call builds for the whole suite.
func buildBinary(t *testing.T) string {
	t.Helper()
	path, err := theBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A process is a run of a program. It is killed when its test ends.
type process struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer  // complete once wait has returned
	stderr *lines        // the program's log
	ended  chan struct{} // closed when it has ended
}

// startProcess starts a program in the test's environment. What it writes to stderr is kept in the test's artifacts
// and shown when the test fails.
func startProcess(t *testing.T, path string, args ...string) *process {
	t.Helper()
	file, err := os.CreateTemp(t.ArtifactDir(), "stderr-*.log")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{
		cmd:    exec.CommandContext(context.WithoutCancel(t.Context()), path, args...), // ended by the cleanup below
		stderr: &lines{copy: file, grown: make(chan struct{})},
		ended:  make(chan struct{}),
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	go func() { // ends with the process
		_ = p.cmd.Wait() // its result is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.signal(t, syscall.SIGKILL)
		<-p.ended
		_ = file.Close()
		if t.Failed() {
			t.Logf("%s %s, %v, said (whole in %s):\n%s", filepath.Base(path), strings.Join(args, " "), p.cmd.ProcessState, file.Name(), p.stderr.last(60))
		}
	})
	return p
}

func (p *process) terminate(t *testing.T) { t.Helper(); p.signal(t, syscall.SIGTERM) }
func (p *process) kill(t *testing.T)      { t.Helper(); p.signal(t, syscall.SIGKILL) }
func (p *process) freeze(t *testing.T)    { t.Helper(); p.signal(t, syscall.SIGSTOP) }
func (p *process) thaw(t *testing.T)      { t.Helper(); p.signal(t, syscall.SIGCONT) }

// signal does nothing to a process that has ended.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("send %v: %v", s, err)
	}
}

// wait returns the exit code, -1 after a signal that ended the process.
func (p *process) wait(t *testing.T, within time.Duration) int {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-timer.C:
		t.Fatalf("still running after %v", within)
		return 0
	}
}

// waitForLine returns the first line on stderr, from the start on, that contains a text.
func (p *process) waitForLine(t *testing.T, text string, within time.Duration) string {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	ended := p.ended
	for {
		line, grown := p.stderr.find(text)
		if line != "" {
			return line
		}
		if ended == nil {
			t.Fatalf("ended without saying %q", text)
		}
		select {
		case <-grown:
		case <-ended:
			ended = nil // look once more: everything is written by now
		case <-timer.C:
			t.Fatalf("did not say %q within %v", text, within)
		}
	}
}

// lines keeps what a process writes.
type lines struct {
	copy io.Writer

	mu    sync.Mutex // guards what is below: the process writes while the test reads
	text  []byte
	grown chan struct{} // closed and replaced by each write
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	close(l.grown)
	l.grown = make(chan struct{})
	return l.copy.Write(b)
}

// find returns the first complete line with the text in it, or what will be closed when there is more to look at.
func (l *lines) find(text string) (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.text) {
		if bytes.HasSuffix(line, []byte("\n")) && bytes.Contains(line, []byte(text)) {
			return string(bytes.TrimSpace(line)), nil
		}
	}
	return "", l.grown
}

// last returns the end of what was written.
func (l *lines) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := bytes.SplitAfter(l.text, []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-n):], nil))
}
