package connector_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
	"github.com/leadsink/leadsink/transform"
)

// An hour is what came of the events of one.
type hour struct {
	calls     int             // all of whose rows were sent for the first time
	isolating int             // with a row that was sent before
	reads     int             // for rows in doubt
	done      []time.Duration // when each good event was created first, from the beginning on, in order
}

// share is how long it took until this share of the good events was created.
func (h hour) share(s float64) time.Duration { return h.done[int(s*float64(len(h.done)-1))] }

func (h hour) String() string {
	return fmt.Sprintf("%d calls, %d that isolate, %d reads; half after %s, 95 %% after %s, all after %s",
		h.calls, h.isolating, h.reads, h.share(0.5), h.share(0.95), h.share(1))
}

// An hour's events with the document's defaults, with and without one row in a
// thousand that spoils its calls in each way there is. What isolating costs are the
// calls with a row that was sent before, and the reads; a slot each.
func TestOneRowInAThousandOfEachPoisonCostsTheCallsThatIsolateIt(t *testing.T) {
	if testing.Short() {
		t.Skip("hours of virtual time are long with the race detector")
	}
	for _, mode := range withoutProof {
		for _, load := range []load{quiet, backlog, longBacklog} {
			t.Run(fmt.Sprintf("%s %s", mode.name, load.name), func(t *testing.T) {
				var clean, spoilt hour
				inWorld(t, func(w *world) { mode.set(w); clean = w.anHour(load, false) })
				inWorld(t, func(w *world) { mode.set(w); spoilt = w.anHour(load, true) })
				if t.Failed() {
					return
				}
				t.Logf("clean: %s", clean)
				t.Logf("spoilt: %s", spoilt)
				load.compare(t, clean, spoilt)
			})
		}
	}
}

// A load is how the events come.
type load struct {
	name   string
	before int // events that wait when the member starts
	limit  budget.Limit
}

var (
	perDocument = budget.Default().Limits[0]
	quiet       = load{"quiet", 0, perDocument}
	backlog     = load{"backlog", 7200, perDocument}
	longBacklog = load{"backlog of an hour", 7200, budget.Limit{Calls: 5, Window: time.Minute}}
)

// compare checks that good events keep 95 % of their pace, but for the slots that
// isolating takes. The last ones wait for calls that hang, too.
func (l load) compare(t *testing.T, clean, spoilt hour) {
	t.Helper()
	isolating := time.Duration(spoilt.isolating+spoilt.reads) * l.limit.Window / time.Duration(l.limit.Calls)
	if spoilt.calls > clean.calls*100/95 {
		t.Errorf("%d calls for rows of the first time, want %d and 5 %% more at most", spoilt.calls, clean.calls)
	}
	if most := clean.share(0.95)*100/95 + isolating; spoilt.share(0.95) > most {
		t.Errorf("95 %% of the good events took %s, want %s at most", spoilt.share(0.95), most)
	}
	if most := clean.share(1)*100/95 + isolating + 10*leadsquared.Default().Timeout; spoilt.share(1) > most {
		t.Errorf("all good events took %s, want %s at most", spoilt.share(1), most)
	}
}

// anHour delivers 7,200 events, of which one in a thousand holds poison of each kind
// if so wanted, and some more after a backlog.
func (w *world) anHour(load load, poisoned bool) (h hour) {
	w.Helper()
	mode := w.config.OnUnknown
	w.config = connector.Config{Name: "test", BatchConfig: connector.DefaultBatch(), DeliveryConfig: connector.DefaultDelivery()}
	w.config.OnUnknown, w.config.Timeout = mode, leadsquared.Default().Timeout
	w.config.HaltWhen = connector.Proportion{Part: 50, Of: 100}
	w.budget.Limits = []budget.Limit{load.limit}
	w.api.SetLimits(w.budget.Limits)
	w.count(&h)
	const events = 7200
	var bad []position
	counted := map[string]bool{}
	put := func(i int) {
		k := kind{value: fmt.Sprintf(`{"kind":"plain","lead":"lead-%d"}`, i), to: toDeliver}
		if which := i % 1000 / 160; poisoned && i < events && i%1000%160 == 83 && which < len(fakeapi.Spoils()) {
			k = w.poisonous(fakeapi.Spoils()[which])
		}
		p := w.put(int32(i%partitions), k.value, k.to)
		if k.to != toDeliver {
			bad = append(bad, p)
		} else if i < events {
			counted[p.String()] = true
		}
	}
	for i := range load.before {
		put(i)
	}
	began := time.Now()
	w.start()
	following := events
	if load.before > 0 {
		following = 1800
	}
	for i := range following {
		time.Sleep(time.Hour / time.Duration(following))
		put(load.before + i)
	}
	for range 300 {
		if w.everythingCommitted() {
			break
		}
		time.Sleep(time.Minute)
	}
	if !w.everythingCommitted() {
		w.Error("not everything is committed")
	}
	w.neighboursAreCreatedAtMostTwiceMore(bad...)
	for _, a := range w.api.Activities(0, 0) {
		if counted[a.Note] {
			delete(counted, a.Note)
			h.done = append(h.done, a.Stored.Sub(began))
		}
	}
	slices.Sort(h.done)
	h.reads = w.api.Summary("").Reads
	w.eachIsNamedOrThere(bad)
	return h
}

// count counts calls.
func (w *world) count(h *hour) {
	sent := map[string]bool{}
	w.calls = func(batch []*transform.Activity) {
		again := slices.ContainsFunc(batch, func(a *transform.Activity) bool { return sent[a.Note] })
		for _, a := range batch {
			sent[a.Note] = true
		}
		if again {
			h.isolating++
		} else {
			h.calls++
		}
	}
}

// eachIsNamedOrThere checks that each row that spoils its calls is a dead letter with
// a reason, or was found.
func (w *world) eachIsNamedOrThere(bad []position) {
	w.Helper()
	there := w.created()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range bad {
		found := w.marked && w.produced[p] == toSuffer && there[p.String()]
		if n := w.buried[p]; n != 1 && !found || n == 1 && w.reasons[p] == "" {
			w.Errorf("%s, which spoils its calls, was buried %d times: %q", p, n, w.reasons[p])
		}
	}
}
