package connector

import (
	"fmt"
	"slices"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

const (
	// checkAttempts is how often one question of a check is asked before the check is
	// left to the next time.
	checkAttempts = 5
	// checkThrottled is how often it is asked where the answer is that there are too
	// many calls: each pauses delivery for a moment.
	checkThrottled = 2
	// mostProblems is how many problems of a check are kept.
	mostProblems = 50
)

// A Check is what a question led to.
type Check struct {
	Answer
	Done   bool
	Result CheckResult // where Done
}

// A CheckResult says how the rules fit the account.
type CheckResult struct {
	At       time.Time `json:"at"`
	Problems []string  `json:"problems,omitempty"` // what the account would refuse, and what to do
	Untold   []string  `json:"untold,omitempty"`   // what LeadSquared does not tell, so that it is not checked
}

// checks is how the rules fit the account, and when that is looked at next.
type checks struct {
	by       Checker // nil: nobody does
	last     CheckResult
	next     time.Time // of the question
	asking   bool      // one is under way
	failures int       // of the question, in a row
}

// checkAt is when the next question of a check may be asked. Who owns no partition
// has no slot for it, who has no position cannot prove by a commit that the slot is
// still its own, and a check does not find out whether an outage is over, nor
// whether a halt is mended.
func (e *engine) checkAt() (at time.Time, any bool) {
	c := &e.checks
	if c.by == nil || e.cfg.CheckEvery == 0 || c.asking || e.paused || e.stopping || e.halts.any() || e.breaker.state() != "closed" {
		return c.next, false
	}
	for _, l := range e.ledgers {
		if l.next >= 0 {
			return c.next, true
		}
	}
	return c.next, false
}

// askAccount asks the next question: one goroutine, one attempt, one answer. Its slot was taken.
func (e *engine) askAccount() {
	c := &e.checks
	c.asking = true
	by := e.budget.WriteBy()
	// Ends with the one attempt, whose time is bounded by the Checker; join waits.
	go func() { e.checked <- c.by.Check(e.calling, by) }()
}

// checkAnswered takes in what a question led to.
func (e *engine) checkAnswered(k Check) {
	c := &e.checks
	c.asking = false
	switch {
	case k.Done:
		c.next, c.failures = e.nextCheck(), 0
		e.fitted(k.Result)
	case k.Outcome == Judged:
		c.failures = 0
	case k.Outcome == Throttled:
		// Whatever refuses questions, the pace of bulk calls is none of its business.
		e.budget.Throttled(e.now, budget.Refusal{Kind: budget.Read, Aside: true})
		e.checkFailed(k, checkThrottled)
	case k.Outcome == Missed:
	default:
		e.checkFailed(k, checkAttempts)
	}
}

// checkFailed asks the question again in a while. After so many attempts the check goes
// on without its answer, or where that cannot be is left to the next time.
func (e *engine) checkFailed(k Check, attempts int) {
	c := &e.checks
	c.failures++
	c.next = e.now.Add(max(k.RetryAfter, e.backoff(c.failures, pageBackoff)))
	if c.failures < attempts {
		return
	}
	c.failures = 0
	switch k = c.by.Skip(k.Answer); {
	case k.Done:
		c.next = e.nextCheck()
		e.fitted(k.Result)
	case k.Outcome != Judged:
		c.next = e.nextCheck()
		e.log.Warn("the rules could not be checked against the account; delivery goes on", "answer", k.Message, "again at", c.next)
	}
}

// nextCheck is when the next check begins, at another moment for every member.
func (e *engine) nextCheck() time.Time {
	every := e.cfg.CheckEvery
	return e.now.Add(every - every/10 + time.Duration(e.rand.Int64N(int64(every/5)+1)))
}

// fitted takes in how the rules fit the account, and says what has changed.
func (e *engine) fitted(r CheckResult) {
	if more := len(r.Problems) - mostProblems; more > 0 {
		r.Problems = append(slices.Clip(r.Problems[:mostProblems]), fmt.Sprintf("%d more; leadsink validate --online lists all", more))
	}
	was := e.checks.last
	for _, p := range r.Problems {
		if !slices.Contains(was.Problems, p) {
			e.log.Warn("a rule does not fit the account: LeadSquared may refuse its activities", "problem", p)
		}
	}
	for _, p := range r.Untold {
		if !slices.Contains(was.Untold, p) {
			e.log.Warn("a part of the rules is not checked against the account; delivery goes on", "reason", p)
		}
	}
	if len(was.Problems) > 0 && len(r.Problems) == 0 {
		e.log.Info("the rules fit the account again")
	}
	e.checks.last = r
}
