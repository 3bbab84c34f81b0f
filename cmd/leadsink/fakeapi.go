package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

func fakeAPICommand() *cobra.Command {
	var f fakeFlags
	cmd := &cobra.Command{
		Use:   "fake-api",
		Short: "Run a fake LeadSquared with limits and faults, for tests and trials",
		Long: "Runs a fake LeadSquared: the bulk calls with their limits and refusals, and with faults as you wish.\n" +
			"It remembers what it created: GET /_fake/summary, /_fake/activities, /_fake/calls. Faults and limits change by\n" +
			"POST /_fake/faults {\"rates\": {…}, \"script\": […], \"poison\": {…}} and POST /_fake/limits {\"limits\": [\"25/5s\"]}.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.serve(cmd) },
	}
	f.add(cmd)
	return cmd
}

// fakeFlags are the flags of fake-api.
type fakeFlags struct {
	listen, access, secret, reading, account, caOut string
	limits, faults, poison                          []string
	refuse                                          float64
	latency, slow, way, lateBy, readLag             time.Duration
	tls, countOnly                                  bool
	seed                                            uint64
}

func (f *fakeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8085", "address to listen on; port 0 chooses one")
	flags.StringArrayVar(&f.limits, "limit", []string{"25/5s"}, "limit of bulk calls, repeatable; none for no limit")
	flags.StringVar(&f.access, "access-key", "", "the access key it takes; empty takes any")
	flags.StringVar(&f.secret, "secret-key", "", "the secret key it takes; empty takes any")
	flags.StringVar(&f.reading, "reading", "h1", "how a call with a bad row is answered: h1 row by row, h2 whole with nothing applied, h2-before with the rows before it applied, h2-mixed by the type of the refusal")
	flags.StringArrayVar(&f.faults, "fault", nil, "NAME=RATE, a part of all calls that goes wrong, repeatable; names: "+faultNames())
	flags.StringArrayVar(&f.poison, "poison", nil, "WORD=HOW, what a row that holds the word in its note or a field does to its call, repeatable; how: "+spoilNames())
	flags.Float64Var(&f.refuse, "refuse", 0, "part of rows that are refused for what they contain, always the same ones")
	flags.DurationVar(&f.latency, "latency", 0, "how long every answer takes")
	flags.DurationVar(&f.slow, "slow", 10*time.Second, "how long the fault slow takes")
	flags.DurationVar(&f.lateBy, "late-by", 0, "how long after the client has given up the fault late applies a call")
	flags.DurationVar(&f.readLag, "read-lag", 0, "from storing an activity until reads show it")
	flags.DurationVar(&f.way, "way", 0, "the way of a call, to here and back")
	flags.BoolVar(&f.tls, "tls", false, "serve TLS with a certificate of its own")
	flags.StringVar(&f.caOut, "ca-out", "", "write the certificate to this file, for ca_file")
	flags.Uint64Var(&f.seed, "seed", 1, "repeats the faults by rate")
	flags.StringVar(&f.account, "account", "", "JSON file with the activity types and unknown_lead")
	flags.BoolVar(&f.countOnly, "count-only", false, "remember numbers only, for benchmarks")
}

func faultNames() string { return listed(fakeapi.Faults()) }
func spoilNames() string { return listed(fakeapi.Spoils()) }

func listed[T ~string](all []T) string {
	var names []string
	for _, one := range all {
		names = append(names, string(one))
	}
	return strings.Join(names, ", ")
}

// config is what the flags say; an error is about the arguments.
func (f *fakeFlags) config() (c fakeapi.Config, err error) {
	c = fakeapi.Config{
		AccessKey: f.access, SecretKey: f.secret, Refuse: f.refuse, Seed: f.seed,
		Latency: f.latency, Slow: f.slow, Way: f.way, LateBy: f.lateBy, ReadLag: f.readLag, CountOnly: f.countOnly, Rates: map[fakeapi.Fault]float64{}, Poison: map[string]fakeapi.Spoil{},
	}
	if c.Reading, err = fakeapi.ParseReading(f.reading); err != nil {
		return c, fmt.Errorf("--reading: %w", err)
	}
	for _, text := range f.limits {
		if text == "none" {
			continue
		}
		l, err := budget.ParseLimit(text)
		if err != nil {
			return c, fmt.Errorf("--limit: %w", err)
		}
		c.Limits = append(c.Limits, l)
	}
	for _, text := range f.faults {
		name, rate, _ := strings.Cut(text, "=")
		fault, err := fakeapi.ParseFault(name)
		if err != nil {
			return c, fmt.Errorf("--fault: %w", err)
		}
		if c.Rates[fault], err = strconv.ParseFloat(rate, 64); err != nil {
			return c, fmt.Errorf("--fault: %q is not NAME=RATE; write for instance %s=0.02", text, fault)
		}
	}
	for _, text := range f.poison {
		word, how, _ := strings.Cut(text, "=")
		spoil, err := fakeapi.ParseSpoil(how)
		if err != nil {
			return c, fmt.Errorf("--poison: %w", err)
		}
		c.Poison[word] = spoil
	}
	if f.account != "" {
		file, err := os.Open(filepath.Clean(f.account))
		if err != nil {
			return c, fmt.Errorf("--account: %w", err)
		}
		defer func() { _ = file.Close() }()
		if c.Account, err = fakeapi.ReadAccount(file); err != nil {
			return c, fmt.Errorf("--account %s: %w", f.account, err)
		}
	}
	return c, nil
}

func (f *fakeFlags) serve(cmd *cobra.Command) error {
	config, err := f.config()
	if err != nil {
		return &exitError{exitWrong, err}
	}
	server, err := fakeapi.New(config)
	if err != nil {
		return &exitError{exitWrong, err}
	}
	ctx := cmd.Context()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return &exitError{exitSurroundings, fmt.Errorf("listen: %w; free the port, or choose another by --listen", err)}
	}
	scheme := "http"
	var cert *tls.Certificate
	if f.tls {
		made, pool, err := fakeapi.Certificate()
		if err != nil {
			return err
		}
		if f.caOut != "" {
			if err := os.WriteFile(f.caOut, pool, 0o644); err != nil { //nolint:gosec // a certificate is public
				return &exitError{exitSurroundings, fmt.Errorf("--ca-out: %w", err)}
			}
		}
		scheme, cert = "https", &made
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	log.Info("the fake LeadSquared listens", "address", scheme+"://"+l.Addr().String())
	out := cmd.OutOrStdout()
	_, _ = fmt.Fprintf(out, "leadsquared:\n  host: %s://%s\n", scheme, l.Addr())
	if f.caOut != "" {
		_, _ = fmt.Fprintf(out, "  ca_file: %s\n", f.caOut)
	}
	if err := server.Serve(ctx, l, cert); err != nil {
		return &exitError{exitFailed, err}
	}
	s := server.Summary("")
	log.Info("stopped", "calls", s.Calls, "created", s.Created, "refused", s.Refused, "violations", s.Violations)
	return nil
}
