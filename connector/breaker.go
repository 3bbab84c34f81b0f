package connector

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

var (
	errServiceFault = errors.New("the service failed")
	errNotCounted   = errors.New("says nothing about the service")
)

// A breaker stops calls while LeadSquared is down. It wraps gobreaker's
// two-step form: ask before a call, report after it, whatever came of it, for an
// unanswered ask would block the half-open state for ever. Owned by Run.
type breaker struct {
	cb        *gobreaker.TwoStepCircuitBreaker[any]
	openFor   time.Duration
	openUntil time.Time // when a probe may go, while it is open
	since     time.Time // when it opened, zero while it is closed
	by        string    // which rule opened it last: in_a_row or ratio

	// Failures without a success between them, since the last change of state. What
	// gobreaker calls consecutive goes down as its window rolls on, so that a few
	// calls a minute would never be enough.
	inARow int
	states int // changes so far: an answer to a call of an earlier one does not count
}

func newBreaker(cfg BreakerConfig) *breaker {
	b := &breaker{openFor: cfg.OpenFor}
	b.cb = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		MaxRequests:  1,
		Interval:     cfg.Window,
		BucketPeriod: time.Second,
		Timeout:      cfg.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			// Requests would count calls still in flight, so that many hanging
			// calls dilute the failures.
			ended := c.TotalFailures + c.TotalSuccesses
			switch {
			case b.inARow >= cfg.Failures: // an outage, however busy the time before it was
				b.by = "in_a_row"
			case int(c.TotalFailures) >= cfg.Failures && float64(c.TotalFailures) >= cfg.Ratio*float64(ended):
				b.by = "ratio" // what fails now and then
			default:
				return false
			}
			return true
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errNotCounted) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			// Asking the breaker in here would deadlock.
			b.states++
			b.inARow = 0
			switch {
			case to == gobreaker.StateClosed:
				b.since = time.Time{}
			case from == gobreaker.StateClosed:
				b.since = time.Now()
			}
			if to == gobreaker.StateOpen {
				// At exactly open_for it is still open.
				b.openUntil = time.Now().Add(cfg.OpenFor + time.Millisecond)
			}
		},
	})
	return b
}

// allow asks for one call. done must be called with what came of it.
func (b *breaker) allow() (done func(Answer), ok bool) {
	report, err := b.cb.Allow()
	if err != nil {
		return nil, false
	}
	state := b.states
	return func(a Answer) {
		fault := serviceFault(a)
		switch {
		case b.states != state, errors.Is(fault, errNotCounted):
		case fault == nil:
			b.inARow = 0
		default:
			b.inARow++
		}
		report(fault)
	}, true
}

// opened says in words which rule has opened it.
func (b *breaker) opened() string {
	if b.by == "ratio" {
		return "too large a part of the calls failed"
	}
	return "calls failed one after another"
}

// state is closed, half_open or open.
func (b *breaker) state() string {
	switch b.cb.State() {
	case gobreaker.StateOpen:
		return "open"
	case gobreaker.StateHalfOpen:
		return "half_open"
	default:
		return "closed"
	}
}

// serviceFault says what an answer tells about the service: only transport
// errors, timeouts and answers that prove nothing are its faults. Bad data is
// not, and neither is throttling.
func serviceFault(a Answer) error {
	switch a.Outcome {
	case Unknown, NotApplied:
		return errServiceFault
	case Throttled, Fault, Missed:
		return errNotCounted
	case Judged, Refused, TooLarge:
		return nil
	default:
		return errNotCounted
	}
}
