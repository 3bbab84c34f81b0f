//go:build system

package main_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// A kind is what a blow does.
type kind string

const (
	kills      kind = "member killed"
	terminates kind = "member terminated"
	suspends   kind = "member suspended"
	resets     kind = "member cut off by resets"
	silences   kind = "member cut off in silence"
	fells      kind = "broker killed"
	weather    kind = "api faults"
)

var everyKind = []kind{kills, terminates, suspends, resets, silences, fells, weather}

// doubts reports whether a blow may leave calls behind of which nobody knows
// whether they were applied: a member that ends in good order leaves none.
func (k kind) doubts() bool { return k != terminates && k != weather }

// A blow is one thing that goes wrong. All of it is drawn before the run, so that
// a seed repeats the same sequence, however long the parts of the run take.
type blow struct {
	kind    kind
	seat    int  // of the member, or where the search for the one to hit begins
	working bool // hit a member that owns partitions, not the one at the seat
	node    int
	leading bool // hit the broker that coordinates the group, not the node
	lasts   time.Duration
	rest    bool          // the next waits until activities are created again
	pause   time.Duration // and then for this
	rates   map[fakeapi.Fault]float64
}

func (b blow) String() string {
	switch {
	case b.kind == weather:
		var rates []string
		for _, f := range slices.Sorted(maps.Keys(b.rates)) {
			rates = append(rates, fmt.Sprintf("%s=%.2f", f, b.rates[f]))
		}
		return fmt.Sprintf("%s for %s: %s", b.kind, b.lasts, strings.Join(rates, " "))
	case b.kind == fells && b.leading:
		return fmt.Sprintf("%s for %s, the group's coordinator", b.kind, b.lasts)
	case b.kind == fells:
		return fmt.Sprintf("%s for %s, number %d", b.kind, b.lasts, b.node+1)
	case b.working:
		return fmt.Sprintf("%s for %s, the first that works from seat %d on", b.kind, b.lasts, b.seat)
	}
	return fmt.Sprintf("%s for %s, at seat %d", b.kind, b.lasts, b.seat)
}

// A plan is what goes wrong in one run: blows one after the other, and the
// weather of the API beside them.
type plan struct {
	blows   []blow
	weather []blow
	takes   time.Duration // of the blows, about
	spread  bool          // the members share the partitions, instead of standing by
}

// drawPlan draws n blows, with every kind among them if there is room for it.
func drawPlan(r *rand.Rand, n int) plan {
	p := plan{}
	kinds := slices.Clone(everyKind[:min(n, len(everyKind))])
	for len(kinds) < n {
		kinds = append(kinds, everyKind[r.IntN(len(everyKind))])
	}
	r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	for _, k := range kinds {
		b := blow{
			kind: k, seat: r.IntN(seats), working: r.Float64() < 0.75, node: r.IntN(nodes), leading: r.Float64() < 0.5,
			rest: r.Float64() < 0.6, pause: between(r, time.Second, 4*time.Second),
		}
		took := 3 * time.Second
		switch k {
		case suspends, resets, silences:
			b.lasts, took = between(r, chaosSession+time.Second, chaosSession+4*time.Second), 0
		case fells:
			b.lasts = between(r, 3*time.Second, 10*time.Second)
		case weather:
			b.lasts = between(r, 8*time.Second, 20*time.Second)
			b.rates = drawRates(r, len(p.weather) == 0)
			p.weather = append(p.weather, b)
			continue
		case kills:
			took = chaosSession + 2*time.Second // until the group has noticed, and the successor is in
		case terminates:
		}
		p.blows = append(p.blows, b)
		if b.rest {
			took += 5 * time.Second
		}
		p.takes += b.lasts + b.pause + took
	}
	return p
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(r.Int64N(int64(most-least)))).Round(100 * time.Millisecond)
}

// drawRates draws what goes wrong with calls: everything at once in the first
// weather, later all calls in one way, or a part of them in a few.
func drawRates(r *rand.Rand, first bool) map[fakeapi.Fault]float64 {
	// Refusing good calls would make good rows dead, and refused keys halt for half a minute each time.
	ways := slices.DeleteFunc(fakeapi.Faults(), func(f fakeapi.Fault) bool { return f == fakeapi.RefuseCall || f == fakeapi.Denied })
	rates := map[fakeapi.Fault]float64{}
	switch {
	case first:
		for _, f := range ways {
			rates[f] = 0.04
		}
	case r.Float64() < 0.2:
		rates[ways[r.IntN(len(ways))]] = 1
	default:
		for range 1 + r.IntN(4) {
			rates[ways[r.IntN(len(ways))]] = 0.05 + 0.2*r.Float64()
		}
	}
	return rates
}
