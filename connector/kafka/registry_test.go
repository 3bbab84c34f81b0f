package kafka_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/transform/decode"
)

// A registryServer is a registry over in-memory connections, that can be up or down.
type registryServer struct {
	*testing.T
	*srfake.Registry
	network kfake.VirtualNetwork
	server  *http.Server
}

func inRegistry(t *testing.T, story func(s *registryServer), options ...srfake.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &registryServer{T: t, Registry: srfake.NewRegistry(options...)}
		story(s)
		s.down()
		time.Sleep(time.Second)
	})
}

func (s *registryServer) up() {
	s.Helper()
	l, err := s.network.Listen("tcp", "localhost:8081")
	if err != nil {
		s.Fatal(err)
	}
	s.server = &http.Server{Handler: s.Handler()}
	go func() { _ = s.server.Serve(l) }() // ends with down
}

func (s *registryServer) down() {
	if s.server != nil {
		_ = s.server.Close()
	}
}

func (s *registryServer) connect(c decode.RegistryConfig) *kafka.Registry {
	s.Helper()
	if c.URL == "" {
		c.URL = "http://localhost:8081"
	}
	r, err := kafka.NewRegistry(kafka.RegistrySettings{Config: c, Dial: s.network.DialContext})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(r.Close)
	return r
}

func (s *registryServer) register(subject string, schema sr.Schema) int {
	s.Helper()
	id, _, err := s.RegisterSchema(subject, schema)
	if err != nil {
		s.Fatal(err)
	}
	return id
}

func TestTheStartWaitsForTheRegistry(t *testing.T) {
	inRegistry(t, func(s *registryServer) {
		r := s.connect(decode.RegistryConfig{})
		ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		err := r.WaitReady(ctx)
		if took := time.Since(begun); took != 5*time.Second || err == nil || !strings.HasPrefix(err.Error(), "the registry does not answer: ") {
			s.Errorf("after %s: %v; want to be told after 5 s that it does not answer", took, err)
		}
		go func() { // ends before the test
			time.Sleep(10 * time.Second)
			s.up()
		}()
		ctx, cancel = context.WithTimeout(s.Context(), time.Minute)
		defer cancel()
		begun = time.Now()
		if err := r.WaitReady(ctx); err != nil || time.Since(begun) > 12*time.Second {
			s.Errorf("%v after %s, want to go on soon after the registry is there", err, time.Since(begun))
		}
	})
}

func TestTheRegistrysRefusalsAreExplained(t *testing.T) {
	const secret = "s3cr3t-canary"
	inRegistry(t, func(s *registryServer) {
		s.up()
		id := s.register("a", sr.Schema{Schema: `"string"`})
		for name, c := range map[string]struct {
			config decode.RegistryConfig
			want   string // "" if it is let in
		}{
			"nobody":         {decode.RegistryConfig{}, "the registry refuses leadsink (HTTP 401); check the user, password or token of decode.registry"},
			"a wrong user":   {decode.RegistryConfig{Username: setting.NewSecret("u"), Password: setting.NewSecret(secret)}, "the registry refuses leadsink (HTTP 403); check the user, password or token of decode.registry"},
			"the right user": {decode.RegistryConfig{Username: setting.NewSecret("u"), Password: setting.NewSecret("p")}, ""},
		} {
			r := s.connect(c.config)
			ctx, cancel := context.WithTimeout(s.Context(), 3*time.Second)
			_, err := r.ByID(ctx, id)
			for _, err := range []error{err, r.WaitReady(ctx)} {
				if got := fmt.Sprint(err); got != c.want && (c.want != "" || err != nil) || strings.Contains(got, secret) || errors.Is(err, decode.ErrNoSchema) {
					s.Errorf("%s: %s, want %s", name, got, c.want)
				}
			}
			cancel()
		}
	}, srfake.WithAuth("Basic dTpw"))
	inRegistry(t, func(s *registryServer) {
		s.up()
		id := s.register("a", sr.Schema{Schema: `"string"`})
		if _, err := s.connect(decode.RegistryConfig{Token: setting.NewSecret("t")}).ByID(s.Context(), id); err != nil {
			s.Errorf("with the token: %v", err)
		}
	}, srfake.WithAuth("Bearer t"))
}

func TestWhatIsNoAnswerOfARegistryIsNotTakenForOne(t *testing.T) {
	inRegistry(t, func(s *registryServer) {
		s.up()
		r := s.connect(decode.RegistryConfig{})
		for name, c := range map[string]struct {
			answer func(http.ResponseWriter)
			want   string
		}{
			"a proxy's 404": {func(w http.ResponseWriter) { http.Error(w, "<html>secret", http.StatusNotFound) }, "the registry answers HTTP 404 (code 0)"},
			"a 503":         {func(w http.ResponseWriter) { http.Error(w, "", http.StatusServiceUnavailable) }, "the registry answers HTTP 503 (code 0)"},
			"a redirect": {func(w http.ResponseWriter) {
				w.Header().Set("Location", "/login")
				w.WriteHeader(http.StatusFound)
			}, "the registry answers HTTP 302 (code 0)"},
			"a page":           {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }, "the registry does not answer: "},
			"an endless page":  {func(w http.ResponseWriter) { endless(w) }, "the registry does not answer: "},
			"a backend's 5xx":  {func(w http.ResponseWriter) { w.WriteHeader(500); _, _ = io.WriteString(w, `{"error_code":50001}`) }, "the registry answers HTTP 500 (code 50001)"},
			"nothing for long": {func(http.ResponseWriter) { time.Sleep(time.Minute) }, "the registry does not answer: "},
		} {
			s.ClearInterceptors()
			s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { c.answer(w); return true })
			_, err := r.ByID(s.Context(), 1)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || errors.Is(err, decode.ErrNoSchema) || strings.Contains(err.Error(), "secret") {
				s.Errorf("%s: %v, want %s", name, err, c.want)
			}
			if name == "a proxy's 404" {
				ctx, cancel := context.WithTimeout(s.Context(), 2*time.Second)
				if err := r.WaitReady(ctx); err == nil || !strings.HasSuffix(err.Error(), "is decode.registry.url the address of a schema registry?") {
					s.Errorf("%s: %v", name, err)
				}
				cancel()
			}
		}
		time.Sleep(2 * time.Minute)
	})
}

// What a registry that answers others never tells about one schema is not
// waited for.
func TestARefusalOfOneSchemaIsNotAnOutage(t *testing.T) {
	inRegistry(t, func(s *registryServer) {
		s.up()
		r := s.connect(decode.RegistryConfig{})
		id := s.register("a", sr.Schema{Schema: `"string"`})
		status := func(status int, body string) func(http.ResponseWriter) {
			return func(w http.ResponseWriter) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
		}
		for name, c := range map[string]struct {
			answer func(http.ResponseWriter)
			why    string // "" if it is to be waited for
		}{
			"a generic 404":      {status(404, `{"error_code":404}`), "it answers HTTP 404, code 404"},
			"a 403":              {status(403, "<html>secret"), "it answers HTTP 403, code 0"},
			"an endless answer":  {endless, "its answer is longer than 8 MiB"},
			"an endless refusal": {func(w http.ResponseWriter) { w.WriteHeader(404); endless(w) }, "it answers HTTP 404, code 0"},
			"a 401":              {status(401, ""), ""},
			"a 408":              {status(408, ""), ""},
			"a 429":              {status(429, ""), ""},
			"a 500":              {status(500, `{"error_code":50001}`), ""},
			"an endless 503":     {func(w http.ResponseWriter) { w.WriteHeader(503); endless(w) }, ""},
		} {
			s.ClearInterceptors()
			s.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.HasPrefix(req.URL.Path, "/schemas/ids/77") {
					return false
				}
				c.answer(w)
				return true
			})
			_, err := r.ByID(s.Context(), 77)
			if want := "the registry has no such schema (" + c.why + ")"; c.why != "" && (!errors.Is(err, decode.ErrNoSchema) || err.Error() != want) {
				s.Errorf("%s: %v, want %s", name, err, want)
			}
			if c.why == "" && (err == nil || errors.Is(err, decode.ErrNoSchema)) {
				s.Errorf("%s: %v, want to be told to wait", name, err)
			}
			if _, err := r.ByID(s.Context(), id); err != nil {
				s.Errorf("%s: another schema: %v", name, err)
			}
		}
	})
}

// endless writes for as long as somebody reads.
func endless(w http.ResponseWriter) {
	for {
		if _, err := io.WriteString(w, strings.Repeat(" ", 64<<10)); err != nil {
			return
		}
	}
}

// Records of every format, with references and in two versions, go the whole
// way through a registry's protocol.
func TestRecordsOfEveryFormatAreReadThroughTheRegistry(t *testing.T) {
	type step struct {
		id      int
		index   []int
		payload string
		want    string // the event as JSON, or the error
	}
	reference := func(name, subject string) []sr.SchemaReference {
		return []sr.SchemaReference{{Name: name, Subject: subject, Version: 1}}
	}
	inRegistry(t, func(s *registryServer) {
		s.up()
		encoded := func(value any, texts ...string) string {
			var cache avro.SchemaCache
			var parsed *avro.Schema
			for _, text := range texts {
				var err error
				if parsed, err = cache.Parse(text); err != nil {
					s.Fatal(err)
				}
			}
			b, err := parsed.Encode(value)
			if err != nil {
				s.Fatal(err)
			}
			return string(b)
		}
		const lead = `{"type":"record","name":"Lead","namespace":"crm","fields":[{"name":"id","type":"long"}]}`
		const order1 = `{"type":"record","name":"Order","namespace":"crm","fields":[{"name":"lead","type":"crm.Lead"}]}`
		const order2 = `{"type":"record","name":"Order","namespace":"crm","fields":[{"name":"city","type":"string","default":""},{"name":"lead","type":"crm.Lead"}]}`
		s.register("lead", sr.Schema{Schema: lead})
		avro1 := s.register("avro", sr.Schema{Schema: order1, References: reference("crm.Lead", "lead")})
		avro2 := s.register("avro", sr.Schema{Schema: order2, References: reference("crm.Lead", "lead")})
		of := map[string]any{"lead": map[string]any{"id": int64(1234567890123456789)}, "city": "Zürich"}

		s.register("lead.proto", sr.Schema{Type: sr.TypeProtobuf, Schema: `syntax = "proto3"; package crm; message Lead { uint64 id = 1; }`})
		proto1 := s.register("proto", sr.Schema{
			Type: sr.TypeProtobuf, References: reference("crm/lead.proto", "lead.proto"),
			Schema: `syntax = "proto3"; import "crm/lead.proto"; message Order { crm.Lead lead = 1; message Line { string sku = 1; } }`,
		})
		proto2 := s.register("proto", sr.Schema{
			Type: sr.TypeProtobuf, References: reference("crm/lead.proto", "lead.proto"),
			Schema: `syntax = "proto3"; import "crm/lead.proto"; message Order { crm.Lead lead = 1; string city = 2; }`,
		})

		s.register("lead.json", sr.Schema{Type: sr.TypeJSON, Schema: `{"type":"object","properties":{"id":{"type":"integer"}},"required":["id"]}`})
		json1 := s.register("json", sr.Schema{
			Type: sr.TypeJSON, References: reference("lead.json", "lead.json"), Schema: `{"properties":{"lead":{"$ref":"lead.json"}}}`,
		})
		for format, steps := range map[string][]step{
			"avro": {
				{avro1, nil, encoded(of, lead, order1), `{"lead":{"id":1234567890123456789}}`},
				{avro2, nil, encoded(of, lead, order2), `{"city":"Zürich","lead":{"id":1234567890123456789}}`},
				{avro1, nil, encoded(of, lead, order1), `{"lead":{"id":1234567890123456789}}`},
				{avro2, nil, encoded(of, lead, order1), `byte 14, city: the value ends too early: a string does not fit in; is this its schema?`},
				{json1, nil, "", fmt.Sprintf("schema %d: it is a schema of json_schema; decode.format is avro", json1)},
			},
			"protobuf": {
				{proto1, []int{0}, "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", `{"lead":{"id":18446744073709551615}}`},
				{proto1, []int{0, 0}, "\x0a\x01A", `{"sku":"A"}`},
				{proto2, []int{0}, "\x12\x01Z", `{"city":"Z"}`},
				{proto1, []int{0}, "\x12\x01Z", `{}`}, // a field that this version does not know
			},
			"json_schema": {
				{json1, nil, `{"lead":{"id":1234567890123456789}}`, `{"lead":{"id":1234567890123456789}}`},
				{json1, nil, `{"lead":{}}`, `byte 5: the event breaks its JSON Schema at #/required; correct the producer or the schema`},
			},
		} {
			c := decode.Default()
			c.Format = format
			d := decode.NewDecoder(c)
			d.Use(s.connect(decode.RegistryConfig{}))
			for i, step := range steps {
				value, err := new(sr.ConfluentHeader).AppendEncode(nil, step.id, step.index)
				if err != nil {
					s.Fatal(err)
				}
				value = append(value, step.payload...)
				if err := d.Prepare(s.Context(), value, noHeaders); err != nil {
					s.Fatal(err)
				}
				event, err := d.Decode(value, noHeaders)
				got, _ := json.Marshal(event)
				if err != nil {
					got = []byte(err.Error())
				}
				if diff := cmp.Diff(step.want, string(got)); diff != "" {
					s.Errorf("%s, record %d: %s", format, i, diff)
				}
			}
		}
	})
}

func noHeaders(func(string, []byte) bool) {}

func TestAFileThatCannotBeReadIsNamed(t *testing.T) {
	_, err := kafka.NewRegistry(kafka.RegistrySettings{Config: decode.RegistryConfig{URL: "https://localhost", CAFile: "missing.pem"}})
	if err == nil || !strings.HasPrefix(err.Error(), "decode.registry.ca_file: open missing.pem: ") {
		t.Error(err)
	}
}
