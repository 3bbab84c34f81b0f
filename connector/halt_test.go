package connector

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDeathsAreCountedAmongRecordsInARow(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		limit := Proportion{1 + random.IntN(5), 5 + random.IntN(20)}
		d := deaths{limit: limit}
		var dead []uint64
		for _, p := range random.Perm(120) { // in any order
			place := uint64(p) + 1
			if random.IntN(3) > 0 {
				continue
			}
			dead = append(dead, place)
			slices.Sort(dead)
			most := 0
			for first := max(0, p+2-limit.Of); first <= p+1; first++ { // every row of records with this one
				n := 0
				for _, at := range dead {
					if at >= uint64(first) && at < uint64(first+limit.Of) {
						n++
					}
				}
				most = max(most, n)
			}
			if got, tooMany := d.add(place); got != most || tooMany != (most >= limit.Part) {
				t.Fatalf("%v: %d deaths in a row with %d, too many: %v; want %d", limit, got, place, tooMany, most)
			}
		}
	}
}

func TestDeathsAreForgottenBeyondABound(t *testing.T) {
	d := deaths{limit: Proportion{50, 100}}
	for place := uint64(1); place < 1_000_000; place += 100 {
		if _, tooMany := d.add(place); tooMany {
			t.Fatal("one death in a hundred is too many")
		}
	}
	if n := len(d.places); n > 1200 {
		t.Errorf("%d places are remembered", n)
	}
}
