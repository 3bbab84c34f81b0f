//go:build system

package main_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

var (
	chaosRecords = flag.Int("chaos.records", 50_000, "records of each run of TestChaos")
	chaosSeed    = flag.Uint64("chaos.seed", 0, "repeats the faults of a run of TestChaos; 0 draws a seed")
	chaosFaults  = flag.Int("chaos.faults", 24, "faults of each run of TestChaos; with seven or more every kind is among them")
)

// TestChaos runs three members and three brokers while things go wrong, one
// after the other, and judges by what LeadSquared, the topics and the committed
// offsets hold.
func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d; -chaos.seed=%d -chaos.faults=%d repeats the faults", seed, seed, *chaosFaults)
	k := startTrio(t)
	for i, name := range []string{"without a marker", "with a marker"} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			p := drawPlan(r, *chaosFaults)
			p.spread = (seed+uint64(i))%2 == 1 // each way of sharing with each seed once
			s := newStorm(t, k, seed, p, i == 1)
			s.run()
		})
	}
}

// A storm is one run.
type storm struct {
	*delivery
	trio   *trio
	seed   uint64
	plan   plan
	marker bool
	limit  string
	crew   [seats]*crewMember
	struck []strike
	past   atomic.Int64 // blows whose time is over
	began  time.Time
}

// A strike is a blow that was carried out.
type strike struct {
	blow
	began, ended time.Time
}

func newStorm(t *testing.T, k *trio, seed uint64, p plan, marker bool) *storm {
	d := &delivery{
		T: t, cluster: k.cluster, binary: buildBinary(t), topic: k.createTopic(t, 6), dead: k.createTopic(t, 1),
		records: *chaosRecords,
	}
	d.group = "group-of-" + d.topic
	s := &storm{delivery: d, trio: k, seed: seed, plan: p, marker: marker, began: time.Now()}
	// Three times what the records need over the faults: what waits shrinks between
	// two of them, and since records come until the end there is always some.
	calls := 3 * 5.5 * float64(d.records) / chaosBatch / p.takes.Seconds()
	s.limit = fmt.Sprintf("%d/5s", max(10, int(calls)))
	flags := []string{"--seed", fmt.Sprint(seed), "--latency", "300ms", "--slow", "2s"}
	if marker {
		flags = append(flags, "--read-lag", "1s", "--late-by", "2s")
	}
	fake := startProcess(t, d.binary, append([]string{
		"fake-api", "--listen", "127.0.0.1:0", "--access-key", "key", "--secret-key", "secret", "--limit", s.limit,
	}, flags...)...)
	_, after, _ := strings.Cut(fake.waitForLine(t, "address=", time.Minute), "address=")
	d.api = strings.Fields(after)[0]
	t.Logf("assignment %s, limit %s, faults for about %s", s.assignment(), s.limit, p.takes.Round(time.Second))
	return s
}

func (s *storm) assignment() string {
	if s.plan.spread {
		return "spread"
	}
	return "single"
}

// A chaosEvent is what a record of this test holds.
type chaosEvent struct {
	ID   string `json:"id"`
	Lead string `json:"lead"`
	Dead bool   `json:"dead"` // the lead does not exist
}

// event is the ith record. Leads come again soon, so that their order can break.
func (s *storm) event(i int) *kgo.Record {
	e := chaosEvent{ID: fmt.Sprintf("r%d", i), Lead: fmt.Sprintf("lead-%d", (i*7919+i/89)%max(100, s.records/40))}
	if i%100 == 99 {
		e.Lead, e.Dead = fmt.Sprintf("unknown-%d", i%1700), true
	}
	value, err := json.Marshal(e)
	if err != nil {
		panic(err) // our own type
	}
	return &kgo.Record{Topic: s.topic, Key: []byte(e.Lead), Value: value}
}

func eventOf(r *kgo.Record) (e chaosEvent, err error) {
	if err = json.Unmarshal(r.Value, &e); err != nil {
		err = fmt.Errorf("%s[%d] offset %d is no event: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return e, err
}

// run lets everything go wrong, mends it, waits until all is committed, and judges.
func (s *storm) run() {
	s.produceRange(0, s.records/4)
	for seat := range seats {
		s.crew[seat] = s.launch(seat)
	}
	w := newWatch(s.delivery)
	watching, stop := context.WithCancel(s.Context())
	seen := make(chan samples, 1)
	go func() { seen <- w.sample(watching) }() // ends with stop
	var beside sync.WaitGroup
	s.Cleanup(beside.Wait) // also when the run is given up
	beside.Go(s.load)
	beside.Go(s.changeWeather)
	for i, b := range s.plan.blows {
		s.strike(b)
		if b.rest {
			s.rest(b.kind)
		}
		s.wait(b.pause)
		s.past.Store(int64(i + 1))
	}
	beside.Wait()
	s.settleDown()
	stop()
	s.judge(w, <-seen)
}

// load produces what is left, evenly over the time that the blows should take, but
// not far ahead of them, so that there is something to do until the last.
func (s *storm) load() {
	began, first := time.Now(), s.records/4
	for done := first; done < s.records && s.Context().Err() == nil; {
		s.wait(500 * time.Millisecond)
		part := min(1, float64(time.Since(began))/float64(s.plan.takes), float64(s.past.Load()+2)/float64(len(s.plan.blows)))
		next := first + int(part*float64(s.records-first))
		s.produceRange(done, next)
		done = next
	}
}

// produceRange stores records; it may be called from any goroutine of the test.
func (s *storm) produceRange(from, to int) {
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, s.event(i))
	}
	if err := s.cluster.client.ProduceSync(s.Context(), records...).FirstErr(); err != nil && s.Context().Err() == nil {
		s.Errorf("produce: %v", err)
	}
}

// changeWeather makes the API fail now and then while other things happen.
func (s *storm) changeWeather() {
	defer s.faults(nil)
	n := len(s.plan.weather)
	for _, b := range s.plan.weather {
		if s.Context().Err() != nil {
			return
		}
		s.wait(max(time.Second, s.plan.takes/time.Duration(n)-b.lasts) / 2)
		s.Logf("%s %s", s.at(), b)
		s.faults(b.rates)
		s.wait(b.lasts)
		s.faults(nil)
		s.wait(max(time.Second, s.plan.takes/time.Duration(n)-b.lasts) / 2)
	}
}

func (s *storm) faults(rates map[fakeapi.Fault]float64) {
	body, err := json.Marshal(map[string]any{"rates": rates})
	if err != nil {
		panic(err) // our own types
	}
	resp, err := http.Post(s.api+"/_fake/faults", "application/json", strings.NewReader(string(body))) //nolint:noctx // loopback
	if err != nil {
		s.Errorf("set faults: %v", err)
		return
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusNoContent {
		s.Errorf("set faults: status %d", resp.StatusCode)
	}
}

func (s *storm) at() string { return time.Since(s.began).Round(100 * time.Millisecond).String() }

// wait waits, or until the test ends.
func (s *storm) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.Context().Done():
	}
}

// strike carries out one blow, up to the end of it.
func (s *storm) strike(b blow) {
	s.alive()
	at := len(s.struck)
	s.struck = append(s.struck, strike{blow: b, began: time.Now()})
	defer func() { s.struck[at].ended = time.Now() }()
	if b.kind == fells {
		s.fell(b)
		return
	}
	seat := s.victim(b)
	m := s.crew[seat]
	s.Logf("%s %s: seat %d", s.at(), b, seat)
	switch b.kind {
	case kills:
		m.kill(s.T)
		m.wait(s.T, time.Minute)
		s.crew[seat] = s.launch(seat)
	case terminates:
		s.crew[seat] = nil
		s.end(m, "mid-run")
		s.crew[seat] = s.launch(seat)
	case suspends:
		m.freeze(s.T)
		s.wait(b.lasts)
		m.thaw(s.T)
	case resets, silences:
		how := reset
		if b.kind == silences {
			how = silent
		}
		s.cut(seat, how)
		s.wait(b.lasts)
		s.cut(seat, carried)
	case fells, weather: // not at a seat
	}
}

// patience is how long nothing may happen while there is something to do: more
// than the session and the weather at its worst, and then the search for what an
// earlier owner may have sent.
const patience = 90 * time.Second

// created is how many activities LeadSquared holds.
func (s *storm) created() int {
	var sum fakeapi.Summary
	s.get("/_fake/summary", &sum)
	return sum.Created
}

// rest waits until activities are created again, more than what was in flight, or
// nothing is left to do. It is a fault of its own if that takes long.
func (s *storm) rest(after kind) {
	began, before := time.Now(), s.created()
	for s.created() < before+chaosInFlight*chaosBatch && !s.idle() {
		if time.Since(began) > patience {
			s.Errorf("%s stalled: %d activities were created in %s after %s", s.at(), s.created()-before, patience, after)
			s.logCrew()
			return
		}
		s.wait(200 * time.Millisecond)
	}
	s.Logf("%s %d activities were created in %s after %s", s.at(), s.created()-before, time.Since(began).Round(100*time.Millisecond), after)
}

// idle reports whether everything that was produced is committed. While a broker
// is down nobody may know: then it is not.
func (s *storm) idle() bool {
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	ends, err := s.cluster.admin.ListEndOffsets(ctx, s.topic)
	if err != nil || ends.Error() != nil {
		return false
	}
	committed, err := s.cluster.admin.FetchOffsets(ctx, s.group)
	idle := err == nil && committed.Error() == nil
	for partition, end := range ends[s.topic] {
		at, _ := committed.Lookup(s.topic, partition)
		idle = idle && at.At >= end.Offset
	}
	return idle
}

// cut changes what the links of a seat do. The member still reaches the API.
func (s *storm) cut(seat int, how way) {
	for _, l := range s.trio.links[seat] {
		l.set(how)
	}
}

func (s *storm) fell(b blow) {
	s.trio.whole(s.T) // or this would be the second that is away
	node := b.node
	if n, ok := s.trio.coordinatorOf(s.T, s.group); b.leading && ok {
		node = n
	}
	s.Logf("%s %s: number %d", s.at(), b, node+1)
	s.trio.docker(s.T, "kill", node)
	s.wait(b.lasts)
	s.trio.docker(s.T, "start", node)
}

// victim is the seat that a blow hits.
func (s *storm) victim(b blow) int {
	if b.working {
		for i := range seats {
			seat := (b.seat + i) % seats
			if status, ok := s.crew[seat].status(); ok && len(status.Partitions) > 0 {
				return seat
			}
		}
	}
	return b.seat
}

// settleDown mends everything, waits until all is committed, and ends the members.
func (s *storm) settleDown() {
	s.trio.whole(s.T)
	s.alive()
	behind := s.cluster.behind(s.T, s.group, s.topic)
	s.Logf("%s everything is mended, %d records are not committed", s.at(), behind)
	deadline := time.Now().Add(3*time.Minute + 2*time.Since(s.began))
	last, moved := s.created(), time.Now()
	for behind > 0 && time.Now().Before(deadline) {
		s.wait(500 * time.Millisecond)
		before := behind
		behind = s.cluster.behind(s.T, s.group, s.topic)
		if created := s.created(); created > last || behind < before {
			last, moved = created, time.Now()
		}
		if time.Since(moved) > patience {
			s.Errorf("%s stalled: everything is mended, and nothing was created or committed for %s; %d records are not committed", s.at(), patience, behind)
			s.logCrew()
			moved = time.Now()
		}
	}
	if behind > 0 {
		s.Errorf("%s stalled: %d records are not committed", s.at(), behind)
		s.logCrew()
	}
	for _, m := range s.crew {
		s.end(m, "at last")
	}
}
