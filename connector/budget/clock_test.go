package budget

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAStepOfTheWallClockStopsCallsForAWindow(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, time.Second, -80 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := New(Default(), true, time.Now())
			off := time.Duration(0)
			b.Skew(func(time.Time) time.Duration { return off })
			spend(b, time.Second, none)
			off = step
			if wait := until(b); wait < 5100*time.Millisecond || wait > 5400*time.Millisecond {
				t.Errorf("after a step of %s the next call comes after %s, want the window, the guard and a slot", step, wait)
			}
		})
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
