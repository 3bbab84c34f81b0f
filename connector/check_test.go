package connector_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
)

// An asker is a Checker whose checks have three questions.
type asker struct {
	mu     sync.Mutex // guards what follows
	at     []time.Time
	answer connector.Answer // what comes instead of Judged; the zero value is Judged
	result connector.CheckResult
	step   int
}

func (a *asker) Check(_ context.Context, writeBy time.Time) connector.Check {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Now())
	if a.answer.Outcome != connector.Judged {
		return connector.Check{Answer: a.answer}
	}
	if a.step = (a.step + 1) % 3; a.step > 0 {
		return connector.Check{}
	}
	r := a.result
	r.At = time.Now()
	return connector.Check{Done: true, Result: r}
}

// Skip goes on where the second or the third question is the one that fails.
func (a *asker) Skip(answer connector.Answer) connector.Check {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.step == 0 || answer.Outcome == connector.Throttled {
		a.step = 0
		return connector.Check{Answer: answer}
	}
	if a.step = (a.step + 1) % 3; a.step > 0 {
		return connector.Check{}
	}
	return connector.Check{Done: true, Result: connector.CheckResult{At: time.Now(), Untold: []string{answer.Message}}}
}

func (a *asker) set(answer connector.Answer, r connector.CheckResult) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer, a.result = answer, r
}

// asked is when questions were asked since the last time somebody wanted to know.
func (a *asker) asked() []time.Time {
	synctest.Wait() // for a question that is asked at this moment
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.at
	a.at = nil
	return at
}

// inCheckedWorld plays a story in a world where the rules are checked.
func inCheckedWorld(t *testing.T, story func(w *world, a *asker)) {
	t.Helper()
	inWorld(t, func(w *world) {
		a := &asker{}
		w.checker, w.config.CheckEvery = a, time.Hour
		story(w, a)
	})
}

func TestACheckTakesSlotsOfTheBudgetBesideABacklog(t *testing.T) {
	inCheckedWorld(t, func(w *world, a *asker) {
		w.events(2000)
		w.start()
		time.Sleep(20 * time.Second)
		questions := a.asked()
		if len(questions) != 3 {
			t.Fatalf("%d questions, want one check of 3", len(questions))
		}
		all := slices.Clone(questions)
		for _, c := range w.api.Calls(0, 0) {
			all = append(all, c.At)
		}
		slices.SortFunc(all, time.Time.Compare)
		if len(all) < 50 {
			t.Fatalf("only %d calls and questions", len(all))
		}
		for i := 25; i < len(all); i++ {
			if all[i].Sub(all[i-25]) <= 5*time.Second {
				t.Errorf("26 calls and questions within %s", all[i].Sub(all[i-25]))
			}
		}
		if sum := w.api.Summary(""); sum.Violations > 0 {
			t.Errorf("%d calls over the limit", sum.Violations)
		}
	})
}

func TestWhatDoesNotFitTheAccountIsToldUntilItFitsAgain(t *testing.T) {
	inCheckedWorld(t, func(w *world, a *asker) {
		const problem = "transform.rules[0].activity: activity type 320 (Order) is not active; activate it"
		a.set(connector.Answer{}, connector.CheckResult{Problems: []string{problem}, Untold: []string{"the fields of 321"}})
		w.events(1)
		m := w.start()
		time.Sleep(time.Minute)
		s := m.status()
		if diff := cmp.Diff([]string{problem}, s.Account.Problems); diff != "" || !strings.HasSuffix(s.Words, "The rules do not fit the account in 1 places, the first: "+problem+".") {
			t.Errorf("%s%s", s.Words, diff)
		}
		if n := len(a.asked()); n != 3 {
			t.Errorf("%d questions at the start, want 3", n)
		}
		a.set(connector.Answer{}, connector.CheckResult{})
		time.Sleep(50 * time.Minute)
		if n := len(a.asked()); n != 0 {
			t.Errorf("%d questions within 50 minutes", n)
		}
		time.Sleep(20 * time.Minute)
		if n := len(a.asked()); n != 3 {
			t.Errorf("%d questions between 50 and 70 minutes later, want 3", n)
		}
		if s := m.status(); len(s.Account.Problems) > 0 || s.Account.At.IsZero() || strings.Contains(s.Words, "fit") {
			t.Errorf("%s %+v", s.Words, s.Account)
		}
		for said, times := range map[string]int{"a rule does not fit the account: LeadSquared may refuse its activities": 1, "a part of the rules is not checked against the account; delivery goes on": 1, "the rules fit the account again": 1} {
			if n := w.watches(said); n != times {
				t.Errorf("%q is logged %d times, want %d", said, n, times)
			}
		}
	})
}

func TestOfManyProblemsSomeAreKept(t *testing.T) {
	inCheckedWorld(t, func(w *world, a *asker) {
		a.set(connector.Answer{}, connector.CheckResult{Problems: slices.Repeat([]string{"x"}, 60)})
		w.events(1)
		m := w.start()
		time.Sleep(time.Minute)
		if p := m.status().Account.Problems; len(p) != 51 || p[50] != "10 more; leadsink validate --online lists all" {
			t.Errorf("%d problems are kept: %v", len(p), p)
		}
	})
}

func TestAQuestionThatFailsIsLeftToTheNextTimeAndDeliveryGoesOn(t *testing.T) {
	inCheckedWorld(t, func(w *world, a *asker) {
		a.set(connector.Answer{Outcome: connector.Unknown, Message: "down"}, connector.CheckResult{})
		w.events(50)
		m := w.start()
		time.Sleep(10 * time.Minute)
		if n := len(a.asked()); n != 5 {
			t.Errorf("%d questions, want 5 attempts", n)
		}
		if s := m.status(); s.Records.Delivered != 50 || s.State != connector.Active || !s.Account.At.IsZero() || s.Breaker != "closed" {
			t.Errorf("%s: %+v", s.Words, s.Records)
		}
		if n := w.watches("the rules could not be checked against the account; delivery goes on"); n != 1 {
			t.Errorf("that is logged %d times, want once", n)
		}
		a.set(connector.Answer{}, connector.CheckResult{})
		time.Sleep(time.Hour)
		if s := m.status(); s.Account.At.IsZero() {
			t.Error("an hour later there was no check")
		}
	})
}

func TestACheckGoesOnWithoutAQuestionThatFails(t *testing.T) {
	inCheckedWorld(t, func(w *world, a *asker) {
		a.step = 2 // the last question is next
		a.set(connector.Answer{Outcome: connector.Unknown, Message: "down"}, connector.CheckResult{})
		w.events(50)
		m := w.start()
		time.Sleep(10 * time.Minute)
		if n := len(a.asked()); n != 5 {
			t.Errorf("%d questions, want 5 attempts", n)
		}
		if s := m.status(); s.Account.At.IsZero() || !slices.Equal(s.Account.Untold, []string{"down"}) {
			t.Errorf("%+v", s.Account)
		}
		a.set(connector.Answer{}, connector.CheckResult{})
		time.Sleep(70 * time.Minute)
		if s := m.status(); len(a.asked()) != 3 || s.Account.Untold != nil {
			t.Errorf("an hour later: %+v", s.Account)
		}
	})
}

func TestQuestionsThatAreAlwaysThrottledDoNotSlowDelivery(t *testing.T) {
	inCheckedWorld(t, func(w *world, a *asker) {
		slowly := connector.Answer{Outcome: connector.Throttled, Message: "API calls exceeded the limit of 1 in 5 second(s)", Limit: budget.Limit{Calls: 1, Window: 5 * time.Second}}
		a.set(slowly, connector.CheckResult{})
		w.config.CheckEvery = 10 * time.Minute
		w.events(1)
		m := w.start()
		time.Sleep(35 * time.Minute)
		// Each of about four checks in that time asks twice.
		if n := len(a.asked()); n < 6 || n > 10 {
			t.Errorf("%d questions in 35 minutes, want two every 10", n)
		}
		if b := m.status().Budget; b.Learned < b.Configured {
			t.Errorf("the pace is %.2f, want %.2f", b.Learned, b.Configured)
		}
		if n := w.watches("the rules could not be checked against the account; delivery goes on"); n < 3 || n > 5 {
			t.Errorf("that is logged %d times, want once a check", n)
		}
	})
}

func TestAThrottledQuestionCostsDeliveryAWindowAndIsAskedAgain(t *testing.T) {
	inCheckedWorld(t, func(w *world, a *asker) {
		a.set(connector.Answer{Outcome: connector.Throttled, Message: "slowly"}, connector.CheckResult{})
		const calls = 500 // of 20 windows
		w.events(calls * 25)
		m := w.start()
		time.Sleep(calls / 25 * 5100 * time.Millisecond)
		n := len(w.api.Calls(0, 0))
		if want := calls - 2*25 - 25; n < want { // two pauses, and the start
			t.Errorf("%d calls, want at least %d of %d", n, want, calls)
		}
		if n := len(a.asked()); n != 2 {
			t.Errorf("%d questions, want 2", n)
		}
		a.set(connector.Answer{}, connector.CheckResult{})
		time.Sleep(70 * time.Minute)
		if s := m.status(); s.Account.At.IsZero() || s.Records.Delivered != calls*25 {
			t.Errorf("an hour later: %s %+v", s.Words, s.Records)
		}
	})
}

func TestAStandbyChecksNothingAndAHaltedOrPausedMemberNeither(t *testing.T) {
	inCheckedWorld(t, func(w *world, a *asker) {
		w.events(1)
		active := w.start()
		time.Sleep(20 * time.Second)
		if n := len(a.asked()); n != 3 {
			t.Errorf("%d questions soon after the start, want 3", n)
		}
		standby := w.start()
		w.must(active.connector.Pause(context.Background()))
		time.Sleep(2 * time.Hour)
		if n := len(a.asked()); n != 0 {
			t.Errorf("%d questions, while the active member is paused", n)
		}
		if s := standby.status(); s.State != connector.StandBy || len(s.Waiting) > 0 {
			t.Errorf("the standby waits for %v", s.Waiting)
		}
		w.must(active.connector.Resume(context.Background()))
		time.Sleep(time.Minute)
		if n := len(a.asked()); n != 3 {
			t.Errorf("%d questions once it goes on, want 3", n)
		}
	})
}
