package leadsquared

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// farOff is how far the server's clock may be from ours before it is worth a
// word: the budget of several members rests on clocks that agree.
const farOff = 2 * time.Second

// steady is how far two readings of the same clock may lie apart: the fractions
// that they lack, and their ways.
const steady = 2 * time.Second

// A clock knows how far the server's clock is ahead of this machine's, by the
// Date of its answers. Safe for concurrent use.
type clock struct {
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	known  bool
	apart  time.Duration // the server's time less ours, to within steady
	warned time.Time
}

// read takes in the Date of an answer to a request that was sent and answered
// at these times.
func (c *clock) read(header http.Header, sent, answered time.Time) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	// A Date has whole seconds: the moment lies on average half of one later.
	middle := sent.Add(answered.Sub(sent) / 2)
	apart := date.Add(500 * time.Millisecond).Sub(middle.Round(0))
	c.mu.Lock()
	defer c.mu.Unlock()
	// Each Date says something else, by its missing fraction. The pages of one
	// question must be about the same times, so the first one stands while it can.
	if !c.known || (apart-c.apart).Abs() > steady {
		c.known, c.apart = true, apart
	}
	if apart.Abs() > farOff && answered.Sub(c.warned) > time.Hour {
		c.warned = answered
		c.log.Warn("this machine's clock and LeadSquared's are apart; set the clock: call slots and the reading of activities rest on it",
			"ahead of ours", apart.Round(100*time.Millisecond))
	}
}

// ahead returns how far the server's clock is ahead of ours, and whether any
// answer told.
func (c *clock) ahead() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apart, c.known
}
