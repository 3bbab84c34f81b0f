package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector"
)

// A world is a cluster on an in-memory network, within a bubble of virtual time.
type world struct {
	*kfake.Cluster
	t       *testing.T
	network *kfake.VirtualNetwork
	client  *kgo.Client // of the test itself
}

func newWorld(t *testing.T, options ...kfake.Opt) *world {
	t.Helper()
	w := &world{t: t, network: &kfake.VirtualNetwork{}}
	var err error
	w.Cluster, err = kfake.NewCluster(append([]kfake.Opt{kfake.ListenFn(w.network.Listen), kfake.NumBrokers(1)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// dial connects the test's own client, for producing and looking.
func (w *world) dial(options ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	if w.client == nil {
		client, err := kgo.NewClient(append([]kgo.Opt{
			kgo.SeedBrokers(w.ListenAddrs()...), kgo.Dialer(w.network.DialContext),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics(),
		}, options...)...)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(client.Close)
		w.client = client
	}
	return w.client
}

// produce writes n records into the partition, with values "0", "1" and so on.
func (w *world) produce(topic string, partition int32, n int) {
	w.t.Helper()
	for i := range n {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Append(nil, i)}
		if err := w.dial().ProduceSync(w.t.Context(), r).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// committed returns the group's position and metadata.
func (w *world) committed(topic string, partition int32) (int64, string) {
	w.t.Helper()
	all, err := kadm.NewClient(w.dial()).FetchOffsets(w.t.Context(), "leadsink")
	if err != nil {
		w.t.Fatal(err)
	}
	o, ok := all.Lookup(topic, partition)
	if !ok {
		return -1, ""
	}
	return o.At, o.Metadata
}

// config is a valid configuration for the world.
func (w *world) config() Config {
	c := Default()
	c.Brokers, c.Topics, c.Group = w.ListenAddrs(), []string{"events"}, "leadsink"
	return c
}

// A wire is a member's way to the brokers, which can be cut.
type wire struct {
	dial dialFunc

	mu    sync.Mutex // guards what follows
	isCut bool
	conns []net.Conn
}

func (w *wire) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	isCut := w.isCut
	w.mu.Unlock()
	if isCut {
		return nil, errors.New("the wire is cut")
	}
	c, err := w.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
	return c, nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}

// A member is a source with an engine's behaviour towards rebalances.
type member struct {
	*Source
	t    *testing.T
	wire *wire
	log  *record

	mu     sync.Mutex // guards what follows
	owners []*connector.Ownership
	told   []told
	drain  func() // what a revoke waits for, if anything

	stop, stopped chan struct{}
}

// told is a rebalance that a member was told of.
type told struct {
	at   time.Time
	kind connector.RebalanceKind
	n    int // partitions
}

func (w *world) join(change ...func(*Settings)) *member {
	w.t.Helper()
	m := &member{t: w.t, wire: &wire{dial: w.network.DialContext}, log: &record{}, stop: make(chan struct{}), stopped: make(chan struct{})}
	s := Settings{Config: w.config(), Dial: m.wire.Dial, Log: slog.New(slog.NewTextHandler(m.log, nil))}
	for _, c := range change {
		c(&s)
	}
	var err error
	if m.Source, err = New(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
	go m.engine()
	w.t.Cleanup(m.leave)
	return m
}

// engine answers rebalances as the real one does: a drain holds nothing else up.
func (m *member) engine() {
	defer close(m.stopped)
	for {
		select {
		case r := <-m.Rebalances():
			m.hear(r)
		case <-m.stop:
			return
		}
	}
}

func (m *member) hear(r connector.Rebalance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, told{time.Now(), r.Kind, len(r.Owners)})
	switch {
	case r.Kind == connector.Assigned:
		m.owners = append(m.owners, r.Owners...)
	case r.Kind == connector.Revoked && m.drain != nil:
		drain := m.drain
		go func() {
			drain()
			m.forget(r.Owners)
			r.Done()
		}()
		return
	case r.Kind == connector.Renumbered:
		for o, turn := range r.Turns {
			o.Turn = turn
		}
	case r.Kind == connector.Expired: // and the member keeps them
	default:
		go m.forget(r.Owners)
	}
	r.Done()
}

func (m *member) forget(owners []*connector.Ownership) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owners = slices.DeleteFunc(m.owners, func(o *connector.Ownership) bool { return slices.Contains(owners, o) })
}

// leave closes the source in good order; more than once is fine.
func (m *member) leave() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.t.Context()), 2*time.Minute)
	defer cancel()
	_ = m.Close(ctx)
	select {
	case <-m.stop:
	default:
		close(m.stop)
	}
	<-m.stopped
}

// crash cuts the member off for good.
func (m *member) crash() { m.wire.cut() }

func (m *member) owned() []*connector.Ownership {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(slices.Values(m.owners), inOrder)
}

// owner returns the ownership of the partition.
func (m *member) owner(topic string, partition int32) *connector.Ownership {
	m.t.Helper()
	for _, o := range m.owned() {
		if o.Topic == topic && o.Partition == partition {
			return o
		}
	}
	m.t.Fatalf("%s[%d] is not owned", topic, partition)
	return nil
}

// heard returns when the member was told of rebalances of the kind that
// concerned partitions.
func (m *member) heard(kind connector.RebalanceKind) []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	var at []time.Time
	for _, t := range m.told {
		if t.kind == kind && t.n > 0 {
			at = append(at, t.at)
		}
	}
	return at
}

// poll polls once, for at most a minute.
func (m *member) poll(limit int) []connector.Record {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	records, err := m.Poll(ctx, limit)
	if err != nil {
		m.t.Fatal(err)
	}
	return records
}

// values polls until n records are there and returns their values.
func (m *member) values(n int) []string {
	m.t.Helper()
	var all []string
	for len(all) < n {
		for _, r := range m.poll(100) {
			all = append(all, string(r.Value))
		}
	}
	return all
}

// wait lets virtual time pass and everything come to rest.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// record is a log that a test looks into.
type record struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.text.String(), text)
}

func in(kind ...func(*Settings)) func(*Settings) {
	return func(s *Settings) {
		for _, k := range kind {
			k(s)
		}
	}
}

func spread(s *Settings) { s.Config.Assignment = "spread" }

func kip848(s *Settings) { s.Config.Assignment, s.Config.Protocol = "spread", "kip848" }

// commitAll commits the positions and returns what was refused.
func (m *member) commitAll(ctx context.Context, all []connector.Progress) error {
	return errors.Join(m.Commit(ctx, all)...)
}

func (r *record) count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.text.String(), text)
}
