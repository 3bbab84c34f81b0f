package connector

import (
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

// A DeliveryConfig is the document's delivery section.
type DeliveryConfig struct {
	Order          string        `yaml:"order"`    // lead: activities of a lead keep their order within a partition; none
	Attempts       int           `yaml:"attempts"` // of a row that LeadSquared asks to try again, 1 or more
	Backoff        BackoffConfig `yaml:"backoff"`
	OnUnknown      string        `yaml:"on_unknown"`      // resend | reconcile | hold
	ReconcileAfter time.Duration `yaml:"reconcile_after"` // a timed-out call may still be applied for so long
	OnRefused      string        `yaml:"on_refused"`      // bisect | dead_letter: a call refused as a whole
	Window         int           `yaml:"window"`          // unsettled records at most
	WindowBytes    setting.Size  `yaml:"window_bytes"`    // and their bytes
	DrainTimeout   time.Duration `yaml:"drain_timeout"`   // how long a revoke or a stop waits for calls in flight
	Breaker        BreakerConfig `yaml:"breaker"`
}

// A BackoffConfig says how long a row waits before it goes again: the wait
// doubles from Initial to Max, with jitter.
type BackoffConfig struct {
	Initial time.Duration `yaml:"initial"`
	Max     time.Duration `yaml:"max"`
}

// A BreakerConfig says when calls stop because the service is down.
type BreakerConfig struct {
	Failures int           `yaml:"failures"` // it opens when so many calls failed within the window,
	Ratio    float64       `yaml:"ratio"`    // and at least this part of those that came to an end
	Window   time.Duration `yaml:"window"`   // at least twice leadsquared.timeout
	OpenFor  time.Duration `yaml:"open_for"` // then nothing is sent for so long
}
