package leadsquared

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/leadsink/leadsink/connector"
)

// trace begins the span of a request. Its URL has no query: with leadsquared.auth
// query that holds the keys (Invariant 9). No trace context is sent along, which
// LeadSquared would not understand.
func (c *Client) trace(ctx context.Context, req *http.Request, size int) (context.Context, trace.Span) {
	u := url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path}
	ctx, span := c.tracer.Start(ctx, req.Method+" "+u.Path, trace.WithSpanKind(trace.SpanKindClient))
	if !span.IsRecording() {
		return ctx, span
	}
	span.SetAttributes(
		semconv.HTTPRequestMethodKey.String(req.Method), semconv.HTTPRequestBodySize(size),
		semconv.URLFull(u.String()), semconv.URLTemplate(u.Path), semconv.ServerAddress(u.Hostname()),
		semconv.NetworkProtocolName("http"), semconv.NetworkProtocolVersion("1.1"),
	)
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if n, err := strconv.Atoi(u.Port()); err == nil {
		port = n
	}
	span.SetAttributes(semconv.ServerPort(port))
	return ctx, span
}

// end ends the span with the response, or with what became of the request
// without one. The words stay out of it: they are not redacted here.
func end(span trace.Span, r response, failed *connector.Answer) {
	wrong := ""
	switch {
	case failed != nil:
		wrong = failed.Outcome.String()
	case r.broken != "":
		wrong = connector.Unknown.String()
	case r.status >= http.StatusBadRequest:
		wrong = strconv.Itoa(r.status)
	}
	if r.status > 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(r.status), semconv.HTTPResponseBodySize(len(r.body)))
	}
	if wrong != "" {
		span.SetAttributes(semconv.ErrorTypeKey.String(wrong))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
