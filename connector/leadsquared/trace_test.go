package leadsquared_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector/leadsquared"
	"github.com/leadsink/leadsink/transform"
)

func TestASpanShowsNoKeyWhateverBecomesOfTheCall(t *testing.T) {
	const access, secret = "canary-access-key", "canary-secret-key"
	for name, answer := range map[string]http.HandlerFunc{
		"200": func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.URL.String()) },
		"401": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, r.URL.String())
		},
		"not_applied": nil, // nobody listens
		"unknown":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			if answer == nil {
				server.Close()
			}
			recorder := tracetest.NewSpanRecorder()
			c := leadsquared.Default()
			c.Host, c.Auth = server.URL, leadsquared.AuthQuery
			c.AccessKey, c.SecretKey = setting.NewSecret(access), setting.NewSecret(secret)
			client, err := leadsquared.New(c, leadsquared.Settings{
				Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test"),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			client.Deliver(context.Background(), []*transform.Activity{{Lead: "a", Code: 320}}, time.Time{})
			spans := recorder.Ended()
			if len(spans) != 1 {
				t.Fatalf("%d spans, want 1", len(spans))
			}
			said := map[string]string{}
			for _, a := range spans[0].Attributes() {
				said[string(a.Key)] = a.Value.String()
			}
			all := fmt.Sprint(spans[0].Name(), said, spans[0].Status(), spans[0].Events())
			if strings.Contains(all, "canary") {
				t.Errorf("the span shows a key: %s", all)
			}
			if want := server.URL + "/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"; said["url.full"] != want {
				t.Errorf("url.full = %q, want %q", said["url.full"], want)
			}
			if wrong := said["error.type"]; name != "200" && wrong != name || name == "200" && wrong != "" {
				t.Errorf("error.type = %q for %s", wrong, name)
			}
		})
	}
}
