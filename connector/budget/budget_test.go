package budget

import (
	"fmt"
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
	turns := owned(b)
	var arrivals window
	for end := time.Now().Add(d); time.Now().Before(end); {
		if b.Take(time.Now(), Backlog) {
			arrivals = append(arrivals, time.Now().Add(way()))
			continue
		}
		next := b.Next(time.Now(), Backlog)
		if next.At.IsZero() {
			return arrivals
		}
		if next.Why == ForReserve { // a commit, at once
			b.Reserve(turns)
			for _, t := range turns {
				b.Grant(t, b.Reservation(t))
			}
			continue
		}
		time.Sleep(time.Until(next.At))
	}
	return arrivals
}

// owned are the turns that the member owns.
func owned(b *Budget) (turns []any) {
	for t, mine := range b.calls.mine {
		if mine {
			turns = append(turns, t)
		}
	}
	return turns
}

// none is a way that takes no time.
func none() time.Duration { return 0 }

// turnsOf are turns about whose day nothing is known.
func turnsOf(turns ...int) map[any]Place {
	mine := map[any]Place{}
	for _, t := range turns {
		mine[t] = Place{Turn: t}
	}
	return mine
}

// until is how long it takes until the next call may go out.
func until(b *Budget) time.Duration { return time.Until(b.Next(time.Now(), Backlog).At) }

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
				b := New(cfg, true, time.Now())
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
		for range 50 { // a new member every 3.3 s, without any knowledge of the one before
			arrivals = append(arrivals, spend(New(cfg, true, time.Now()), 3300*time.Millisecond, none)...)
		}
		if most := arrivals.most(5 * time.Second); most > 25 {
			t.Errorf("%d calls in 5 s over hand-overs", most)
		}
	})
}

func TestOneThatIsAloneHasEverySlotAndOneThatIsUnsureHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			alone, unsure bool
			want          int
		}{{true, false, 294}, {true, true, 294}, {false, false, 49}, {false, true, 0}} {
			b := New(Default(), test.alone, time.Now())
			b.Own(turnsOf(2), 6, test.unsure, time.Now()) // another topic's partitions are gone, say
			if n := len(spend(b, time.Minute, none)); n < test.want-1 || n > test.want+1 {
				t.Errorf("alone %v, unsure %v: %d calls in a minute, want %d", test.alone, test.unsure, n, test.want)
			}
		}
	})
}

func TestMembersThatShareTheSlotsStayUnderTheLimitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		results := make(chan window)
		for m := range 3 {
			go func() {
				b := New(cfg, false, time.Now())
				b.Own(turnsOf(m, m+3), 6, false, time.Now())
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
		if want := 290; len(all) < want {
			t.Errorf("%d calls in a minute, want at least %d", len(all), want)
		}
	})
}

func TestAMemberWithoutSlotsSendsNothing(t *testing.T) {
	b := New(Default(), true, time.Now())
	b.Own(nil, 6, false, time.Now())
	if next := b.Next(time.Now(), Backlog); !next.At.IsZero() || b.Take(time.Now(), Backlog) {
		t.Error("a slot for a member that owns none")
	}
}

func TestMissedSlotsAreNotMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		spend(b, time.Second, none)
		time.Sleep(3 * time.Second)
		taken := 0
		for b.Take(time.Now(), Backlog) {
			taken++
		}
		if taken > 1 {
			t.Errorf("%d calls at once after three idle seconds", taken)
		}
	})
}

func TestAShareLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		cfg.Share = 0.6
		got := spend(New(cfg, true, time.Now()), time.Minute, none)
		if most := got.most(5 * time.Second); most > 15 {
			t.Errorf("%d calls in 5 s with a share of 0.6 of 25", most)
		}
	})
}

func TestSharesTogetherNeverExceedTheLimit(t *testing.T) {
	for _, shares := range [][]float64{{0.5, 0.5}, {0.3, 0.3, 0.3}, {0.7, 0.3}, {0.29, 0.71}, {0.1, 0.2, 0.3, 0.4}} {
		for _, limit := range []string{"25/5s", "10/5s", "100/5s", "72/5s"} {
			t.Run(fmt.Sprint(limit, shares), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l, err := ParseLimit(limit)
					if err != nil {
						t.Fatal(err)
					}
					together, all := 0, 0.0 // wherever the slots of each stand
					for _, share := range shares {
						cfg := Default()
						cfg.Limits, cfg.Share = []Limit{l}, share
						all += share
						together += spend(New(cfg, true, time.Now()), time.Minute, none).most(l.Window)
					}
					if together > l.Calls || together < int(all*float64(l.Calls))-len(shares) {
						t.Errorf("%d calls of %d in a window, want none too many, and at most one a share too few", together, l.Calls)
					}
				})
			})
		}
	}
}

func TestTheStrictestOfSeveralLimitsSetsThePace(t *testing.T) {
	cfg := Default()
	cfg.Limits = []Limit{{25, 5 * time.Second}, {600, time.Hour}}
	if configured, _, _ := New(cfg, true, time.Now()).Pace(); configured > 0.1667 {
		t.Errorf("%.4f calls/s, want at most 600 an hour", configured)
	}
}

func TestWithoutALimitEveryMomentIsASlot(t *testing.T) {
	b := New(Config{Share: 1}, true, time.Now())
	for range 1000 {
		if !b.Take(time.Now(), Backlog) {
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
