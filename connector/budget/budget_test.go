package budget

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// window counts arrivals the way the server does: sliding, by arrival.
type window []time.Time

// most is the largest number of arrivals in any window of the length, where a
// call leaves the window exactly its length after it arrived.
func (w window) most(length time.Duration) int {
	most, first := 0, 0
	for i, at := range w {
		for !w[first].After(at.Add(-length)) {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// spend uses every slot for the duration, with calls that arrive after ways
// that way draws, and returns the arrivals in order.
func spend(b *Budget, d time.Duration, way func() time.Duration) window {
	var arrivals window
	for end := time.Now().Add(d); time.Now().Before(end); {
		if b.Take(time.Now()) {
			arrivals = append(arrivals, time.Now().Add(way()))
			continue
		}
		at, ok := b.Next(time.Now())
		if !ok {
			return arrivals
		}
		time.Sleep(time.Until(at))
	}
	return arrivals
}

func TestNoWindowIsExceededAndNearlyAllOfItIsUsed(t *testing.T) {
	for _, limit := range []string{"25/5s", "5/5s", "1/5s", "10/5s", "500/5s", "72/5s"} {
		t.Run(limit, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, err := ParseLimit(limit)
				if err != nil {
					t.Fatal(err)
				}
				cfg := Default()
				cfg.Limits = []Limit{l}
				random := rand.New(rand.NewPCG(1, 2))
				b := New(cfg, time.Now())
				// Ways that differ by what lateness leaves of the guard.
				got := spend(b, 10*time.Minute, func() time.Duration {
					return time.Duration(random.Int64N(int64(cfg.Guard)))
				})
				// Arrivals of one member may overtake each other.
				sortTimes(got)
				if most := got.most(l.Window); most > l.Calls {
					t.Errorf("%d calls in a window of %s", most, l)
				}
				slots := float64(10*time.Minute) / float64(l.Window+cfg.Guard) * float64(l.Calls)
				if used := float64(len(got)) / slots; used < 0.99 {
					t.Errorf("used %.3f of the slots", used)
				}
			})
		})
	}
}

func sortTimes(w window) {
	for i := 1; i < len(w); i++ {
		for j := i; j > 0 && w[j].Before(w[j-1]); j-- {
			w[j], w[j-1] = w[j-1], w[j]
		}
	}
}

func TestAHandOverKeepsTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		var arrivals window
		none := func() time.Duration { return 0 }
		for range 50 { // a new member every 3.3 s, without any knowledge of the one before
			arrivals = append(arrivals, spend(New(cfg, time.Now()), 3300*time.Millisecond, none)...)
		}
		if most := arrivals.most(5 * time.Second); most > 25 {
			t.Errorf("%d calls in 5 s over hand-overs", most)
		}
	})
}

func TestMembersThatShareTheSlotsStayUnderTheLimitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		results := make(chan window)
		for m := range 3 {
			go func() {
				b := New(cfg, time.Now())
				b.Own([]int{m, m + 3}, 6)
				results <- spend(b, time.Minute, func() time.Duration { return 0 })
			}()
		}
		var all window
		for range 3 {
			all = append(all, <-results...)
		}
		sortTimes(all)
		if most := all.most(5 * time.Second); most > 25 {
			t.Errorf("%d calls in 5 s", most)
		}
		if want := 290; len(all) < want {
			t.Errorf("%d calls in a minute, want at least %d", len(all), want)
		}
	})
}

func TestAMemberWithoutSlotsSendsNothing(t *testing.T) {
	b := New(Default(), time.Now())
	b.Own(nil, 6)
	if _, ok := b.Next(time.Now()); ok || b.Take(time.Now()) {
		t.Error("a slot for a member that owns none")
	}
}

func TestMissedSlotsAreNotMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), time.Now())
		spend(b, time.Second, func() time.Duration { return 0 })
		time.Sleep(3 * time.Second)
		taken := 0
		for b.Take(time.Now()) {
			taken++
		}
		if taken > 1 {
			t.Errorf("%d calls at once after three idle seconds", taken)
		}
	})
}

func TestAThrottlingAnswerThatNamesTheLimitSetsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), time.Now())
		spend(b, time.Second, func() time.Duration { return 0 })
		sent := time.Now()
		b.Throttled(time.Now(), sent, Limit{10, 5 * time.Second}, 0)
		// Calls that were under way teach nothing more.
		b.Throttled(time.Now(), sent.Add(-time.Second), Limit{}, 0)
		if _, learned, _ := b.Pace(); learned < 1.96 || learned > 1.97 {
			t.Errorf("learned %.3f calls/s, want 10 per 5.1 s", learned)
		}
		at, _ := b.Next(time.Now())
		if wait := time.Until(at); wait < 5100*time.Millisecond {
			t.Errorf("the next call comes after %s, want the window and the guard", wait)
		}
		time.Sleep(time.Until(at))
		got := spend(b, 50*time.Second, func() time.Duration { return 0 })
		if most := got.most(5 * time.Second); most > 10 {
			t.Errorf("%d calls in 5 s at the learned pace", most)
		}
	})
}

func TestAThrottlingAnswerThatNamesThePresentPaceOnlyPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), time.Now())
		b.Throttled(time.Now(), time.Now(), Limit{25, 5 * time.Second}, 0)
		if configured, learned, _ := b.Pace(); learned != configured {
			t.Errorf("the pace fell to %.2f calls/s, want the %.2f that the answer names", learned, configured)
		}
		if at, _ := b.Next(time.Now()); time.Until(at) < 5100*time.Millisecond {
			t.Errorf("the next call comes after %s, want the window and the guard", time.Until(at))
		}
	})
}

func TestAThrottlingAnswerWithoutALimitHalvesThePaceAndQuietRaisesItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), time.Now())
		b.Throttled(time.Now(), time.Now(), Limit{}, 0)
		configured, learned, _ := b.Pace()
		if r := learned / configured; r < 0.49 || r > 0.51 {
			t.Errorf("the pace fell to %.2f of it, want half", r)
		}
		got := spend(b, 10*time.Minute, func() time.Duration { return 0 })
		if most := got.most(5 * time.Second); most > 25 {
			t.Errorf("%d calls in 5 s while the pace was raised", most)
		}
		if _, learned, _ := b.Pace(); learned != configured {
			t.Errorf("after ten quiet minutes %.2f calls/s, want the configured %.2f and never more", learned, configured)
		}
	})
}

func TestRetryAfterIsHonouredWhenItIsLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), time.Now())
		b.Throttled(time.Now(), time.Now(), Limit{25, 5 * time.Second}, time.Minute)
		at, _ := b.Next(time.Now())
		if wait := time.Until(at); wait < time.Minute {
			t.Errorf("the next call comes after %s, want a minute", wait)
		}
	})
}

func TestAStepOfTheWallClockStopsCallsForAWindow(t *testing.T) {
	// Moving the reading that was taken is a step of the clock the other way.
	for _, step := range []time.Duration{time.Hour, -time.Hour, time.Second, -80 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := New(Default(), time.Now())
			spend(b, time.Second, func() time.Duration { return 0 })
			b.wall = b.wall.Add(-step)
			at, ok := b.Next(time.Now())
			if wait := time.Until(at); !ok || wait < 5100*time.Millisecond || wait > 5400*time.Millisecond {
				t.Errorf("after a step of %s the next call comes after %s, want the window, the guard and a slot", step, wait)
			}
		})
	}
}

func TestAShareLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		cfg.Share = 0.6
		got := spend(New(cfg, time.Now()), time.Minute, func() time.Duration { return 0 })
		if most := got.most(5 * time.Second); most > 15 {
			t.Errorf("%d calls in 5 s with a share of 0.6 of 25", most)
		}
	})
}

func TestTheStrictestOfSeveralLimitsSetsThePace(t *testing.T) {
	cfg := Default()
	cfg.Limits = []Limit{{25, 5 * time.Second}, {8640, 24 * time.Hour}}
	if configured, _, _ := New(cfg, time.Now()).Pace(); configured > 0.1 {
		t.Errorf("%.3f calls/s, want at most 8640 a day", configured)
	}
}

func TestWithoutALimitEveryMomentIsASlot(t *testing.T) {
	b := New(Config{Share: 1}, time.Now())
	for range 1000 {
		if !b.Take(time.Now()) {
			t.Fatal("refused a call without any limit")
		}
	}
}

func TestLimitsAreReadAndWrittenAsInTheDocument(t *testing.T) {
	for _, text := range []string{"25/5s", "100000/day", "1/1m", "10/1h", "7/1m30s", "3/500ms"} {
		l, err := ParseLimit(text)
		if err != nil || l.String() != text {
			t.Errorf("ParseLimit(%q) = %v, %v", text, l, err)
		}
	}
	for _, text := range []string{"", "25", "x/5s", "0/5s", "-1/5s", "25/", "25/5", "25/-5s", "25/0s"} {
		if l, err := ParseLimit(text); err == nil {
			t.Errorf("ParseLimit(%q) = %v, want an error", text, l)
		}
	}
}
