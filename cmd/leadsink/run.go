package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/admin"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/connector/leadsquared"
	"github.com/leadsink/leadsink/connector/telemetry"
)

// progressEvery is how often a running connector says how far it is.
const progressEvery = 10 * time.Second

// closeTimeout bounds leaving the group, and flushing what was measured.
const closeTimeout = 10 * time.Second

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the connector until SIGTERM, SIGINT or SIGHUP",
		Long: "Runs the connector. The first SIGTERM, SIGINT or SIGHUP makes it drain: it waits for the calls in flight, commits and\n" +
			"leaves the group, for delivery.drain_timeout at most. A second SIGTERM or SIGINT ends it at once.",
		Args: noArguments,
	}
	path := documentFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		doc, err := config.Load(*path)
		if err != nil {
			return err
		}
		if unchecked := doc.Unchecked(); unchecked != "" {
			telemetry.Logger(doc.Log, cmd.ErrOrStderr()).Warn("the document is not checked as well as it could be", "not checked", unchecked)
		}
		return serve(cmd.Context(), doc, cmd.ErrOrStderr(), nil)
	}
	return cmd
}

// serve runs the connector that the document describes until ctx ends and the
// drain is over. watch, if not nil, is called once it runs, with a context that
// ends with it; the connector is drained when watch returns.
func serve(ctx context.Context, doc *config.Document, stderr io.Writer, watch func(context.Context, *connector.Connector) error) (err error) {
	log := telemetry.Logger(doc.Log, stderr)
	tel, err := telemetry.Start(ctx, doc.Telemetry, thisBuild().Version)
	if err != nil {
		return &exitError{exitWrong, err}
	}
	defer func() {
		// The context may have ended, and what was measured is to be flushed.
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if failed := tel.Shutdown(flush); failed != nil {
			log.Warn("telemetry could not be flushed", "error", failed)
		}
	}()
	r := &runner{doc: doc, log: log, telemetry: tel, begun: time.Now()}
	defer r.close(ctx)
	r.introduce()
	return r.run(ctx, watch)
}

// A runner is a connector with all that it needs around it.
type runner struct {
	doc       *config.Document
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	source    *kafka.Source
	letters   *kafka.DeadLetters // nil without a topic
	receipts  *kafka.Receipts    // likewise
	client    *leadsquared.Client
	registry  *kafka.Registry                     // nil where the format has no schemas
	expected  *config.Expectation                 // of the account; nil if that is not checked
	connector atomic.Pointer[connector.Connector] // nil while starting: it answers nothing before it runs
	begun     time.Time
	failing   atomic.Pointer[vainTry] // what a start tries in vain, nil without it
}

// run starts everything in order and ends it in the reverse one: the engine
// drains before the member leaves the group, for leaving ends the heartbeats.
func (r *runner) run(ctx context.Context, watch func(context.Context, *connector.Connector) error) error {
	stopAdmin, err := r.serveAdmin(ctx)
	if err != nil {
		return err
	}
	defer stopAdmin()
	c, err := r.start(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // stopped while it was starting: nothing was taken in
	case err != nil:
		return err
	}
	r.connector.Store(c)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go r.progress(ctx) // ends with ctx
	watched := make(chan error, 1)
	go func() { // ends with ctx
		if watch == nil {
			watched <- nil
			return
		}
		watched <- watch(ctx, c)
		stop()
	}()
	err = c.Run(ctx)
	r.source.Detach()
	stop()
	if w := <-watched; w != nil {
		return w
	}
	if err == nil {
		r.log.Info("stopped; everything in flight was drained and committed")
	}
	return err
}

// serveAdmin serves health, status and control from the very start.
func (r *runner) serveAdmin(ctx context.Context) (stop func(), err error) {
	server := admin.New(admin.Settings{Config: r.doc.Admin, Control: r, Metrics: r.telemetry.Handler(), Log: r.log})
	listener, err := server.Listen(ctx)
	if err != nil {
		return nil, &exitError{exitSurroundings, err}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it answers during the drain
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }() // ends with stop
	r.log.Info("the admin server listens", "address", "http://"+listener.Addr().String())
	return func() {
		cancel()
		if err := <-served; err != nil {
			r.log.Warn("the admin server ended badly", "error", err)
		}
	}, nil
}

// start puts the parts together, and makes sure for start_timeout that the
// account and Kafka can be used. Once past it nothing in the surroundings ends
// the program.
func (r *runner) start(ctx context.Context) (*connector.Connector, error) {
	limited, cancel := context.WithTimeout(ctx, r.doc.StartTimeout)
	defer cancel()
	// Before the group is joined: a member that cannot deliver keeps nobody else from it.
	reached, err := leadsquared.WaitAccepted(limited, r.doc.LeadSquared.Client, leadsquared.Settings{Log: r.log, Failed: r.failed("the LeadSquared account")})
	if err != nil {
		return nil, r.unusable("the LeadSquared account", err)
	}
	if !reached {
		r.log.Warn("LeadSquared does not answer yet; delivery begins when it does", "host", r.doc.LeadSquared.Client.Host)
	}
	if err := r.findSchemas(limited); err != nil {
		return nil, err
	}
	if err := r.checkAccount(limited); err != nil {
		return nil, err
	}
	c, err := r.assemble(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.source.WaitReady(limited); err != nil {
		return nil, r.unusable("kafka", err)
	}
	if r.letters != nil {
		if err := r.letters.Check(limited); err != nil {
			return nil, r.unusable("kafka", err)
		}
	}
	if r.receipts != nil {
		if err := r.receipts.Check(limited); err != nil {
			return nil, r.unusable("kafka", err)
		}
	}
	return c, nil
}

// findSchemas makes sure that the registry can be asked, where the format has schemas.
func (r *runner) findSchemas(limited context.Context) (err error) {
	if !r.doc.Decode.Schemas() {
		return nil
	}
	if r.registry, err = kafka.NewRegistry(kafka.RegistrySettings{Config: r.doc.Decode.Registry}); err != nil {
		return &exitError{exitWrong, err}
	}
	if err := r.registry.WaitReady(limited); err != nil {
		return r.unusable("the schema registry", err)
	}
	return nil
}

// checkAccount checks that the account has the types of the rules: by one question as a
// rule, for many may start at once. All else the first check while running looks at, in
// slots of the budget. A code that the account does not know is a fault of the document: every activity
// of the rule would be refused, and a member that has not joined leaves its
// partitions to one that can deliver.
func (r *runner) checkAccount(ctx context.Context) error {
	if r.doc.LeadSquared.Client.CheckEvery == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.doc.StartTimeout/2)
	defer cancel()
	var problems []setting.Problem
	if r.expected, problems = r.doc.Expects(); len(problems) > 0 {
		return &exitError{exitWrong, r.doc.Place(problems)}
	}
	client, err := lookingAt(r.doc)
	if err != nil {
		return err
	}
	defer client.Close()
	a, untold, err := readAccount(ctx, client.LookFor(r.expected.Codes()), r.doc.LeadSquared.Budget, 1)
	if err != nil {
		r.log.Warn("the rules could not be checked against the account at the start; the first check while running does it", "error", err)
		return nil //nolint:nilerr // delivery does not depend on it
	}
	if missing := r.expected.Missing(a); len(missing) > 0 {
		for _, text := range untold {
			r.log.Warn("a part of the rules is not checked against the account", "reason", text)
		}
		return &exitError{exitWrong, r.doc.Place(missing)}
	}
	return nil
}

// A vainTry is what a start tries in vain.
type vainTry struct {
	what         string
	err          error
	since, until time.Time
}

// failed returns who is told of tries in vain: the first one, and each for another
// reason, is a warning, and the status shows the last.
func (r *runner) failed(what string) func(error) {
	return func(err error) {
		f := &vainTry{what, err, time.Now(), r.begun.Add(r.doc.StartTimeout)}
		was := r.failing.Load()
		if was != nil && was.what == what {
			f.since = was.since
		}
		r.failing.Store(f)
		if was == nil || was.what != what || was.err.Error() != err.Error() {
			r.log.Warn("the start waits for what cannot be used yet", "what", what, "error", err, "tried until", clock(f.until))
		}
	}
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func (r *runner) unusable(what string, err error) error {
	return &exitError{exitSurroundings, fmt.Errorf("%s cannot be used after start_timeout (%s): %w", what, r.doc.StartTimeout, err)}
}

// assemble makes the connector of its parts.
func (r *runner) assemble(ctx context.Context) (*connector.Connector, error) {
	rules, problems := r.doc.Rules()
	if len(problems) > 0 {
		return nil, &exitError{exitWrong, fmt.Errorf("%s: %s", problems[0].Key, problems[0].Text)}
	}
	rules.Log = r.log
	if r.registry != nil {
		rules.Use(r.registry)
	}
	settings := kafka.Settings{Config: r.doc.Kafka, Log: r.log, Meters: r.telemetry.Meters(), Failed: r.failed("Kafka")}
	var err error
	if r.source, err = kafka.New(ctx, settings); err != nil {
		return nil, &exitError{exitWrong, err}
	}
	var letters connector.DeadLetters // stays a nil interface without a topic
	if topic := r.doc.DeadLetters.Topic; topic != "" {
		if r.letters, err = kafka.NewDeadLetters(ctx, settings, topic, r.doc.Name); err != nil {
			return nil, &exitError{exitWrong, err}
		}
		letters = r.letters
	}
	var receipts connector.Receipts // likewise
	if topic := r.doc.Receipts.Topic; topic != "" {
		if r.receipts, err = kafka.NewReceipts(ctx, settings, topic, r.doc.Name); err != nil {
			return nil, &exitError{exitWrong, err}
		}
		receipts = r.receipts
	}
	if r.client, err = leadsquared.New(r.doc.LeadSquared.Client, leadsquared.Settings{Lease: r.source.Lease, Log: r.log, Tracer: r.telemetry.Tracer()}); err != nil {
		return nil, &exitError{exitWrong, err}
	}
	var finder connector.Finder // stays a nil interface without a marker
	if r.doc.LeadSquared.Client.Marker != "" {
		finder = r.client
	}
	var checker connector.Checker // stays a nil interface where nothing is checked
	if r.expected != nil {
		checker = &accountCheck{expected: r.expected, client: r.client}
	}
	metrics, err := connector.NewMetrics(r.telemetry.Meter(), thisBuild().Version, r.snapshot)
	if err != nil {
		return nil, err
	}
	return connector.New(connector.Settings{
		Config: r.doc.Engine(), Source: r.source, Sink: r.client, Finder: finder, Letters: letters, Receipts: receipts, Mapper: rules,
		Checker: checker,
		Budget:  budget.New(r.doc.LeadSquared.Budget, r.doc.Kafka.Single(), time.Now()), Metrics: metrics, Tracer: r.telemetry.Tracer(),
		ProducersDecide: r.telemetry.ProducersDecide(), Log: r.log,
	}), nil
}

func (r *runner) close(ctx context.Context) {
	if r.client != nil {
		r.client.Close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if r.source != nil {
		r.source.Detach()
		if err := r.source.Close(ctx); err != nil {
			r.log.Warn("leaving the group took too long; it notices by the session timeout", "error", err)
		}
	}
	if r.letters != nil {
		r.letters.Close()
	}
	if r.registry != nil {
		r.registry.Close()
	}
	if r.receipts != nil {
		r.receipts.Close()
	}
}

// Status implements admin.Control.
func (r *runner) Status(ctx context.Context) (connector.Status, error) {
	if c := r.connector.Load(); c != nil {
		s, err := c.Status(ctx)
		s.Members = r.source.Members()
		s.TellKafkaTrouble(r.source.Trouble())
		return s, err
	}
	tried := "the LeadSquared account and Kafka"
	if r.doc.Decode.Schemas() {
		tried = "the LeadSquared account, the schema registry and Kafka"
	}
	words := "Starting: " + tried + " are being tried."
	if f := r.failing.Load(); f != nil {
		words = fmt.Sprintf("Starting: %s cannot be used since %s: %v. It is tried until %s.", f.what, clock(f.since), f.err, clock(f.until))
	}
	return connector.Status{
		Name: r.doc.Name, State: connector.Starting, At: time.Now(), Started: r.begun, DrainETA: -1, Words: words,
	}, nil
}

var errStarting = errors.New("the connector is still starting; try again when /readyz says so")

// Pause implements admin.Control.
func (r *runner) Pause(ctx context.Context) error {
	if c := r.connector.Load(); c != nil {
		return c.Pause(ctx)
	}
	return errStarting
}

// Resume implements admin.Control.
func (r *runner) Resume(ctx context.Context) error {
	if c := r.connector.Load(); c != nil {
		return c.Resume(ctx)
	}
	return errStarting
}

// Held implements admin.Control.
func (r *runner) Held(ctx context.Context) ([]connector.HeldRecord, error) {
	if c := r.connector.Load(); c != nil {
		return c.Held(ctx)
	}
	return nil, nil
}

// SettleHeld implements admin.Control.
func (r *runner) SettleHeld(ctx context.Context, d connector.HeldDecision, choice connector.HeldChoice) (int, error) {
	if c := r.connector.Load(); c != nil {
		return c.SettleHeld(ctx, d, choice)
	}
	return 0, errStarting
}

// snapshot is what the gauges show.
func (r *runner) snapshot() (connector.Status, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := r.Status(ctx)
	return s, err == nil
}

// progress logs how far the connector is.
func (r *runner) progress(ctx context.Context) {
	tick := time.NewTicker(progressEvery / 5)
	defer tick.Stop()
	trouble := ""
	for ticks := 1; ; ticks++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		why, since := r.source.Trouble()
		switch {
		case why != "" && why != trouble:
			r.log.Warn("trouble with Kafka", "why", why, "since", clock(since))
		case why == "" && trouble != "":
			r.log.Info("the trouble with Kafka is over")
		}
		trouble = why
		if ticks%5 != 0 {
			continue
		}
		s, err := r.Status(ctx)
		if err != nil {
			return
		}
		r.log.Info("progress", "state", s.State, "delivered", s.Records.Delivered, "filtered", s.Records.Filtered,
			"dead", s.Records.Dead, "activities", s.Activities.Created, "calls", s.Calls.Total, "fill", s.Fill,
			"lag", s.Lag, "unsettled", s.Unsettled, "breaker", s.Breaker, "waiting", s.Waiting)
	}
}
