package telemetry

import (
	"context"
	"io"
	"log/slog"
	"math"
	"strconv"
	"time"

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
	options := &slog.HandlerOptions{Level: levels[c.Level], ReplaceAttr: readable}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if c.Format == "text" {
		handler = slog.NewTextHandler(w, options)
	}
	return slog.New(&summing{Handler: traced{handler}, said: newSaid()})
}

// readable writes durations in words instead of nanoseconds, and both them and
// numbers with no more digits than anybody reads.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		d := a.Value.Duration()
		switch {
		case d.Abs() >= time.Minute:
			d = d.Round(time.Second)
		case d.Abs() >= time.Second:
			d = d.Round(100 * time.Millisecond)
		case d.Abs() >= time.Millisecond:
			d = d.Round(time.Millisecond)
		}
		a.Value = slog.StringValue(d.String())
	}
	if a.Value.Kind() == slog.KindFloat64 {
		f := math.Round(a.Value.Float64())
		if math.Abs(f) < 100 {
			f, _ = strconv.ParseFloat(strconv.FormatFloat(a.Value.Float64(), 'g', 3, 64), 64)
		}
		a.Value = slog.Float64Value(f)
	}
	return a
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
