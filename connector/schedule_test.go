package connector_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// A fleet is members that keep a limit together, over TLS with a long way, while
// they come and go. The fake counts by its own clock.
type fleet struct {
	*world
	limits  []string
	members int
	apart   []stretch // that say nothing about how many slots are used
}

// A stretch is a time from a change of membership until 10 s after the new
// assignment. Joins are changes too: commits are refused meanwhile, so calls wait.
type stretch struct{ from, to time.Time }

func limitsOf(t *testing.T, texts ...string) (limits []budget.Limit) {
	for _, text := range texts {
		l, err := budget.ParseLimit(text)
		if err != nil {
			t.Fatal(err)
		}
		limits = append(limits, l)
	}
	return limits
}

// newFleet makes a world with the limits, whose ways to LeadSquared, and clocks,
// differ by less than the guard. Every call has one row, which makes backlogs small.
func newFleet(t *testing.T, spread bool, members int, limits ...string) *fleet {
	w := newWorld(t, 7, spread)
	w.stopAPI()
	w.budget.Limits = limitsOf(t, limits...)
	w.closeIdle = 8 * time.Second
	w.startAPI(false)
	_, w.ca = w.serveTLS()
	ways := rand.New(rand.NewPCG(5, 5))
	w.way = func() time.Duration {
		w.mu.Lock()
		defer w.mu.Unlock()
		return 120*time.Millisecond + time.Duration(ways.Int64N(int64(60*time.Millisecond)))
	}
	w.skew = func(m *member) func(time.Time) time.Duration {
		return func(now time.Time) time.Duration {
			return time.Duration(w.offOf(m))*time.Millisecond + w.stepOf(m, now)
		}
	}
	w.cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		w.changed() // of the group, if not of what this member owns
		return nil, nil, false
	})
	w.config.Batch, w.config.Window, w.config.InFlight = 1, 800, 8
	return &fleet{world: w, limits: limits, members: members}
}

// fill produces a backlog in every partition of the topics.
func (f *fleet) fill(records int) {
	f.Helper()
	batch := make([]*kgo.Record, 0, records)
	for i := range records {
		to, partition := f.kafka.Topics[i%len(f.kafka.Topics)], int32(i/len(f.kafka.Topics)%partitions)
		batch = append(batch, &kgo.Record{Topic: to, Partition: partition, Value: fmt.Appendf(nil, `{"kind":"plain","lead":"lead-%d"}`, i)})
	}
	for _, r := range f.client.ProduceSync(context.Background(), batch...) {
		f.must(r.Err)
		p := position{r.Record.Partition, r.Record.Offset}
		if r.Record.Topic != topic {
			p.partition += partitions
		}
		f.produced[p] = toDeliver
	}
}

// change carries out a change of membership, and waits until the new assignment
// is ten seconds old.
func (f *fleet) change(what func()) {
	from := time.Now()
	what()
	over := time.Now()
	for settled := over; time.Since(settled) < 25*time.Second || !f.owned(); { // longer than the session timeout
		time.Sleep(time.Second)
		if last := f.lastChange(); last.After(settled) {
			settled = last
		}
	}
	last := f.lastChange()
	if last.Before(over) {
		last = over
	}
	f.apart = append(f.apart, stretch{from, last.Add(10 * time.Second)})
}

// owned reports whether members own all partitions.
func (f *fleet) owned() bool {
	n := 0
	for _, m := range f.alive() {
		if s, err := m.connector.Status(context.Background()); err == nil {
			n += len(s.Partitions)
		}
	}
	return n >= partitions*len(f.kafka.Topics)
}

func (w *world) lastChange() (last time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.changes) > 0 {
		last = w.changes[len(w.changes)-1]
	}
	return last
}

// used compares the calls with the slots of the schedule, from the first call to
// the last, without the stretches.
func (f *fleet) used() (calls, slots float64) {
	all := f.api.Calls(0, 0)
	in := func(at time.Time) bool {
		for _, s := range f.apart {
			if !at.Before(s.from) && at.Before(s.to) {
				return false
			}
		}
		return true
	}
	first, last := all[0].At, all[len(all)-1].At
	for _, c := range all {
		if in(c.At) {
			calls++
		}
	}
	counted := time.Duration(0)
	const grain = 10 * time.Millisecond
	for at := first; at.Before(last); at = at.Add(grain) {
		if in(at) {
			counted += grain
		}
	}
	l := limitsOf(f.T, f.limits...)[0]
	return calls, float64(counted) / float64(l.Window+f.budget.Guard) * float64(l.Calls)
}

// kept checks that no call was over a limit or throttled, and returns the part of
// the slots that was used.
func (f *fleet) kept() float64 {
	f.Helper()
	sum := f.api.Summary("")
	for _, text := range f.limits {
		if l := limitsOf(f.T, text)[0]; sum.Most[text] > l.Calls {
			f.Errorf("%d calls in a window of %s", sum.Most[text], text)
		}
	}
	if sum.Violations > 0 {
		f.Errorf("%d calls were over a limit", sum.Violations)
	}
	calls, slots := f.used()
	f.Logf("%d calls, most in a window %v; %.0f of %.1f slots used: %.4f", sum.Calls, sum.Most, calls, slots, calls/slots)
	return calls / slots
}

// gaps logs the longest times without a call, and what counts of them.
func (f *fleet) gaps() {
	all := f.api.Calls(0, 0)
	for i := 1; i < len(all); i++ {
		if gap := all[i].At.Sub(all[i-1].At); gap > 3*time.Second {
			f.Logf("no call for %v from %v on", gap.Round(time.Millisecond), all[i-1].At.Sub(began).Round(time.Millisecond))
		}
	}
	for _, s := range f.apart {
		f.Logf("left out: from %v to %v", s.from.Sub(began), s.to.Sub(began))
	}
}

// active is the member that owns partitions, nil if none does.
func (f *fleet) active() *member {
	for _, m := range f.alive() {
		if s, err := m.connector.Status(context.Background()); err == nil && len(s.Partitions) > 0 {
			return m
		}
	}
	return nil
}

// Ten minutes of every limit, with members that join, leave, are killed, stand
// still and are restarted at once.
func TestNoWindowIsExceededWhateverHappensToMembers(t *testing.T) {
	for _, limits := range [][]string{{"25/5s"}, {"5/5s"}, {"1/5s"}, {"10/5s", "100000/day"}} {
		for _, members := range []int{1, 2, 5} {
			for _, spread := range []bool{false, true} {
				for _, topics := range []int{1, 2} {
					if topics == 2 && (members == 1 || limits[0] == "1/5s") {
						continue
					}
					if testing.Short() && (topics != 2 || members != 2) {
						continue // TLS costs the race detector minutes
					}
					how := map[bool]string{false: "single", true: "spread"}[spread]
					t.Run(fmt.Sprintf("%s %s %d members %d topics", strings.ReplaceAll(strings.Join(limits, " "), "/", " in "), how, members, topics), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							f := newFleet(t, spread, members, limits...)
							if topics == 2 {
								f.kafka.Topics = []string{topic, otherTopic}
							}
							f.story(spread)
							used := f.kept()
							least := 0.99
							if spread {
								least = 0.97
							}
							if calls, slots := f.used(); used < least && (limits[0] != "1/5s" || slots-calls > 2) {
								t.Errorf("%.4f of the slots were used, want %v", used, least)
								f.gaps()
							}
							f.close()
							f.report()
						})
					})
				}
			}
		}
	}
}

// story is ten minutes of a fleet's life.
func (f *fleet) story(spread bool) {
	pace := 0.0
	for _, l := range limitsOf(f.T, f.limits[0]) {
		pace = float64(l.Calls) / l.Window.Seconds()
	}
	f.fill(int(pace*900) + 200)
	began := time.Now()
	f.change(func() {
		for range f.members {
			f.start()
		}
	})
	until := func(at time.Duration) { time.Sleep(time.Until(began.Add(at))) }
	until(100 * time.Second)
	switch f.members {
	case 1: // it is restarted, and killed
		f.change(func() { m := f.active(); m.end(); <-m.ended; f.start() })
		until(220 * time.Second)
		f.change(func() { f.active().crash(); f.start() })
	default:
		f.change(func() { f.start() }) // one joins
		until(160 * time.Second)
		f.change(func() { m := f.active(); m.end(); <-m.ended }) // the active one leaves
		until(220 * time.Second)
		f.change(func() { f.active().crash(); f.start() }) // it is killed
	}
	until(300 * time.Second)
	f.change(func() { f.suspend(f.active(), 3*time.Second) })
	until(360 * time.Second)
	f.change(func() { // longer than its lease
		m := f.active()
		m.kafka.drop()
		f.suspend(m, 30*time.Second)
		m.kafka.mend()
	})
	until(430 * time.Second)
	if !spread { // clocks of the group may not differ while its slots are shared
		f.step(f.active(), time.Hour)
		time.Sleep(20 * time.Second)
		f.step(f.active(), -time.Hour)
	}
	until(510 * time.Second)
	f.change(func() { // all at once
		old := f.alive()
		for _, m := range old {
			m.end()
		}
		for range f.members {
			f.start()
		}
	})
	until(600 * time.Second)
}

// suspend stops a member's loop for a while.
func (f *fleet) suspend(m *member, d time.Duration) {
	done := make(chan struct{})
	go func() { // ends with the suspension
		defer close(done)
		_ = m.connector.Suspend(context.Background(), d)
	}()
	<-done
}

func TestCallsAreFullUnderABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false, 1, "25/5s")
		f.config.Batch, f.config.Window = 25, 5000
		f.fill(60_000)
		f.start()
		time.Sleep(5 * time.Minute)
		sum := f.api.Summary("")
		if fill := float64(sum.Rows) / float64(25*sum.Calls); fill < 0.995 || sum.Calls < 1400 {
			t.Errorf("%d calls were %.4f full, want 0.995", sum.Calls, fill)
		}
		f.kept()
		f.close()
		f.report()
	})
}

// One event a second: nothing waits longer than for the linger, a slot and the
// API's answer.
func TestATrickleWaitsForLingerASlotAndTheAnswer(t *testing.T) {
	for _, limit := range []string{"25/5s", "5/5s", "1/5s"} {
		t.Run(limit, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, false, 1, limit)
				f.config.Batch = 25
				f.start()
				time.Sleep(20 * time.Second)
				written := map[string]time.Time{}
				for i := range 600 {
					p := f.event(int32(i%partitions), fmt.Sprintf("lead-%d", i))
					written[p.String()] = time.Now()
					time.Sleep(time.Second)
				}
				time.Sleep(time.Minute)
				var late []time.Duration
				for _, a := range f.api.Activities(0, 0) {
					late = append(late, a.Stored.Sub(written[a.Note]))
				}
				if len(late) != 600 {
					t.Fatalf("%d activities of 600 records", len(late))
				}
				l := limitsOf(t, limit)[0]
				slot := time.Duration(float64(l.Window+f.budget.Guard) / float64(l.Calls))
				most := f.config.Linger + slot + 180*time.Millisecond + 50*time.Millisecond // the way to the API
				if p99 := percentile(late, 0.99); p99 > most {
					t.Errorf("99 of 100 records were created within %v, want %v", p99, most)
				} else {
					t.Logf("p99 %v of at most %v", p99, most)
				}
				f.close()
				f.report()
			})
		})
	}
}

// A fake whose real limit is lower than the document says.
func TestALowerLimitThanTheDocumentsIsLearnedAndUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false, 1, "25/5s")
		f.api.SetLimits(limitsOf(t, "10/5s"))
		f.fill(30_000)
		f.start()
		throttled := func(from, to time.Duration) (n, all int) {
			for _, c := range f.api.Calls(0, 0) {
				if at := c.At.Sub(began); at >= from && at < to {
					all++
					if c.Outcome == "throttled" {
						n++
					}
				}
			}
			return n, all
		}
		time.Sleep(30 * time.Second)
		if n, _ := throttled(0, 30*time.Second); n > 2 {
			t.Errorf("%d calls were throttled at the beginning, want those in flight and one", n)
		}
		time.Sleep(30 * time.Minute)
		n, all := throttled(time.Minute, 30*time.Minute)
		most := 29 * 60 / 5.1 * 10
		if used := float64(all-n) / most; used < 0.9 {
			t.Errorf("%.3f of the real limit is used, want 0.9", used)
		} else {
			t.Logf("%.3f of what the guard leaves of the real limit is used", used)
		}
		for minute := range 29 {
			at := time.Duration(minute+1) * time.Minute
			if n, _ := throttled(at, at+time.Minute); n > 1 {
				t.Errorf("%d calls were throttled in minute %d", n, minute+1)
			}
		}
		f.api.SetLimits(limitsOf(t, "25/5s"))
		time.Sleep(12 * time.Minute)
		raised := 30*time.Minute + 30*time.Second
		n, all = throttled(raised+10*time.Minute, raised+12*time.Minute)
		if used := float64(all-n) / (120 / 5.1 * 25); used < 0.95 {
			t.Errorf("ten minutes after the limit was raised %.3f of it is used, want 0.95", used)
		}
		f.close()
		f.report()
	})
}

// dayStarts sets when the day starts, for the fake and for members to come.
func (f *fleet) dayStarts(text string) {
	starts, err := budget.ParseDayStart(text)
	f.must(err)
	f.budget.Day.Starts = starts
	stop := f.stopAPI
	stop()
	f.startAPI(false)
	_, f.ca = f.serveTLS()
}

// began is when every bubble begins.
var began = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Three members spend a day's calls in spite of six kills.
func TestADaysQuotaIsSpentAndNeverExceededOverKills(t *testing.T) {
	for _, spread := range []bool{false, true} {
		t.Run(fmt.Sprintf("spread %v", spread), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, spread, 3, "10/5s", "2000/day")
				f.dayStarts("00:25 UTC") // the day of the bubble's first moment ends then
				f.fill(6000)
				for range 3 {
					f.start()
				}
				for range 6 {
					time.Sleep(80 * time.Second)
					f.active().crash()
					f.start()
				}
				time.Sleep(time.Until(began.Add(24 * time.Minute)))
				sum := f.api.Summary("")
				if sum.Calls > 2000 || sum.Calls < 1940 || sum.Violations > 0 {
					t.Errorf("%d calls in the day, %d over a limit; want 97 %% of 2000 and none over", sum.Calls, sum.Violations)
				}
				if m := f.active(); m == nil {
					t.Error("nobody is active")
				} else if s := m.status(); !slices.Contains(s.Waiting, "day") || !strings.Contains(s.Words, "day's calls are spent; the next day begins at 2000-01-01 00:25Z") {
					t.Errorf("%s, %+v; want it to wait for the next day", s.Words, s.Budget.Day)
				}
				t.Logf("%d calls in the day", sum.Calls)
				time.Sleep(6 * time.Minute) // into the next day
				if next := f.api.Summary(""); next.Calls-sum.Calls < 500 || next.Violations > 0 {
					t.Errorf("%d calls in the first five minutes of the next day, %d over a limit", next.Calls-sum.Calls, next.Violations)
				}
				f.close()
				f.report()
			})
		})
	}
}

// Partitions are added: members take everything up anew, with places in the rotation
// over all partitions, and no slot is used twice meanwhile.
func TestPartitionsThatAreAddedExceedNoWindowAndLoseNoSlots(t *testing.T) {
	for _, spread := range []bool{false, true} {
		t.Run(fmt.Sprintf("spread %v", spread), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, spread, 3, "25/5s", "20000/day")
				f.dayStarts("12:00 UTC")
				f.kafka.Topics = []string{topic, otherTopic}
				f.fill(9000)
				for range 3 {
					f.start()
				}
				time.Sleep(90 * time.Second)
				_, err := f.admin.CreatePartitions(context.Background(), 1, topic)
				f.must(err)
				f.client.ForceMetadataRefresh()
				time.Sleep(10 * time.Second)
				for i := range 3000 {
					r := &kgo.Record{Topic: topic, Partition: partitions, Value: fmt.Appendf(nil, `{"kind":"plain","lead":"new-%d"}`, i)}
					f.must(f.client.ProduceSync(context.Background(), r).FirstErr())
					f.produced[position{partitions, r.Offset}] = toDeliver
				}
				time.Sleep(8 * time.Minute)
				share, part, owned := 0.0, 0, 0
				for _, m := range f.alive() {
					s := m.status()
					share += s.Budget.Share
					owned += len(s.Partitions)
					part += s.Budget.Day.Part
				}
				if all := 25 / 5.1; share < all-0.01 || share > all+0.01 || part != 20_000 || owned != 2*partitions+1 {
					t.Errorf("members share %.3f calls/s of %.3f and %d of 20000 calls of the day, over %d partitions", share, all, part, owned)
				}
				f.kept()
				f.close()
				f.report()
			})
		})
	}
}

// A commit that was to reserve calls of the day fails, and nothing else changes.
func TestACommitThatFailsToReserveCallsIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false, 1, "25/5s", "400/day")
		f.dayStarts("12:00 UTC")
		f.config.Window = 100
		f.fill(3000)
		held := 0
		f.stutter = func() time.Duration {
			f.mu.Lock()
			defer f.mu.Unlock()
			if held++; held == 1 {
				return 400 * time.Millisecond // the first call misses its slot, so it changes nothing
			}
			return 0
		}
		commits := 0
		f.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			f.cluster.KeepControl()
			if commits++; commits != 2 {
				return nil, nil, false
			}
			return refusedAs(req, kerr.RebalanceInProgress), nil, true
		})
		f.start()
		time.Sleep(time.Minute)
		if n := len(f.api.Calls(0, 0)); n < 200 {
			t.Errorf("%d calls in a minute in which one commit failed, want 4.9 a second", n)
		}
		f.close()
	})
}

// A slot whose call could not be written in time is lost, and nothing else.
func TestACallThatIsHeldUpBetweenItsSlotAndItsConnectionIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false, 1, "5/5s")
		f.fill(400)
		n := 0
		f.stutter = func() time.Duration {
			f.mu.Lock()
			defer f.mu.Unlock()
			if n++; n%7 == 0 {
				return 400 * time.Millisecond
			}
			return 0
		}
		m := f.start()
		time.Sleep(8 * time.Minute)
		f.kept()
		if s := m.status(); s.Calls.Missed < 30 || s.Breaker != "closed" || s.Records.Delivered != 400 {
			t.Errorf("%+v, breaker %s, %+v; want calls that missed their slot, and everything delivered", s.Calls, s.Breaker, s.Records)
		}
		f.account()
		f.close()
		f.report()
	})
}

func TestPagesAndCallsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, false, 1, "5/5s")
		f.marked, f.config.OnUnknown, f.config.Batch = true, "reconcile", 1
		f.fill(600)
		m := f.start()
		time.Sleep(20 * time.Second)
		f.rates(fakeapi.HangAfter, 1.0)
		time.Sleep(8 * time.Second)
		f.rates()
		f.api.SetReadFault(fakeapi.Throttle) // pages are asked for again and again
		time.Sleep(2 * time.Minute)
		if s := m.status(); s.Reads == 0 || s.Calls.Judged < 20 {
			t.Errorf("%d pages and %d calls; want both to go on", s.Reads, s.Calls.Judged)
		}
		f.api.SetReadFault(fakeapi.NoFault)
		time.Sleep(time.Hour)
		f.account()
		f.close()
		f.report()
	})
}

// percentile is the value that the part of them does not exceed.
func percentile(all []time.Duration, part float64) time.Duration {
	slices.Sort(all)
	return all[min(len(all)-1, int(part*float64(len(all))))]
}

// Ways that differ by three times the guard: some windows are over the limit, calls
// are throttled, the pace is learned, and nothing is lost or created twice.
func TestWaysThatDifferByThreeTimesTheGuardLoseNothing(t *testing.T) {
	for _, limit := range []string{"25/5s", "5/5s"} {
		for _, spread := range []bool{false, true} {
			t.Run(strings.ReplaceAll(limit, "/", " in ")+fmt.Sprintf(" spread %v", spread), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					members := map[bool]int{false: 1, true: 2}[spread]
					f := newFleet(t, spread, members, limit)
					ways := rand.New(rand.NewPCG(9, 9))
					f.way = func() time.Duration {
						f.mu.Lock()
						defer f.mu.Unlock()
						return 60*time.Millisecond + time.Duration(ways.Int64N(int64(3*f.budget.Guard)))
					}
					l := limitsOf(t, limit)[0]
					records := int(600 / l.Window.Seconds() * float64(l.Calls)) // for ten minutes
					f.fill(records)
					for range members {
						f.start()
					}
					time.Sleep(10 * time.Minute)
					calls := f.api.Calls(0, 0)
					throttled := 0
					for _, c := range calls {
						if c.Outcome == "throttled" {
							throttled++
						}
					}
					slots := 600 / (l.Window + f.budget.Guard).Seconds() * float64(l.Calls)
					t.Logf("%s, spread %v: %d of %d calls throttled, %d created of %.0f slots: %.3f", limit, spread, throttled, len(calls), f.api.Summary("").Created, slots, float64(f.api.Summary("").Created)/slots)
					time.Sleep(30 * time.Minute)
					if throttled == 0 {
						t.Error("no call was throttled: the ways show nothing")
					}
					if s := f.api.Summary(""); s.Distinct != records || s.Twice > 0 {
						t.Errorf("%d of %d records were created, %d twice", s.Distinct, records, s.Twice)
					}
					f.account()
					f.close()
					f.report()
				})
			})
		}
	}
}

// What sharing partitions costs when the backlog is in one of twelve: each member
// has the slots of its partitions, and only one has a use for them.
func TestWhatSpreadCostsWhenOnePartitionHasTheBacklog(t *testing.T) {
	for _, spread := range []bool{false, true} {
		for members, want := range map[int]float64{1: 1, 2: 1. / 2, 3: 1. / 3} {
			if !spread {
				want = 1
			}
			t.Run(fmt.Sprintf("spread %v %d members", spread, members), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, spread, members, "25/5s")
					f.kafka.Topics = []string{wideTopic}
					for i := range 4000 {
						r := &kgo.Record{Topic: wideTopic, Value: fmt.Appendf(nil, `{"kind":"plain","lead":"lead-%d"}`, i)}
						f.must(f.client.ProduceSync(context.Background(), r).FirstErr())
						f.produced[position{0, r.Offset}] = toDeliver
					}
					f.change(func() {
						for range members {
							f.start()
						}
					})
					time.Sleep(5 * time.Minute)
					if used := f.kept(); used < want-0.01 || used > want+0.01 {
						t.Errorf("%.3f of the slots were used, want %.3f", used, want)
					}
					f.close()
					f.report()
				})
			})
		}
	}
}
