//go:build system

package main_test

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// restartBroker kills the broker and starts it again: every partition has a new
// leader epoch then. All tests share the broker, so no other may run at the same time.
func (c *cluster) restartBroker(t *testing.T) {
	t.Helper()
	if c.broker.container == "" {
		t.Skip("the brokers of KAFKA_SEEDS are not this test's to restart")
	}
	for _, command := range []string{"kill", "start"} {
		if output, err := exec.CommandContext(t.Context(), "docker", command, c.broker.container).CombinedOutput(); err != nil {
			t.Fatalf("docker %s: %v: %s", command, err, output)
		}
	}
	eventually(t, time.Minute, "the broker answers again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.admin.FetchOffsets(ctx, "the first group")
		return err == nil
	})
}

// The only broker is restarted while rows are held and others wait, then the member,
// which learns of the held rows from the commits. A member that can reach no broker
// gives up what it holds, so without a marker calls in flight may go again, as after
// a crash; held rows never do.
func TestSystemABrokerRestartWithHeldRowsAndABacklogSendsNoHeldRowAgain(t *testing.T) {
	c := startKafka(t, overPlaintext)
	d := newDelivery(t, c, 0, "--latency", "300ms", "--limit", "50/5s")
	d.unknown, d.inLimit, d.flight = "hold", "50/5s", 4
	d.session, d.drain, d.timeout = "6s", "5s", "3s"
	var ids []string
	d.cluster.produce(t, d.topic, 4000, func(i int) *kgo.Record {
		ids = append(ids, fmt.Sprintf("backlog-%d", i))
		return told("backlog", i)
	})
	d.fails(fakeapi.NoFault, fakeapi.HangAfter, fakeapi.NoFault, fakeapi.Truncated, fakeapi.ResetAfter)
	m := d.start()
	held := func() int { status, _ := m.status(); return status.Held }
	eventually(t, 30*time.Second, "three calls' rows are held", func() bool { return held() == 75 })
	before := d.delivered("backlog")
	c.restartBroker(t)
	eventually(t, time.Minute, "delivery goes on", func() bool { return d.delivered("backlog") > before+200 })
	d.ends(m)
	m = d.start()
	eventually(t, 30*time.Second, "the rows are held again", func() bool { return held() == 75 })
	if d.delivered("backlog") >= len(ids) {
		t.Error("there was no backlog any more")
	}
	settle := startProcess(t, d.binary, "held", "settle", "created", "--all", "-c", m.document)
	if code := settle.wait(t, 20*time.Second); code != 0 {
		t.Errorf("held settle ended with exit code %d", code)
	}
	d.drained(time.Minute)
	d.ends(m)
	if n := d.missing(ids); n > 0 {
		t.Errorf("%d records are lost", n)
	}
	twice, heldTwice := d.repeated()
	t.Logf("%d were created twice, %d of them were held", twice, heldTwice)
	if heldTwice > 0 || twice > d.flight*25 {
		t.Errorf("%d were created twice, want at most the %d in flight, and %d of them were held, want none", twice, d.flight*25, heldTwice)
	}
}

// repeated is how many records have more than one activity, and how many of these
// were first created by a call that proved nothing.
func (d *delivery) repeated() (twice, unproven int) {
	d.Helper()
	calls, first := pages[fakeapi.Call](d, "/_fake/calls"), map[string]int{}
	for _, a := range pages[fakeapi.Activity](d, "/_fake/activities") {
		id := a.Fields["mx_Custom_1"]
		call, again := first[id]
		if !again {
			first[id] = a.Call
			continue
		}
		twice++
		if calls[call-1].Outcome != "created" {
			unproven++
		}
	}
	return twice, unproven
}
