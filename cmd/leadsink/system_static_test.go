//go:build system

package main_test

import (
	"fmt"
	"testing"
	"time"
)

// Two members of static names are killed again and again, and suspended for much
// longer than their session. With a marker nothing is created twice, and a minute
// after the last disturbance everything is delivered.
func TestSystemStaticMembersThatAreKilledAndSuspendedDoubleNothing(t *testing.T) {
	kills, suspended := 3, 8*time.Second
	if *long {
		kills, suspended = 10, 20*time.Second
	}
	d := newDelivery(t, startKafka(t, overPlaintext), 0, "--latency", "100ms", "--read-lag", "1s")
	d.flight, d.marked = 8, true
	d.session, d.drain, d.timeout = "6s", "5s", "3s"
	start := func(seat int) *crewMember {
		d.extra = fmt.Sprintf("  instance_id: seat-%d\n", seat)
		return d.launch()
	}
	crew := []*crewMember{start(0), start(1)}
	for _, m := range crew {
		d.becomesReady(m)
	}
	stop := d.load(d.topic, "steady")
	eventually(t, 20*time.Second, "records are delivered", func() bool { return d.delivered("steady") > 100 })
	for i := range kills {
		seat := i % 2
		crew[seat].kill(t)
		crew[seat].wait(t, time.Minute)
		crew[seat] = start(seat)
		pause(t, 3*time.Second)
	}
	at := active(t, crew)
	crew[at].freeze(t)
	pause(t, suspended)
	crew[at].thaw(t)
	last := time.Now()
	ids := stop()
	eventually(t, time.Minute, "everything is delivered", func() bool { return d.missing(ids) == 0 })
	t.Logf("everything is delivered %s after the last disturbance", time.Since(last).Round(100*time.Millisecond))
	d.drained(time.Minute)
	d.ends(crew...)
	d.once(ids)
}
