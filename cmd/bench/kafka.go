//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// serveKafka is the process with the Kafka: it stores the backlog, prints its
// address and serves until ctx ends. Each run reads the same backlog with a
// group of its own.
func serveKafka(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet(modeKafka, flag.ContinueOnError)
	records := flags.Int("records", 0, "")
	traces := flags.Bool("traces", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(0), kfake.SeedTopics(partitions, topic))
	if err != nil {
		return fmt.Errorf("start kafka: %w", err)
	}
	defer cluster.Close()
	address := cluster.ListenAddrs()[0]
	if err := produce(ctx, address, *records, *traces); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, address); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// produce stores the events, partitioned by lead and compressed with snappy as
// kgo does by default. With traces each has its producer's context, and one in
// oneInSampled is sampled.
func produce(ctx context.Context, address string, records int, traces bool) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	defer client.Close()
	var refused atomic.Pointer[error]
	for i := range records {
		record := &kgo.Record{Key: []byte(leadOf(i)), Value: event(i)}
		if traces {
			record.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: traceparent(i)}}
		}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				refused.CompareAndSwap(nil, &err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	if err := refused.Load(); err != nil {
		return fmt.Errorf("produce: %w", *err)
	}
	return nil
}
