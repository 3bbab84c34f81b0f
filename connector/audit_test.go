package connector_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
	"github.com/leadsink/leadsink/internal/audit"
)

// evidence is what is seen from outside, gathered in the order that audit wants.
func (w *world) evidence(leads map[position]string) audit.Evidence {
	var e audit.Evidence
	for partition, c := range w.committed() {
		p := audit.Position{Topic: topic, Partition: partition, Next: c.next}
		for _, f := range c.finished {
			p.Finished = append(p.Finished, audit.Range{First: f[0], Last: f[1]})
		}
		e.Positions = append(e.Positions, p)
	}
	for i, a := range w.api.Activities(0, 0) {
		e.Activities = append(e.Activities, audit.Activity{ID: a.Note, Lead: a.Lead, Seq: i})
	}
	w.mu.Lock()
	for p := range w.buried {
		e.Letters = append(e.Letters, p.String())
	}
	w.mu.Unlock()
	for p, to := range w.produced {
		e.Records = append(e.Records, audit.Record{Topic: topic, Partition: p.partition, Offset: p.offset, ID: p.String(), Lead: leads[p], Dead: to == toBury})
	}
	return e
}

// TestAnAuditOfMembersThatCrashAndAreCutOffFindsNothing is make chaos in small,
// with the same judge: make breakages shows what that catches.
func TestAnAuditOfMembersThatCrashAndAreCutOffFindsNothing(t *testing.T) {
	for _, spread := range []bool{false, true} {
		t.Run(fmt.Sprintf("spread %t", spread), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 7, spread)
				w.marked, w.config.OnUnknown = true, "reconcile"
				w.audited()
				w.close()
				w.report()
			})
		})
	}
}

// audited plays three members through ten rounds of faults, and judges each second.
func (w *world) audited() {
	leads := map[position]string{}
	for range 3 {
		w.start()
	}
	for round := range 10 {
		for range 60 {
			lead, to := fmt.Sprintf("lead-%d", w.random.IntN(9)), toDeliver
			if w.random.IntN(30) == 0 {
				lead, to = fmt.Sprintf("unknown-%d", w.random.IntN(1000)), toBury
			}
			leads[w.put(w.random.Int32N(partitions), fmt.Sprintf(`{"kind":"plain","lead":%q}`, lead), to)] = lead
		}
		w.rates(fakeapi.ResetAfter, 0.1, fakeapi.Late, 0.1, fakeapi.Gateway503, 0.1, fakeapi.RowMissing, 0.1, fakeapi.Slow, 0.2)
		w.audit(leads, 4)
		if m := w.any(); m != nil {
			switch round % 3 {
			case 0:
				m.crash()
			case 1:
				m.kafka.cut()
				w.crashes++
			default:
				m.end()
			}
		}
		w.audit(leads, 6)
		w.heal()
		for _, m := range w.members {
			if m.running() && m.kafka.isCut() && !m.api.isCut() {
				m.kafka.mend()
			}
		}
		if len(w.alive()) < 3 {
			w.start()
		}
		w.audit(leads, 10)
	}
	w.finish()
	for _, text := range audit.Check(w.evidence(leads)).Findings {
		w.Error(text)
	}
}

// audit judges the commits each second, for so many.
func (w *world) audit(leads map[position]string, seconds int) {
	for range seconds {
		time.Sleep(time.Second)
		synctest.Wait()
		for _, text := range audit.CheckCommits(w.evidence(leads)).Findings {
			w.Error(text)
		}
	}
}

func TestWithAMarkerNothingIsSentThatNoCommitSpeaksOf(t *testing.T) {
	inMarkedWorld(t, func(w *world) {
		w.events(30)
		w.start()
		time.Sleep(5 * time.Second)
		if n := len(w.callsThat("created")); n == 0 {
			t.Fatal("nothing was sent while commits were accepted")
		}
		var refuse atomic.Bool // kfake reads it from its own goroutines
		refuse.Store(true)
		w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			return refusedCommit(req), nil, refuse.Load()
		})
		p := w.event(0, "new")
		// A commit was accepted a moment ago, so membership is proven for 5 s.
		time.Sleep(3 * time.Second)
		if w.created()[p.String()] {
			t.Error("a record was sent although no commit says that it may have been")
		}
		refuse.Store(false)
		time.Sleep(5 * time.Second)
		if !w.created()[p.String()] {
			t.Error("the record was not sent once commits were accepted again")
		}
	})
}
