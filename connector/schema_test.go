package connector_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/transform"
	"github.com/leadsink/leadsink/transform/decode"
)

// A registryWorld is a world whose records are written with schemas.
type registryWorld struct {
	*world
	registry *srfake.Registry
	down     atomic.Bool  // every connection breaks
	asked    atomic.Int64 // questions that came in
	log      strings.Builder
	client   *kafka.Registry
}

// The versions of an event's schema.
const (
	firstVersion  = `{"type":"record","name":"Event","fields":[{"name":"kind","type":"string"},{"name":"lead","type":"string"}]}`
	secondVersion = `{"type":"record","name":"Event","fields":[{"name":"city","type":["null","string"],"default":null},{"name":"kind","type":"string"},{"name":"lead","type":"string"}]}`
)

func inRegistryWorld(t *testing.T, story func(w *registryWorld)) {
	t.Helper()
	inWorld(t, func(in *world) {
		w := &registryWorld{world: in, registry: srfake.NewRegistry()}
		l, err := w.network.Listen("tcp", "localhost:8086")
		w.must(err)
		w.registry.Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
			w.asked.Add(1)
			if w.down.Load() {
				panic(http.ErrAbortHandler)
			}
			return false
		})
		server := &http.Server{Handler: w.registry.Handler()}
		go func() { _ = server.Serve(l) }() // ends with Close
		w.client, err = kafka.NewRegistry(kafka.RegistrySettings{
			Config: decode.RegistryConfig{URL: "http://localhost:8086"}, Dial: w.network.DialContext,
		})
		w.must(err)
		story(w)
		w.client.Close()
		w.must(server.Close())
	})
}

// register registers a schema and returns its id.
func (w *registryWorld) register(text string) int {
	w.Helper()
	id, _, err := w.registry.RegisterSchema(topic+"-value", sr.Schema{Schema: text})
	w.must(err)
	return id
}

// record writes an event with the schema of that id.
func (w *registryWorld) record(partition int32, id int, text, lead string, to fate) {
	w.Helper()
	payload, err := avro.MustParse(text).Encode(map[string]any{"kind": "plain", "lead": lead, "city": "Zürich"})
	w.must(err)
	value, err := (&sr.ConfluentHeader{}).AppendEncode(nil, id, nil)
	w.must(err)
	w.put(partition, string(append(value, payload...)), to)
}

// run runs a connector that reads Avro.
func (w *registryWorld) run() (c *connector.Connector, end func()) {
	cfg := transform.Default()
	cfg.Rules = []transform.Rule{{
		Name: "all", Lead: "event.lead", Activity: "320",
		Note: `string(partition) + "-" + string(offset) + (event.city == nil ? "" : "-" + event.city)`,
	}}
	format := decode.Default()
	format.Format = "avro"
	rules, problems := transform.Compile(cfg, format, nil)
	if len(problems) > 0 {
		w.Fatal(problems)
	}
	rules.Use(w.client)
	return w.runWith(otherParts{log: &w.log, mapper: rules})
}

func (w *registryWorld) status(c *connector.Connector) connector.Status {
	w.Helper()
	s, err := c.Status(context.Background())
	w.must(err)
	return s
}

func TestARegistryThatIsDownLosesNothing(t *testing.T) {
	inRegistryWorld(t, func(w *registryWorld) {
		first := w.register(firstVersion)
		for i := range int32(30) {
			w.record(i%partitions, first, firstVersion, "early", toDeliver)
		}
		w.down.Store(true) // before anything was asked for
		c, end := w.run()
		defer end()
		time.Sleep(10 * time.Minute)
		s := w.status(c)
		if s.Records != (connector.RecordCounts{}) || s.Unsettled != 0 || !slices.Contains(s.Waiting, "schema") {
			t.Errorf("without a registry %+v, %d unsettled, waits for %v; want nothing, and to wait for a schema", s.Records, s.Unsettled, s.Waiting)
		}
		if want := "Records wait until they can be decoded (schema 1: the registry does not answer: EOF)."; !strings.Contains(s.Words, want) {
			t.Errorf("the status says %q, want %q in it", s.Words, want)
		}
		if s.State != connector.Active || len(s.Partitions) != partitions {
			t.Errorf("%s with %d partitions after ten minutes, want active with all", s.State, len(s.Partitions))
		}
		if n := w.asked.Load(); n < 120 || n > 250 {
			t.Errorf("the registry was asked %d times in ten minutes, want every 2.5 to 5 s (delivery.backoff.max)", n)
		}
		if n := strings.Count(w.log.String(), "records cannot be decoded for now"); n != 1 {
			t.Errorf("the log says %d times that records wait, want once:\n%s", n, w.log.String())
		}

		w.down.Store(false)
		time.Sleep(time.Minute)
		if s := w.status(c); s.Records.Delivered != 30 || s.Unready != "" || slices.Contains(s.Waiting, "schema") {
			t.Errorf("with a registry %+v, waits for %v (%s), want all delivered", s.Records, s.Waiting, s.Unready)
		}

		// Down again: what is known goes on, what is new waits.
		second := w.register(secondVersion)
		w.down.Store(true)
		for range 5 {
			w.record(0, first, firstVersion, "known", toDeliver)
		}
		time.Sleep(time.Minute)
		if s := w.status(c); s.Records.Delivered != 35 {
			t.Errorf("%+v with a known schema and no registry, want 35 delivered", s.Records)
		}
		w.record(0, second, secondVersion, "new", toDeliver)
		w.record(0, first, firstVersion, "behind", toDeliver)
		time.Sleep(10 * time.Minute)
		if s := w.status(c); s.Records.Delivered != 35 || s.Records.Dead != 0 {
			t.Errorf("%+v with an unknown schema and no registry, want it to wait", s.Records)
		}
		w.down.Store(false)
		time.Sleep(time.Minute)
		if s := w.status(c); s.Records.Delivered != 37 || s.Records.Dead != 0 || !w.everythingCommitted() {
			t.Errorf("%+v at the end, want all 37 delivered and committed", s.Records)
		}
		var evolved []string
		for _, a := range w.api.Activities(0, 0) {
			if strings.HasSuffix(a.Note, "-Zürich") {
				evolved = append(evolved, a.Lead)
			}
		}
		if !slices.Equal(evolved, []string{"new"}) {
			t.Errorf("the second version's field came with %v, want the one record of that version", evolved)
		}
		end()
	})
}

func TestAnUnknownSchemaIsADeadLetterAfterSomeQuestions(t *testing.T) {
	inRegistryWorld(t, func(w *registryWorld) {
		first := w.register(firstVersion)
		for range 20 {
			w.record(0, 4711, firstVersion, "lost", toBury)
		}
		w.record(0, first, firstVersion, "known", toDeliver)
		c, end := w.run()
		defer end()
		time.Sleep(30 * time.Second)
		s := w.status(c)
		if s.Records.Delivered != 1 || s.Records.Dead != 20 {
			t.Errorf("%+v, want 1 delivered and 20 dead", s.Records)
		}
		want := "schema 4711: the registry has no such schema; look for the producer's registry and contexts, or register the schema again"
		if len(s.DeadLetters) == 0 || s.DeadLetters[0].Class != "undecodable" || s.DeadLetters[0].Message != want {
			t.Errorf("%+v, want undecodable: %s", s.DeadLetters, want)
		}
		if n := w.asked.Load(); n != 6 {
			t.Errorf("the registry was asked %d times, want 5 times for the unknown schema and once for the known", n)
		}

		// A schema that comes late is found before its record is given up.
		w.record(1, first+1, secondVersion, "late", toDeliver)
		time.Sleep(500 * time.Millisecond)
		w.register(secondVersion)
		time.Sleep(30 * time.Second)
		if s := w.status(c); s.Records.Delivered != 2 || s.Records.Dead != 20 {
			t.Errorf("%+v, want the record delivered whose schema came late", s.Records)
		}
		end()
	})
}

func TestAStopDoesNotWaitForARegistry(t *testing.T) {
	inRegistryWorld(t, func(w *registryWorld) {
		w.record(0, w.register(firstVersion), firstVersion, "early", toDeliver)
		w.down.Store(true)
		_, end := w.run()
		time.Sleep(time.Minute)
		before := time.Now()
		end()
		if took := time.Since(before); took > 2*time.Second {
			t.Errorf("the stop took %s", took)
		}
	})
}

// A scripted source hands out one poll, and what happens to ownerships.
type scriptedSource struct {
	polled     chan []connector.Record
	rebalances chan connector.Rebalance
}

func (s scriptedSource) Poll(ctx context.Context, _ int) ([]connector.Record, error) {
	select {
	case records := <-s.polled:
		return records, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s scriptedSource) Rebalances() <-chan connector.Rebalance { return s.rebalances }

func (s scriptedSource) Commit(_ context.Context, all []connector.Progress) []error {
	return make([]error, len(all))
}

// A partialMapper cannot prepare records of partition 0, and filters the others.
type partialMapper struct{}

func (partialMapper) Prepare(_ context.Context, r *transform.Record) error {
	if r.Partition == 0 {
		return errors.New("nobody knows")
	}
	return nil
}

func (partialMapper) Map(*transform.Record) transform.Mapping {
	return transform.Mapping{Decision: transform.Filter}
}

func TestARecordOfALostPartitionIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := scriptedSource{make(chan []connector.Record, 1), make(chan connector.Rebalance)}
		config := connector.Config{Name: "test", BatchConfig: connector.DefaultBatch(), DeliveryConfig: connector.DefaultDelivery(), Timeout: time.Second}
		c := connector.New(connector.Settings{
			Config: config, Source: source, Mapper: partialMapper{}, Budget: budget.New(budget.Default(), true, time.Now()),
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }() // ends with stop
		var owners []*connector.Ownership
		var records []connector.Record
		for p := range int32(2) {
			owners = append(owners, &connector.Ownership{Topic: topic, Partition: p, Turn: connector.Turn{Turn: int(p), Of: 2}})
			for range 3 {
				records = append(records, connector.Record{Record: transform.Record{Topic: topic, Partition: p, Offset: int64(len(records) % 3)}, Owner: owners[p]})
			}
		}
		source.rebalances <- connector.Rebalance{Kind: connector.Assigned, Owners: owners, Done: func() {}}
		source.polled <- records
		time.Sleep(time.Minute)
		s, err := c.Status(ctx)
		if err != nil || s.Records.Filtered != 0 || s.Unready != "nobody knows" {
			t.Errorf("%v: %+v, unready %q; want the records of both partitions to wait", err, s.Records, s.Unready)
		}
		source.rebalances <- connector.Rebalance{Kind: connector.Lost, Owners: owners[:1], Done: func() {}}
		time.Sleep(time.Second)
		s, err = c.Status(ctx)
		if err != nil || s.Records.Filtered != 3 || s.Unready != "" || len(s.Waiting) > 0 {
			t.Errorf("%v: %+v, unready %q, waits for %v; want the other partition to go on", err, s.Records, s.Unready, s.Waiting)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
