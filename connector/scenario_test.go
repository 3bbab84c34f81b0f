package connector_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

var (
	scenarios = flag.Int("scenarios", 1000, "how many random scenarios; with -short a fifth of them")
	firstSeed = flag.Uint64("seed", 1, "seed of the first scenario")
	with      = flag.String("with", "", "kinds of steps and settings that every scenario has, by commas")
	withAll   = flag.Bool("waiting", false, "with the kinds of steps that wait for the engine")
)

// mostFailed is how many scenarios may fail before the rest is not tried.
const mostFailed = 10

// TestEngineKeepsItsInvariantsInRandomScenarios drives members over the real
// client libraries through random outages, rebalances, restarts and refusals in
// virtual time. The invariants are checked after each step from outside: by what
// was sent, what LeadSquared holds, what is committed. At the end everything is
// mended, and everything must have reached its fate.
func TestEngineKeepsItsInvariantsInRandomScenarios(t *testing.T) {
	seen, had := map[string]int{}, map[string]int{}
	var failed []uint64
	scenarios := *scenarios
	if testing.Short() {
		scenarios = max(1, scenarios/5)
	}
	for i := range scenarios {
		seed := *firstSeed + uint64(i)
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newScenario(t, seed)
				for _, name := range w.scenario() {
					had[name]++
				}
				for what, n := range w.seen {
					seen[what] += n
				}
			})
		})
		if !ok {
			failed = append(failed, seed)
		}
		if len(failed) == mostFailed {
			break
		}
	}
	if len(failed) > 0 {
		t.Fatalf("scenarios %d failed; repeat each with -args -seed=SEED -scenarios=1", failed)
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

// A mode is a setting that some scenarios have: in of every of.
type mode struct {
	name   string
	in, of uint64
	do     func(w *world)
}

var modes = []mode{
	{"slow and good", 1, 8, func(w *world) {
		w.config.Timeout = 30 * time.Second
		w.api.SetSlow(12 * time.Second)
	}},
	{"a wide window", 2, 9, func(w *world) { w.config.Window, w.leads = connector.DefaultDelivery().Window, 300 }},
	{"start latest", 1, 7, func(w *world) { w.kafka.Start = "latest" }},
	{"two topics", 3, 5, func(w *world) {
		w.hasOther = true
		w.kafka.Topics = []string{topic, otherTopic}
	}},
}

// wanted reports whether every scenario is to have the kind.
func wanted(name string) bool { return slices.Contains(strings.Split(*with, ","), name) }

// newScenario starts the world of a scenario: which of the ways to deliver it
// has, its seed decides.
func newScenario(t *testing.T, seed uint64) *world {
	w := newWorld(t, seed, seed%3 == 0)
	switch {
	case seed%2 == 0:
		w.marked = true
		w.config.OnUnknown = "reconcile"
	case seed%8 == 3:
		w.config.OnUnknown = "hold"
	}
	w.reading = []fakeapi.Reading{fakeapi.H2, fakeapi.H2Before, fakeapi.H2Mixed}[seed/3%3]
	if w.receipts = seed%4 < 2; w.receipts {
		w.traced()
	}
	for _, m := range modes {
		if seed%m.of < m.in || wanted(m.name) {
			m.do(w)
		}
	}
	return w
}

// scenario plays one scenario and returns the names of its steps, each once.
func (w *world) scenario() []string {
	var script, names []string
	defer func() {
		if w.Failed() {
			w.Logf("the script: %s", strings.Join(script, ", "))
		}
	}()
	total, steps := 0, steps
	if *withAll {
		steps = slices.Concat(steps, waiting)
	}
	for _, s := range steps {
		total += s.weight
	}
	w.start()
	if w.kafka.Start == "latest" {
		time.Sleep(10 * time.Second) // what was there before is not its business
	}
	w.produce(40)
	n := 8 + w.random.IntN(8)
	for turn := range n {
		at := w.random.IntN(total)
		i := slices.IndexFunc(steps, func(s step) bool { at -= s.weight; return at < 0 })
		s := steps[i]
		if forced := forced(); turn >= n/3 && turn < n/3+len(forced) {
			s = forced[turn-n/3]
		}
		script = append(script, s.name)
		if !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
		s.do(w)
		w.check(s.name)
	}
	script = append(script, "the end")
	if w.finish(); !w.Failed() {
		w.check("the end")
		w.account()
	}
	w.close()
	w.report()
	return names
}

// forced are the kinds that every scenario is to have.
func forced() []step {
	return slices.DeleteFunc(slices.Concat(steps, waiting), func(s step) bool { return !wanted(s.name) })
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
		if s, err := m.connector.Status(context.Background()); err == nil && s.Stalls > 0 {
			w.Errorf("after %s: %s slept on work %d times: %s", after, m.name, s.Stalls, s.Words)
		}
	}
	committed := w.committed()
	created := w.created()
	for p, c := range committed {
		passed := c.epoch < 0 && c.next <= w.cluster.PartitionInfo(topic, p).LogStartOffset // over what retention deleted
		if was, known := w.epochs[p]; known && c.epoch < was && !passed {
			w.Errorf("after %s: partition %d is committed with epoch %d, which was %d", after, p, c.epoch, w.epochs[p])
		}
		w.epochs[p] = max(c.epoch, w.epochs[p])
	}
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
		case want == toSuffer && !created[p.String()] && w.buried[p] == 0:
			w.Errorf("after %s: invariant 1: %s is committed (next %d, finished %v) and was neither created nor buried", after, p, c.next, c.finished)
		}
	}
	if s := w.api.Summary(""); s.Violations > 0 {
		w.Errorf("after %s: invariant 7: %d calls over the limit", after, s.Violations)
	}
}

// A commit is what the group has committed for a partition.
type commit struct {
	next     int64
	epoch    int32
	finished [][2]int64
}

func (c commit) covers(offset int64) bool {
	return offset < c.next || slices.ContainsFunc(c.finished, func(r [2]int64) bool { return r[0] <= offset && offset <= r[1] })
}

func (w *world) committed() map[int32]commit {
	responses, err := w.admin.FetchOffsets(context.Background(), group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil // nobody has joined yet
	}
	w.must(err)
	all := map[int32]commit{}
	responses.Each(func(r kadm.OffsetResponse) {
		if r.Topic != topic {
			return
		}
		c := commit{next: r.At, epoch: r.LeaderEpoch}
		m, err := kafka.DecodeMetadata(r.Metadata, w.topicID, r.At)
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
	w.giveBack()
	for _, m := range w.members {
		if m.running() && !m.api.isCut() {
			m.kafka.mend()
			_ = m.connector.Resume(context.Background())
		}
	}
	if len(w.alive()) == 0 {
		w.start()
	}
	turns := 60
	if len(w.poisons) > 0 {
		turns = 240 // each row that spoils its calls has several calls to itself, with a timeout each
	}
	for i := range turns {
		if w.everythingCommitted() {
			return
		}
		if i == 10 {
			// kfake keeps a member for ever whose connection died during its
			// join (Kafka's session timeout would end it); another join removes it.
			w.start()
		}
		if i == 20 && !w.anyOwns() {
			// kfake also puts a rebalance off at each join (Kafka does not), so that members
			// whose joins time out by turns never end it; one alone does.
			for _, m := range w.alive()[1:] {
				m.end()
			}
		}
		if len(w.poisons) > 0 && i < turns-10 {
			w.writeTo(w.random.Int32N(partitions), 3) // what spoils its calls is told by others that do not
		}
		time.Sleep(30 * time.Second)
		if len(w.alive()) == 0 {
			w.start()
		}
		for _, m := range w.alive() {
			if i%4 == 3 { // not before a probe could tell
				_ = m.connector.Resume(context.Background())
			}
			w.decide(m)
		}
	}
	for _, m := range w.alive() {
		s, err := m.connector.Status(context.Background())
		w.Logf("%s: %+v %v", m.name, s, err)
	}
	w.Errorf("%d minutes after everything was mended not everything is committed: %v", turns/2, w.committed())
}

// anyOwns reports whether any member has a partition.
func (w *world) anyOwns() bool {
	for _, m := range w.alive() {
		if s, err := m.connector.Status(context.Background()); err != nil || len(s.Partitions) > 0 {
			return true
		}
	}
	return false
}

func (w *world) everythingCommitted() bool {
	committed, created := w.committed(), w.created()
	for p, want := range w.produced {
		if p.partition < partitions && p.offset >= committed[p.partition].next || p.partition >= partitions && want == toDeliver && !created[p.String()] {
			return false
		}
	}
	return true
}
