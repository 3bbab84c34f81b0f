package budget

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAStepOfTheWallClockPutsSlotsNoNearerToEachOther(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, time.Second, -80 * time.Millisecond, 153 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := New(Default(), true, time.Now())
			off := time.Duration(0)
			b.Skew(func(time.Time) time.Duration { return off })
			all := spend(b, time.Second, none)
			last := all[len(all)-1]
			off += step
			next := time.Now().Add(until(b))
			if gap := next.Sub(last); gap < 204*time.Millisecond || gap > 408*time.Millisecond {
				t.Errorf("after a step of %s the next call comes %s after the last one, want one slot or at most two", step, gap)
			}
			for range 20 { // and back and forth
				all = append(all, spend(b, 700*time.Millisecond, none)...)
				off -= step
				all = append(all, spend(b, 1300*time.Millisecond, none)...)
				off += step
			}
			if most := all.most(5 * time.Second); most > 25 {
				t.Errorf("%d calls in a window while the clock goes back and forth by %s", most, step)
			}
		})
	}
}

func TestAStepOfTheWallClockShortensNoPauseAndForgetsNoLimit(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 80 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := New(Default(), true, time.Now())
			off := time.Duration(0)
			b.Skew(func(time.Time) time.Duration { return off })
			refuse(b, Limit{5, 5 * time.Second}, 10*time.Minute)
			off = step
			if wait := until(b); wait < 10*time.Minute || wait > 10*time.Minute+time.Second {
				t.Errorf("after a step of %s the next call comes after %s, want the ten minutes that the answer asked for", step, wait)
			}
			time.Sleep(until(b))
			all := spend(b, 16*time.Second, none) // to the middle of a window
			off = 0
			all = append(all, spend(b, 20*time.Second, none)...)
			if most := all.most(5 * time.Second); most > 5 {
				t.Errorf("%d calls in a window of a learned 5/5s over a step of %s", most, -step)
			}
		})
	}
}

func TestAnAnswerThatThrottlesRightAfterAStepPausesForWhatItSays(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		for _, spent := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				b := New(Default(), true, time.Now())
				off := time.Duration(0)
				b.Skew(func(time.Time) time.Duration { return off })
				spend(b, time.Second, none)
				off = step
				b.Throttled(time.Now(), Refusal{Sent: time.Now(), RetryAfter: 10 * time.Second, DaySpent: spent})
				if wait := until(b); wait < 10*time.Second || wait > 11*time.Second {
					t.Errorf("after a step of %s the next call comes after %s, want the ten seconds of Retry-After", step, wait)
				}
			})
		}
	}
}

func TestASlowDriftOfTheWallClockStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		began := time.Now()
		b.Skew(func(now time.Time) time.Duration { return now.Sub(began) / 2000 }) // 500 ppm, as fast as time daemons slew
		if got := spend(b, 10*time.Minute, none); len(got) < 2930 {
			t.Errorf("%d calls in ten minutes, want 98 %% of 3000", len(got))
		}
	})
}

func TestACallMayBeWrittenForHalfOfTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		time.Sleep(until(b))
		slot := time.Now()
		time.Sleep(20 * time.Millisecond)
		if !b.Take(time.Now(), Backlog) {
			t.Fatal("a slot is lost after 20 ms of a guard of 100 ms")
		}
		if late := b.WriteBy().Sub(slot); late != 50*time.Millisecond {
			t.Errorf("it may be written until %v after its slot, want 50 ms", late)
		}
		time.Sleep(until(b))
		time.Sleep(26 * time.Millisecond)
		if b.Take(time.Now(), Backlog) {
			t.Error("a slot is used 26 ms late, with a guard of 100 ms")
		}
	})
}
