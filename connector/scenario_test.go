package connector_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

var (
	scenarios = flag.Int("scenarios", 1000, "how many random scenarios; with -short a fifth of them")
	firstSeed = flag.Uint64("seed", 1, "seed of the first scenario")
)

// A step is one thing that happens in a scenario.
type step struct {
	name   string
	weight int
	do     func(w *world)
}

// steps are the kinds of events. Each must happen in at least 5 % of scenarios.
var steps = []step{
	{"records", 6, func(w *world) { w.produce(1 + w.random.IntN(80)) }},
	{"a moment", 4, func(w *world) { time.Sleep(time.Duration(w.random.Int64N(int64(900 * time.Millisecond)))) }},
	{"a while", 4, func(w *world) { time.Sleep(time.Duration(w.random.Int64N(int64(20 * time.Second)))) }},
	{"an outage", 2, func(w *world) { w.rates(fakeapi.Failed500, 0.3, fakeapi.Gateway503, 0.4, fakeapi.ResetBefore, 0.3) }},
	{"hanging calls", 1, func(w *world) { w.rates(fakeapi.HangBefore, 0.4, fakeapi.HangAfter, 0.3) }},
	{"slow answers", 3, func(w *world) { w.rates(fakeapi.Slow, 0.8) }},
	{"partial failures", 2, func(w *world) {
		w.rates(fakeapi.RowMissing, 0.1, fakeapi.RowTwice, 0.1, fakeapi.Renumbered, 0.1, fakeapi.Truncated, 0.1, fakeapi.Reordered, 0.2)
	}},
	{"late calls", 2, func(w *world) { w.rates(fakeapi.Late, 0.4, fakeapi.HangBefore, 0.2) }},
	{"resets", 1, func(w *world) { w.rates(fakeapi.ResetAfter, 0.2, fakeapi.ResetBefore, 0.2) }},
	{"throttling", 1, func(w *world) { w.rates(fakeapi.Throttle, 0.1, fakeapi.Throttle403, 0.1, fakeapi.Throttle200, 0.1) }},
	{"refused calls", 2, func(w *world) { w.api.SetReading([]fakeapi.Reading{fakeapi.H2, fakeapi.H2Before}[w.random.IntN(2)]) }},
	{"large calls", 1, func(w *world) { w.rates(fakeapi.TooLarge, 0.2) }},
	{"keys withdrawn", 1, func(w *world) { w.rates(fakeapi.Denied, 1.0) }},
	{"all well", 4, func(w *world) { w.heal() }},
	{"a new member", 3, func(w *world) {
		if len(w.alive()) < 3 {
			w.start()
		}
	}},
	{"a stop", 3, func(w *world) {
		if m := w.any(); m != nil {
			m.end()
		}
	}},
	{"a stop amid slow answers", 3, func(w *world) {
		w.rates(fakeapi.Slow, 1.0) // slower than the drain
		w.produce(60)
		time.Sleep(1500 * time.Millisecond)
		if m := w.any(); m != nil {
			m.end()
			w.start()
		}
		time.Sleep(5 * time.Second)
	}},
	{"a crash", 3, func(w *world) {
		if m := w.any(); m != nil {
			m.crash()
		}
	}},
	{"a cut from Kafka", 2, func(w *world) {
		if m := w.any(); m != nil {
			m.kafka.cut()
			w.crashes++
		}
	}},
	{"a silent cut from Kafka", 2, func(w *world) {
		if m := w.any(); m != nil {
			m.kafka.drop()
			w.crashes++
		}
	}},
	{"a mended cut", 2, func(w *world) {
		for _, m := range w.members {
			if m.running() && m.kafka.isCut() && !m.api.isCut() {
				m.kafka.mend()
			}
		}
	}},
	{"a pause", 1, func(w *world) {
		if m := w.any(); m != nil {
			_ = m.connector.Pause(context.Background())
			time.Sleep(time.Duration(w.random.Int64N(int64(10 * time.Second))))
			_ = m.connector.Resume(context.Background())
		}
	}},
}

// any is one of the members that are well, or nil.
func (w *world) any() *member {
	alive := w.alive()
	if len(alive) == 0 {
		return nil
	}
	return alive[w.random.IntN(len(alive))]
}

// rates sets faults and their rates, given in turn.
func (w *world) rates(pairs ...any) {
	rates := map[fakeapi.Fault]float64{}
	for i := 0; i < len(pairs); i += 2 {
		rates[pairs[i].(fakeapi.Fault)] = pairs[i+1].(float64)
	}
	w.must(w.api.SetRates(rates))
}

func (w *world) heal() {
	w.rates()
	w.api.SetReading(fakeapi.H1)
}

// TestEngineKeepsItsInvariantsInRandomScenarios drives members over the real
// client libraries through random outages, rebalances, restarts and refusals in
// virtual time. The invariants are checked after each step from outside: by what
// was sent, what LeadSquared holds, what is committed. At the end everything is
// mended, and everything must have reached its fate.
func TestEngineKeepsItsInvariantsInRandomScenarios(t *testing.T) {
	seen, had := map[string]int{}, map[string]int{}
	scenarios := *scenarios
	if testing.Short() {
		scenarios = max(1, scenarios/5)
	}
	for i := range scenarios {
		seed := *firstSeed + uint64(i)
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, seed, seed%3 == 0)
				if w.marked = seed%2 == 0; w.marked {
					w.config.OnUnknown = "reconcile"
				}
				if w.receipts = seed%4 < 2; w.receipts {
					w.traced()
				}
				for _, name := range w.scenario() {
					had[name]++
				}
				for what, n := range w.seen {
					seen[what] += n
				}
			})
		})
		if !ok {
			t.Fatalf("scenario %d failed; repeat it with -args -seed=%d -scenarios=1", seed, seed)
		}
	}
	t.Logf("%d scenarios: %v, %v", scenarios, had, seen)
	if scenarios < 1000 {
		return // too few to say anything about coverage
	}
	for _, s := range steps {
		if had[s.name]*20 < scenarios {
			t.Errorf("%q happened in %d of %d scenarios, want 5 %%", s.name, had[s.name], scenarios)
		}
	}
	for _, what := range []string{"a revoke with calls in flight", "a late answer after a revoke", "an inherited doubt", "some of the rows in doubt found", "none of the rows in doubt found", "a partition regained", "a restart with finished ranges"} {
		if seen[what] < 50 {
			t.Errorf("%s happened %d times, want 50", what, seen[what])
		}
	}
}

// scenario plays one scenario and returns the names of its steps, each once.
func (w *world) scenario() []string {
	var script, names []string
	defer func() {
		if w.Failed() {
			w.Logf("the script: %s", strings.Join(script, ", "))
		}
	}()
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	w.start()
	w.produce(40)
	for range 8 + w.random.IntN(8) {
		at := w.random.IntN(total)
		i := slices.IndexFunc(steps, func(s step) bool { at -= s.weight; return at < 0 })
		script = append(script, steps[i].name)
		if !slices.Contains(names, steps[i].name) {
			names = append(names, steps[i].name)
		}
		steps[i].do(w)
		w.check(steps[i].name)
	}
	script = append(script, "the end")
	w.finish()
	w.check("the end")
	w.account()
	w.close()
	w.report()
	return names
}

// report fails the test with what the wrappers saw.
func (w *world) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.wrong {
		w.Error(s)
	}
}

// check looks at the world from outside, and at the members' own books.
func (w *world) check(after string) {
	synctest.Wait()
	for _, m := range w.members {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		wrong, err := m.connector.Check(ctx)
		cancel()
		if err == nil && wrong != "" {
			w.Errorf("after %s: %s: %s", after, m.name, wrong)
		}
	}
	committed := w.committed()
	created := w.created()
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, want := range w.produced {
		c := committed[p.partition]
		// Invariants 1 and 2, by what LeadSquared and the dead-letter topic hold.
		if !c.covers(p.offset) {
			continue
		}
		switch {
		case want == toDeliver && !created[p.String()] && w.buried[p] == 0:
			w.Errorf("after %s: invariant 1: %s is committed (next %d, finished %v) and was neither created nor buried", after, p, c.next, c.finished)
		case want == toBury && w.buried[p] == 0:
			w.Errorf("after %s: invariant 2: %s is committed (next %d, finished %v) and its letter is not stored", after, p, c.next, c.finished)
		}
	}
	if s := w.api.Summary(""); s.Violations > 0 {
		w.Errorf("after %s: invariant 7: %d calls over the limit", after, s.Violations)
	}
}

// A commit is what the group has committed for a partition.
type commit struct {
	next     int64
	finished [][2]int64
}

func (c commit) covers(offset int64) bool {
	return offset < c.next || slices.ContainsFunc(c.finished, func(r [2]int64) bool { return r[0] <= offset && offset <= r[1] })
}

func (w *world) committed() map[int32]commit {
	responses, err := w.admin.FetchOffsets(context.Background(), group)
	w.must(err)
	topics, err := w.admin.ListTopics(context.Background(), topic)
	w.must(err)
	all := map[int32]commit{}
	responses.Each(func(r kadm.OffsetResponse) {
		c := commit{next: r.At}
		m, err := kafka.DecodeMetadata(r.Metadata, topics[topic].ID, r.At)
		w.must(err)
		for _, x := range m.Finished {
			c.finished = append(c.finished, [2]int64{x.First, x.Last})
		}
		all[r.Partition] = c
	})
	return all
}

// created are the positions whose every activity LeadSquared holds.
func (w *world) created() map[string]bool {
	created := map[string]bool{}
	for _, a := range w.api.Activities(0, 0) {
		created[a.Note] = true
	}
	for p := range w.doubles {
		if !created[p.String()+"-second"] {
			delete(created, p.String())
		}
	}
	return created
}

// finish mends everything and waits until everything is committed.
func (w *world) finish() {
	w.heal()
	for _, m := range w.members {
		if m.running() && !m.api.isCut() {
			m.kafka.mend()
			_ = m.connector.Resume(context.Background())
		}
	}
	if len(w.alive()) == 0 {
		w.start()
	}
	for i := range 60 {
		if w.everythingCommitted() {
			return
		}
		if i == 10 {
			// kfake keeps a member for ever whose connection died during its
			// join (Kafka's session timeout would end it); another join removes it.
			w.start()
		}
		time.Sleep(30 * time.Second)
		if len(w.alive()) == 0 {
			w.start()
		}
		for _, m := range w.alive() {
			_ = m.connector.Resume(context.Background())
		}
	}
	for _, m := range w.alive() {
		s, err := m.connector.Status(context.Background())
		w.Logf("%s: %+v %v", m.name, s, err)
	}
	w.Errorf("half an hour after everything was mended not everything is committed: %v", w.committed())
}

func (w *world) everythingCommitted() bool {
	committed := w.committed()
	for p := range w.produced {
		if p.offset >= committed[p.partition].next {
			return false
		}
	}
	return true
}

// account compares what was produced with what LeadSquared and the dead-letter
// topic hold at the end.
func (w *world) account() {
	times := map[string]int{}
	for _, a := range w.api.Activities(0, 0) {
		times[a.Note]++
	}
	receipted := map[position]bool{}
	if w.receipts {
		for _, r := range w.issued() {
			receipted[position{r.Partition, r.Offset}] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	again := 0
	for p, want := range w.produced {
		n := times[p.String()]
		if !w.doubles[p] { // a record is recorded with its last activity only
			again += max(0, n-1)
		}
		switch {
		case want == toDeliver && n == 0:
			w.Errorf("%s is lost (its letter was stored %d times: %s)", p, w.buried[p], w.reasons[p])
		case want == toDeliver && w.receipts && !receipted[p]:
			w.Errorf("%s has no receipt", p) // invariant 11
		case want != toDeliver && n > 0:
			w.Errorf("%s was to become no activity and became %d", p, n)
		case want == toDeliver && w.buried[p] > 0:
			w.Errorf("%s was delivered and buried", p)
		case want == toBury && w.buried[p] == 0:
			w.Errorf("%s was to be buried and is not", p)
		}
	}
	if w.marked {
		for note, n := range times {
			if n > 1 {
				w.Errorf("%s was created %d times although it carries a marker", note, n)
			}
		}
		return
	}
	// Rows are created twice only where nobody could know: in calls without a
	// proof, and in those in flight at a crash.
	doubtful := 0
	for _, c := range w.api.Calls(0, 0) {
		if c.Outcome != "created" {
			doubtful += c.Created
		}
	}
	if most := doubtful + w.crashes*w.config.InFlight*25; again > most {
		w.Errorf("%d activities were created again, %d can be explained", again, most)
	}
}
