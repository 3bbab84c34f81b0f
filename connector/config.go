package connector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leadsink/leadsink/config/setting"
)

// A BatchConfig says how activities are put together into calls. It is part of
// the document's leadsquared section.
type BatchConfig struct {
	Batch    int           `yaml:"batch"`     // activities in one call at most, 1 to 25
	Linger   time.Duration `yaml:"linger"`    // how long an activity waits for company when there is no backlog
	InFlight int           `yaml:"in_flight"` // calls sent whose outcome is not yet committed, at most
}

// DefaultBatch returns the values of an empty document.
func DefaultBatch() BatchConfig {
	return BatchConfig{Batch: 25, Linger: time.Second, InFlight: 8}
}

// Validate returns what is wrong with the values.
func (c BatchConfig) Validate() []setting.Problem {
	var p problems
	p.from("batch", c.Batch, 1, 25)
	if c.Linger < 0 {
		p.add("linger", "%s is negative; write a duration from 0s, for instance 1s", c.Linger)
	}
	p.from("in_flight", c.InFlight, 1, 1000)
	return p
}

// A DeliveryConfig is the document's delivery section.
type DeliveryConfig struct {
	Order          string        `yaml:"order"`           // lead | none: whether activities of a lead keep their order within a partition. A call may hold several rows of one lead: when LeadSquared asks to try the first again, those behind it in that call may be created before it
	Attempts       int           `yaml:"attempts"`        // of a row that LeadSquared asks to try again, 1 or more
	Backoff        BackoffConfig `yaml:"backoff"`         // how long a row waits before it goes again: doubling from initial to max, with jitter
	OnUnknown      string        `yaml:"on_unknown"`      // resend | reconcile | hold: what follows when nobody can tell whether a row was created. reconcile asks LeadSquared, which needs leadsquared.marker; hold waits for an operator (leadsink held)
	ReconcileAfter time.Duration `yaml:"reconcile_after"` // from the end of a call whose outcome is unknown until LeadSquared can be asked: so long it may still be applied, and reads may not show it
	UnprovenAfter  int           `yaml:"unproven_after"`  // calls without proof that an activity was alone in while others were judged; then on_unproven decides. 1 or more
	OnUnproven     string        `yaml:"on_unproven"`     // dead_letter | hold: what becomes of an activity that alone spoils its calls. Nobody can tell whether it was created; hold waits for an operator (leadsink held)
	OnRefused      string        `yaml:"on_refused"`      // bisect | dead_letter: a call refused as a whole
	Window         int           `yaml:"window"`          // unsettled records at most
	WindowBytes    setting.Size  `yaml:"window_bytes"`    // and their bytes, with those of the activities that they made
	DrainTimeout   time.Duration `yaml:"drain_timeout"`   // how long a revoke or a stop waits for calls in flight
	Breaker        BreakerConfig `yaml:"breaker"`         // when calls stop because the service is down
}

// DefaultDelivery returns the section of an empty document.
func DefaultDelivery() DeliveryConfig {
	return DeliveryConfig{
		Order:          "lead",
		Attempts:       5,
		Backoff:        BackoffConfig{Initial: 500 * time.Millisecond, Max: time.Minute},
		OnUnknown:      "resend",
		ReconcileAfter: time.Minute,
		UnprovenAfter:  5,
		OnUnproven:     "dead_letter",
		OnRefused:      "bisect",
		Window:         10_000,
		WindowBytes:    32 << 20,
		DrainTimeout:   40 * time.Second,
		Breaker:        BreakerConfig{Failures: 5, Ratio: 0.5, Window: 2 * time.Minute, OpenFor: 10 * time.Second},
	}
}

// Validate returns what is wrong with the values. What they have to be beside
// values of other sections is for the whole document to check.
func (c DeliveryConfig) Validate() []setting.Problem {
	var p problems
	p.oneOf("order", c.Order, "lead", "none")
	p.from("attempts", c.Attempts, 1, 1000)
	p.above("backoff.initial", c.Backoff.Initial)
	if c.Backoff.Max < c.Backoff.Initial {
		p.add("backoff.max", "%s is less than backoff.initial, %s; write at least that", c.Backoff.Max, c.Backoff.Initial)
	}
	p.oneOf("on_unknown", c.OnUnknown, "resend", "reconcile", "hold")
	if c.ReconcileAfter < 0 {
		p.add("reconcile_after", "%s is negative; write a duration from 0s, for instance 60s", c.ReconcileAfter)
	}
	p.from("unproven_after", c.UnprovenAfter, 1, 1000)
	p.oneOf("on_unproven", c.OnUnproven, "dead_letter", "hold")
	p.oneOf("on_refused", c.OnRefused, "bisect", "dead_letter")
	p.from("window", c.Window, 1, 1_000_000)
	if c.WindowBytes < 1<<20 {
		p.add("window_bytes", "%s leaves no room for records; write at least 1MiB, for instance 32MiB", c.WindowBytes)
	}
	p.above("drain_timeout", c.DrainTimeout)
	p.from("breaker.failures", c.Breaker.Failures, 1, 1_000_000)
	if !(c.Breaker.Ratio >= 0 && c.Breaker.Ratio <= 1) {
		p.add("breaker.ratio", "%v is not a part of the calls; write a number from 0 to 1", c.Breaker.Ratio)
	}
	if c.Breaker.Window < time.Second {
		p.add("breaker.window", "%s is too short to count calls in; write at least 1s", c.Breaker.Window)
	}
	p.above("breaker.open_for", c.Breaker.OpenFor)
	return p
}

// A BackoffConfig says how long a row waits before it goes again: the wait
// doubles from Initial to Max, with jitter.
type BackoffConfig struct {
	Initial time.Duration `yaml:"initial"` // the first wait
	Max     time.Duration `yaml:"max"`     // the longest wait
}

// A BreakerConfig says when calls stop because the service is down.
type BreakerConfig struct {
	Failures int           `yaml:"failures"` // it opens when so many calls in a row failed, whatever came before,
	Ratio    float64       `yaml:"ratio"`    // or when at least this part of the window's calls failed, and at least so many
	Window   time.Duration `yaml:"window"`   // of the ratio; at least twice leadsquared.timeout
	OpenFor  time.Duration `yaml:"open_for"` // then nothing is sent for so long
}

// problems collects what is wrong with a section.
type problems []setting.Problem

func (p *problems) add(key, format string, args ...any) {
	*p = append(*p, setting.Problem{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (p *problems) from(key string, n, least, most int) {
	if n < least || n > most {
		p.add(key, "%d is out of range; write a whole number from %d to %d", n, least, most)
	}
}

func (p *problems) above(key string, d time.Duration) {
	if d <= 0 {
		p.add(key, "%s is no time at all; write a duration above 0s, for instance 10s", d)
	}
}

func (p *problems) oneOf(key, value string, words ...string) {
	if !slices.Contains(words, value) {
		p.add(key, "%q is unknown; write %s", value, strings.Join(words, ", "))
	}
}
