package connector_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// Each of them proves nothing while hardly anything else comes: that must not
// excuse the others, or all of them are created again for ever.
func TestSeveralRowsThatSpoilTheirCallsDoNotExcuseEachOtherInAQuietTopic(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.HaltWhen = connector.Proportion{}
		var bad []position
		for i := range 60 {
			if p := w.event(0, fmt.Sprintf("lead-%d", i)); i >= 10 && i%8 == 4 {
				bad = append(bad, p)
				w.produced[p] = toSuffer
			}
		}
		w.poison(fakeapi.SpoilHangAfter, bad...)
		w.start()
		for i := range 60 {
			time.Sleep(20 * time.Second)
			w.event(1, fmt.Sprintf("other-%d", i))
		}
		time.Sleep(time.Minute)
		w.neighboursAreCreatedAtMostTwiceMore(bad...)
		times := map[string]int{}
		for _, a := range w.api.Activities(0, 0) {
			times[a.Note]++
		}
		for _, p := range bad {
			if n := times[p.String()]; n > 13 || w.buried[p] != 1 {
				t.Errorf("%s was created %d times and buried %d times, want 13 at most, and once", p, n, w.buried[p])
			}
		}
	})
}
