//go:build system

package main_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

var long = flag.Bool("long", false, "the long forms of the tests that have one (make endurance)")

// Deployments of groups of their own, each with its share of the limit, call one
// account. By its clock no window holds more calls than the limit, nor than the
// whole calls of the shares together.
func TestSystemSharesOfTheLimitNeverExceedItTogether(t *testing.T) {
	c := startKafka(t, overPlaintext)
	lasts := time.Minute
	if *long {
		lasts = 5 * time.Minute
	}
	for _, test := range []struct {
		deployments int
		share       string
		calls       int // of a share
	}{{2, "0.5", 12}, {3, "0.3", 7}} {
		t.Run(fmt.Sprintf("%d of %s", test.deployments, test.share), func(t *testing.T) {
			t.Parallel() // each with an account of its own
			first := newDelivery(t, c, 0, "--limit", "25/5s", "--latency", "50ms")
			var all []*delivery
			var crew []*crewMember
			for i := range test.deployments {
				d := *first
				d.group, d.inLimit, d.guard, d.flight = fmt.Sprintf("%s-%d", first.group, i), "25/5s", "200ms", 8
				d.share = "  limits_share: " + test.share + "\n"
				all = append(all, &d)
			}
			// More than the shares are enough for.
			c.produce(t, first.topic, int(lasts/time.Second)*test.calls*25/5+2000, func(i int) *kgo.Record { return told("share", i) })
			for _, d := range all {
				crew = append(crew, d.start())
			}
			pause(t, lasts/2)
			crew[0] = all[0].restart(crew[0])
			pause(t, lasts/2)
			first.ends(crew...)
			var sum fakeapi.Summary
			first.get("/_fake/summary", &sum)
			together := test.deployments * test.calls
			t.Logf("%d calls, at most %v in a window, %d over the limit", sum.Calls, sum.Most, sum.Violations)
			if sum.Violations > 0 {
				t.Errorf("%d calls came over the limit", sum.Violations)
			}
			if most := sum.Most["25/5s"]; most > together || most < together*3/4 {
				t.Errorf("%d calls in a window, want nearly the %d of the shares, and no more", most, together)
			}
		})
	}
}
