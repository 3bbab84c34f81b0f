//go:build system

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A registry is Apicurio's, which speaks Confluent's protocol, as a process.
type registry struct {
	*process
	url    string
	client *sr.Client
}

// registryJar is the program, which `make registry` fetches.
var registryJar = sync.OnceValues(func() (string, error) {
	folder := os.Getenv("LEADSINK_REGISTRY")
	if folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		folder = filepath.Join(cache, "leadsink", "registry")
	}
	found, err := filepath.Glob(filepath.Join(folder, "apicurio-registry-app-*-runner.jar"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("there is no schema registry in %s; `make registry` fetches it", folder)
	}
	return found[0], nil
})

// startRegistry starts a registry with nothing in it. It takes some seconds to answer.
func startRegistry(t *testing.T) *registry {
	t.Helper()
	jar, err := registryJar()
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	r := &registry{
		process: startProcess(t, "java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-Dquarkus.http.host=127.0.0.1", fmt.Sprintf("-Dquarkus.http.port=%d", port), "-jar", jar),
		url: fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7", port),
	}
	if r.client, err = sr.NewClient(sr.URLs(r.url)); err != nil {
		t.Fatal(err)
	}
	return r
}

// register registers a schema and returns its id.
func (r *registry) register(t *testing.T, subject string, s sr.Schema) int {
	t.Helper()
	made, err := r.client.RegisterSchema(t.Context(), subject, s, -1, -1)
	if err != nil {
		t.Fatalf("register %s: %v", subject, err)
	}
	return made
}

// A writer writes events of one schema.
type writer struct {
	id    int
	index []int // of a Protobuf message
	write func(t *testing.T, event map[string]any) []byte
}

func (w writer) record(t *testing.T, event map[string]any) *kgo.Record {
	t.Helper()
	value, err := new(sr.ConfluentHeader).AppendEncode(nil, w.id, w.index)
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Key: []byte(fmt.Sprint(event["lead"])), Value: append(value, w.write(t, event)...)}
}

// versions registers two versions of an event in a format: the second has a
// city, and comes from elsewhere: what both have is a schema of its own.
func (r *registry) versions(t *testing.T, format, subject string) (first, second writer) {
	t.Helper()
	reference := func(name, of string) []sr.SchemaReference {
		return []sr.SchemaReference{{Name: name, Subject: of, Version: 1}}
	}
	switch format {
	case "avro":
		const order = `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"},
			{"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}}]}`
		r.register(t, subject+"-order", sr.Schema{Schema: order})
		made := func(city string) writer {
			text := `{"type":"record","name":"Event","namespace":"shop","fields":[` + city + `{"name":"lead","type":"string"},{"name":"order","type":"shop.Order"}]}`
			var cache avro.SchemaCache
			if _, err := cache.Parse(order); err != nil {
				t.Fatal(err)
			}
			parsed, err := cache.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			id := r.register(t, subject, sr.Schema{Schema: text, References: reference("shop.Order", subject+"-order")})
			return writer{id: id, write: func(t *testing.T, event map[string]any) []byte {
				value, err := parsed.Encode(map[string]any{
					"city": event["city"], "lead": event["lead"],
					"order": map[string]any{"id": event["id"], "total": json.Number(event["total"].(string))},
				})
				if err != nil {
					t.Fatal(err)
				}
				return value
			}}
		}
		return made(""), made(`{"name":"city","type":["null","string"],"default":null},`)
	case "protobuf":
		const order = "syntax = \"proto3\";\npackage shop;\nmessage Order { int64 id = 1; string total = 2; }\n"
		r.register(t, subject+"-order", sr.Schema{Schema: order, Type: sr.TypeProtobuf})
		made := func(city string) writer {
			text := "syntax = \"proto3\";\npackage shop;\nimport \"shop/order.proto\";\nmessage Other { string a = 1; }\n" +
				"message Event { string lead = 1; Order order = 2; " + city + "}\n"
			compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
				Accessor: protocompile.SourceAccessorFromMap(map[string]string{"event.proto": text, "shop/order.proto": order}),
			}}
			files, err := compiler.Compile(t.Context(), "event.proto")
			if err != nil {
				t.Fatal(err)
			}
			id := r.register(t, subject, sr.Schema{Schema: text, Type: sr.TypeProtobuf, References: reference("shop/order.proto", subject+"-order")})
			return writer{id: id, index: []int{1}, write: func(t *testing.T, event map[string]any) []byte {
				message := dynamicpb.NewMessage(files[0].Messages().ByName("Event"))
				fields := map[string]any{"lead": event["lead"], "order": map[string]any{"id": fmt.Sprint(event["id"]), "total": event["total"]}}
				if city != "" {
					fields["city"] = event["city"]
				}
				text, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				if err := protojson.Unmarshal(text, message); err != nil {
					t.Fatal(err)
				}
				value, err := proto.Marshal(message)
				if err != nil {
					t.Fatal(err)
				}
				return value
			}}
		}
		return made(""), made("string city = 3; ")
	}
	r.register(t, subject+"-order", sr.Schema{Type: sr.TypeJSON, Schema: `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object",
		"properties":{"id":{"type":"integer"},"total":{"type":"string"}},"required":["id","total"]}`})
	made := func(city string) writer {
		id := r.register(t, subject, sr.Schema{
			Type: sr.TypeJSON, References: reference("order.json", subject+"-order"),
			Schema: `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{` + city + `"lead":{"type":"string"},"order":{"$ref":"order.json"}}}`,
		})
		return writer{id: id, write: func(t *testing.T, event map[string]any) []byte {
			fields := map[string]any{"lead": event["lead"], "order": map[string]any{"id": event["id"], "total": event["total"]}}
			if city != "" {
				fields["city"] = event["city"]
			}
			value, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}}
	}
	return made(""), made(`"city":{"type":"string"},`)
}

// runWithSchemas starts a member that reads a format, not waiting for it.
func (d *delivery) runWithSchemas(r *registry, format, startTimeout string) *crewMember {
	d.Helper()
	port := freePort(d.T)
	path := writeFile(d.T, d.TempDir(), "leadsink.yaml", fmt.Sprintf(`name: system
start_timeout: %s
kafka:
%s  topics: [%s]
  group: %s
decode:
  format: %s
  registry: {url: %q}
transform:
  rules:
    - lead: event.lead
      activity: 320
      note: string(event.order.id) + " " + string(event.order.total) + " " + (event.city ?? "")
leadsquared: {host: %q, access_key: key, secret_key: secret, limits: [500/5s]}
dead_letters: {topic: %s}
admin: {listen: "127.0.0.1:%d"}
log: {format: text}
`, startTimeout, d.cluster.section, d.topic, d.group, format, r.url, d.api, d.dead, port))
	m := &crewMember{t: d.T, process: startProcess(d.T, d.binary, "run", "-c", path), admin: fmt.Sprintf("http://127.0.0.1:%d", port), document: path}
	d.Cleanup(m.explain)
	return m
}

// words is what the member's status says.
func (m *crewMember) words() string {
	resp, err := http.Get(m.admin + "/status") //nolint:noctx // loopback
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	var s struct{ Words string }
	_ = json.NewDecoder(resp.Body).Decode(&s)
	return s.Words
}

func TestSystemRecordsOfARealRegistryAreDelivered(t *testing.T) {
	c := startKafka(t, overPlaintext)
	r := startRegistry(t)
	for _, format := range []string{"avro", "protobuf", "json_schema"} {
		t.Run(format, func(t *testing.T) {
			d := newDelivery(t, c, 0)
			m := d.runWithSchemas(r, format, "2m") // the first one before the registry answers
			eventually(t, 2*time.Minute, "the registry answers", func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := r.client.SupportedTypes(ctx)
				return err == nil
			})
			first, second := r.versions(t, format, d.topic+"-value")
			event := func(i int) map[string]any {
				return map[string]any{"lead": fmt.Sprintf("lead-%d", i), "id": 1234567890123456000 + int64(i), "total": fmt.Sprintf("%d.50", i), "city": "Zürich"}
			}
			c.produce(t, d.topic, 40, func(i int) *kgo.Record { return first.record(t, event(i)) })
			c.produce(t, d.topic, 1, func(int) *kgo.Record { // and one whose schema nobody knows
				return writer{id: 4711, index: first.index, write: first.write}.record(t, event(40))
			})
			eventually(t, 2*time.Minute, "the member is ready", func() bool { return m.ready() })
			d.drained(2 * time.Minute)

			// The registry hangs: records of a schema that is not known yet wait.
			r.freeze(t)
			c.produce(t, d.topic, 40, func(i int) *kgo.Record { return second.record(t, event(100+i)) })
			eventually(t, time.Minute, "the status says that records wait", func() bool {
				return strings.Contains(m.words(), "Records wait until they can be decoded (schema ")
			})
			r.thaw(t)
			d.drained(2 * time.Minute)

			var got, want []string
			for _, a := range pages[struct{ Lead, Note string }](d, "/_fake/activities") {
				got = append(got, a.Lead+": "+a.Note)
			}
			for i := range 40 {
				want = append(want, fmt.Sprintf("lead-%d: %d %d.50 ", i, 1234567890123456000+i, i))
				want = append(want, fmt.Sprintf("lead-%d: %d %d.50 Zürich", 100+i, 1234567890123456100+i, 100+i))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d activities:\n%s\nwant %d", len(got), strings.Join(got, "\n"), len(want))
			}
			letters := c.readAll(t, d.dead)
			if len(letters) != 1 || !slices.Equal(letters[0].Value[:5], []byte{0, 0, 0, 0x12, 0x67}) {
				t.Fatalf("%d dead letters %v, want the one of schema 4711 with its own bytes", len(letters), letters)
			}
			for _, h := range letters[0].Headers {
				if h.Key == "leadsink.reason" && !strings.Contains(string(h.Value), "schema 4711: the registry has no such schema") {
					t.Errorf("the reason is %q", h.Value)
				}
			}
			m.terminate(t)
			if code := m.wait(t, time.Minute); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
}

func TestSystemARegistryThatIsNotThereEndsTheStart(t *testing.T) {
	d := newDelivery(t, startKafka(t, overPlaintext), 0)
	m := d.runWithSchemas(&registry{url: fmt.Sprintf("http://127.0.0.1:%d", freePort(t))}, "avro", "3s")
	if code := m.wait(t, time.Minute); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	m.waitForLine(t, "the schema registry cannot be used after start_timeout (3s): the registry does not answer: dial tcp", time.Second)
}
