package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	fakeEventsMost  = 10_000 // a second
	fakeEventsEvery = 50 * time.Millisecond
	// fakeEventsPatience bounds the wait for a broker: at the start, for a record, and for the last ones.
	fakeEventsPatience = 15 * time.Second
)

func fakeEventsCommand() *cobra.Command {
	var f fakeEvents
	cmd := &cobra.Command{
		Use:   "fake-events",
		Short: "Write a stream of realistic events to a topic, for tests and trials",
		Long: "Writes events such as leadsink demo has to a topic: orders, requests and visits of 400 leads, with bad ones among\n" +
			"them. It speaks to brokers without TLS and passwords only, so that no topic of consequence gets any by mistake.",
		Example: "  leadsink fake-events --brokers localhost:9092 --topic crm.events --rate 20",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.brokers, "brokers", []string{"localhost:9092"}, "where Kafka is")
	flags.StringVar(&f.topic, "topic", demoTopic, "the topic, which must be there")
	flags.Float64Var(&f.rate, "rate", 10, fmt.Sprintf("events a second, at most %d", fakeEventsMost))
	flags.IntVar(&f.events, "events", 0, "how many events; 0 goes on until it is told to stop")
	flags.Uint64Var(&f.seed, "seed", 1, "repeats the events")
	return cmd
}

// fakeEvents are the flags of fake-events.
type fakeEvents struct {
	brokers []string
	topic   string
	rate    float64
	events  int
	seed    uint64
}

func (f *fakeEvents) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	switch {
	case !(f.rate > 0 && f.rate <= fakeEventsMost): // NaN is neither
		return &exitError{exitWrong, fmt.Errorf("--rate: %v is not a number above 0 and up to %d", f.rate, fakeEventsMost)}
	case f.events < 0:
		return &exitError{exitWrong, fmt.Errorf("--events: %d is below 0; write 0 for events without end", f.events)}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(f.brokers...), kgo.DefaultProduceTopic(f.topic),
		kgo.RecordDeliveryTimeout(fakeEventsPatience), kgo.DisableClientMetrics())
	if err != nil {
		return &exitError{exitWrong, fmt.Errorf("--brokers: %w", err)}
	}
	defer client.Close()
	first, cancel := context.WithTimeout(ctx, fakeEventsPatience)
	defer cancel()
	if err := client.Ping(first); err != nil {
		return &exitError{exitSurroundings, fmt.Errorf("reach %v: %w; see whether --brokers is right", f.brokers, err)}
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	log.Info("writing events", "topic", f.topic, "rate", f.rate)
	written, err := f.write(ctx, client, log)
	if err != nil {
		return &exitError{exitSurroundings, err}
	}
	log.Info("stopped", "events", written)
	return nil
}

// write writes events at their rate until there are enough or ctx ends, and
// returns how many there are in the topic. The first that cannot be written ends it.
func (f *fakeEvents) write(ctx context.Context, client *kgo.Client, log *slog.Logger) (written int, err error) {
	random := rand.New(rand.NewPCG(f.seed, 0))
	failed := make(chan error, 1)
	tick := time.NewTicker(fakeEventsEvery)
	defer tick.Stop()
	report := time.NewTicker(progressEvery)
	defer report.Stop()
	began := time.Now()
	for f.events == 0 || written < f.events {
		select {
		case <-ctx.Done():
			return written, f.flush(ctx, client, failed)
		case err := <-failed:
			return written, err
		case <-report.C:
			log.Info("progress", "events", written)
			continue
		case <-tick.C:
		}
		due := int(time.Since(began).Seconds() * f.rate)
		if f.events > 0 {
			due = min(due, f.events)
		}
		for ; written < due; written++ {
			id, value, _ := demoRecord(random, written)
			// It waits when the client holds as many as it may, so a broker that is away does not fill the memory.
			client.Produce(ctx, &kgo.Record{Key: []byte(id), Value: value}, func(_ *kgo.Record, err error) {
				if err == nil || ctx.Err() != nil {
					return
				}
				select {
				case failed <- f.unwritten(err):
				default: // the first says enough
				}
			})
		}
	}
	return written, f.flush(ctx, client, failed)
}

// flush waits until everything is written, for a moment even when ctx has ended.
func (f *fakeEvents) flush(ctx context.Context, client *kgo.Client, failed <-chan error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fakeEventsPatience)
	defer cancel()
	if err := client.Flush(ctx); err != nil {
		return f.unwritten(err)
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (f *fakeEvents) unwritten(err error) error {
	advice := "see whether the brokers can be reached"
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		advice = "create the topic"
	}
	return fmt.Errorf("write to %s at %v: %w; %s", f.topic, f.brokers, err, advice)
}
