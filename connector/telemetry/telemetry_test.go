package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// clean takes every OTEL_* variable away for the time of the test.
func clean(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, value) // so that it comes back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func start(t *testing.T) *Telemetry {
	t.Helper()
	tel, err := Start(t.Context(), Default(), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.WithoutCancel(t.Context())) })
	return tel
}

func scrape(t *testing.T, tel *Telemetry) string {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// logged returns what slog's default logger writes during the test.
func logged(t *testing.T) *bytes.Buffer {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(Logger(DefaultLog(), &log))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}

// A collector takes what is exported over OTLP/HTTP.
type collector struct {
	*httptest.Server
	mu   sync.Mutex        // guards got
	got  map[string]string // bodies by path
	auth string
}

func collect(t *testing.T) *collector {
	t.Helper()
	c := &collector{got: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		text, _ := io.ReadAll(body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got[r.URL.Path] += string(text)
		c.auth = r.Header.Get("Authorization")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) body(path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[path]
}

func TestWithoutVariablesMetricsAreServedAndSpansCostNothing(t *testing.T) {
	clean(t)
	tel := start(t)
	counter, err := tel.Meter().Int64Counter("leadsink.records")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 3)

	served := scrape(t, tel)
	for _, want := range []string{
		"\nleadsink_records_total 3\n", "\ngo_goroutines ", "\nprocess_start_time_seconds ",
		`service_name="leadsink"`, `service_version="1.2.3"`,
	} {
		if !strings.Contains(served, want) {
			t.Errorf("/metrics lacks %q:\n%s", want, served)
		}
	}
	if tel.Tracer() != nil {
		t.Error("spans are made though nobody asked for traces")
	}
	if n := len(tel.shutdown); n != 1 {
		t.Errorf("%d exports to end, want the served metrics alone", n)
	}
}

func TestACollectorGetsTracesAndMetricsAtShutdownAtTheLatest(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"an endpoint":                 {"OTEL_EXPORTER_OTLP_ENDPOINT": "URL"},
		"an endpoint for each signal": {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL/v1/traces", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "URL/v1/metrics"},
		"exporters with an endpoint":  {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "URL"},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			c := collect(t)
			for variable, value := range variables {
				t.Setenv(variable, strings.ReplaceAll(value, "URL", c.URL))
			}
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x")
			t.Setenv("OTEL_SERVICE_NAME", "from-environment")
			tel := start(t)
			counter, err := tel.Meter().Int64Counter("leadsink.records")
			if err != nil {
				t.Fatal(err)
			}
			counter.Add(t.Context(), 1)
			_, span := tel.Tracer().Start(t.Context(), "deliver a batch")
			span.End()
			if err := tel.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := c.body("/v1/traces"); !strings.Contains(got, "deliver a batch") || !strings.Contains(got, "from-environment") {
				t.Errorf("the collector got of traces %q", got)
			}
			if got := c.body("/v1/metrics"); !strings.Contains(got, "leadsink.records") || !strings.Contains(got, "from-environment") {
				t.Errorf("the collector got of metrics %q", got)
			}
			if c.auth != "Bearer x" {
				t.Errorf("Authorization = %q, want what OTEL_EXPORTER_OTLP_HEADERS says", c.auth)
			}
		})
	}
}

func TestNothingIsSentWhereTheEnvironmentForbidsIt(t *testing.T) {
	for name, variables := range map[string]map[string]string{
		"the SDK is disabled":       {"OTEL_SDK_DISABLED": "true"},
		"the exporters are none":    {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
		"Prometheus, served anyway": {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "prometheus"},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			c := collect(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
			for variable, value := range variables {
				t.Setenv(variable, value)
			}
			tel := start(t)
			if tel.Tracer() != nil {
				t.Error("spans are made")
			}
			if err := tel.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(c.got) > 0 {
				t.Errorf("the collector got %v", c.got)
			}
		})
	}
}

func TestTheEnvironmentNamesTheService(t *testing.T) {
	clean(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=attribute,deployment.environment.name=test")
	if served := scrape(t, start(t)); !strings.Contains(served, `service_name="attribute"`) {
		t.Errorf("the service is not called as OTEL_RESOURCE_ATTRIBUTES says:\n%s", served)
	}
	t.Setenv("OTEL_SERVICE_NAME", "name")
	if served := scrape(t, start(t)); !strings.Contains(served, `service_name="name"`) {
		t.Errorf("the service is not called as OTEL_SERVICE_NAME says:\n%s", served)
	}
}

func TestAWrongVariableIsNamedAtTheStart(t *testing.T) {
	for variable, value := range map[string]string{
		"OTEL_TRACES_EXPORTER":        "jaeger",
		"OTEL_METRICS_EXPORTER":       "statsd",
		"OTEL_RESOURCE_ATTRIBUTES":    "no pair",
		"OTEL_EXPORTER_OTLP_PROTOCOL": "smoke",
		"OTEL_TRACES_SAMPLER":         "sometimes",
	} {
		t.Run(variable, func(t *testing.T) {
			clean(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(variable, value)
			_, err := Start(t.Context(), Default(), "1.2.3")
			named := strings.Replace(variable, "OTLP_PROTOCOL", "OTLP_*", 1)
			if err == nil || !strings.Contains(err.Error(), named) {
				t.Errorf("Start = %v, want an error that names %s", err, named)
			}
		})
	}
}

func TestMalformedHeadersAreReportedWithoutWhatTheyHold(t *testing.T) {
	const canary = "canary-91c7-collector-key"
	clean(t)
	log := logged(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", canary)
	ctx, cancel := context.WithCancel(t.Context())
	tel, err := Start(ctx, Default(), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	cancel() // there is no collector to flush to
	_ = tel.Shutdown(ctx)
	if !strings.Contains(log.String(), "parse headers") {
		t.Errorf("the log does not say that the headers are malformed:\n%s", log)
	}
	if strings.Contains(log.String(), canary) {
		t.Errorf("the log shows the key:\n%s", log)
	}
}

func TestAHangingCollectorDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		tel := &Telemetry{shutdown: []func(context.Context) error{hang, hang}}
		begun := time.Now()
		err := tel.Shutdown(t.Context())
		if took := time.Since(begun); took != shutdownLimit || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown = %v after %v, want an expired deadline after %v", err, took, shutdownLimit)
		}
	})
}

func TestFailingExportsAreSaidOnceAMinute(t *testing.T) {
	log := logged(t)
	synctest.Test(t, func(t *testing.T) {
		c := &complaints{}
		for range 25 { // two minutes
			c.Handle(errors.New("collector is away"))
			<-time.NewTimer(5 * time.Second).C
		}
	})
	if n := strings.Count(log.String(), "collector is away"); n != 3 {
		t.Errorf("%d lines in two minutes, want at 0, 1 and 2 min:\n%s", n, log)
	}
}

func TestTheLoggerWritesWhatTheSectionSays(t *testing.T) {
	for _, c := range []struct {
		config LogConfig
		want   string // of a line of level info, "" for none
	}{
		{DefaultLog(), `"msg":"joined"`},
		{LogConfig{Level: "debug", Format: "text"}, "msg=joined"},
		{LogConfig{Level: "warn", Format: "text"}, ""},
		{LogConfig{Level: "error", Format: "json"}, ""},
	} {
		var out bytes.Buffer
		Logger(c.config, &out).Info("joined", "group", "leadsink")
		if !strings.Contains(out.String(), c.want) || (c.want == "") != (out.Len() == 0) {
			t.Errorf("%+v wrote %q, want %q", c.config, out.String(), c.want)
		}
		if c.config.Format == "json" && out.Len() > 0 && !json.Valid(out.Bytes()) {
			t.Errorf("%q is not JSON", out.String())
		}
	}
}

func TestSectionsNameWhatIsWrong(t *testing.T) {
	if p := append(Default().Validate(), DefaultLog().Validate()...); len(p) != 0 {
		t.Errorf("the defaults are wrong: %v", p)
	}
	if p := (Config{}).Validate(); len(p) != 1 || p[0].Key != "service_name" {
		t.Errorf("without a name: %v", p)
	}
	p := LogConfig{Level: "loud", Format: "xml"}.Validate()
	if len(p) != 2 || p[0].Key != "level" || p[1].Key != "format" || !strings.Contains(p[0].Text, `"loud"`) {
		t.Errorf("with a wrong level and format: %v", p)
	}
}

func TestTheEnvironmentDecidesWhatIsSampledAndABatchFollowsItsRecords(t *testing.T) {
	remote := func(sampled bool) context.Context {
		flags := trace.TraceFlags(0)
		if sampled {
			flags = trace.FlagsSampled
		}
		return trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags, Remote: true,
		}))
	}
	for _, c := range []struct {
		sampler, ratio          string
		root, follows, declined bool // a span without a parent, with a sampled one, with one that is not
	}{
		{"", "", true, true, false},
		{"always_on", "", true, true, true},
		{"always_off", "", false, false, false},
		{"traceidratio", "0", false, false, false},
		{"parentbased_always_off", "", false, true, false},
		{"parentbased_traceidratio", "0", false, true, false},
		{"parentbased_traceidratio", "", true, true, false},
	} {
		t.Run(c.sampler+c.ratio, func(t *testing.T) {
			clean(t)
			t.Setenv("OTEL_TRACES_SAMPLER", c.sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", c.ratio)
			t.Setenv("OTEL_TRACES_EXPORTER", "console")
			s, err := sampler()
			if err != nil {
				t.Fatal(err)
			}
			tracer := sdktrace.NewTracerProvider(sdktrace.WithSampler(s)).Tracer("test")
			sampled := func(ctx context.Context, options ...trace.SpanStartOption) bool {
				_, span := tracer.Start(ctx, "x", options...)
				return span.SpanContext().IsSampled()
			}
			if got := sampled(t.Context()); got != c.root {
				t.Errorf("a root is sampled: %t", got)
			}
			if got := sampled(remote(true)); got != c.follows {
				t.Errorf("with a sampled parent: %t", got)
			}
			if got := sampled(remote(false)); got != c.declined {
				t.Errorf("with a parent that is not sampled: %t", got)
			}
			own := trace.LinkFromContext(trace.ContextWithSpanContext(t.Context(), trace.SpanContextFromContext(remote(true)).WithRemote(false)))
			if !sampled(t.Context(), trace.WithLinks(own)) {
				t.Error("a batch with a record that is followed is not sampled")
			}
			if got := sampled(t.Context(), trace.WithLinks(trace.LinkFromContext(remote(true)))); got != c.root {
				t.Errorf("a batch whose record's producer alone is sampled: %t", got)
			}
		})
	}
}

func TestAWrongShareIsNamed(t *testing.T) {
	for _, share := range []string{"1 %", "2", "-0.1", "NaN"} {
		clean(t)
		t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", share)
		if _, err := sampler(); err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER_ARG") {
			t.Errorf("%s: %v", share, err)
		}
	}
}

func TestALineOfASampledSpanHasItsIDs(t *testing.T) {
	var out bytes.Buffer
	log := Logger(DefaultLog(), &out).With("member", 1)
	of := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0xab}, SpanID: trace.SpanID{0xcd}, TraceFlags: trace.FlagsSampled})
	log.WarnContext(trace.ContextWithSpanContext(t.Context(), of), "a call failed")
	log.WarnContext(trace.ContextWithSpanContext(t.Context(), of.WithTraceFlags(0)), "another call failed")
	lines := strings.Split(out.String(), "\n")
	if !strings.Contains(lines[0], `"trace_id":"ab000000000000000000000000000000","span_id":"cd00000000000000"`) {
		t.Errorf("the line is %s", lines[0])
	}
	if strings.Contains(lines[1], "trace_id") {
		t.Errorf("a line of a span that nobody will find: %s", lines[1])
	}
}

func TestLinesOfALibraryAreSummedUpByWhatTheySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := Logger(DefaultLog(), &out)
		for i := range 50 {
			log.Warn("kafka client", "text", "unable to open connection to broker", "attempt", i)
		}
		log.Warn("kafka client", "text", "unable to initialize sasl", "err", "SASL_AUTHENTICATION_FAILED")
		if !strings.Contains(out.String(), "SASL_AUTHENTICATION_FAILED") {
			t.Error("the first line of its kind does not appear at once")
		}
		if n := strings.Count(out.String(), "unable to open"); n != repeats {
			t.Errorf("%d lines that say the same, want %d", n, repeats)
		}
		out.Reset()
		for i := range 10 * kinds { // a library may say anything
			log.Warn("kafka client", "text", fmt.Sprint("unable to ", i))
		}
		if n := strings.Count(out.String(), "\n"); n > kinds+repeats {
			t.Errorf("%d lines of as many kinds, want no more than %d and a sum", n, kinds)
		}
	})
}

func TestNumbersInTheLogAreReadable(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"json": `"a":"2m3s","b":"12.3s","c":"265ms","d":"17µs","e":"0s","f":0.533,"g":122549,"h":0.00123,"i":25,"in":{"j":"1h0m0s"}`,
		"text": `a=2m3s b=12.3s c=265ms d=17µs e=0s f=0.533 g=122549 h=0.00123 i=25 in.j=1h0m0s`,
	} {
		var out bytes.Buffer
		log := Logger(LogConfig{Level: "info", Format: format}, &out)
		log.Info("x", "a", 123_456_789_012*time.Nanosecond, "b", 12_345_678_901*time.Nanosecond, "c", 265_482_842*time.Nanosecond, "d", 17*time.Microsecond, "e", time.Duration(0),
			"f", 8.0/15, "g", 122549.0, "h", 0.0012345, "i", 25, slog.Group("in", "j", time.Hour))
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s want %s", format, out.String(), want)
		}
	}
}

func TestRepeatedFaultsAreSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := Logger(DefaultLog(), &out)
		for i := range 300 { // five minutes
			log.With("source", i%2).Warn("commit failed; trying again", "attempt", i)
			log.Info("progress", "second", i)
			if i == 10 {
				log.Warn("something else")
			}
			<-time.NewTimer(time.Second).C
		}
		if n := strings.Count(out.String(), "progress"); n != 300 {
			t.Errorf("%d lines of level info, want all 300", n)
		}
		if n := strings.Count(out.String(), "something else"); n != 1 {
			t.Errorf("%d lines of another fault, want its one", n)
		}
		if n := strings.Count(out.String(), "commit failed"); n != 5*repeats+4 {
			t.Errorf("%d lines of the fault in five minutes, want %d a minute and a sum after each", n, repeats)
		}
		if want := `"msg":"commit failed; trying again","source":1,"attempt":59,"times since the line before":55`; !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks the sum %s:\n%s", want, out.String())
		}
	})
}
