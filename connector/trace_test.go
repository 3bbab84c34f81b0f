package connector_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

const (
	sampledParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	otherParent   = "00-5f467fe7bf42676c05e20ba4a90e448e-00f067aa0ba902b7-00" // not sampled
)

// traced makes the world's members write spans, and returns a way to read those
// that have ended.
func (w *world) traced() func() []sdktrace.ReadOnlySpan {
	recorder := tracetest.NewSpanRecorder()
	w.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	return func() []sdktrace.ReadOnlySpan {
		synctest.Wait() // what is ending has ended
		return recorder.Ended()
	}
}

// putTraced writes a record of the lead with a producer's context.
func (w *world) putTraced(partition int32, lead, parent string) position {
	r, err := w.client.ProduceSync(w.Context(), &kgo.Record{
		Topic: topic, Partition: partition, Value: fmt.Appendf(nil, `{"kind":"plain","lead":%q}`, lead),
		Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(parent)}, {Key: "baggage", Value: []byte("secret=canary")}},
	}).First()
	w.must(err)
	p := position{partition, r.Offset}
	w.produced[p] = toDeliver
	return p
}

func named(spans []sdktrace.ReadOnlySpan, prefix string) (all []sdktrace.ReadOnlySpan) {
	for _, s := range spans {
		if strings.HasPrefix(s.Name(), prefix) {
			all = append(all, s)
		}
	}
	return all
}

// said returns the value of an attribute as text, "" without it.
func said(attributes []attribute.KeyValue, key string) string {
	for _, a := range attributes {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

// rowOf returns what an event of the span says of the record's row.
func rowOf(s sdktrace.ReadOnlySpan, p position) []attribute.KeyValue {
	for _, e := range s.Events() {
		if e.Name == "row" && said(e.Attributes, "messaging.destination.partition.id") == fmt.Sprint(p.partition) &&
			said(e.Attributes, "messaging.kafka.offset") == fmt.Sprint(p.offset) {
			return e.Attributes
		}
	}
	return nil
}

func TestFromAProducersSpanLinksLeadToTheCallAndTheOutcomeOfTheRow(t *testing.T) {
	inWorld(t, func(w *world) {
		ended := w.traced()
		w.producersDecide = true
		p := w.putTraced(1, "lead-1", sampledParent)
		bare := w.event(0, "lead-2")
		w.start()
		time.Sleep(30 * time.Second)
		w.finish()
		w.account()

		batches := named(ended(), "deliver")
		if len(batches) != 1 || batches[0].Name() != "deliver "+topic || batches[0].SpanKind() != trace.SpanKindConsumer || batches[0].Parent().IsValid() {
			t.Fatalf("batches %v, want one consumer's span of its own trace", batches)
		}
		batch := batches[0]
		linked := slices.IndexFunc(batch.Links(), func(l sdktrace.Link) bool {
			return l.SpanContext.TraceID().String() == sampledParent[3:35] && l.SpanContext.SpanID().String() == sampledParent[36:52]
		})
		if linked < 0 || said(batch.Links()[linked].Attributes, "messaging.kafka.offset") != fmt.Sprint(p.offset) {
			t.Errorf("links %v, want one to the producer with the record's position", batch.Links())
		}
		for _, p := range []position{p, bare} {
			row := rowOf(batch, p)
			if said(row, "leadsink.row.outcome") != "created" || said(row, "leadsink.row.attempt") != "1" || said(row, "leadsink.activity.code") != "320" ||
				said(row, "leadsink.rule") != "all" || said(row, "leadsink.activity.id") == "" {
				t.Errorf("of %s the batch says %v", p, row)
			}
		}
		if got := said(batch.Attributes(), "messaging.batch.message_count"); got != "2" {
			t.Errorf("%s messages in the batch, want 2", got)
		}

		calls := named(ended(), "POST ")
		if len(calls) != 1 || calls[0].Parent().SpanID() != batch.SpanContext().SpanID() || calls[0].SpanKind() != trace.SpanKindClient {
			t.Fatalf("calls %v, want one client's span inside the batch's", calls)
		}
		if got := said(calls[0].Attributes(), "url.full"); got != "http://localhost:8085/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId" {
			t.Errorf("the call's URL is %q", got)
		}
		if got := said(calls[0].Attributes(), "http.response.status_code"); got != "200" {
			t.Errorf("the call's status is %q", got)
		}

		records := named(ended(), "process ")
		own := slices.IndexFunc(records, func(s sdktrace.ReadOnlySpan) bool { return s.Parent().SpanID().String() == sampledParent[36:52] })
		if len(records) != 2 || own < 0 {
			t.Fatalf("records' spans %v, want one in the producer's trace and one of its own", records)
		}
		record := records[own]
		if said(record.Attributes(), "leadsink.fate") != "delivered" || said(rowOf(record, p), "leadsink.row.outcome") != "created" {
			t.Errorf("the record's span says %v and %v", record.Attributes(), record.Events())
		}
		if len(record.Links()) != 1 || record.Links()[0].SpanContext.SpanID() != batch.SpanContext().SpanID() {
			t.Errorf("the record's span links to %v, want its batch", record.Links())
		}
	})
}

func TestSpansSayWhatRowsWaitedForAndHowOftenTheyWereSent(t *testing.T) {
	inWorld(t, func(w *world) {
		ended := w.traced()
		w.api.Script(fakeapi.Gateway503, fakeapi.Gateway503)
		p := w.event(0, "lead-1")
		w.start()
		time.Sleep(30 * time.Second)
		w.finish()
		batches := named(ended(), "deliver")
		if len(batches) != 3 {
			t.Fatalf("%d batches, want two that failed and one", len(batches))
		}
		for i, outcome := range []string{"unknown", "unknown", "created"} {
			row := rowOf(batches[i], p)
			if said(row, "leadsink.row.outcome") != outcome || said(row, "leadsink.row.attempt") != fmt.Sprint(i+1) {
				t.Errorf("attempt %d says %v, want %s", i+1, row, outcome)
			}
		}
		if s := batches[0].Status(); s.Code != codes.Error || s.Description != "unknown" || said(batches[0].Attributes(), "error.type") != "unknown" {
			t.Errorf("the first batch's status is %v", s)
		}
		wait := func(i int, what string) (seconds float64) {
			_, _ = fmt.Sscan(said(batches[i].Attributes(), "leadsink.wait."+what), &seconds)
			return seconds
		}
		if first := wait(0, "backoff"); first != 0 {
			t.Errorf("the first batch waited %v s after a failure, want none", first)
		}
		// 500 ms and 1 s, with jitter in the upper half.
		if last := wait(2, "backoff"); last < 0.75 || last > 1.5 || wait(2, "total") < last {
			t.Errorf("the last batch waited %v s of %v s after failures, want 0.75 to 1.5", last, wait(2, "total"))
		}
	})
}

func TestSpansSayHowLongTheBreakerAndSlotsHeldRowsBack(t *testing.T) {
	inWorld(t, func(w *world) {
		ended := w.traced()
		w.rates(fakeapi.Gateway503, 1.0)
		w.events(500)
		w.start()
		time.Sleep(2 * time.Minute)
		w.finish()
		waited := func(what string) (most float64) {
			for _, b := range named(ended(), "deliver") {
				var seconds float64
				_, _ = fmt.Sscan(said(b.Attributes(), "leadsink.wait."+what), &seconds)
				most = max(most, seconds)
			}
			return most
		}
		if got := waited("breaker"); got < 30 || got > 150 {
			t.Errorf("rows waited for the breaker for %v s at most, want most of the two minutes", got)
		}
		if got := waited("slot"); got < 1 || got > 60 {
			t.Errorf("rows waited for slots for %v s at most, want what 20 calls take", got)
		}
	})
}

func TestLettersAndReceiptsCarryTheContextOnWithoutBaggage(t *testing.T) {
	for name, traces := range map[string]bool{"with traces": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			inReceiptedWorld(t, func(w *world) {
				var ended func() []sdktrace.ReadOnlySpan
				if traces {
					ended = w.traced()
				}
				w.putTraced(0, "lead-1", sampledParent)
				w.produced[w.putTraced(0, "unknown-1", sampledParent)] = toBury
				w.start()
				time.Sleep(30 * time.Second)
				w.finish()
				w.account()
				for _, topic := range []string{deadTopic, doneTopic} {
					all := w.messages(topic)
					if len(all) != 1 {
						t.Fatalf("%d messages in %s, want 1", len(all), topic)
					}
					got := headersOf(all[0])
					if len(got["traceparent"]) != 1 || topic == doneTopic && len(got["baggage"]) > 0 {
						t.Fatalf("%s has the headers %v", topic, got)
					}
					want := sampledParent
					if traces {
						own := slices.IndexFunc(ended(), func(s sdktrace.ReadOnlySpan) bool {
							return strings.HasPrefix(s.Name(), "process") && strings.Contains(got["traceparent"][0], s.SpanContext().SpanID().String())
						})
						if own < 0 {
							t.Fatalf("the context %s in %s is of no record's span", got["traceparent"], topic)
						}
						want = fmt.Sprintf("00-%s-%s-01", sampledParent[3:35], ended()[own].SpanContext().SpanID())
					}
					if got["traceparent"][0] != want {
						t.Errorf("%s carries %s on, want %s", topic, got["traceparent"], want)
					}
				}
			})
		})
	}
}

func headersOf(r *kgo.Record) map[string][]string {
	all := map[string][]string{}
	for _, h := range r.Headers {
		all[h.Key] = append(all[h.Key], string(h.Value))
	}
	return all
}

func TestARecordThatNobodyFollowsHasNeitherSpanNorLinkNorEvent(t *testing.T) {
	for _, decide := range []bool{true, false} { // the outcome is the same, since the tracer is parent based
		t.Run(fmt.Sprint(decide), func(t *testing.T) {
			inWorld(t, func(w *world) {
				ended := w.traced()
				w.producersDecide = decide
				w.putTraced(0, "lead-1", otherParent)
				w.start()
				time.Sleep(30 * time.Second)
				w.finish()
				if records := named(ended(), "process "); len(records) != 0 {
					t.Errorf("%d records' spans, want none", len(records))
				}
				batches := named(ended(), "deliver")
				if len(batches) != 1 || len(batches[0].Links()) != 0 || len(batches[0].Events()) != 0 {
					t.Errorf("batches %v, want one without links and events", batches)
				}
			})
		})
	}
}

func TestARecordThatIsLetGoEndsItsSpan(t *testing.T) {
	inWorld(t, func(w *world) {
		ended := w.traced()
		w.rates(fakeapi.Gateway503, 1.0)
		w.events(10)
		m := w.start()
		time.Sleep(30 * time.Second)
		m.end()
		<-m.ended
		records := named(ended(), "process ")
		if len(records) != 10 {
			t.Errorf("%d records' spans have ended, want 10", len(records))
		}
		for _, r := range records {
			if got := said(r.Attributes(), "leadsink.fate"); got != "released" {
				t.Errorf("a record's fate is %q, want released", got)
			}
		}
	})
}

func TestPayloadsAreLoggedOnlyIfTheDocumentSaysSo(t *testing.T) {
	for _, payloads := range []bool{false, true} {
		t.Run(fmt.Sprint(payloads), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.config.Payloads = payloads
				var log bytes.Buffer
				w.log = slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
				w.event(0, "lead-canary")
				w.put(0, `{"kind":"plain","lead":"unknown-canary"}`, toBury)
				w.put(0, `{"lead-canary`, toBury)
				m := w.start()
				time.Sleep(30 * time.Second)
				w.account()
				m.end()
				<-m.ended
				if shown := strings.Contains(log.String(), "canary"); shown != payloads {
					t.Errorf("payloads in the log: %t, want %t\n%s", shown, payloads, log.String())
				}
			})
		})
	}
}
