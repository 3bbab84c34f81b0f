package connector

import (
	"context"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/leadsink/leadsink/transform"
)

// w3c reads and writes W3C trace context. Baggage is left out: it would carry
// what other systems put there into dead letters and receipts.
var w3c propagation.TraceContext

// headers are a record's headers as a propagator sees them.
type headers []transform.Header

// Get returns the first value of the key, "" without one.
func (h headers) Get(key string) string {
	for i := range h {
		if h[i].Key == key {
			return string(h[i].Value)
		}
	}
	return ""
}

// Set adds a header.
func (h *headers) Set(key, value string) {
	*h = append(*h, transform.Header{Key: key, Value: []byte(value)})
}

// Keys lists the keys.
func (h headers) Keys() []string {
	keys := make([]string, len(h))
	for i := range h {
		keys[i] = h[i].Key
	}
	return keys
}

// declined reports whether the producer has a trace that nobody follows, which is
// so for nearly all records where few are followed: its flags are the last two digits.
func (h headers) declined() bool {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	parent := h.Get("traceparent")
	return len(parent) == length && parent[length-2:] == "00"
}

// A trail is what traces know of a record without a fate, if anybody follows it:
// its producer, or we.
type trail struct {
	producer trace.SpanContext // of the producer, from the record's headers
	span     trace.Span        // from the record's intake to its fate; nil if it is not sampled
}

// consumes makes a span a consumer's. It is here once since nearly all spans of
// records that begin are not sampled, and should cost as little as can be.
var consumes = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}

// follow begins the record's own span, in the trace of its producer.
func (e *engine) follow(en *entry) {
	if e.tracer == nil || e.producersDecide && headers(en.record.Headers).declined() {
		return
	}
	ctx := w3c.Extract(e.calling, (*headers)(&en.record.Headers))
	_, span := e.tracer.Start(ctx, "process "+en.record.Topic, consumes...)
	producer := trace.SpanContextFromContext(ctx)
	if !span.IsRecording() {
		if producer.IsSampled() {
			en.trail = &trail{producer: producer}
		}
		return
	}
	en.trail = &trail{producer: producer, span: span}
	span.SetAttributes(append(where(en),
		semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
		semconv.MessagingConsumerGroupName(e.cfg.Group), attribute.String("leadsink.connector", e.cfg.Name),
		semconv.MessagingMessageBodySize(len(en.record.Value)),
		semconv.MessagingKafkaMessageTombstone(en.record.Value == nil))...)
}

// where says which record a span, link or event is about. Its key stays out: it
// may name a person.
func where(en *entry) []attribute.KeyValue {
	o := en.ledger.owner
	return []attribute.KeyValue{
		semconv.MessagingDestinationName(o.Topic), semconv.MessagingDestinationPartitionID(strconv.Itoa(int(o.Partition))),
		semconv.MessagingKafkaOffset(int(en.first)),
	}
}

// arrived ends the record's span with its fate.
func (t *trail) arrived(fate string, death *DeadLetter) {
	if t == nil || t.span == nil {
		return
	}
	t.span.SetAttributes(attribute.String("leadsink.fate", fate))
	if death != nil {
		t.span.SetAttributes(semconv.ErrorTypeKey.String(death.Reason.Class), attribute.String("leadsink.rule", death.Reason.Rule))
		t.span.SetStatus(codes.Error, death.Reason.Class)
	}
	t.span.End()
}

// carryOn returns the headers with the trace context that a message about the
// record carries on: its own span's, else its producer's, else none.
func (e *engine) carryOn(en *entry) []transform.Header {
	ctx := w3c.Extract(e.calling, (*headers)(&en.record.Headers))
	if t := en.trail; t != nil && t.span != nil {
		ctx = trace.ContextWithSpan(e.calling, t.span)
	}
	var carried headers
	w3c.Inject(ctx, &carried)
	return carried
}

// A hindrance is how long each kind of waiting has held rows back.
type hindrance struct{ slot, breaker time.Duration }

// hinder adds the time since the last step to what rows were waiting for in it.
func (e *engine) hinder(passed time.Duration) {
	for _, why := range e.next.waits {
		switch why {
		case "slot", "day":
			e.hindered.slot += passed
		case "breaker":
			e.hindered.breaker += passed
		}
	}
}

// depart begins the span of a batch and returns the context of its call. The
// span belongs to no record's trace and links to those that somebody follows.
func (e *engine) depart(c *call) context.Context {
	if e.tracer == nil {
		return e.calling
	}
	topic := c.rows[0].entry.ledger.owner.Topic
	options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer)}
	var followed []*entry
	for _, r := range c.rows {
		en := r.entry
		if en.ledger.owner.Topic != topic {
			topic = ""
		}
		if en.trail == nil || slices.Contains(followed, en) {
			continue
		}
		followed = append(followed, en)
		options = append(options, trace.WithLinks(en.trail.links(where(en))...))
	}
	name := "deliver"
	if topic != "" {
		name += " " + topic
	}
	c.ctx, c.span = e.tracer.Start(e.calling, name, options...)
	if c.span.IsRecording() {
		e.describe(c, topic, followed)
	}
	return c.ctx
}

// links are the ways from a batch to the producer and to the record's own span.
func (t *trail) links(about []attribute.KeyValue) (all []trace.Link) {
	if t.producer.IsValid() {
		all = append(all, trace.Link{SpanContext: t.producer, Attributes: about})
	}
	if t.span != nil {
		all = append(all, trace.Link{SpanContext: t.span.SpanContext(), Attributes: about})
	}
	return all
}

// describe writes into a batch's span what it carries and what its first row has
// waited for, and into the spans of its records that they are in it.
func (e *engine) describe(c *call, topic string, followed []*entry) {
	for _, en := range followed {
		if en.trail.span != nil {
			en.trail.span.AddLink(trace.Link{SpanContext: c.span.SpanContext()})
		}
	}
	first := c.rows[0]
	for _, r := range c.rows {
		if r.arrived.Before(first.arrived) {
			first = r
		}
	}
	seconds := func(key string, d time.Duration) attribute.KeyValue {
		return attribute.Float64("leadsink.wait."+key, max(0, d.Seconds()))
	}
	c.span.SetAttributes(
		semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("deliver"),
		semconv.MessagingConsumerGroupName(e.cfg.Group), attribute.String("leadsink.connector", e.cfg.Name),
		semconv.MessagingBatchMessageCount(len(c.rows)),
		seconds("total", e.now.Sub(first.arrived)),
		seconds("slot", e.hindered.slot-first.hindered.slot),
		seconds("breaker", e.hindered.breaker-first.hindered.breaker),
		seconds("backoff", first.backedOff),
	)
	if c.part != nil {
		c.span.SetAttributes(attribute.Bool("leadsink.bisection", true))
	}
	if topic != "" {
		c.span.SetAttributes(semconv.MessagingDestinationName(topic))
	}
}

// tell notes what a call meant for a row: in the batch's span and in that of the
// record. Of records that nobody follows only what goes wrong is noted, since
// the many others would make a batch cost more than all else in it.
func (c *call) tell(r *row, outcome, activityID string) {
	t := r.entry.trail
	if c.span == nil || t == nil && outcome == "created" {
		return
	}
	inBatch, inRecord := c.span.IsRecording(), t != nil && t.span != nil
	if !inBatch && !inRecord {
		return
	}
	about := trace.WithAttributes(r.became(outcome, activityID)...)
	if inBatch {
		c.span.AddEvent("row", about)
	}
	if inRecord {
		t.span.AddEvent("row", about)
	}
}

// became says what became of a row. LeadSquared's words stay out of it: they may
// repeat what the row holds.
func (r *row) became(outcome, activityID string) []attribute.KeyValue {
	about := append(where(r.entry),
		attribute.String("leadsink.row.outcome", outcome), attribute.Int("leadsink.row.attempt", r.calls),
		attribute.String("leadsink.rule", r.activity.Rule), attribute.Int("leadsink.activity.code", r.activity.Code))
	if activityID != "" {
		about = append(about, attribute.String("leadsink.activity.id", activityID))
	}
	return about
}

// found notes in the record's span that LeadSquared was asked and holds the row.
func (r *row) found(activityID string) {
	if t := r.entry.trail; t != nil && t.span != nil {
		t.span.AddEvent("row", trace.WithAttributes(r.became("found", activityID)...))
	}
}

// tellAll notes for every row what became of a call whose rows were not judged.
func (c *call) tellAll(o Outcome) {
	if o == Judged {
		return
	}
	for _, r := range c.rows {
		if !r.entry.ledger.gone {
			c.tell(r, o.String(), "")
		}
	}
}

// returned ends a batch's span with what became of its call.
func (c *call) returned(o Outcome) {
	if c.span == nil {
		return
	}
	c.span.SetAttributes(attribute.String("leadsink.outcome", o.String()))
	if o != Judged {
		c.span.SetStatus(codes.Error, o.String())
		c.span.SetAttributes(semconv.ErrorTypeKey.String(o.String()))
	}
	c.span.End()
}

// within returns the context of the call for its lines in the log.
func (e *engine) within(c *call) context.Context {
	if c.ctx == nil {
		return e.calling
	}
	return c.ctx
}

// example returns a context with the record's span, if it has one.
func (e *engine) example(r *row) context.Context {
	if t := r.entry.trail; t != nil && t.span != nil {
		return trace.ContextWithSpan(e.calling, t.span)
	}
	return e.calling
}
