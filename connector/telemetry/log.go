package telemetry

import (
	"context"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug,
	"info":  slog.LevelInfo,
	"warn":  slog.LevelWarn,
	"error": slog.LevelError,
}

// Logger returns a logger that writes lines to w as a valid c says, with the ids
// of the sampled span that a line belongs to, and sums up what is said again and
// again. Whether payloads may be logged is for those who hold them to ask.
func Logger(c LogConfig, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: levels[c.Level]}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if c.Format == "text" {
		handler = slog.NewTextHandler(w, options)
	}
	return slog.New(&summing{Handler: traced{handler}, said: newSaid()})
}

// traced adds the ids of the span that a line belongs to.
type traced struct{ slog.Handler }

// Handle writes the line.
func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if of := trace.SpanContextFromContext(ctx); of.IsSampled() {
		r.AddAttrs(slog.String("trace_id", of.TraceID().String()), slog.String("span_id", of.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // it is the handler
}

// WithAttrs adds attributes to every line.
func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

// WithGroup puts the attributes that follow under a name.
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
