package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/telemetry"
)

// While Kafka is being tried the program answers probes: who asks /healthz must not
// take a start that takes long for a loop that has stopped turning.
func TestAStartThatWaitsForKafkaIsToldAsOne(t *testing.T) {
	_, host := serveFake(t, theAccount(t), nil)
	doc, err := config.Parse("leadsink.yaml", []byte(checked("127.0.0.1:1", host, fittingRule)))
	if err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.Start(t.Context(), doc.Telemetry, "test")
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{doc: doc, log: slog.New(slog.DiscardHandler), telemetry: tel}
	c, err := r.assemble(t.Context())
	if err != nil || c == nil {
		t.Fatal(err)
	}
	defer r.close(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // an answer that needs the loop cannot come
	if s, err := r.Status(ctx); err != nil || s.State != connector.Starting || !strings.HasPrefix(s.Words, "Starting: ") {
		t.Errorf("%+v, %v; want that it is starting", s, err)
	}
}
