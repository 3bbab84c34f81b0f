//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

const (
	accessKey = "bench-access"
	secretKey = "bench-secret"

	sampleEvery = 200 * time.Millisecond
	settleFor   = time.Second      // between runs, for what the last one left behind
	startWithin = time.Minute      // for the first row to arrive
	stuckAfter  = 30 * time.Second // without a further row
)

// Names of the programs that are measured.
const (
	nameLeadsink = "leadsink"
	nameFloor    = "floor"
	nameTraced   = "traced" // leadsink with traces
)

// A bench is what all runs share.
type bench struct {
	plan
	self     string // path of this program
	leadsink string // path of the program that is measured
	folder   string // for documents
	kafka    string // address
	spans    *spans // nil without traces
	progress io.Writer
}

// measure builds leadsink, starts the Kafka and does the runs of the plan.
func measure(ctx context.Context, p plan, progress io.Writer) (*report, error) {
	folder, err := os.MkdirTemp("", "leadsink-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	b := &bench{plan: p, folder: folder, progress: progress, leadsink: filepath.Join(folder, nameLeadsink)}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.leadsink, "github.com/leadsink/leadsink/cmd/leadsink")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build leadsink: %w\n%s", err, said)
	}
	fmt.Fprintf(progress, "storing %d records\n", p.records)
	kafka, err := start("kafka", b.self, modeKafka, "-records", fmt.Sprint(p.records), "-traces="+strconv.FormatBool(p.traces))
	if err != nil {
		return nil, err
	}
	defer kafka.kill()
	if b.kafka, err = kafka.line(ctx); err != nil {
		return nil, err
	}
	if p.traces {
		if b.spans, err = takeSpans(ctx); err != nil {
			return nil, err
		}
		defer b.spans.close()
	}
	return b.runs(ctx)
}

// runs alternates: every run of the measured program lies between two of the other.
func (b *bench) runs(ctx context.Context) (*report, error) {
	r := &report{Records: b.records, InFlight: b.inFlight, Measured: b.measured(), Base: b.base()}
	for i := range 2*b.rounds + 1 {
		name := b.base()
		if i%2 == 1 {
			name = b.measured()
		}
		done, err := b.run(ctx, name, fmt.Sprintf("bench-%d", i))
		if err != nil {
			return nil, fmt.Errorf("run %d, %s: %w", i+1, name, err)
		}
		fmt.Fprintf(b.progress, "run %d of %d: %s\n", i+1, 2*b.rounds+1, done)
		r.Runs = append(r.Runs, done)
		if err := wait(ctx, settleFor); err != nil {
			return nil, err
		}
	}
	if b.spans != nil {
		r.SpanBytes = b.spans.bytes.Load()
	}
	return r, nil
}

// run is one run: a fresh fake, a fresh group, a fresh program.
func (b *bench) run(ctx context.Context, name, group string) (outcome, error) {
	address, err := free(ctx)
	if err != nil {
		return outcome{}, err
	}
	fake, err := start("fake-api", b.leadsink, "fake-api", "--listen", address, "--limit", "none", "--count-only")
	if err != nil {
		return outcome{}, err
	}
	defer fake.kill()
	api := "http://" + address
	if err := reachable(ctx, fake, api); err != nil {
		return outcome{}, err
	}
	measured, err := b.program(name, api, group)
	if err != nil {
		return outcome{}, err
	}
	defer measured.kill()
	s := &sampler{api: api, fake: fake, process: measured, rows: b.records}
	if err := s.watch(ctx); err != nil {
		return outcome{}, err
	}
	if err := measured.stop(); err != nil {
		return outcome{}, err
	}
	// What came after the last row of the backlog came twice.
	last, err := summarize(ctx, api)
	if err != nil {
		return outcome{}, err
	}
	if last.Created != last.Rows {
		return outcome{}, fmt.Errorf("the fake refused %d of %d rows; the event or the rule is wrong", last.Rows-last.Created, last.Rows)
	}
	return s.outcome(name, last), nil
}

func (b *bench) program(name, api, group string) (*process, error) {
	if name == nameFloor {
		return start(name, b.self, modeFloor, "-kafka", b.kafka, "-api", api, "-group", group, "-in-flight", fmt.Sprint(b.inFlight))
	}
	path := filepath.Join(b.folder, group+".yaml")
	if err := os.WriteFile(path, []byte(document(b.kafka, api, group, b.inFlight)), 0o600); err != nil {
		return nil, err
	}
	var variables []string
	if name == nameTraced {
		variables = []string{
			"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + b.spans.address, "OTEL_METRICS_EXPORTER=none",
			"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=" + fmt.Sprint(1.0/oneInSampled),
		}
	}
	return startWith(variables, name, b.leadsink, "run", "-c", path)
}

// free returns an address of loopback that nobody listens on.
func free(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// reachable waits until the fake answers.
func reachable(ctx context.Context, fake *process, api string) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		_, err := summarize(ctx, api)
		if err == nil {
			return nil
		}
		select {
		case <-fake.ended:
			return fake.failure()
		default:
		}
		if wait(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("the fake does not answer: %w", err)
		}
	}
}

// A summary is what the fake counted.
type summary struct {
	Calls   int       `json:"calls"`
	Rows    int       `json:"rows"`
	Created int       `json:"created"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

func summarize(ctx context.Context, api string) (s summary, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/_fake/summary", http.NoBody)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("ask the fake for its summary: %s", resp.Status)
	}
	return s, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&s)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A sample is how far a run was at a moment.
type sample struct {
	Seconds  float64 `json:"seconds"` // since the process was started
	Rows     int     `json:"rows"`
	Resident int64   `json:"resident_bytes"`
}

// A sampler watches a run.
type sampler struct {
	api           string
	fake, process *process
	rows          int // that are to arrive

	samples []sample
	reached summary // when all had arrived
	cpu     time.Duration
}

// watch samples until all rows have arrived. The error says why they never will.
func (s *sampler) watch(ctx context.Context) error {
	begin := time.Now()
	moved := begin
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.process.ended:
			return s.process.failure()
		case <-s.fake.ended:
			return s.fake.failure()
		case <-tick.C:
		}
		var err error
		if s.reached, err = summarize(ctx, s.api); err != nil {
			return err
		}
		resident, err := s.process.resident()
		if err != nil {
			return err
		}
		if len(s.samples) == 0 || s.samples[len(s.samples)-1].Rows < s.reached.Rows {
			moved = time.Now()
		}
		s.samples = append(s.samples, sample{Seconds: time.Since(begin).Seconds(), Rows: s.reached.Rows, Resident: resident})
		switch still := time.Since(moved); {
		case s.reached.Rows >= s.rows:
			s.cpu, err = s.process.cpu()
			return err
		case s.reached.Rows == 0 && still > startWithin:
			return errors.New("no row arrived within " + startWithin.String() + "\n" + s.process.last())
		case s.reached.Rows > 0 && still > stuckAfter:
			return fmt.Errorf("no row arrived for %s, %d of %d had\n%s", stuckAfter, s.reached.Rows, s.rows, s.process.last())
		}
	}
}

// outcome says what the samples say; last is what the fake had counted when the
// process had ended.
func (s *sampler) outcome(name string, last summary) outcome {
	seconds := s.reached.Last.Sub(s.reached.First).Seconds()
	return outcome{
		Name: name, Rows: last.Rows, Twice: max(0, last.Rows-s.rows), Calls: last.Calls,
		Seconds: seconds, RowsPerSecond: float64(s.reached.Rows) / seconds,
		CPUMicrosPerRow: float64(s.cpu.Microseconds()) / float64(s.reached.Rows),
		Memory:          remember(s.samples), Samples: s.samples,
	}
}
