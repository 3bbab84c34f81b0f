package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// complaintsEvery is the shortest time between two log lines about exports that
// fail; they fail again every few seconds for as long as a collector is away.
const complaintsEvery = time.Minute

// complaints logs errors of exports, the first at once and then one a minute.
type complaints struct {
	last atomic.Int64 // Unix nanoseconds of the last line, 0 before the first
}

// Handle logs err unless another was logged a moment ago.
func (c *complaints) Handle(err error) {
	now := time.Now().UnixNano()
	last := c.last.Load()
	if last != 0 && now-last < int64(complaintsEvery) || !c.last.CompareAndSwap(last, now) {
		return
	}
	slog.Default().Warn("metrics or traces could not be exported", "error", err)
}

// misunderstood logs what OpenTelemetry says about its settings, and nothing of
// the values: of a malformed OTEL_EXPORTER_OTLP_HEADERS it would write out what
// may be the key to a collector (Invariant 9).
type misunderstood struct{}

// Enabled leaves out the SDK's own news.
func (misunderstood) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

// Handle logs the constant part of the line.
func (misunderstood) Handle(_ context.Context, r slog.Record) error {
	slog.Default().Warn("OpenTelemetry does not understand a setting; see the OTEL_* variables", "step", r.Message)
	return nil
}

// WithAttrs drops the attributes.
func (m misunderstood) WithAttrs([]slog.Attr) slog.Handler { return m }

// WithGroup drops the group.
func (m misunderstood) WithGroup(string) slog.Handler { return m }
