package connector_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// inWorld plays a story in a world with one kind of assignment.
func inWorld(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, false)
		story(w)
		w.close()
		w.report()
	})
}

// event writes a record of the lead that is to be delivered.
func (w *world) event(partition int32, lead string) position {
	return w.put(partition, fmt.Sprintf(`{"kind":"plain","lead":%q}`, lead), toDeliver)
}

func (w *world) events(n int) {
	for i := range n {
		w.event(int32(i%partitions), fmt.Sprintf("lead-%d", i))
	}
}

func (m *member) status() connector.Status {
	m.world.Helper()
	s, err := m.connector.Status(context.Background())
	m.world.must(err)
	return s
}

func (w *world) consistent() {
	w.Helper()
	for _, m := range w.alive() {
		wrong, err := m.connector.Check(context.Background())
		w.must(err)
		if wrong != "" {
			w.Errorf("%s: %s", m.name, wrong)
		}
	}
}

func TestTheWindowBoundsWhatIsTakenIn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.Window = 30
		w.rates(fakeapi.Gateway503, 1.0)
		w.events(200)
		m := w.start()
		for range 20 {
			time.Sleep(time.Second)
			w.consistent()
		}
		if s := m.status(); s.Unsettled != 30 {
			t.Errorf("%d unsettled records, want the window's 30", s.Unsettled)
		}
		w.finish()
		w.account()
	})
}

func TestTheWindowsBytesBoundWhatIsTakenIn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.WindowBytes = 20_000
		w.rates(fakeapi.Gateway503, 1.0)
		w.events(200)
		m := w.start()
		time.Sleep(20 * time.Second)
		w.consistent()
		if s := m.status(); s.UnsettledBytes > 20_000 || s.UnsettledBytes < 15_000 {
			t.Errorf("%d unsettled bytes, want nearly 20,000 and never more", s.UnsettledBytes)
		}
		w.finish()
		w.account()
	})
}

func TestACallKeepsItsPlaceUntilACommitRecordsIt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.InFlight = 2
		commits := 0
		w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			if commits++; commits == 1 {
				return nil, nil, false // the one that proves membership
			}
			return refusedCommit(req), nil, true
		})
		w.events(300)
		w.start()
		time.Sleep(10 * time.Second)
		if calls := len(w.api.Calls(0, 0)); calls != 2 {
			t.Errorf("%d calls while no commit was accepted, want the 2 that in_flight allows", calls)
		}
	})
}

func TestCallsOfADayAreReservedBeforeTheyAreSpent(t *testing.T) {
	inWorld(t, func(w *world) {
		w.budget.Limits = limitsOf(t, "25/5s", "20000/day") // ten calls are reserved ahead
		w.config.InFlight, w.config.Batch = 64, 1
		commits := 0
		w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			if commits++; commits == 1 {
				return nil, nil, false // that proves membership and reserves
			}
			return refusedCommit(req), nil, true
		})
		w.events(300)
		m := w.start()
		time.Sleep(10 * time.Second)
		calls, s := len(w.api.Calls(0, 0)), m.status()
		if calls < 3 || calls > 10 {
			t.Errorf("%d calls while no commit was accepted, want those that were reserved before", calls)
		}
		if !slices.Contains(s.Waiting, "commit") {
			t.Errorf("it waits for %v, want a commit", s.Waiting)
		}
	})
}

// refusedCommit refuses every partition of a commit.
func refusedCommit(req kmsg.Request) kmsg.Response {
	return refusedAs(req, kerr.CoordinatorLoadInProgress)
}

func refusedAs(req kmsg.Request, why *kerr.Error) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, t := range req.(*kmsg.OffsetCommitRequest).Topics {
		to := kmsg.NewOffsetCommitResponseTopic()
		to.Topic, to.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			part := kmsg.NewOffsetCommitResponseTopicPartition()
			part.Partition, part.ErrorCode = p.Partition, why.Code
			to.Partitions = append(to.Partitions, part)
		}
		resp.Topics = append(resp.Topics, to)
	}
	return resp
}

func TestARefusedCallFindsItsBadRowWithinNineFurtherCalls(t *testing.T) {
	for _, bad := range []int{0, 1, 7, 12, 13, 23, 24} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.api.SetReading(fakeapi.H2)
				for i := range 25 {
					if i == bad {
						w.put(0, `{"kind":"plain","lead":"unknown-1"}`, toBury)
					} else {
						w.event(0, fmt.Sprintf("lead-%d", i))
					}
				}
				w.start()
				time.Sleep(time.Minute)
				w.account()
				sum := w.api.Summary("")
				if sum.Created != 24 || sum.Calls > 10 {
					t.Errorf("%d created in %d calls, want 24 in 10 at most", sum.Created, sum.Calls)
				}
			})
		})
	}
}

func TestTheBreakerOpensOnHangingCallsWithinTwiceTheTimeout(t *testing.T) {
	inWorld(t, func(w *world) {
		w.events(500)
		w.rates(fakeapi.HangBefore, 1.0)
		m := w.start()
		time.Sleep(2 * 6 * time.Second)
		if s := m.status(); s.Breaker != "open" || !strings.Contains(s.Words, "within 6s") {
			t.Errorf("the breaker is %s after twice the timeout of hanging calls: %s", s.Breaker, s.Words)
		}
		w.finish()
		w.account()
	})
}

func TestWithdrawnKeysHaltAndLoseNothingAndTheHaltEndsByItself(t *testing.T) {
	inWorld(t, func(w *world) {
		w.events(100)
		w.rates(fakeapi.Denied, 1.0)
		m := w.start()
		time.Sleep(10 * time.Minute)
		s := m.status()
		if s.State != connector.Halted || s.Fault == "" || s.Records != (connector.RecordCounts{}) {
			t.Errorf("%s (%q) with %+v, want halted with a reason and nothing lost", s.State, s.Fault, s.Records)
		}
		// At first calls are in flight together; then one row every 30 s.
		if calls := len(w.api.Calls(0, 0)); calls > 20+8 {
			t.Errorf("%d calls in ten minutes while halted, want a probe every 30 s", calls)
		}
		w.heal()
		time.Sleep(time.Minute)
		if s := m.status(); s.State != connector.Active || s.Records.Delivered != 100 {
			t.Errorf("%s with %+v a minute after the keys were back, want all 100 delivered", s.State, s.Records)
		}
		w.account()
	})
}

func TestTooManyDeadRecordsHaltBeforeATopicIsBuried(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.HaltWhen = connector.Proportion{Part: 10, Of: 20}
		for i := range 60 {
			w.put(int32(i%partitions), fmt.Sprintf(`{"kind":"plain","lead":"unknown-%d"}`, i), toBury)
		}
		m := w.start()
		time.Sleep(time.Minute)
		if s := m.status(); s.State != connector.Halted || s.Records.Dead >= 10 {
			t.Errorf("%s with %d dead, want halted before the tenth is buried", s.State, s.Records.Dead)
		}
		w.must(m.connector.Resume(context.Background()))
		time.Sleep(time.Minute)
		if s := m.status(); s.State != connector.Halted || s.Records.Dead < 10 || s.Records.Dead > 40 {
			t.Errorf("%s with %d dead after a resume, want some more buried and a halt again", s.State, s.Records.Dead)
		}
	})
}

// A few leads have nearly all records, so their lanes take many rows into one
// call, and the leads with one bad record each come together behind them.
func TestBadRecordsThatComeTogetherBehindBusyLeadsHaltNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.HaltWhen = connector.Proportion{Part: 10, Of: 20}
		w.config.Window = 1000
		for i := range 900 {
			if i%10 == 9 {
				w.put(0, fmt.Sprintf(`{"kind":"plain","lead":"unknown-%d"}`, i), toBury)
			} else {
				w.event(0, fmt.Sprintf("lead-%d", i%3))
			}
		}
		m := w.start()
		time.Sleep(time.Minute)
		if s := m.status(); s.State != connector.Active || s.Records.Dead != 90 || s.Records.Delivered != 810 {
			t.Errorf("%s, %+v; want the bad tenth dead and the others delivered", s.Words, s.Records)
		}
	})
}

func TestAStopWaitsForCallsInFlightAndCommitsTheirOutcome(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.DrainTimeout = 8 * time.Second
		w.rates(fakeapi.Slow, 1.0) // 5 s
		w.events(25)
		m := w.start()
		time.Sleep(1500 * time.Millisecond)
		if w.api.Summary("").Calls != 1 {
			t.Fatalf("%d calls, want one in flight", w.api.Summary("").Calls)
		}
		m.end()
		began := time.Now()
		<-m.ended
		if m.result != nil {
			t.Errorf("Run returned %v after a complete drain", m.result)
		}
		if took := time.Since(began); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("the drain took %s, want what the call in flight still needed", took)
		}
		if !w.everythingCommitted() {
			t.Errorf("committed %v, want everything", w.committed())
		}
	})
}

func TestADrainEndsAtItsDeadlineAndSaysWhatItLeft(t *testing.T) {
	inWorld(t, func(w *world) {
		w.rates(fakeapi.HangAfter, 1.0)
		w.events(25)
		m := w.start()
		time.Sleep(1500 * time.Millisecond)
		m.end()
		began := time.Now()
		<-m.ended
		if took := time.Since(began); m.result == nil || took < w.config.DrainTimeout || took > w.config.DrainTimeout+11*time.Second {
			t.Errorf("Run returned %v after %s, want an error at the drain timeout of %s", m.result, took, w.config.DrainTimeout)
		}
		if w.everythingCommitted() {
			t.Error("what had no answer is committed")
		}
	})
}

func TestATrickleWaitsForTheLingerAndASlotWithAMarkerToo(t *testing.T) {
	for _, marked := range []bool{false, true} {
		t.Run(fmt.Sprintf("marker %t", marked), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.marked = marked
				w.start()
				time.Sleep(5 * time.Second)
				for range 20 {
					time.Sleep(1700 * time.Millisecond)
					at := time.Now()
					p := w.event(0, "lead")
					time.Sleep(w.config.Linger + 204*time.Millisecond + 50*time.Millisecond)
					all := w.api.Activities(0, 0)
					if len(all) == 0 || all[len(all)-1].Note != p.String() {
						t.Errorf("the event of %s has not arrived after the linger and a slot", at.Format("05.000"))
					}
				}
			})
		})
	}
}

func TestAHotLeadCostsACallPerBatchAndNotPerActivity(t *testing.T) {
	inWorld(t, func(w *world) {
		for range 100 {
			w.event(0, "hot")
		}
		w.start()
		time.Sleep(time.Minute)
		w.account()
		if calls := w.api.Summary("").Calls; calls > 5 {
			t.Errorf("%d calls for 100 activities of one lead, want 4", calls)
		}
	})
}

func TestARecordIsDeadOnlyOnceItsLetterIsStored(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.put(0, "undecodable", toBury)
		w.event(0, "behind it")
		stored := w.refuseProduce()
		w.start()
		for range 30 {
			time.Sleep(time.Second)
			if c := w.committed()[p.partition]; c.covers(p.offset) {
				t.Fatalf("%s is committed although its letter is not stored: %+v", p, c)
			}
		}
		if c := w.committed()[p.partition]; !c.covers(p.offset + 1) {
			t.Errorf("the record behind the dead one is not committed: %+v", c)
		}
		stored.Store(true)
		w.finish()
		w.account()
	})
}

// refuseProduce refuses all that is written from now on, until stored is set.
func (w *world) refuseProduce() (stored *atomic.Bool) {
	stored = new(atomic.Bool)
	w.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if stored.Load() {
			return nil, nil, false
		}
		return refusedProduce(req), nil, true
	})
	return stored
}

// refusedProduce refuses every partition of a produce.
func refusedProduce(req kmsg.Request) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.(*kmsg.ProduceRequest).Topics {
		to := kmsg.NewProduceResponseTopic()
		to.Topic, to.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			part := kmsg.NewProduceResponseTopicPartition()
			part.Partition, part.ErrorCode = p.Partition, kerr.NotEnoughReplicas.Code
			to.Partitions = append(to.Partitions, part)
		}
		resp.Topics = append(resp.Topics, to)
	}
	return resp
}

func TestNothingNewIsSentForAPartitionThatIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, true)
		w.config.DrainTimeout = 8 * time.Second
		w.rates(fakeapi.Slow, 1.0) // 5 s: each revoke finds calls in flight
		some := func() {
			for i := range 150 {
				w.event(int32(i%partitions), fmt.Sprintf("lead-%d", i%49))
			}
		}
		w.start()
		for range 4 {
			some()
			time.Sleep(1500 * time.Millisecond)
			some() // they wait behind those in flight
			m := w.start()
			time.Sleep(12 * time.Second)
			m.end()
		}
		w.finish()
		w.account()
		if w.watches("a revoke with calls in flight") == 0 {
			t.Error("no partition was revoked with calls in flight")
		}
		w.close()
		w.report()
	})
}

func TestABisectionUnderWaySendsNothingMoreForAPartitionThatIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, true)
		w.config.DrainTimeout = 8 * time.Second
		w.api.SetReading(fakeapi.H2)
		w.api.Script(fakeapi.NoFault, fakeapi.Slow, fakeapi.Slow) // refused; its first half is in flight for 5 s
		for i := range 24 {
			w.event(2, fmt.Sprintf("lead-%d", i)) // of the partition that the second member gets
		}
		w.put(2, `{"kind":"plain","lead":"unknown"}`, toBury)
		w.start()
		time.Sleep(time.Second)
		w.start()
		time.Sleep(time.Minute)
		w.finish()
		w.account()
		if w.watches("a revoke with calls in flight") == 0 {
			t.Error("no partition was revoked with calls in flight")
		}
		w.close()
		w.report()
	})
}

func TestAPauseStopsSendingAndResumeGoesOn(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.start()
		time.Sleep(2 * time.Second)
		w.must(m.connector.Pause(context.Background()))
		w.events(100)
		time.Sleep(time.Minute)
		if s := m.status(); s.State != connector.Paused || s.Calls.Total != 0 {
			t.Errorf("%s with %d calls, want paused and none", s.State, s.Calls.Total)
		}
		w.must(m.connector.Resume(context.Background()))
		time.Sleep(10 * time.Second)
		if s := m.status(); s.Records.Delivered != 100 {
			t.Errorf("%d delivered after the resume, want 100", s.Records.Delivered)
		}
	})
}

func TestACrashedMemberIsFollowedByOneThatSendsOnlyWhatWasInFlightAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.events(400)
		m := w.start()
		w.start()
		time.Sleep(2 * time.Second)
		if w.alive()[0].status().State == connector.StandBy {
			m = w.alive()[1]
		}
		m.crash()
		w.finish()
		w.account()
		if again := w.api.Summary("").Twice; again > w.config.InFlight*25 {
			t.Errorf("%d activities twice, want at most in_flight × batch", again)
		}
	})
}
