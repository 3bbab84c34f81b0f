package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared"
	"github.com/leadsink/leadsink/transform/account"
)

const (
	// lookShare is the part of the account's limits that questions about it use
	// outside of the connector's budget: it may be running.
	lookShare = 5
	// lookSlowest bounds the pace of questions.
	lookSlowest = 5 * time.Second
	// lookAttempts is how often a command asks one question.
	lookAttempts = 3
)

// readAccount reads what the account takes, to the end of the look, and asks each
// question so often. untold is what LeadSquared does not tell, and what it did not
// answer; an error, that it cannot be asked.
func readAccount(ctx context.Context, look *leadsquared.Look, limits budget.Config, attempts int) (a *account.Account, untold []string, err error) {
	pause := paceOf(limits)
	for attempt := 1; !look.Done(); {
		answer := look.Next(ctx, time.Time{})
		wait := pause
		switch {
		case answer.Outcome == connector.Judged:
			attempt = 0
		case attempt == attempts && look.Skip(answer.Message):
			attempt = 0
		case attempt == attempts:
			return nil, nil, fmt.Errorf("LeadSquared cannot be asked for its activity types: %s", answer.Message)
		case answer.Outcome == connector.Throttled:
			wait = max(answer.RetryAfter, answer.Limit.Window, pause, time.Second)
		default:
			wait = max(time.Duration(attempt)*time.Second, pause)
		}
		attempt++
		if look.Done() {
			break
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, nil, fmt.Errorf("LeadSquared was not asked for all of its activity types: %w", err)
		}
	}
	a, untold = look.Account()
	return a, untold, nil
}

// paceOf is how far questions are apart: so that they use a part of the limits.
func paceOf(c budget.Config) time.Duration {
	var apart time.Duration
	for _, l := range c.Limits {
		if !l.Daily() {
			apart = max(apart, lookShare*l.Window/time.Duration(l.Calls))
		}
	}
	return min(apart, lookSlowest)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// readSnapshot reads the account that a file describes. An error is about the
// arguments.
func readSnapshot(path string) (*account.Account, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, &exitError{exitWrong, fmt.Errorf("--account: %w; write a snapshot with leadsink activity-types --save", err)}
	}
	defer func() { _ = f.Close() }()
	a, err := account.Read(f)
	if err != nil {
		return nil, &exitError{exitWrong, fmt.Errorf("--account %s: %w", path, err)}
	}
	return a, nil
}

// An accountCheck checks a document against the account while the connector runs.
type accountCheck struct {
	expected *config.Expectation
	client   *leadsquared.Client
	look     *leadsquared.Look // of the check under way, or nil
}

// Check implements connector.Checker.
func (c *accountCheck) Check(ctx context.Context, writeBy time.Time) connector.Check {
	if c.look == nil {
		c.look = c.client.Look(c.expected.Codes())
	}
	return c.sofar(c.look.Next(ctx, writeBy))
}

// sofar is what the look has led to with the answer.
func (c *accountCheck) sofar(answer connector.Answer) connector.Check {
	k := connector.Check{Answer: answer}
	if k.Outcome == connector.Judged && c.look.Done() {
		a, untold := c.look.Account()
		k.Done, k.Result, c.look = true, result(c.expected, a, untold), nil
	}
	return k
}

// Skip implements connector.Checker. Who throttles one question throttles the others.
func (c *accountCheck) Skip(answer connector.Answer) connector.Check {
	if answer.Outcome == connector.Throttled || !c.look.Skip(answer.Message) {
		c.look = nil
		return connector.Check{Answer: answer}
	}
	return c.sofar(connector.Answer{Outcome: connector.Judged})
}

// result is how the rules fit the account, in words for the log and for status: they
// must not quote events, which a sample may be.
func result(expected *config.Expectation, a *account.Account, untold []string) connector.CheckResult {
	r := connector.CheckResult{At: time.Now(), Untold: untold}
	for _, p := range expected.CheckRules(a) {
		r.Problems = append(r.Problems, p.Key+": "+p.Text)
	}
	return r
}

// lookingAt returns a client of the document's account.
func lookingAt(doc *config.Document) (*leadsquared.Client, error) {
	client, err := leadsquared.New(doc.LeadSquared.Client, leadsquared.Settings{})
	if err != nil {
		return nil, &exitError{exitWrong, err}
	}
	return client, nil
}
