package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

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

// A wrong topic or wrong keys are told at the first try, with the reason and how long
// they are tried; nothing is shown that is not known.
func TestAStartThatFailsIsToldAtOnceWithItsReason(t *testing.T) {
	_, host := serveFake(t, theAccount(t), nil)
	doc, err := config.Parse("leadsink.yaml", []byte(checked("127.0.0.1:1", host, fittingRule)))
	if err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.Start(t.Context(), doc.Telemetry, "test")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	r := &runner{doc: doc, log: slog.New(slog.NewTextHandler(&log, nil)), telemetry: tel, begun: time.Now()}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := r.start(ctx); err == nil {
		t.Fatal("a start without Kafka succeeds")
	}
	r.close(t.Context())
	if n := strings.Count(log.String(), "the start waits for what cannot be used yet"); n == 0 || n > 2 || !strings.Contains(log.String(), "tried until") {
		t.Errorf("%d warnings of tries in vain: %s", n, log.String())
	}
	s, err := r.Status(t.Context())
	if err != nil || !strings.Contains(s.Words, "Kafka cannot be used since") || !strings.Contains(s.Words, "tried until") {
		t.Errorf("%q, %v; want why it does not start", s.Words, err)
	}
	var printed strings.Builder
	if err := printStatus(&printed, s); err != nil {
		t.Fatal(err)
	}
	for _, unknown := range []string{"no limit", "nothing waits", "pace", "lag", "2562047h"} {
		if strings.Contains(printed.String(), unknown) {
			t.Errorf("the status shows %q, which is not known yet:\n%s", unknown, printed.String())
		}
	}
}

// Whoever reads a log has to know what wrote it, and what it was told.
func TestTheFirstLineSaysWhatRunsAndByWhichDocument(t *testing.T) {
	path := document(t, strings.Replace(checked("127.0.0.1:1", "http://127.0.0.1:1", fittingRule), "limits: []", "limits: [25/5s, 1000/day]", 1)+
		"name: crm\nadmin: {listen: 127.0.0.1:0}\nlog: {format: text}\n")
	doc, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it is stopped before anything else can happen
	var log strings.Builder
	if err := serve(ctx, doc, &log, nil); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(log.String(), "\n")
	for _, want := range []string{"version=", "document=" + path, "name=crm", "group=leadsink", `topics="crm.events, crm.orders"`, "host=http://127.0.0.1:1", `limits="25/5s, 1000/day"`} {
		if !strings.Contains(first, want) {
			t.Errorf("the first line has no %s: %s", want, first)
		}
	}
	if strings.Contains(log.String(), "very-secret") {
		t.Errorf("the log holds a secret: %s", log.String())
	}
}
