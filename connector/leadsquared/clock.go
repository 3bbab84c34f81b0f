package leadsquared

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// farOff is how far the server's clock may be from ours before it is worth a
	// word: the budget of several members rests on clocks that agree.
	farOff = 2 * time.Second
	// drift is by how much two clocks may part in a second.
	drift = 200 * time.Microsecond
	// remembered is how long it is known how the clocks stood before one was set.
	remembered = 24 * time.Hour
)

// A span is between which bounds the server's clock is ahead of ours.
type span struct{ least, most time.Duration }

func (s span) widened(by time.Duration) span { return span{s.least - by, s.most + by} }
func (s span) both(o span) span              { return span{min(s.least, o.least), max(s.most, o.most)} }

// A clock knows how far the server's clock is ahead of this machine's, by the
// Date of its answers. A Date was read somewhere between sending and answer, and
// lacks its fraction: each tells bounds only, and the narrowest of late count.
//
// Our time is counted on from the first look at the clock, so that setting
// this machine's clock changes nothing. Safe for concurrent use.
type clock struct {
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	first  time.Time
	known  bool
	ahead  span
	at     time.Time // of the answer that ahead was last narrowed by
	was    span      // how the clocks stood before one was set
	set    time.Time // when that was noticed; zero if never
	warned time.Time
	asked  map[int]window // by activity code, the times that its pages are about
}

// steady returns a time of ours as it was counted on. A time of another process
// stays what it is.
func (c *clock) steady(t time.Time) time.Time {
	if c.first.IsZero() {
		c.first = time.Now()
	}
	return c.first.Round(0).Add(t.Sub(c.first))
}

// read takes in the Date of an answer to a request that was sent and answered
// at these times.
func (c *clock) read(header http.Header, sent, answered time.Time) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	told := span{date.Sub(c.steady(answered)), date.Add(time.Second).Sub(c.steady(sent))}
	age := max(answered.Sub(c.at), 0)
	kept := c.ahead.widened(time.Duration(age.Seconds() * float64(drift)))
	kept = span{max(kept.least, told.least), min(kept.most, told.most)}
	switch {
	case !c.known:
		c.known, c.ahead, c.at = true, told, answered
	case kept.least <= kept.most:
		c.ahead = kept
	default: // a clock was set, or the machine was suspended
		if c.set.IsZero() || answered.Sub(c.set) > remembered {
			c.was = c.ahead
		}
		c.was, c.ahead, c.set = c.was.both(c.ahead), told, answered
	}
	c.at = c.at.Add(age)
	c.warn(answered)
}

// warn says that the clocks are apart, as this machine's is set now. The caller holds mu.
func (c *clock) warn(now time.Time) {
	slip := now.Round(0).Sub(c.steady(now))
	least, most := c.ahead.least-slip, c.ahead.most-slip
	if least <= farOff && most >= -farOff || now.Sub(c.warned) <= time.Hour {
		return
	}
	c.warned = now
	c.log.Warn("this machine's clock and LeadSquared's are apart; set the clock: call slots and the reading of activities rest on it",
		"ahead of ours", ((least + most) / 2).Round(100*time.Millisecond))
}

// A window is the times that a question is about: by our clock, and by the server's.
type window struct{ from, to, serverFrom, serverTo time.Time }

// window returns the times of the server's clock that surely hold those of ours.
// The pages of one question must be about the same times, so those of the first
// stand for all, whatever is learned between two.
func (c *clock) window(code, page int, from, to, now time.Time) window {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w, there := c.asked[code]; there && page > 1 && w.from.Equal(from) && w.to.Equal(to) {
		return w
	}
	ahead := span{}.widened(astray)
	if c.known {
		ahead = c.ahead.widened(aside)
		if !c.set.IsZero() && c.steady(from).Before(c.steady(c.set)) {
			ahead = ahead.both(c.was.widened(aside))
		}
	}
	early, _ := c.readings(from, now)
	_, late := c.readings(to, now)
	w := window{from, to, early.Add(ahead.least), late.Add(ahead.most)}
	if c.asked == nil {
		c.asked = map[int]window{}
	}
	c.asked[code] = w // as many as there are codes in the rules
	return w
}

// readings returns the earliest and the latest that a time of ours can be as it
// is counted on. Either count can be wrong: one stands still while a virtual
// machine is suspended, the other is set.
func (c *clock) readings(t, now time.Time) (early, late time.Time) {
	wall, counted := t.Round(0), c.steady(t)
	early, late = counted, counted
	others := []time.Time{wall}
	if t == wall { //nolint:staticcheck // it has no other count: of another process, by a clock that may have been set since
		others = append(others, wall.Add(c.steady(now).Sub(now.Round(0))))
	}
	for _, o := range others {
		if o.Before(early) {
			early = o
		}
		if o.After(late) {
			late = o
		}
	}
	return early, late
}
