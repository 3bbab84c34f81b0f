package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

const (
	demoTopic      = "crm.events"
	demoDeadTopic  = "crm.events.dead"
	demoGroup      = "leadsink-demo"
	demoPartitions = 6
	demoEventsMost = 1_000_000
)

// demoDocument is the document of the demo, with places for what its flags say.
const demoDocument = `name: demo
kafka:
  brokers: [%q]
  topics: [crm.events]
  group: leadsink-demo
decode: {format: json}
transform:
  rules:
    - name: order placed
      when: event.type == "order.placed"
      lead: event.lead.id
      activity: 320
      note: '"Order " + string(event.order.id)'
      fields:
        mx_Custom_1: event.id
        mx_Custom_2: event.order.id
        mx_Custom_7: event.order.total
    - name: large order
      when: event.type == "order.placed" and event.order.total > 900
      lead: event.lead.id
      activity: 320
      note: '"Large order: call them"'
      fields:
        mx_Custom_1: event.id + "/large"
    - name: demo requested
      when: event.type == "demo.requested"
      lead: event.lead.id
      activity: 320
      note: '"Wants to see " + event.product'
      fields:
        mx_Custom_1: event.id
leadsquared:
  host: %s
  access_key: demo
  secret_key: demo
  limits: [%s]
  guard: 200ms
  timeout: 2s
  marker: %q
delivery:
  on_unknown: %s
  reconcile_after: 3s
  backoff: {initial: 200ms, max: 2s}
  breaker: {failures: 5, ratio: 0.5, window: 30s, open_for: 2s}
dead_letters: {topic: crm.events.dead}
admin: {listen: %q}
log: {level: warn, format: text}
`

func demoCommand() *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job in one process: Kafka, LeadSquared, events, the connector",
		Long: "Runs everything in one process: an embedded Kafka, the fake LeadSquared with its limit and with faults, realistic\n" +
			"events with bad ones among them, the connector and its admin address. At the end every event is accounted for by what\n" +
			"LeadSquared and the dead-letter topic hold, not by the connector's own numbers. Exit code 0 only if none is missing.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd) },
	}
	flags := cmd.Flags()
	flags.IntVar(&d.events, "events", 3000, "how many events, 1 to 1000000")
	flags.StringVar(&d.limit, "limit", "25/5s", "LeadSquared's limit of bulk calls, which the document names too; none for no limit")
	flags.StringArrayVar(&d.faults, "fault", []string{"failed_500=0.01", "gateway_503=0.02", "reset_before=0.01", "reordered=0.05"},
		"NAME=RATE, a part of all calls that goes wrong, repeatable; none for no faults; names: "+faultNames())
	flags.Uint64Var(&d.seed, "seed", 1, "repeats the events and the faults")
	flags.BoolVar(&d.marker, "marker", false, "let activities carry a marker, so that none is created twice: LeadSquared is asked for what may have been")
	flags.BoolVar(&d.document, "show-document", false, "print the document and end")
	d.json = jsonFlag(cmd)
	return cmd
}

// A demo is everything in one process.
type demo struct {
	events   int
	limit    string
	faults   []string
	seed     uint64
	document bool
	marker   bool
	json     *bool

	produced map[string]demoEvent // by the event's id, or its position if it has none
	api      *fakeapi.Server
	kafka    *kgo.Client
	admin    *kadm.Client
}

func (d *demo) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	if d.events < 1 || d.events > demoEventsMost {
		return &exitError{exitWrong, fmt.Errorf("--events: %d is not a number from 1 to %d", d.events, demoEventsMost)}
	}
	limits := "[]"
	if d.limit != "none" {
		l, err := budget.ParseLimit(d.limit)
		if err != nil {
			return &exitError{exitWrong, fmt.Errorf("--limit: %w", err)}
		}
		limits = l.String()
	}
	host, stop, err := d.serveAPI(ctx)
	if err != nil {
		return err
	}
	defer stop()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(demoPartitions, demoTopic), kfake.SeedTopics(1, demoDeadTopic))
	if err != nil {
		return &exitError{exitSurroundings, fmt.Errorf("start the embedded Kafka: %w", err)}
	}
	defer cluster.Close()
	admin, err := freeAddress(ctx)
	if err != nil {
		return &exitError{exitSurroundings, err}
	}
	marker, unknown := "", "resend"
	if d.marker {
		marker, unknown = "mx_Custom_5", "reconcile"
	}
	text := fmt.Sprintf(demoDocument, cluster.ListenAddrs()[0], host, strings.Trim(limits, "[]"), marker, unknown, admin)
	if d.document {
		_, err := io.WriteString(stdout, text)
		return err
	}
	doc, err := config.Parse("demo.yaml", []byte(text))
	if err != nil {
		return err
	}
	if err := d.connect(cluster.ListenAddrs()); err != nil {
		return err
	}
	defer d.kafka.Close()
	if err := d.produce(ctx); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(stderr, "leadsink demo: %d events in %d partitions of an embedded Kafka, the fake LeadSquared at %s with a limit of %s,\nfaults %s.\nStatus page: http://%s/  Ctrl-C ends it.\n",
		d.events, demoPartitions, host, d.limit, strings.Join(d.faults, ", "), admin)
	began := time.Now()
	finished := false
	err = serve(ctx, doc, stderr, func(ctx context.Context, c *connector.Connector) error {
		err := d.watch(ctx, c, stderr)
		finished = err == nil && ctx.Err() == nil
		return err
	})
	switch {
	case err != nil:
		return err
	case !finished:
		return &exitError{exitFailed, errors.New("the demo was ended before every event had its fate")}
	}
	return d.account(ctx, stdout, time.Since(began))
}

// serveAPI starts the fake LeadSquared on a free port.
func (d *demo) serveAPI(ctx context.Context) (host string, stop func(), err error) {
	flags := fakeFlags{
		reading: "h1", limits: []string{d.limit}, seed: d.seed, latency: 100 * time.Millisecond, slow: time.Second,
		lateBy: time.Second, readLag: time.Second,
	}
	for _, f := range d.faults {
		if f != "none" {
			flags.faults = append(flags.faults, f)
		}
	}
	c, err := flags.config()
	if err != nil {
		return "", nil, &exitError{exitWrong, err}
	}
	if d.api, err = fakeapi.New(c); err != nil {
		return "", nil, &exitError{exitWrong, fmt.Errorf("--fault: %w", err)}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, &exitError{exitSurroundings, err}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan struct{})
	go func() { // ends with stop
		defer close(served)
		if err := d.api.Serve(ctx, l, nil); err != nil {
			slog.Error("the fake LeadSquared ended badly", "error", err)
		}
	}()
	return "http://" + l.Addr().String(), func() { cancel(); <-served }, nil
}

// freeAddress is a loopback address that nobody listens on now.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("look for a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

func (d *demo) connect(brokers []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(demoDeadTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics())
	if err != nil {
		return &exitError{exitSurroundings, err}
	}
	d.kafka, d.admin = client, kadm.NewClient(client)
	return nil
}

// A demoEvent is what an event is to become.
type demoEvent struct {
	activities int  // how many activities; 0 for none
	dead       bool // it is to be a dead letter
}

// produce writes the events.
func (d *demo) produce(ctx context.Context) error {
	random := rand.New(rand.NewPCG(d.seed, 0))
	d.produced = make(map[string]demoEvent, d.events)
	failed := make(chan error, 1)
	for i := range d.events {
		id, value, becomes := demoRecord(random, i)
		d.produced[id] = becomes
		r := &kgo.Record{Topic: demoTopic, Key: []byte(id), Value: value}
		d.kafka.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := d.kafka.Flush(ctx); err != nil {
		return &exitError{exitFailed, fmt.Errorf("write the events: %w", err)}
	}
	select {
	case err := <-failed:
		return &exitError{exitFailed, fmt.Errorf("write the events: %w", err)}
	default:
		return nil
	}
}

// demoRecord makes the ith event.
func demoRecord(random *rand.Rand, i int) (id string, value []byte, becomes demoEvent) {
	id = fmt.Sprintf("evt-%07d", i)
	lead := fmt.Sprintf("%08x-d01d-11e7-b4ec-069729b2474c", random.IntN(400))
	event := map[string]any{"id": id, "lead": map[string]any{"id": lead, "email": fmt.Sprintf("%s@example.com", lead[:8])}}
	switch n := random.IntN(100); {
	case n < 1: // cut in the middle
		return id, []byte(`{"id": "` + id + `", "type": "order.pla`), demoEvent{dead: true}
	case n < 2: // no type fits
		event["type"], event["order"] = "order.placed", "not an order"
		becomes = demoEvent{dead: true}
	case n < 3:
		event["type"], event["product"] = "demo.requested", "leadsink"
		event["lead"] = map[string]any{"id": "unknown-" + lead}
		becomes = demoEvent{dead: true}
	case n < 4: // a tombstone
		return id, nil, demoEvent{}
	case n < 15:
		event["type"], event["page"] = "page.visited", "/pricing"
	case n < 30:
		event["type"], event["product"] = "demo.requested", "leadsink"
		becomes = demoEvent{activities: 1}
	default:
		total := float64(random.IntN(100_000)) / 100
		event["type"] = "order.placed"
		event["order"] = map[string]any{"id": 4_611_686_018_427_387_904 + int64(i), "total": total, "currency": "INR"}
		becomes = demoEvent{activities: 1}
		if total > 900 {
			becomes.activities = 2
		}
	}
	value, err := json.Marshal(event)
	if err != nil {
		panic(err) // of our own making
	}
	return id, value, becomes
}
