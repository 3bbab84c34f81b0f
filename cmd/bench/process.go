//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopWithin is how long a process may take to end; leadsink drains in it.
const stopWithin = 30 * time.Second

// A process is a child, which ends with its parent whatever happens to that.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdout io.ReadCloser
	stderr tail
	ended  chan struct{} // closed after its end, then err is set
	err    error
}

// start starts a process. It must be ended by stop or kill.
func start(name, path string, args ...string) (*process, error) {
	return startWith(nil, name, path, args...)
}

// startWith is start with further variables of the environment.
func startWith(variables []string, name, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(path, args...), ended: make(chan struct{})} //nolint:noctx // it is ended gently, by stop
	p.cmd.Env = append(os.Environ(), variables...)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.stdout = read
	p.cmd.Stdout, p.cmd.Stderr = write, &p.stderr
	// A group of its own: a Ctrl-C is for the parent, which ends its children in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), read.Close(), write.Close())
	}
	_ = write.Close() // the child has it
	go func() {       // ends with the process
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// failure says how a process ended, with the last that it wrote.
func (p *process) failure() error {
	if p.err == nil {
		return fmt.Errorf("%s ended\n%s", p.name, p.last())
	}
	return fmt.Errorf("%s ended: %w\n%s", p.name, p.err, p.last())
}

// last is the last that the process wrote to its log.
func (p *process) last() string { return p.stderr.String() }

// stop asks the process to end and waits for it; the error says if it ended badly.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return p.failure() // nobody had asked it to
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.kill()
		return fmt.Errorf("%s did not end within %s\n%s", p.name, stopWithin, p.last())
	}
	_ = p.stdout.Close()
	if p.err != nil {
		return p.failure()
	}
	return nil
}

// kill ends the process at once, if it has not ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.stdout.Close()
}

// resident is the process's resident memory in bytes.
func (p *process) resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no VmRSS; has it ended?", p.name)
}

// cpu is the processor time that the process has used, in user and kernel mode.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("processor time of %s: %w", p.name, err)
	}
	// The second field is the name in brackets, which may hold blanks; user
	// and kernel time are the 14th and 15th, in ticks of a hundredth second.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("processor time of %s: it has ended", p.name)
	}
	var sum time.Duration
	for _, text := range fields[11:13] {
		ticks, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("processor time of %s: %w", p.name, err)
		}
		sum += time.Duration(ticks) * 10 * time.Millisecond
	}
	return sum, nil
}

// line waits for the first line that the process prints.
func (p *process) line(ctx context.Context) (string, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() }) // so that the read below ends
	defer stop()
	var text []byte
	for chunk := make([]byte, 256); len(text) < 4096; {
		n, err := p.stdout.Read(chunk)
		text = append(text, chunk[:n]...)
		if line, _, found := bytes.Cut(text, []byte("\n")); found {
			return string(line), nil
		}
		if err != nil {
			<-p.ended
			return "", errors.Join(context.Cause(ctx), p.failure())
		}
	}
	return "", fmt.Errorf("%s printed no line", p.name)
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex // guards kept, which the process's output reaches while it is asked for
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if len(t.kept) > most {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-most:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
