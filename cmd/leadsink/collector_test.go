//go:build collector

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// What may be seen nowhere but where it belongs.
const (
	canaryAccess    = "canary-access-7f31"
	canarySecret    = "canary-secret-90ab"
	canaryToken     = "canary-token-52cd"
	canaryCollector = "canary-collector-e8f0"
	canaryPayload   = "canary-payload-13d7" // the dead-letter topic may hold it, since records are kept as they are
	canaryBaggage   = "canary-baggage-64b9" // likewise
)

// A collector is a real OpenTelemetry Collector that writes spans to a file.
type collector struct {
	grpc, http string // addresses
	file       string
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	program := os.Getenv("LEADSINK_COLLECTOR")
	if program == "" {
		t.Fatal("LEADSINK_COLLECTOR names no collector; run make observability, which builds one")
	}
	c := &collector{file: filepath.Join(t.TempDir(), "spans.json")}
	for _, address := range []*string{&c.grpc, &c.http} {
		var err error
		if *address, err = freeAddress(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	settings := filepath.Join(t.TempDir(), "collector.yaml")
	text := fmt.Sprintf(`
receivers: {otlp: {protocols: {grpc: {endpoint: %q}, http: {endpoint: %q}}}}
exporters: {file: {path: %q, flush_interval: 100ms}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [file]}
    metrics: {receivers: [otlp], exporters: [file]}
`, c.grpc, c.http, c.file)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "--config", settings) //nolint:noctx // it is ended gently, below
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it writes what it still has
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the collector said:\n%s", said.String())
		}
	})
	return c
}

// An otlpSpan is a span as the collector has written it.
type otlpSpan struct {
	TraceID    string `json:"traceId"`
	SpanID     string `json:"spanId"`
	ParentID   string `json:"parentSpanId"`
	Name       string
	Kind       int
	Attributes otlpAttributes
	Events     []struct {
		Name       string
		Attributes otlpAttributes
	}
	Links []struct {
		TraceID    string `json:"traceId"`
		SpanID     string `json:"spanId"`
		Attributes otlpAttributes
	}
}

type otlpAttributes []struct {
	Key   string
	Value map[string]any
}

// of returns the value of a key as text, "" without it.
func (a otlpAttributes) of(key string) string {
	for _, attribute := range a {
		if attribute.Key == key {
			for _, value := range attribute.Value {
				return fmt.Sprint(value)
			}
		}
	}
	return ""
}

// spans returns what the collector has written so far.
func (c *collector) spans(t *testing.T) (all []otlpSpan) {
	t.Helper()
	f, err := os.Open(c.file)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []otlpSpan }
			}
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			break // it is being written
		}
		for _, r := range line.ResourceSpans {
			for _, s := range r.ScopeSpans {
				all = append(all, s.Spans...)
			}
		}
	}
	return all
}

func TestCollectorGetsSpansThatLeadFromARecordToItsRowAndNoSecret(t *testing.T) {
	for protocol, address := range map[string]func(*collector) string{
		"grpc":          func(c *collector) string { return c.grpc },
		"http/protobuf": func(c *collector) string { return c.http },
	} {
		t.Run(protocol, func(t *testing.T) {
			c := startCollector(t)
			for name, value := range map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + address(c), "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_EXPORTER_OTLP_HEADERS": "x-key=" + canaryCollector, "OTEL_BSP_SCHEDULE_DELAY": "500", "OTEL_METRIC_EXPORT_INTERVAL": "500",
			} {
				t.Setenv(name, value)
			}
			followed(t, c)
		})
	}
}

// followed plays every fault and looks at everything that leadsink has said.
func followed(t *testing.T, c *collector) {
	limit, err := budget.ParseLimit("25/2s")
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, fakeapi.Config{
		AccessKey: canaryAccess, SecretKey: canarySecret, Limits: []budget.Limit{limit},
		Latency: 20 * time.Millisecond, Slow: time.Second, LateBy: time.Second,
	}, func(document string) string {
		return strings.NewReplacer("access_key: demo", "access_key: "+canaryAccess, "secret_key: demo", "secret_key: "+canarySecret+"\n  auth: query",
			"admin: {", "receipts: {topic: "+stageReceipts+"}\nadmin: {token: "+canaryToken+", ", "level: warn", "level: debug", "timeout: 2s", "timeout: 1s",
		).Replace(document)
	})
	parents := map[string]string{} // trace and span of each producer, by the lead
	put := func(i int, lead string) {
		trace, span := fmt.Sprintf("%032x", 0xabc000+i), fmt.Sprintf("%016x", 0xdef000+i)
		parents[lead] = trace + " " + span
		s.put(&kgo.Record{
			Key:   []byte(lead),
			Value: fmt.Appendf(nil, `{"id":"%d","type":"order.placed","lead":{"id":%q},"order":{"id":"%s","total":1}}`, i, lead, canaryPayload),
			Headers: []kgo.RecordHeader{
				{Key: "traceparent", Value: fmt.Appendf(nil, "00-%s-%s-01", trace, span)},
				{Key: "baggage", Value: []byte("key=" + canaryBaggage)},
			},
		})
	}
	s.demo.api.Script(slices.DeleteFunc(fakeapi.Faults(), func(f fakeapi.Fault) bool { return f == fakeapi.NoFault })...)
	for i := range 40 {
		put(i, fmt.Sprintf("%08x-d01d-11e7-b4ec-069729b2474c", i))
	}
	put(40, "unknown-lead")
	s.put(&kgo.Record{Value: []byte(`{"` + canaryPayload)})
	pages := map[string]string{}
	s.until("every record has its fate after all faults", func() bool {
		_ = s.ask(http.MethodPost, "resume", canaryToken) // ends the halt by refused keys
		pages["a wrong token"] += s.ask(http.MethodPost, "pause", "wrong")
		for _, path := range []string{"", "status", "metrics", "held", "readyz"} {
			pages[path] += s.ask(http.MethodGet, path, "")
		}
		lag, err := s.demo.behind(t.Context())
		s.must(err)
		return lag == 0 && len(s.demo.api.Calls(0, 0)) > len(fakeapi.Faults())-1
	})
	s.must(s.stop())

	var spans []otlpSpan
	find := func(what string, is func(otlpSpan) bool) (found otlpSpan) {
		t.Helper()
		s.until("the collector has "+what, func() bool {
			spans = c.spans(t)
			i := slices.IndexFunc(spans, is)
			if i >= 0 {
				found = spans[i]
			}
			return i >= 0
		})
		return found
	}
	for lead, parent := range parents {
		trace, producer, _ := strings.Cut(parent, " ")
		want := "created"
		if lead == "unknown-lead" {
			want = "refused"
		}
		outcome := "" // of the record's row in the batch
		batch := find("a batch that links to the producer of "+lead+" with the row "+want, func(span otlpSpan) bool {
			for _, link := range span.Links {
				if link.TraceID != trace || link.SpanID != producer {
					continue
				}
				for _, event := range span.Events {
					if event.Attributes.of("messaging.kafka.offset") == link.Attributes.of("messaging.kafka.offset") &&
						event.Attributes.of("messaging.destination.partition.id") == link.Attributes.of("messaging.destination.partition.id") {
						outcome = event.Attributes.of("leadsink.row.outcome")
					}
				}
				return outcome == want
			}
			return false
		})
		call := find("the call of that batch", func(span otlpSpan) bool { return span.ParentID == batch.SpanID && span.TraceID == batch.TraceID })
		status := call.Attributes.of("http.response.status_code")
		if call.Kind != 3 || status == "" || want == "created" && status != "200" || strings.Contains(call.Attributes.of("url.full"), "?") {
			t.Errorf("the call is %+v, want a client's span with a status, 200 for what was created, and no query", call)
		}
		find("the record's own span", func(span otlpSpan) bool { return span.TraceID == trace && span.ParentID == producer })
	}

	written, err := os.ReadFile(c.file)
	s.must(err)
	if !bytes.Contains(written, []byte("leadsink.calls")) || !bytes.Contains(written, []byte("go_goroutines")) {
		t.Error("the collector has no metrics of leadsink, or of Go's runtime")
	}
	pages["spans and metrics at the collector"] = string(written)
	pages["log"] = s.log.String()
	everywhere := []string{canaryAccess, canarySecret, canaryToken, canaryCollector}
	for where, text := range pages {
		if text == "" {
			t.Errorf("%s is empty", where)
		}
		for _, canary := range append([]string{canaryPayload, canaryBaggage}, everywhere...) {
			if at := strings.Index(text, canary); at >= 0 {
				t.Errorf("%s shows %s: %s", where, canary, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
	for topic, secrets := range map[string][]string{demoDeadTopic: everywhere, stageReceipts: append([]string{canaryPayload, canaryBaggage}, everywhere...)} {
		messages := s.messages(topic)
		if len(messages) == 0 {
			t.Errorf("%s is empty", topic)
		}
		for _, m := range messages {
			text := string(m.Key) + string(m.Value)
			for _, h := range m.Headers {
				text += h.Key + string(h.Value)
			}
			for _, canary := range secrets {
				if strings.Contains(text, canary) {
					t.Errorf("a message of %s shows %s: %s", topic, canary, text)
				}
			}
		}
	}
}

// ask asks the admin address, with a token unless it is "".
func (s *stage) ask(method, path, token string) string {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), method, s.url+path, http.NoBody)
	s.must(err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	s.must(err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	s.must(err)
	return string(text)
}

// messages returns everything that a topic holds.
func (s *stage) messages(topic string) (all []*kgo.Record) {
	s.Helper()
	ends, err := s.demo.admin.ListEndOffsets(s.Context(), topic)
	s.must(err)
	end, _ := ends.Lookup(topic, 0)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics())
	s.must(err)
	defer client.Close()
	for int64(len(all)) < end.Offset {
		all = append(all, client.PollFetches(s.Context()).Records()...)
	}
	return all
}
