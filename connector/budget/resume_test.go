package budget

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAResumeEndsALongRetryAfterAndNoShortOne(t *testing.T) {
	for _, c := range []struct{ asked, resumedAt, want time.Duration }{
		{24 * time.Hour, time.Hour, 0},
		{24 * time.Hour, time.Minute, 4 * time.Minute}, // so much is always believed
		{time.Minute, 10 * time.Second, 50 * time.Second},
		{0, time.Second, 4100 * time.Millisecond}, // the window and the guard
	} {
		synctest.Test(t, func(t *testing.T) {
			b := New(Default(), true, time.Now())
			let := spend(b, 2*time.Second, none)
			refuse(b, Limit{25, 5 * time.Second}, c.asked)
			time.Sleep(c.resumedAt)
			b.Resume(time.Now())
			if wait := until(b); wait < c.want || wait > c.want+time.Second {
				t.Errorf("resumed %s after an answer that asked for %s, the next call comes after %s, want %s", c.resumedAt, c.asked, wait, c.want)
			}
			let = append(let, spend(b, time.Minute, none)...)
			if most := let.most(5 * time.Second); most > 25 {
				t.Errorf("%d calls in a window over a resume", most)
			}
			if !refuse(b, Limit{10, 5 * time.Second}, 0) {
				t.Error("after a resume an answer teaches nothing")
			}
		})
	}
}

func TestAfterAResumeOneCallFindsOutWhetherTheDayIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		b.Throttled(time.Now(), Refusal{Sent: time.Now(), DaySpent: true, RetryAfter: 20 * time.Hour})
		time.Sleep(time.Minute)
		b.Resume(time.Now())
		if got := spend(b, time.Minute, none); len(got) != 1 {
			t.Errorf("%d calls in the minute after a resume, want one that finds out", len(got))
		}
	})
}
