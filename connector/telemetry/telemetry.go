// Package telemetry sets up OpenTelemetry: metrics for whoever scrapes them,
// and metrics and traces for a collector where the environment names one.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope names the instruments and spans as leadsink's own.
const scope = "github.com/leadsink/leadsink"

// shutdownLimit bounds how long the last metrics and spans may take to leave:
// a collector that hangs must not hold up the end of the program.
const shutdownLimit = 5 * time.Second

// A Telemetry is the running set-up. Safe for concurrent use.
type Telemetry struct {
	registry *prometheus.Registry // of our instruments
	process  *prometheus.Registry // of Go's runtime and of the process
	meters   *sdkmetric.MeterProvider
	traces   *sdktrace.TracerProvider      // nil if nobody wants any
	shutdown []func(context.Context) error // in order: traces, then metrics
}

// Start sets up metrics and traces for the version of the program. Without
// OTEL_* variables metrics wait for Handler to be asked, spans cost nothing and
// nothing is sent anywhere. A collector is used where OTEL_TRACES_EXPORTER or
// OTEL_METRICS_EXPORTER names an exporter, or an OTEL_EXPORTER_OTLP_*ENDPOINT is
// given; it need not be there yet. OTEL_SDK_DISABLED=true sends nothing. Start
// makes OpenTelemetry report errors of exports through slog's default logger.
// An error says which variable is wrong.
func Start(ctx context.Context, c Config, version string) (*Telemetry, error) {
	about, err := describe(ctx, c, version)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{registry: prometheus.NewRegistry(), process: prometheus.NewRegistry()}
	t.process.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	otel.SetErrorHandler(&complaints{})
	otel.SetLogger(logr.FromSlogHandler(misunderstood{}))
	if err := t.startTraces(ctx, about); err != nil {
		return nil, err
	}
	if err := t.startMetrics(ctx, about); err != nil {
		return nil, errors.Join(err, t.Shutdown(ctx))
	}
	return t, nil
}

// describe says who the metrics and spans are from.
func describe(ctx context.Context, c Config, version string) (*resource.Resource, error) {
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(
			attribute.String("service.name", c.ServiceName),
			attribute.String("service.version", version),
		),
		resource.WithFromEnv(), // last, so that the environment wins
	)
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return about, nil
}

func (t *Telemetry) startTraces(ctx context.Context, about *resource.Resource) error {
	if !wanted("TRACES") {
		return nil
	}
	sampler, err := sampler()
	if err != nil {
		return err
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return fmt.Errorf("start the export of traces (OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_*): %w", err)
	}
	t.traces = sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(exporter), sdktrace.WithSampler(sampler))
	t.shutdown = append(t.shutdown, t.traces.Shutdown)
	return nil
}

func (t *Telemetry) startMetrics(ctx context.Context, about *resource.Resource) error {
	scraped, err := promexporter.New(promexporter.WithRegisterer(t.registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("start the Prometheus metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(about), sdkmetric.WithReader(scraped)}
	if wanted("METRICS") {
		autoexport.WithFallbackMetricProducer(func(context.Context) (sdkmetric.Producer, error) {
			return bridge.NewMetricProducer(bridge.WithGatherer(t.process)), nil
		})
		pushed, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return fmt.Errorf("start the export of metrics (OTEL_METRICS_EXPORTER, OTEL_EXPORTER_OTLP_*): %w", err)
		}
		options = append(options, sdkmetric.WithReader(pushed))
	}
	t.meters = sdkmetric.NewMeterProvider(options...)
	t.shutdown = append(t.shutdown, t.meters.Shutdown)
	return nil
}

// wanted reports whether the environment asks for the signal (TRACES or
// METRICS) to be sent somewhere. The specification's own default is to send to
// localhost, which where no collector runs means an error every few seconds;
// so here somebody has to ask.
func wanted(signal string) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	switch exporter := os.Getenv("OTEL_" + signal + "_EXPORTER"); exporter {
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" ||
			os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
	case "none":
		return false
	default:
		// Handler serves Prometheus already; a second port would surprise.
		return signal != "METRICS" || exporter != "prometheus"
	}
}

// Meter makes the program's instruments.
func (t *Telemetry) Meter() metric.Meter { return t.meters.Meter(scope) }

// Meters makes the instruments of libraries.
func (t *Telemetry) Meters() metric.MeterProvider { return t.meters }

// Tracer makes the program's spans; it is nil if nobody wants any.
func (t *Telemetry) Tracer() trace.Tracer {
	if t.traces == nil {
		return nil
	}
	return t.traces.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

// ProducersDecide reports whether the environment wants no trace to be followed that
// was begun elsewhere and is not sampled there.
func (t *Telemetry) ProducersDecide() bool { return parentBased() }

// Handler serves the metrics in Prometheus' formats, to a few at a time.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{t.registry, t.process}, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		EnableOpenMetrics:   true,
	})
}

// Shutdown sends what has not been sent yet, for at most 5 s and no longer than
// ctx allows, and ends the set-up.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownLimit)
	defer cancel()
	var errs []error
	for _, end := range t.shutdown {
		errs = append(errs, end(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("send the last metrics and traces: %w", err)
	}
	return nil
}
