package connector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/connector/leadsquared"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
	"github.com/leadsink/leadsink/transform"
	"github.com/leadsink/leadsink/transform/decode"
)

const (
	topic      = "crm.events"
	otherTopic = "crm.others" // with as many partitions
	wideTopic  = "crm.wide"   // with widePartitions
	deadTopic  = "crm.events.dead"
	doneTopic  = "crm.created"
	group      = "leadsink"
	partitions = 3

	widePartitions = 12
)

// A position names a record.
type position struct {
	partition int32
	offset    int64
}

func (p position) String() string { return fmt.Sprintf("%d-%d", p.partition, p.offset) }

// A fate is what must become of a produced record.
type fate int

const (
	toDeliver fate = iota
	toFilter
	toBury
	toSuffer // its calls spoil themselves: created or buried, whichever can be proven
	toMiss   // somebody deletes it before or after it is read
)

// A world is a Kafka, a LeadSquared and members, all in one synctest bubble over
// in-memory connections: the real client libraries, the real protocol, the real
// rules. Every connection can be cut.
type world struct {
	*testing.T
	seed            uint64 // of everything that is left to chance
	random          *rand.Rand
	network         kfake.VirtualNetwork
	cluster         *kfake.Cluster
	api             *fakeapi.Server
	stopAPI         func()
	client          *kgo.Client // the producer's and the checker's
	admin           *kadm.Client
	config          connector.Config
	kafka           kafka.Config
	budget          budget.Config
	members         []*member
	marked          bool              // activities carry markers
	span            int64             // of ownerships; 0: as the source says
	receipts        bool              // are wanted
	checker         connector.Checker // of members; nil: none
	tracer          trace.Tracer      // nil: none
	producersDecide bool
	onError         string                                            // of the rules; "" is the default
	lettersOff      bool                                              // members have no dead-letter topic
	log             slog.Handler                                      // of members
	closeIdle       time.Duration                                     // of the fake
	ca              string                                            // certificate of the fake's TLS; "": plain HTTP
	way             func() time.Duration                              // to LeadSquared, of each write; nil: none
	skew            func(m *member) func(now time.Time) time.Duration // of a member's wall clock; nil: none
	stutter         func() time.Duration                              // between a slot and its call; nil: none
	calls           func(batch []*transform.Activity)                 // is told of each call, one at a time; nil: nobody
	changes         []time.Time                                       // of ownerships: when one began
	started         int

	produced map[position]fate
	doubles  map[position]bool // records that become two activities
	poisoned map[position]bool // records that spoil their calls
	poisons  []fakeapi.Spoil   // of which produce mixes rows in
	leads    int               // of which produce chooses
	reading  fakeapi.Reading   // of calls that are refused as a whole: an account keeps to one
	crashes  int

	hasOther   bool                 // members read the other topic, and it is there
	generation int32                // of the other topic
	refused    []*kfake.FaultHandle // rights withdrawn
	epochs     map[int32]int32      // highest committed epoch of each partition
	topicID    [16]byte

	mu      sync.Mutex // guards what follows, which members' wrappers write
	wrong   []string   // broken invariants
	buried  map[position]int
	reasons map[position]string
	seen    map[string]int // how often what was to be covered happened
	owned   map[int32]int  // how often a member took a partition up
	expired []position     // deleted before they had their fate
	told    []told         // what members said of that
}

// newWorld starts a world without members.
func newWorld(t *testing.T, seed uint64, spread bool) *world {
	w := &world{
		T: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)),
		produced: map[position]fate{}, doubles: map[position]bool{}, poisoned: map[position]bool{}, leads: 12, buried: map[position]int{}, reasons: map[position]string{}, seen: map[string]int{}, owned: map[int32]int{}, epochs: map[int32]int32{},
		budget: budget.Default(), log: slog.NewTextHandler(t.Output(), nil),
	}
	var err error
	w.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1), kfake.ListenFn(w.network.Listen),
		kfake.SeedTopics(partitions, topic, otherTopic), kfake.SeedTopics(widePartitions, wideTopic), kfake.SeedTopics(1, deadTopic, doneTopic),
		kfake.GroupMinSessionTimeout(time.Second),
	)
	w.must(err)
	w.client, err = kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(w.network.DialContext),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumeTopics(deadTopic), kgo.DisableClientMetrics(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.must(err)
	w.admin = kadm.NewClient(w.client)
	w.topicID = w.cluster.TopicInfo(topic).TopicID
	w.startAPI(false)
	w.must(w.api.SetPoison(poison))

	w.kafka = kafka.Default()
	w.kafka.Brokers = w.cluster.ListenAddrs()
	w.kafka.Topics = []string{topic}
	w.kafka.Group = group
	w.kafka.Start = "earliest"
	w.kafka.SessionTimeout = 12 * time.Second
	w.kafka.RebalanceTimeout = 15 * time.Second
	if spread {
		w.kafka.Assignment = "spread"
	}
	w.config = connector.Config{Name: "test", BatchConfig: connector.DefaultBatch(), DeliveryConfig: connector.DefaultDelivery()}
	w.config.DrainTimeout = 4 * time.Second
	w.config.Window = 400
	w.config.Timeout = 6 * time.Second // longer than the drain
	w.config.ReconcileAfter = 8 * time.Second
	w.config.Backoff.Max = 5 * time.Second
	return w
}

// startAPI starts the fake LeadSquared, one that remembers numbers only if so
// wanted.
func (w *world) startAPI(countOnly bool) {
	var err error
	w.api, err = fakeapi.New(fakeapi.Config{
		Seed: w.seed, AccessKey: "key", SecretKey: "secret", Limits: w.budget.Limits, Latency: 120 * time.Millisecond, Slow: 5 * time.Second,
		LateBy: 3 * time.Second, ReadLag: 2 * time.Second, CloseIdle: w.closeIdle, DayStarts: w.budget.Day.Starts, CountOnly: countOnly,
	})
	w.must(err)
	l, err := w.network.Listen("tcp", "localhost:8085")
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	w.stopAPI = func() { cancel(); <-served }
	go func() { // ends with stopAPI
		defer close(served)
		if err := w.api.Serve(ctx, l, nil); err != nil {
			w.Error(err)
		}
	}()
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// close ends the world; whatever still runs is a leak that the bubble reports.
func (w *world) close() {
	for _, m := range w.members {
		m.end()
	}
	for _, m := range w.members {
		<-m.ended
	}
	w.stopAPI()
	w.client.Close()
	w.cluster.Close()
	time.Sleep(time.Second) // what is on its way arrives
	synctest.Wait()
}

func (w *world) broken(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) < 10 {
		w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	}
}

// changed notes that ownerships have begun.
func (w *world) changed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, time.Now())
}

// at is where a record was read, which tells it apart: partitions of the second
// topic count on from those of the first.
func at(r *connector.Record) position {
	p := position{number(r.Topic, r.Partition), r.Offset}
	if r.Topic == otherTopic {
		p.partition += generationSize * generationOf(r.Value)
	}
	return p
}

func number(of string, partition int32) int32 {
	if of != topic {
		return partition + partitions
	}
	return partition
}

// step sets a member's wall clock.
func (w *world) step(m *member, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.steps = append(m.steps, clockStep{time.Now(), by})
}

// stepOf is by how much a member's wall clock had been set at the moment: the
// same for one reading of it, however often it is asked for.
func (w *world) stepOf(m *member, now time.Time) (sum time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range m.steps {
		if now.After(s.at) {
			sum += s.by
		}
	}
	return sum
}

// offOf is by how many milliseconds a member's clock is off from the beginning.
func (w *world) offOf(m *member) int { return m.number * 7 % 31 }

func (w *world) saw(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[what]++
}

// rules maps every event to one activity whose note is the record's position,
// leaves events of the kind "filtered" out, and makes two of the kind "double".
func (w *world) rules() *transform.Rules {
	cfg := transform.Default()
	where := fmt.Sprintf(`string(topic == %q ? partition : partition + %d + %d*(event.generation ?? 0)) + "-" + string(offset)`, topic, partitions, generationSize)
	word := transform.Entries{{Name: "mx_Custom_1", Expression: "event.word"}, {Name: "mx_Custom_7", Expression: "event.number"}}
	cfg.Rules = []transform.Rule{
		{Name: "all", When: `event.kind != "filtered"`, Lead: "event.lead", Activity: "320", Note: where, Fields: word, Marker: where},
		{Name: "second", When: `event.kind == "double"`, Lead: "event.lead", Activity: "320", Note: where + ` + "-second"`, Marker: where + ` + "-second"`},
	}
	if w.onError != "" {
		cfg.OnError = w.onError
	}
	rules, problems := transform.Compile(cfg, decode.Default(), nil)
	if len(problems) > 0 {
		w.Fatal(problems)
	}
	return rules
}

// A clockStep is a wall clock that is set.
type clockStep struct {
	at time.Time
	by time.Duration
}

// A member is one connector with its own connections to Kafka and LeadSquared.
type member struct {
	world     *world
	name      string
	number    int
	steps     []clockStep // of the wall clock, guarded by world.mu
	connector *connector.Connector
	source    *kafka.Source
	sink      *leadsquared.Client
	kafka     wires
	api       wires
	stop      context.CancelFunc
	ended     chan struct{}
	result    error

	rebalances chan connector.Rebalance
	over       chan struct{} // closed once Run has returned

	mu       sync.Mutex                                // guards what follows
	owner    map[position]*connector.Ownership         // under which a record was polled last
	sent     map[*connector.Ownership]map[string]int64 // highest rank sent of each lead
	sentRows map[*connector.Ownership]map[string]bool
	rowsOut  map[*connector.Ownership]int       // rows in calls
	lanes    map[lane]int                       // calls in flight
	ending   map[*connector.Ownership]time.Time // when a revoke or loss was told
	gone     map[*connector.Ownership]time.Time // and when it was answered
	had      map[int32]bool
}

// A lane is a lead of an ownership.
type lane struct {
	owner *connector.Ownership
	lead  string
}

// start starts a member.
func (w *world) start() *member {
	w.started++
	m := &member{
		world: w, name: fmt.Sprintf("member %d", w.started), number: w.started, ended: make(chan struct{}),
		rebalances: make(chan connector.Rebalance), over: make(chan struct{}),
		owner: map[position]*connector.Ownership{}, sent: map[*connector.Ownership]map[string]int64{},
		sentRows: map[*connector.Ownership]map[string]bool{}, rowsOut: map[*connector.Ownership]int{},
		lanes:  map[lane]int{},
		ending: map[*connector.Ownership]time.Time{}, gone: map[*connector.Ownership]time.Time{}, had: map[int32]bool{},
	}
	m.kafka.dial, m.api.dial = w.network.DialContext, w.network.DialContext
	if len(w.kafka.Topics) > 1 && w.hasOther { // a client that asks at once for what is gone asks no faster than a network lets it
		m.kafka.dial = far(m.kafka.dial, func() time.Duration { return 10 * time.Millisecond })
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	log := slog.New(noting{w.log, w}).With("member", w.started)
	ks := kafka.Settings{Config: w.kafka, Dial: m.kafka.DialContext, Log: log}
	var err error
	m.source, err = kafka.New(ctx, ks)
	w.must(err)
	buried, err := kafka.NewDeadLetters(ctx, ks, deadTopic, "test")
	w.must(err)
	var letters connector.DeadLetters = watchedLetters{buried, m}
	if w.lettersOff {
		letters = nil
	}
	api := leadsquared.Default()
	api.Host = "http://localhost:8085"
	api.AccessKey, api.SecretKey = setting.NewSecret("key"), setting.NewSecret("secret")
	api.Timeout = w.config.Timeout
	if w.ca != "" {
		api.Host, api.CAFile = "https://localhost:8443", w.ca
	}
	dial := m.api.DialContext
	if w.way != nil {
		dial = far(dial, w.way)
	}
	var receipts connector.Receipts
	closeReceipts := func() {}
	if w.receipts {
		r, err := kafka.NewReceipts(ctx, ks, doneTopic, "test")
		w.must(err)
		receipts, closeReceipts = r, r.Close
	}
	var finder connector.Finder
	if w.marked {
		api.Marker = "mx_Custom_5"
	}
	m.sink, err = leadsquared.New(api, leadsquared.Settings{Lease: m.source.Lease, Dial: dial, Tracer: w.tracer})
	w.must(err)
	if w.marked {
		finder = m.sink
	}
	b := budget.New(w.budget, w.kafka.Single(), time.Now())
	if w.skew != nil {
		b.Skew(w.skew(m))
	}
	m.connector = connector.New(connector.Settings{
		Config: w.config, Finder: finder, Checker: w.checker, Source: watchedSource{m.source, m}, Sink: watchedSink{m.sink, m}, Letters: letters,
		Receipts: receipts, Tracer: w.tracer, ProducersDecide: w.producersDecide, Log: log, Mapper: w.rules(), Budget: b, Rand: rand.New(rand.NewPCG(w.random.Uint64(), 2)),
	})
	w.members = append(w.members, m)
	go m.watch(m.source.Rebalances()) // ends with the member
	go func() {
		defer close(m.ended)
		m.result = m.connector.Run(ctx)
		close(m.over)
		if n := m.rowsInCalls(); n > 0 {
			w.broken("invariant 8: %s has returned with %d rows in calls", m.name, n)
		}
		m.source.Detach()
		m.sink.Close()
		leave, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = m.source.Close(leave)
		buried.Close()
		closeReceipts()
	}()
	return m
}

// noting is a log that notes what happened to rows in doubt.
type noting struct {
	slog.Handler
	world *world
}

func (h noting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return noting{h.Handler.WithAttrs(attrs), h.world}
}

func (h noting) Handle(ctx context.Context, r slog.Record) error {
	numbers := map[string]int64{}
	r.Attrs(func(a slog.Attr) bool {
		if a.Value.Kind() == slog.KindInt64 {
			numbers[a.Key] = a.Value.Int64()
		}
		return true
	})
	switch {
	case strings.HasPrefix(r.Message, "an earlier owner may have sent"):
		h.world.saw("an inherited doubt")
	case strings.HasPrefix(r.Message, "the drain ran out of time"):
		h.world.saw("a drain that ran out of time")
	case r.Message == "LeadSquared was asked for rows in doubt" && numbers["found"] == numbers["rows"]:
		h.world.saw("all of the rows in doubt found")
	case r.Message == "LeadSquared was asked for rows in doubt" && numbers["found"] > 0:
		h.world.saw("some of the rows in doubt found")
	case r.Message == "LeadSquared was asked for rows in doubt":
		h.world.saw("none of the rows in doubt found")
	case strings.HasPrefix(r.Message, "records were deleted before"):
		h.world.tells(told{int32(numbers["partition"]), numbers["first"], numbers["last"]})
	case strings.Contains(r.Message, "against the account"), strings.Contains(r.Message, "fit the account"):
		h.world.saw(r.Message)
	}
	return h.Handler.Handle(ctx, r)
}

// end stops the member in good order.
func (m *member) end() { m.stop() }

// crash makes the member vanish for everybody else at once.
func (m *member) crash() {
	m.world.crashes++
	m.kafka.cut()
	m.api.cut()
	m.stop()
}

func (m *member) running() bool {
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// alive are the members that are neither ended nor cut off.
func (w *world) alive() []*member {
	return slices.DeleteFunc(slices.Clone(w.members), func(m *member) bool { return !m.running() || m.kafka.isCut() })
}

// wires are connections that can be cut all at once, after which no new one is
// made until they are mended.
type wires struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	mu   sync.Mutex // guards what follows
	open []net.Conn
	off  bool

	dropped atomic.Bool
}

func (w *wires) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if w.dropped.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if w.isCut() {
		return nil, errors.New("the wire is cut")
	}
	c, err := w.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off {
		_ = c.Close()
		return nil, errors.New("the wire is cut")
	}
	w.open = append(w.open, c)
	return droppingConn{c, &w.dropped}, nil
}

// drop loses every packet from now on: nothing arrives, and nothing fails.
func (w *wires) drop() { w.dropped.Store(true) }

func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = true
	for _, c := range w.open {
		_ = c.Close()
	}
	w.open = nil
}

func (w *wires) mend() {
	if w.dropped.Load() {
		w.cut() // what was lost in the middle of a connection does not come back
		w.dropped.Store(false)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = false
}

func (w *wires) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.off || w.dropped.Load()
}

// A watchedSource checks what the engine does with its ownerships.
type watchedSource struct {
	*kafka.Source
	m *member
}

// Rebalances passes rebalances on, noting them first. The engine asks for the
// channel at every turn and gets the same one.
func (s watchedSource) Rebalances() <-chan connector.Rebalance { return s.m.rebalances }

// watch passes rebalances to the engine until the source is done with.
func (m *member) watch(from <-chan connector.Rebalance) {
	for {
		select {
		case r := <-from:
			m.note(&r)
			select {
			case m.rebalances <- r:
			case <-m.over:
				r.Done()
			}
		case <-m.over:
			return
		}
	}
}

// note notes a rebalance that the engine is about to learn of.
func (m *member) note(r *connector.Rebalance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Kind == connector.Assigned && len(r.Owners) > 0 {
		m.world.changed()
	}
	if r.Kind == connector.Lost && !m.kafka.isCut() { // a cut is counted when it is made
		m.world.saw("a loss without a cut")
	}
	for _, o := range r.Owners {
		switch r.Kind {
		case connector.Assigned:
			if m.had[o.Partition] {
				m.world.saw("a partition regained")
			}
			if len(o.Finished) > 0 {
				m.world.saw("a restart with finished ranges")
			}
			m.had[o.Partition] = true
			if m.world.span > 0 {
				o.Span.Store(m.world.span)
			}
			m.world.took(number(o.Topic, o.Partition))
			m.sent[o] = map[string]int64{}
		case connector.Expired:
		case connector.Revoked, connector.Lost, connector.Renumbered:
			m.world.saw("an end of ownership")
			if m.rowsOut[o] > 0 {
				m.world.saw("a revoke with calls in flight")
			}
		}
	}
	if r.Kind == connector.Expired {
		return // no ownership begins or ends
	}
	inner, owners, kind := r.Done, r.Owners, r.Kind
	r.Done = func() {
		m.mu.Lock()
		for _, o := range owners {
			if kind != connector.Assigned {
				m.gone[o] = time.Now()
			}
		}
		m.mu.Unlock()
		inner()
	}
	if kind != connector.Assigned {
		for _, o := range owners {
			m.ending[o] = time.Now()
		}
	}
}

// past reports whether the moment is set and over. What happens at the very
// moment may have been decided before it.
func past(at time.Time) bool { return !at.IsZero() && time.Now().After(at) }

// Commit checks that nothing is committed for what was let go.
func (s watchedSource) Commit(ctx context.Context, all []connector.Progress) []error {
	m := s.m
	m.mu.Lock()
	for _, p := range all {
		if past(m.gone[p.Owner]) {
			m.world.broken("invariant 5: %s commits partition %d after it has let it go", m.name, p.Owner.Partition)
		}
	}
	m.mu.Unlock()
	return s.Source.Commit(ctx, all)
}

// Poll notes which ownership each record was polled under.
func (s watchedSource) Poll(ctx context.Context, limit int) ([]connector.Record, error) {
	records, err := s.Source.Poll(ctx, limit)
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if len(records) > limit {
		s.m.world.broken("%d records of a poll of %d", len(records), limit)
	}
	for _, r := range records {
		s.m.owner[at(&r)] = r.Owner
	}
	return records, err
}

// A watchedSink checks every call that goes out.
type watchedSink struct {
	*leadsquared.Client
	m *member
}

func (s watchedSink) Deliver(ctx context.Context, batch []*transform.Activity, writeBy time.Time) connector.Answer {
	owners := s.m.callBegins(batch)
	if w := s.m.world; w.stutter != nil {
		time.Sleep(w.stutter())
	}
	a := s.Client.Deliver(ctx, batch, writeBy)
	s.m.callEnds(batch, owners, a)
	return a
}

// callBegins checks a call and returns the ownership of each row.
func (m *member) callBegins(batch []*transform.Activity) []*connector.Ownership {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(batch) == 0 || len(batch) > 25 {
		m.world.broken("invariant 4: a call of %d rows", len(batch))
	}
	if m.world.calls != nil {
		m.world.calls(batch)
	}
	owners := make([]*connector.Ownership, len(batch))
	busy := map[lane]bool{}
	for i, a := range batch {
		p := noted(a.Note)
		o := m.owner[p]
		owners[i] = o
		m.rowsOut[o]++
		if past(m.ending[o]) {
			m.world.broken("invariant 5: %s sends %s of a partition that it is giving up", m.name, p)
		}
		in := lane{o, a.Lead}
		if m.lanes[in] > 0 && !busy[in] {
			m.world.broken("invariant 3: %s has two calls of lead %s of partition %d in flight", m.name, a.Lead, p.partition)
		}
		busy[in] = true
		if at, again := rank(a.Note, p), m.sentRows[o][a.Note]; !again {
			if at < m.sent[o][a.Lead] {
				m.world.broken("invariant 3: %s sends %s of lead %s after a later one", m.name, a.Note, a.Lead)
			}
			if m.sent[o] != nil {
				m.sent[o][a.Lead] = at
			}
			if m.sentRows[o] == nil {
				m.sentRows[o] = map[string]bool{}
			}
			m.sentRows[o][a.Note] = true
		}
	}
	for in := range busy {
		m.lanes[in]++
	}
	return owners
}

func (m *member) rowsInCalls() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, rows := range m.rowsOut {
		n += rows
	}
	return n
}

// rank orders the rows of one ownership: by offset, and by rule within a record.
func rank(note string, p position) int64 {
	if strings.HasSuffix(note, "-second") {
		return 2*p.offset + 1
	}
	return 2 * p.offset
}

func (m *member) callEnds(batch []*transform.Activity, owners []*connector.Ownership, a connector.Answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	busy := map[lane]bool{}
	late := false
	for i, row := range batch {
		m.rowsOut[owners[i]]--
		busy[lane{owners[i], row.Lead}] = true
		late = late || past(m.gone[owners[i]])
	}
	for in := range busy {
		m.lanes[in]--
	}
	if late {
		m.world.saw("a late answer after a revoke")
	}
	if a.Outcome != connector.Judged {
		m.world.saw("a call that was " + a.Outcome.String())
	}
}

// noted is the position that the test's rules write into the note.
func noted(note string) (p position) {
	var partition int32
	if _, err := fmt.Sscanf(note, "%d-%d", &partition, &p.offset); err != nil {
		panic("a note that no rule made: " + note)
	}
	p.partition = partition
	return p
}

// watchedLetters note what was safely buried.
type watchedLetters struct {
	*kafka.DeadLetters
	m *member
}

func (l watchedLetters) Bury(ctx context.Context, letters []connector.DeadLetter) []error {
	errs := l.DeadLetters.Bury(ctx, letters)
	w := l.m.world
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, d := range letters {
		if errs[i] == nil {
			p := position{d.Record.Partition, d.Record.Offset}
			w.buried[p]++
			w.reasons[p] = d.Reason.Message
		}
	}
	return errs
}

// far is the way to a server so far off that whatever is written arrives later,
// the first packet of a connection too.
func far(dial func(context.Context, string, string) (net.Conn, error), way func() time.Duration) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		time.Sleep(way())
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		f := &farConn{Conn: c, way: way, sent: make(chan farWrite, 1000)}
		go f.carry() // ends with Close
		return f, nil
	}
}

// A farConn is a connection whose writes take a way to arrive, in order.
type farConn struct {
	net.Conn
	way  func() time.Duration
	sent chan farWrite

	mu     sync.Mutex // guards what follows
	last   time.Time  // when the last write arrives
	closed bool
}

type farWrite struct {
	text []byte
	at   time.Time
}

func (f *farConn) carry() {
	for w := range f.sent {
		time.Sleep(time.Until(w.at))
		_, _ = f.Conn.Write(w.text)
	}
	_ = f.Conn.Close()
}

func (f *farConn) Write(p []byte) (int, error) {
	way := f.way()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, net.ErrClosed
	}
	if at := time.Now().Add(way); at.After(f.last) {
		f.last = at
	}
	f.sent <- farWrite{bytes.Clone(p), f.last}
	return len(p), nil
}

func (f *farConn) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.sent)
	}
	return nil
}
