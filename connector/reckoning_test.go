package connector_test

import (
	"slices"
	"strings"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

const (
	// mostSpoiled is in how many calls a row may be, while one member owns its
	// partition, that another row spoils: then it goes without it.
	mostSpoiled = 2
	// mostAlone is how often a row that spoils its own calls may go: twice in company,
	// then alone, three times delivery.unproven_after at most while some others are judged.
	mostAlone = 2 + 3*5 + 1
)

// account compares what was produced with what LeadSquared and the dead-letter
// topic hold at the end.
func (w *world) account() {
	times := map[string][]fakeapi.Activity{}
	for _, a := range w.api.Activities(0, 0) {
		times[a.Note] = append(times[a.Note], a)
	}
	receipted := map[position]bool{}
	if w.receipts {
		for _, r := range w.issued() {
			receipted[position{r.Partition, r.Offset}] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, want := range w.produced {
		n := len(times[p.String()])
		switch {
		case want == toDeliver && n == 0:
			w.Errorf("%s is lost (its letter was stored %d times: %s)", p, w.buried[p], w.reasons[p])
		case want == toDeliver && w.receipts && p.partition < partitions && !receipted[p]:
			w.Errorf("%s has no receipt", p) // invariant 11
		case (want == toFilter || want == toBury) && n > 0:
			w.Errorf("%s was to become no activity and became %d", p, n)
		case want == toDeliver && w.buried[p] > 0:
			w.Errorf("%s was delivered and buried: %s", p, w.reasons[p])
		case want == toBury && w.buried[p] == 0:
			w.Errorf("%s was to be buried and is not", p)
		case want == toSuffer && n == 0 && w.buried[p] == 0:
			w.Errorf("%s is lost: it was neither created nor buried", p)
		}
	}
	for _, p := range w.expired {
		if len(times[p.String()]) == 0 && w.buried[p] == 0 && !slices.ContainsFunc(w.told, func(t told) bool { return t.partition == p.partition && t.first <= p.offset && p.offset <= t.last }) {
			w.Errorf("%s was deleted before it had its fate, and nobody said so", p)
		}
	}
	w.repeats(times)
}

// A told is that a member said which records were deleted before they had their fate.
type told struct {
	partition   int32
	first, last int64
}

func (w *world) tells(t told) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, t)
}

// deleteBefore notes which records of a partition that come before the offset have no fate,
// where its position is committed: where it is not, nobody can tell what there was.
func (w *world) deleteBefore(partition int32, to int64) {
	c, begun := w.committed()[partition]
	for at, want := range w.produced {
		if at.partition != partition || at.offset >= to {
			continue
		}
		if (want == toDeliver || want == toBury) && begun && !c.covers(at.offset) {
			w.expired = append(w.expired, at)
		}
		w.produced[at] = toMiss
	}
}

// repeats reckons up, row by row, why an activity was created again: only
// where nobody could know of the one before.
func (w *world) repeats(times map[string][]fakeapi.Activity) {
	calls := w.api.Calls(0, 0)
	unexplained := 0
	for note, created := range times {
		if w.marked && len(created) > 1 {
			w.Errorf("%s was created %d times although it carries a marker", note, len(created))
			continue
		}
		p, spoiled, explained := noted(note), 0, 0
		for _, a := range created { // a late call may be applied after the one that was sent for it
			c := calls[a.Call-1]
			if strings.HasPrefix(c.Outcome, "spoiled_") {
				spoiled++
			}
			if doubtful(c) && (!w.holds() || c.Outcome == "refused") {
				explained++
			}
		}
		if !w.doubles[p] { // a record is recorded with its last activity only
			unexplained += max(0, len(created)-1-explained)
		}
		most := mostSpoiled
		if w.poisoned[p] {
			most = mostAlone
		}
		owners := w.owned[p.partition%generationSize] // of every life of its topic
		if most *= max(1, owners); spoiled > most {
			w.Errorf("%s was created %d times in calls that what a row holds has spoiled, want %d at most: its partition had %d owners", note, spoiled, most, owners)
		}
	}
	ends := w.crashes + w.seen["a drain that ran out of time"] + w.seen["a loss without a cut"]
	if most := ends * w.config.InFlight * 25; unexplained > most {
		w.Errorf("%d activities were created again after calls that proved them, want %d at most after %d ends without a commit", unexplained, most, ends)
	}
	throttled := 0
	for _, c := range calls {
		if strings.HasPrefix(c.Outcome, "throttle") {
			throttled++
		}
	}
	if n := w.seen["a call that was throttled"]; n > throttled {
		w.Errorf("%d calls were taken for throttled, LeadSquared throttled %d", n, throttled)
	}
}

// doubtful reports whether nobody could know what the call had created.
func doubtful(c fakeapi.Call) bool {
	switch c.Outcome {
	case "created", string(fakeapi.Reordered), string(fakeapi.Slow):
		return c.Left
	}
	return true
}
