//go:build linux

// Command bench compares leadsink with the least that any program would have to do, side by side in one run.
//
// Every run has three processes: a Kafka (kfake) with a backlog, a fake
// LeadSquared without a limit, and the program that is measured: leadsink, or
// the floor, which reads, decodes and posts and guarantees nothing. Rows are
// counted at the fake LeadSquared and memory is read from /proc, never from
// what the measured program says of itself. See docs/performance.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// Names of the modes in which the program starts itself.
const (
	modeKafka = "child-kafka"
	modeFloor = "child-floor"
)

func main() {
	// A child's Pdeathsig is sent when the thread that started it ends, and
	// children are started from here.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var (
	errUsage  = errors.New("wrong arguments")
	errMissed = errors.New("a goal was missed")
)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case modeKafka:
			return serveKafka(ctx, args[1:], stdout)
		case modeFloor:
			return runFloor(ctx, args[1:])
		}
	}
	plan, asJSON, err := parse(args, stderr)
	if err != nil {
		return err
	}
	report, err := measure(ctx, plan, stderr)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.print(stdout)
	}
	if err == nil && !report.met() {
		return errMissed
	}
	return err
}

// A plan is what is to be measured.
type plan struct {
	records  int  // backlog of each run
	rounds   int  // leadsink's runs; the floor has one more
	inFlight int  // concurrent calls, of both
	traces   bool // leadsink with traces is measured, beside leadsink without
}

// measured is the program that is measured, and base the one it is compared with.
func (p plan) measured() string {
	if p.traces {
		return nameTraced
	}
	return nameLeadsink
}

func (p plan) base() string {
	if p.traces {
		return nameLeadsink
	}
	return nameFloor
}

func parse(args []string, stderr io.Writer) (p plan, asJSON bool, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&p.records, "records", 1_000_000, "records of the backlog, a multiple of 25; the goals are set for the default")
	flags.IntVar(&p.rounds, "rounds", 3, "runs of the measured program, each between two of the one it is compared with")
	flags.IntVar(&p.inFlight, "in-flight", 16, "concurrent calls, of both")
	flags.BoolVar(&p.traces, "traces", false, "compare leadsink with traces of a hundredth of the records with leadsink without, in place of leadsink with the floor")
	flags.BoolVar(&asJSON, "json", false, "print the result as one JSON document")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return p, false, err
		}
		return p, false, errUsage
	}
	wrong := ""
	switch {
	case flags.NArg() > 0:
		wrong = fmt.Sprintf("there is no argument %q", flags.Arg(0))
	case p.records < 1000 || p.records > 10_000_000 || p.records%batch != 0:
		wrong = "-records must be a multiple of 25 from 1000 to 10000000"
	case p.rounds < 1 || p.rounds > 20:
		wrong = "-rounds must be from 1 to 20"
	case p.inFlight < 1 || p.inFlight > 256:
		wrong = "-in-flight must be from 1 to 256"
	}
	if wrong != "" {
		fmt.Fprintln(stderr, "bench:", wrong)
		return p, false, errUsage
	}
	return p, asJSON, nil
}
