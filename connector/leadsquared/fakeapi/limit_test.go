package fakeapi_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

func limits(texts ...string) []budget.Limit {
	var all []budget.Limit
	for _, text := range texts {
		l, err := budget.ParseLimit(text)
		if err != nil {
			panic(err)
		}
		all = append(all, l)
	}
	return all
}

// statuses posts a call at each moment after the start of the bubble's story.
func (f *fake) statuses(moments ...time.Duration) []int {
	f.Helper()
	begun := time.Now()
	var all []int
	for i, m := range moments {
		time.Sleep(time.Until(begun.Add(m)))
		all = append(all, f.post(orders(i, 1)).status)
	}
	return all
}

func TestACallBeyondTheLimitIsThrottledUntilTheFirstHasLeftTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{Limits: limits("25/5s")})
		var moments []time.Duration
		for i := range 25 {
			moments = append(moments, time.Duration(i)*100*time.Millisecond)
		}
		// The window slides: the first call leaves it at 5 s, the second at 5.1 s.
		moments = append(moments, 2500*time.Millisecond, 5*time.Second-1, 5*time.Second, 5*time.Second, 5100*time.Millisecond-1, 5100*time.Millisecond)
		got := f.statuses(moments...)
		for i, status := range got {
			want := http.StatusOK
			switch i {
			case 25, 26, 28, 29:
				want = http.StatusTooManyRequests
			}
			if status != want {
				t.Errorf("call %d at %s: status %d, want %d", i+1, moments[i], status, want)
			}
		}
		sum := f.Summary("")
		if sum.Violations != 4 || sum.Outcomes["throttled"] != 4 || sum.Created != 27 {
			t.Errorf("summary %+v; want 4 violations and 27 created", sum)
		}
		if calls := f.Calls(25, 1); calls[0].Outcome != "throttled" || calls[0].Created != 0 {
			t.Errorf("the 26th call is remembered as %+v", calls[0])
		}
		if most := sum.Most["25/5s"]; most != 29 {
			t.Errorf("at most %d calls came in a window, want 29", most) // from just after 0 s to 5.1 s: 24 of the 25 and 5 of the others
		}
	})
}

func TestThrottledCallsUseUpTheLimitOnlyIfTheyAreToldTo(t *testing.T) {
	for counted, want := range map[bool]int{false: http.StatusOK, true: http.StatusTooManyRequests} {
		synctest.Test(t, func(t *testing.T) {
			f := start(t, fakeapi.Config{Limits: limits("2/5s"), CountThrottled: counted})
			got := f.statuses(0, 0, 4*time.Second, 4*time.Second, 5*time.Second)
			if got[2] != http.StatusTooManyRequests || got[3] != http.StatusTooManyRequests || got[4] != want {
				t.Errorf("counted %t: statuses %v; want the last one %d", counted, got, want)
			}
		})
	}
}

func TestTheLimitThatIsExceededIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{Limits: limits("2/1s", "3/10s")})
		f.statuses(0, 0)
		f.must(f.post(orders(2, 1)), http.StatusTooManyRequests,
			`{"Status":"Error","ExceptionType":"MXAPIRateLimitExceededException","ExceptionMessage":"API calls exceeded the limit of 2 in 1 second(s)"}`)
		time.Sleep(time.Second)
		f.must(f.post(orders(3, 1)), http.StatusOK)
		f.must(f.post(orders(4, 1)), http.StatusTooManyRequests, "the limit of 3 in 10 second(s)")
		time.Sleep(9 * time.Second)
		f.must(f.post(orders(5, 1)), http.StatusOK)
	})
}

func TestATokenBucketIsCaughtExceeding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{Limits: limits("25/5s")})
		var moments []time.Duration
		for range 25 {
			moments = append(moments, 0) // the full bucket
		}
		for i := range 25 {
			moments = append(moments, time.Duration(i+1)*200*time.Millisecond) // 5 tokens a second
		}
		f.statuses(moments...)
		if sum := f.Summary(""); sum.Violations != 24 || sum.Most["25/5s"] != 49 {
			t.Errorf("summary %+v; want 24 violations, 49 calls in a window", sum)
		}
	})
}

func TestAFixedWindowIsCaughtExceeding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{Limits: limits("25/5s")})
		var moments []time.Duration
		for range 25 {
			moments = append(moments, 4900*time.Millisecond) // the end of one window
		}
		for range 25 {
			moments = append(moments, 5000*time.Millisecond) // the beginning of the next
		}
		f.statuses(moments...)
		if sum := f.Summary(""); sum.Violations != 25 || sum.Most["25/5s"] != 50 {
			t.Errorf("summary %+v; want 25 violations, 50 calls in a window", sum)
		}
	})
}

func TestCallsAtEvenDistancesExceedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{Limits: limits("25/5s")})
		var moments []time.Duration
		for i := range 200 {
			moments = append(moments, time.Duration(i)*200*time.Millisecond)
		}
		f.statuses(moments...)
		if sum := f.Summary(""); sum.Violations != 0 || sum.Most["25/5s"] != 25 {
			t.Errorf("summary %+v; want no violation, 25 calls in a window", sum)
		}
	})
}

func TestACallCountsWhenItArrivesHoweverItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{Limits: limits("3/5s")})
		f.Script(fakeapi.Slow, fakeapi.ResetBefore, fakeapi.Gateway502) // slow ends after 10 s
		done := make(chan answer)
		for i := range 3 {
			go func() { done <- f.post(orders(i, 1)) }()
		}
		synctest.Wait()
		f.must(f.post(orders(3, 1)), http.StatusTooManyRequests)
		time.Sleep(5 * time.Second)
		f.must(f.post(orders(4, 1)), http.StatusOK)
		for range 3 {
			<-done
		}
	})
}

func TestLimitsThatChangeCountTheCallsSoFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{Limits: limits("3/5s")})
		f.statuses(0, 0)
		f.SetLimits(limits("2/5s"))
		f.must(f.post(orders(2, 1)), http.StatusTooManyRequests, "the limit of 2 in 5 second(s)")
		f.SetLimits(nil)
		for i := range 30 {
			f.must(f.post(orders(3+i, 1)), http.StatusOK)
		}
	})
}
