package budget

import (
	"testing"
	"testing/synctest"
	"time"
)

func ofADay(calls int) Config {
	cfg := Default()
	cfg.Limits = append(cfg.Limits, Limit{calls, day})
	return cfg
}

// A store is what the commits of partitions say about the day.
type store map[any]Reservation

// commit writes what the turns' commits say, and acknowledges them.
func (s store) commit(b *Budget, turns ...any) {
	b.Reserve(turns)
	for _, t := range turns {
		s[t] = b.Reservation(t)
		b.Grant(t, s[t])
	}
}

// take is a member that takes over the turns.
func (s store) take(cfg Config, alone bool, of int, turns ...int) *Budget {
	b := New(cfg, alone, time.Now())
	mine := map[any]Place{}
	for _, t := range turns {
		mine[t] = Place{t, s[t]}
	}
	b.Own(mine, of, false, time.Now())
	return b
}

// spend makes calls until the moment, or until the day is over; a commit follows each.
func (s store) spend(b *Budget, end time.Time, turns ...any) (calls int) {
	for time.Now().Before(end) {
		next := b.Next(time.Now(), Backlog)
		switch {
		case next.At.IsZero():
			return calls
		case next.Why == ForReserve:
			b.Short(turns)
			s.commit(b, turns...)
		case next.At.After(time.Now()):
			time.Sleep(min(time.Until(next.At), time.Until(end)))
		case b.Take(time.Now(), Backlog):
			calls++
			s.commit(b, turns...)
		}
	}
	return calls
}

func TestADaysCallsAreSpentAndNeverExceededOverCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which begins at midnight UTC
		cfg, s := ofADay(2000), store{}
		midnight := time.Now()
		total := 0
		for range 7 { // six crashes, each after some seconds, without any last commit
			b := s.take(cfg, true, 3, 0, 1, 2)
			total += s.spend(b, time.Now().Add(47*time.Second+300*time.Millisecond), 0, 1, 2)
		}
		b := s.take(cfg, true, 3, 0, 1, 2)
		total += s.spend(b, midnight.Add(day-time.Second), 0, 1, 2)
		if total > 2000 || total < 1940 {
			t.Errorf("%d calls in the day, want 97 %% of 2000 and not more", total)
		}
		if wait := until(b); wait < 3*time.Second || wait > 4*time.Second {
			t.Errorf("the next call comes after %v, want the turn of the day", wait)
		}
		if again := s.spend(b, midnight.Add(2*day-time.Second), 0, 1, 2); again != 2000 {
			t.Errorf("%d calls on the second day, want 2000", again)
		}
	})
}

func TestMembersThatSharePartitionsSpendTheDayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, s := ofADay(1001), store{}
		total := 0
		for m := range 3 {
			total += s.spend(s.take(cfg, false, 6, m, m+3), time.Now().Add(time.Hour), m, m+3)
		}
		// Partitions change hands: what was spent stays spent.
		for m := range 2 {
			total += s.spend(s.take(cfg, false, 6, m, m+2, m+4), time.Now().Add(time.Hour), m, m+2, m+4)
		}
		if total != 1001 {
			t.Errorf("%d calls, want all 1001 of the day and not one more", total)
		}
	})
}

func TestAPartitionThatIsGivenUpGivesBackWhatWasNotSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, s := ofADay(2000), store{}
		total := 0
		for range 100 { // in good order: the last commit comes after the last call
			b := s.take(cfg, true, 1, 0)
			total += s.spend(b, time.Now().Add(3*time.Second), 0)
			b.Own(nil, 1, false, time.Now())
			s.commit(b, 0)
		}
		if s[0].Calls != total {
			t.Errorf("%d calls are reserved after %d, want none to be wasted", s[0].Calls, total)
		}
	})
}

func TestNothingIsSentNearTheTurnOfTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, s := ofADay(100_000), store{}
		b := s.take(cfg, true, 1, 0)
		midnight := time.Now().Add(day)
		time.Sleep(day - 10*time.Second)
		for time.Now().Before(midnight.Add(10 * time.Second)) {
			next := b.Next(time.Now(), Backlog)
			if next.Why == ForReserve {
				s.commit(b, 0)
				continue
			}
			time.Sleep(time.Until(next.At))
			if b.Take(time.Now(), Backlog) && time.Since(midnight).Abs() < 2100*time.Millisecond {
				t.Errorf("a call %v from the turn of the day", time.Since(midnight))
			}
		}
	})
}

func TestADayThatIsSpreadNeverRunsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, s := ofADay(2400), store{}
		cfg.Day.Policy = Spread
		b := s.take(cfg, true, 1, 0)
		midnight := time.Now()
		total := 0
		for h := 1; h <= 24; h++ {
			if h == 5 { // four hours without any record
				time.Sleep(4 * time.Hour)
				h += 4
			}
			total += s.spend(b, midnight.Add(time.Duration(h)*time.Hour-time.Second), 0)
			if even := 100 * h; total > even || total < even-2 {
				t.Errorf("%d calls after %d hours, want about %d", total, h, even)
			}
		}
	})
}

func TestTheReserveIsForLiveRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, s := ofADay(500), store{}
		cfg.Day.Reserve = 100
		b := s.take(cfg, true, 2, 0, 1)
		if n := s.spend(b, time.Now().Add(time.Hour), 0, 1); n != 400 {
			t.Errorf("a backlog has spent %d calls, want 400", n)
		}
		live := 0
		for b.Next(time.Now(), Live).Why != ForDay {
			s.commit(b, 0, 1)
			time.Sleep(time.Until(b.Next(time.Now(), Live).At))
			if b.Take(time.Now(), Live) {
				live++
			}
		}
		if live != 100 {
			t.Errorf("%d live calls, want the reserve of 100", live)
		}
	})
}

func TestADayThatLeadSquaredCallsSpentIsProbed(t *testing.T) {
	for _, cfg := range []Config{Default(), ofADay(100_000)} {
		synctest.Test(t, func(t *testing.T) {
			s := store{}
			b := s.take(cfg, true, 1, 0)
			s.spend(b, time.Now().Add(time.Minute), 0)
			b.Throttled(time.Now(), Refusal{Sent: time.Now(), DaySpent: true})
			if wait := until(b); wait < 15*time.Minute || wait > 16*time.Minute || b.Next(time.Now(), Backlog).Why != ForDay {
				t.Errorf("the next call comes after %v, want a quarter of an hour", wait)
			}
			if b.Learned() != (Limit{}) {
				t.Errorf("a spent day has taught the pace %v", b.Learned())
			}
			time.Sleep(until(b))
			b.Went(time.Now())
			if wait := until(b); wait > time.Second {
				t.Errorf("after a call that went well the next waits %v", wait)
			}
			b.Throttled(time.Now(), Refusal{Sent: time.Now(), Named: Limit{100_000, day}})
			if wait := until(b); wait < 15*time.Minute {
				t.Errorf("a limit for a day was named, and the next call comes after %v", wait)
			}
		})
	}
}

func TestAReservationOfAClockThatIsWrongByDaysIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := ofADay(1000)
		now := time.Now()
		for _, ahead := range []time.Duration{400 * day, day} {
			b := store{0: {now.Add(ahead), 1000}}.take(cfg, true, 1, 0)
			if today := b.Today(time.Now()); !today.Start.Equal(now) || today.Spent != 0 {
				t.Errorf("%v ahead: today is %+v; want the day of this clock", ahead, today)
			}
		}
		time.Sleep(day - time.Minute)
		b := store{0: {now.Add(day), 900}}.take(cfg, true, 1, 0) // another's clock is ahead, by a minute
		if today := b.Today(time.Now()); !today.Start.Equal(now.Add(day)) || today.Spent != 900 {
			t.Errorf("today is %+v; want the day that has begun for another member", today)
		}
	})
}

func TestAClockThatWasFarAheadForAMomentCostsNoCallsOfTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, s := ofADay(1000), store{}
		b := s.take(cfg, true, 1, 0)
		off := time.Duration(0)
		b.Skew(func(time.Time) time.Duration { return off })
		spent := s.spend(b, time.Now().Add(time.Minute), 0)
		off = 365 * day
		spent += s.spend(b, time.Now().Add(time.Second), 0)
		off = 0
		if wait := until(b); wait > 5*time.Second {
			t.Errorf("once the clock is right again the next call comes after %v", wait)
		}
		spent += s.spend(b, time.Now().Add(time.Hour), 0)
		if spent < 990 || spent > 1005 { // those of the wrong second are another day's
			t.Errorf("%d calls in the day, want 1000", spent)
		}
	})
}

func TestADayThatStartsAtAnotherTimeNowIsNotSpentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which begins at midnight UTC
		kolkata, err := ParseDayStart("00:00 Asia/Kolkata") // 18:30 UTC
		if err != nil {
			t.Fatal(err)
		}
		before, cfg := ofADay(1000), ofADay(1000)
		before.Day.Starts = kolkata
		s := store{}
		midnight := time.Now()
		time.Sleep(3 * time.Hour)
		if n := s.spend(s.take(before, true, 1, 0), midnight.Add(4*time.Hour), 0); n != 1000 {
			t.Fatalf("%d calls, want the day's 1000", n)
		}
		if n := s.spend(s.take(cfg, true, 1, 0), midnight.Add(day-time.Minute), 0); n > 0 {
			t.Errorf("%d calls more of the same day, which starts at midnight UTC now", n)
		}
		time.Sleep(2 * time.Minute)
		if n := s.spend(s.take(cfg, true, 1, 0), time.Now().Add(time.Hour), 0); n != 1000 {
			t.Errorf("%d calls of the next day, want 1000", n)
		}
	})
}

func TestADayThatStartsAtAnotherTimeNowCostsNoFurtherDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which begins at midnight UTC
		kolkata, err := ParseDayStart("00:00 Asia/Kolkata") // 18:30 UTC
		if err != nil {
			t.Fatal(err)
		}
		before, cfg := ofADay(1000), ofADay(1000)
		cfg.Day.Starts = kolkata
		s := store{}
		midnight := time.Now()
		if n := s.spend(s.take(before, true, 1, 0), midnight.Add(time.Hour), 0); n != 1000 {
			t.Fatalf("%d calls, want the day's 1000", n)
		}
		b := s.take(cfg, true, 1, 0)
		turn := midnight.Add(18*time.Hour + 30*time.Minute)
		if n := s.spend(b, turn, 0); n > 0 {
			t.Errorf("%d calls more before the day turns at 18:30", n)
		}
		if n := s.spend(b, turn.Add(time.Hour), 0); n != 1000 {
			t.Errorf("%d calls of the day that began at 18:30, want 1000", n)
		}
	})
}

func TestAReservationThatACommitFailedToMakeIsMadeAgain(t *testing.T) {
	for _, quota := range []int{400, 2000, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			s := store{}
			b := s.take(ofADay(quota), true, 2, 0, 1)
			s.spend(b, time.Now().Add(10*time.Second), 0, 1)
			for b.Next(time.Now(), Backlog).Why != ForReserve {
				if b.Short([]any{0, 1}) {
					b.Reserve([]any{0, 1}) // and the commit fails
				}
				time.Sleep(until(b))
				b.Take(time.Now(), Backlog)
			}
			if !b.Short([]any{0, 1}) {
				t.Error("a call waits for a commit to reserve it, and no commit is asked for")
			}
		})
	}
}

func TestASpentDayIsProbedByOneCallHoweverLateItsAnswerComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		spend(b, time.Second, none)
		older := time.Now()
		time.Sleep(time.Second)
		b.Throttled(time.Now(), Refusal{Sent: time.Now(), DaySpent: true})
		b.Went(older) // an answer that came later
		if wait := until(b); wait < probeSpent {
			t.Fatalf("a call that was sent before the day was spent has let calls go after %v", wait)
		}
		if n := len(spend(b, time.Hour+time.Minute, none)); n != 4 {
			t.Errorf("%d calls in an hour without answers, want one in a quarter of an hour", n)
		}
	})
}

func TestASpentDayIsAskedForAgainWhenTheAnswerSaysOrSoonAfterACallThatCameToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Default(), true, time.Now())
		b.Throttled(time.Now(), Refusal{Sent: time.Now(), DaySpent: true, RetryAfter: 3 * time.Minute})
		if wait := until(b); wait < 3*time.Minute || wait > 3*time.Minute+time.Second {
			t.Errorf("the next call comes after %v, want what Retry-After says", wait)
		}
		b.Throttled(time.Now(), Refusal{Sent: time.Now(), DaySpent: true})
		time.Sleep(until(b))
		b.Take(time.Now(), Backlog)
		b.Unheard(time.Now())
		if wait := until(b); wait < time.Minute || wait > time.Minute+time.Second {
			t.Errorf("after a call that never reached LeadSquared the next comes after %v, want a minute", wait)
		}
	})
}

func TestWhatIsSaidOfADayIsOfTodaysAlsoWhileNothingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store{}
		midnight := time.Now()
		b := s.take(ofADay(1000), true, 1, 0)
		s.spend(b, time.Now().Add(time.Hour), 0)
		time.Sleep(29 * time.Hour)
		if today := b.Today(time.Now()); today.Spent != 0 || !today.Start.Equal(midnight.Add(day)) {
			t.Errorf("six hours into the next day %+v is said", today)
		}
		if d, ok := b.Lasts(time.Now(), 10); !ok || d < time.Second || d > 3*time.Second {
			t.Errorf("ten calls last %v", d)
		}
		b.Throttled(time.Now(), Refusal{Sent: time.Now(), DaySpent: true})
		if d, ok := b.Lasts(time.Now(), 10); !ok || d < 18*time.Hour || d > 18*time.Hour+time.Minute {
			t.Errorf("ten calls of a spent day last %v, want until the next", d)
		}
	})
}

func TestAClockThatIsSetBackOverTheTurnOfTheDayStaysInTheNewDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, s := ofADay(1000), store{}
		b := s.take(cfg, true, 1, 0)
		off := time.Duration(0)
		b.Skew(func(time.Time) time.Duration { return off })
		time.Sleep(day + time.Minute)
		s.spend(b, time.Now().Add(10*time.Minute), 0)
		if today := b.Today(time.Now()); today.Spent != 1000 {
			t.Fatalf("today is %+v, want it spent", today)
		}
		off = -time.Hour
		if s.spend(b, time.Now().Add(30*time.Minute), 0) > 0 {
			t.Error("a day was spent twice after the clock was set back")
		}
	})
}

func TestOneMemberMaySpendTheWholeDayOnOnePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Two partitions never had a record, so nothing was ever committed for them.
		for _, test := range []struct {
			alone bool
			want  int
		}{{true, 999}, {false, 333}} {
			s := store{}
			b := s.take(ofADay(999), test.alone, 3, 0, 1, 2)
			if n := s.spend(b, time.Now().Add(time.Hour), 1); n != test.want {
				t.Errorf("alone %v: %d calls, want %d", test.alone, n, test.want)
			}
			time.Sleep(day - time.Hour)
		}
	})
}

func TestLingerGrowsWhenTheDayRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store{}
		b := s.take(ofADay(1000), true, 1, 0)
		for spent := 0; spent < 1000; spent++ {
			if linger := b.Linger(time.Now(), time.Second); spent < 900 && linger != time.Second {
				t.Fatalf("it lingers %v with %d calls spent", linger, spent)
			} else if spent == 950 && linger != mostLinger {
				t.Errorf("it lingers %v with 50 calls for a day, want %v", linger, mostLinger)
			}
			s.commit(b, 0)
			time.Sleep(until(b))
			if !b.Take(time.Now(), Backlog) {
				spent--
			}
		}
	})
}

func TestHowLongCallsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := func(what string, got time.Duration, ok bool, want time.Duration) {
			t.Helper()
			if !ok || (got-want).Abs() > want/100 {
				t.Errorf("%s: %v, %v; want %v", what, got, ok, want)
			}
		}
		b := New(Default(), false, time.Now())
		got, ok := b.Lasts(time.Now(), 1000)
		near("1000 calls", got, ok, 204*time.Second)
		b.Own(turnsOf(0), 4, false, time.Now())
		got, ok = b.Lasts(time.Now(), 1000)
		near("1000 calls with a quarter of the slots", got, ok, 816*time.Second)
		b.Own(nil, 4, false, time.Now())
		if _, ok := b.Lasts(time.Now(), 1000); ok {
			t.Error("calls last for some time without any slot")
		}
		s := store{}
		b = s.take(ofADay(1000), true, 1, 0)
		got, ok = b.Lasts(time.Now(), 2500)
		near("2500 calls with 1000 a day", got, ok, 2*day+102*time.Second)
		s.spend(b, time.Now().Add(time.Hour), 0)
		got, ok = b.Lasts(time.Now(), 500)
		near("500 calls when the day is spent", got, ok, 23*time.Hour+102*time.Second)
		refuse(b, Limit{1, 5 * time.Second}, 0)
		got, ok = b.Lasts(time.Now(), 500)
		near("500 calls at a learned pace", got, ok, 23*time.Hour+2550*time.Second)
	})
}

func TestADayStartsInItsZone(t *testing.T) {
	for _, test := range []struct{ starts, at, start, next string }{
		{"00:00 UTC", "2026-03-01T12:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
		{"00:00 UTC", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
		{"00:00 Asia/Kolkata", "2026-03-01T18:29:59Z", "2026-02-28T18:30:00Z", "2026-03-01T18:30:00Z"},
		{"05:30 Asia/Kolkata", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
		{"00:00 Europe/Berlin", "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"}, // 23 hours
		// Midnight is skipped: the day starts at one o'clock.
		{"00:00 America/Santiago", "2026-09-06T03:59:59Z", "2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z"},
		{"00:00 America/Santiago", "2026-09-06T04:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"},
		{"00:00 Africa/Cairo", "2026-04-23T22:30:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
		{"02:30 Europe/Berlin", "2026-03-29T02:00:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
		{"00:00 Europe/Berlin", "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"}, // 25 hours
	} {
		d, err := ParseDayStart(test.starts)
		if err != nil || d.String() != test.starts {
			t.Errorf("ParseDayStart(%q) = %v, %v", test.starts, d, err)
			continue
		}
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		start, next := d.Around(at)
		if start.UTC().Format(time.RFC3339) != test.start || next.UTC().Format(time.RFC3339) != test.next {
			t.Errorf("%s is in the day from %v to %v, want %s to %s", test.at, start.UTC(), next.UTC(), test.start, test.next)
		}
	}
	for _, text := range []string{"", "00:00", "24:00 UTC", "0:00:00 UTC", "00:00 Mars/Olympus", "midnight UTC", "00:00 Local", "UTC"} {
		if d, err := ParseDayStart(text); err == nil {
			t.Errorf("ParseDayStart(%q) = %v, want an error", text, d)
		}
	}
}

func TestReadsHaveTheRoomThatGeneralLimitsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		cfg.Limits = []Limit{{5, 5 * time.Second}}
		cfg.GeneralLimits = []Limit{{10, 5 * time.Second}}
		b := New(cfg, true, time.Now())
		var all, reads window
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); {
			for _, k := range []Kind{Read, Backlog} {
				if b.Take(time.Now(), k) {
					all = append(all, time.Now())
					if k == Read {
						reads = append(reads, time.Now())
					}
				}
			}
			time.Sleep(min(time.Until(b.Next(time.Now(), Read).At), time.Until(b.Next(time.Now(), Backlog).At)))
		}
		if most := all.most(5 * time.Second); most > 10 {
			t.Errorf("%d calls of any kind in 5 s, want 10", most)
		}
		if len(reads) < 580 || len(all)-len(reads) < 580 {
			t.Errorf("%d reads of %d calls, want five of each kind in 5.1 s", len(reads), len(all))
		}
		cfg.GeneralLimits = []Limit{{5, 5 * time.Second}}
		if New(cfg, true, time.Now()).ReadsApart() {
			t.Error("reads have slots although nothing is left for them")
		}
	})
}
