package budget

import (
	"testing"
	"testing/synctest"
	"time"
)

// refuse tells the budget of a call that was sent now and refused.
func refuse(b *Budget, named Limit, retryAfter time.Duration) (lowered bool) {
	return b.Throttled(time.Now(), Refusal{Sent: time.Now(), Named: named, RetryAfter: retryAfter})
}

func learnedPace(b *Budget) float64 { _, learned, _ := b.Pace(); return learned }

func TestAThrottlingAnswerThatNamesTheLimitSetsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		spend(b, time.Second, none)
		sent := time.Now()
		if !refuse(b, Limit{10, 5 * time.Second}, 0) {
			t.Error("the pace was not lowered")
		}
		// Calls that were under way teach nothing more.
		if b.Throttled(time.Now(), Refusal{Sent: sent.Add(-time.Second)}) {
			t.Error("a call that was under way lowered the pace again")
		}
		if learned := learnedPace(b); learned < 1.96 || learned > 1.97 {
			t.Errorf("learned %.3f calls/s, want 10 per 5.1 s", learned)
		}
		if wait := until(b); wait < 5100*time.Millisecond {
			t.Errorf("the next call comes after %s, want the window and the guard", wait)
		}
		time.Sleep(until(b))
		got := spend(b, 50*time.Second, none)
		if most := got.most(5 * time.Second); most > 10 {
			t.Errorf("%d calls in 5 s at the learned pace", most)
		}
		if want := 97; len(got) < want {
			t.Errorf("%d calls in 50 s, want at least %d: what the guard leaves of 10/5s", len(got), want)
		}
	})
}

func TestAThrottlingAnswerThatNamesThePresentPaceOnlyPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		if refuse(b, Limit{25, 5 * time.Second}, 0) {
			t.Errorf("the pace fell to %.2f calls/s", learnedPace(b))
		}
		if wait := until(b); wait < 5100*time.Millisecond {
			t.Errorf("the next call comes after %s, want the window and the guard", wait)
		}
		for range 3 {
			time.Sleep(10 * time.Second)
			refuse(b, Limit{25, 5 * time.Second}, 0)
		}
		if b.Learned() != (Limit{18, 5 * time.Second}) {
			t.Errorf("four, and no call in between, teach %v, want that others need a quarter", b.Learned())
		}
	})
}

func TestThrottlingAnswersWithoutALimitLowerThePaceAndQuietRaisesItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		for range 2 {
			time.Sleep(until(b))
			spend(b, 2*time.Second, none)
			refuse(b, Limit{}, 0)
		}
		if b.Learned() != (Limit{9, 5 * time.Second}) {
			t.Errorf("learned %v, want the nine that were let through in a window", b.Learned())
		}
		got := spend(b, 10*time.Minute, none)
		if most := got.most(5 * time.Second); most > 25 {
			t.Errorf("%d calls in 5 s while the pace was raised", most)
		}
		if configured, learned, _ := b.Pace(); learned != configured {
			t.Errorf("after ten quiet minutes %.2f calls/s, want the configured %.2f and never more", learned, configured)
		}
	})
}

func TestRefusalsAtTheSlowestPaceAreAskedForLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		refused := 0
		for end := time.Now().Add(6 * time.Hour); time.Now().Before(end); refused++ {
			time.Sleep(until(b))
			b.Take(time.Now(), Backlog)
			refuse(b, Limit{}, 0) // a quota that no word tells from a short window
		}
		if refused > 50 {
			t.Errorf("%d calls were refused in six hours", refused)
		}
	})
}

func TestAnAttemptAtMoreThatFailsIsTakenBackAndTheNextWaitsLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		real := Limit{10, 5 * time.Second}
		refuse(b, real, 0)
		var failed []time.Duration // between attempts that fail
		last := time.Now()
		for range 5 {
			for b.Learned() == real {
				spend(b, time.Second, none)
			}
			failed = append(failed, time.Since(last).Truncate(10*time.Second) /* without the pause */)
			last = time.Now()
			refuse(b, real, 0)
			if b.Learned() != real {
				t.Fatalf("after a failed attempt %v, want %v again", b.Learned(), real)
			}
		}
		for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 4 * time.Minute, 4 * time.Minute} {
			if failed[i] != want {
				t.Errorf("attempts came after %v; want the %dth after %v", failed, i+1, want)
			}
		}
	})
}

func TestRetryAfterIsHonouredWhenItIsLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		refuse(b, Limit{25, 5 * time.Second}, time.Minute)
		if wait := until(b); wait < time.Minute {
			t.Errorf("the next call comes after %s, want a minute", wait)
		}
	})
}

func TestMembersThatLearnKeepToTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Each has learned another limit: still the configured one holds over all.
		results := make(chan window)
		for m := range 3 {
			go func() {
				b := New(Default(), false, time.Now())
				b.Own(turnsOf(m), 3, false, time.Now())
				if m > 0 {
					refuse(b, Limit{25 - 4*m, 5 * time.Second}, 0)
				}
				results <- spend(b, time.Minute, none)
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
	})
}

func TestALimitOfManyCallsIsKeptInShorterWindows(t *testing.T) {
	for _, l := range []Limit{{1, 5 * time.Second}, {10, 5 * time.Second}, {513, time.Minute}, {10_000, time.Hour}, {700, 5 * time.Second}} {
		for _, part := range []float64{1, 0.5, 0.07} {
			calls, window := l.mine(part, 100*time.Millisecond)
			if calls > mostLearned || calls < 1 {
				t.Errorf("%v: %d calls to be remembered", l, calls)
			}
			if rate := float64(calls) / window.Seconds(); rate > l.perSecond()*part {
				t.Errorf("%v, a part of %v: %d in %v is more", l, part, calls, window)
			}
		}
	}
}

func TestAnHourlyLimitThatAnAnswerNamesIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		refuse(b, Limit{1000, time.Hour}, 0)
		time.Sleep(until(b))
		var got window // what the server counts
		refused := 0
		for end := time.Now().Add(48 * time.Hour); time.Now().Before(end); {
			time.Sleep(until(b))
			if !b.Take(time.Now(), Backlog) {
				continue
			}
			if got = append(got, time.Now()); len(got) > 1000 && time.Since(got[len(got)-1001]) < time.Hour {
				got = got[:len(got)-1]
				refused++
				refuse(b, Limit{1000, time.Hour}, 0)
			}
		}
		// More is tried only when the attempt before could have been felt.
		if refused > 10 || len(got) < 36_000 {
			t.Errorf("%d calls let through and %d refused in two days; want 3 of 4 of the 48,000 that the limit allows, and few attempts at more", len(got), refused)
		}
	})
}
