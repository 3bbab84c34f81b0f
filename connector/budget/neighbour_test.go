package budget

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// An account counts the calls of all who use it in a window that slides, and
// lets a call through while there is room.
type account struct {
	limit Limit
	let   window
}

func (a *account) call(now time.Time) bool {
	for len(a.let) > 0 && !a.let[0].After(now.Add(-a.limit.Window)) {
		a.let = a.let[1:]
	}
	if len(a.let) >= a.limit.Calls {
		return false
	}
	a.let = append(a.let, now)
	return true
}

// A trial is what came of a member's calls.
type trial struct{ through, throttled int }

func (t trial) share() float64 { return float64(t.throttled) / float64(max(1, t.through+t.throttled)) }

// against spends the budget against an account that may refuse a call, and names
// its limit if it does.
func against(b *Budget, d time.Duration, let func(time.Time) bool, named Limit) (got trial) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(until(b))
		if !b.Take(time.Now(), Backlog) {
			continue
		}
		if let(time.Now()) {
			got.through++
			continue
		}
		got.throttled++
		refuse(b, named, 0)
	}
	return got
}

// withNeighbour runs a member and somebody else on one account.
func withNeighbour(d time.Duration, named Limit, pattern func(use func(calls int))) trial {
	a := &account{limit: Limit{25, 5 * time.Second}}
	turn, done := make(chan struct{}, 1), make(chan struct{}) // one call at a time
	let := func(now time.Time) bool {
		turn <- struct{}{}
		defer func() { <-turn }()
		return a.call(now)
	}
	defer func() { <-done }()
	go func() {
		defer close(done)
		for end := time.Now().Add(d); time.Now().Before(end); {
			pattern(func(calls int) {
				for range calls {
					let(time.Now())
				}
			})
		}
	}()
	return against(New(Default(), true, time.Now()), d, let, named)
}

func TestHalfOfTheAccountIsUsedBesideANeighbourWhoUsesTheOther(t *testing.T) {
	patterns := map[string]func(use func(int)){
		"steadily":                 func(use func(int)) { use(1); time.Sleep(400 * time.Millisecond) },
		"in bursts each window":    func(use func(int)) { use(12); time.Sleep(4800 * time.Millisecond) },
		"in bursts each 2 windows": func(use func(int)) { use(25); time.Sleep(10 * time.Second) },
	}
	for name, pattern := range patterns {
		for _, named := range []Limit{{25, 5 * time.Second}, {}} {
			t.Run(name+" "+named.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const d = 20 * time.Minute
					got := withNeighbour(d, named, pattern)
					used := float64(got.through) / (2.5 * d.Seconds())
					t.Logf("%.3f of its half used, %d of %d throttled", used, got.throttled, got.through)
					if used < 0.9 || got.share() > 0.03 {
						t.Errorf("%.3f of its half used, %.3f of the calls throttled; want 0.9 and at most 0.03", used, got.share())
					}
				})
			})
		}
	}
}

func TestOneThrottledCallInAHundredDoesNotLowerThePaceForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		cfg.Limits = []Limit{{200, 5 * time.Second}}
		random := rand.New(rand.NewPCG(5, 6))
		b := New(cfg, true, time.Now())
		sum := 0.0
		const minutes = 60
		for range minutes {
			against(b, time.Minute, func(time.Time) bool { return random.IntN(100) > 0 }, cfg.Limits[0])
			configured, learned, _ := b.Pace()
			sum += learned / configured
		}
		if mean := sum / minutes; mean < 0.75 {
			t.Errorf("the pace is %.2f of the configured one on average, want at least three quarters", mean)
		}
	})
}

func TestALimitThatIsLowerIsLearnedWithinTwoThrottledCallsAndLeftWhenItRises(t *testing.T) {
	for _, named := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			a := &account{limit: Limit{10, 5 * time.Second}}
			name := Limit{}
			if named {
				name = a.limit
			}
			b := New(Default(), true, time.Now())
			if got := against(b, 50*time.Second, a.call, name); got.throttled > 2 || b.Learned().Calls > 10 || b.Learned().Calls < 9 {
				t.Errorf("%d calls throttled, and %v learned; want 10/5s within two", got.throttled, b.Learned())
			}
			a.limit.Calls = 25
			against(b, 15*time.Minute, a.call, name)
			if l := b.Learned(); !l.IsZero() {
				t.Errorf("a quarter of an hour after the limit was raised the pace is still %v", l)
			}
		})
	}
}
