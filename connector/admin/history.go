package admin

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/leadsink/leadsink/connector"
)

const (
	sampleEvery = 2 * time.Second
	remembered  = 5 * time.Minute
	// recently is how long the numbers beside the charts look back.
	recently = 10 * time.Second
)

// A history is what the page's charts show: a few minutes of samples.
type history struct {
	mu      sync.Mutex // guards samples, which pages read while they are taken
	samples []sample   // oldest first
}

type sample struct {
	at      time.Time
	created int64
	lag     int64
}

// follow takes samples until ctx ends.
func (s *Server) follow(ctx context.Context) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		limited, cancel := context.WithTimeout(ctx, answerLimit)
		status, err := s.settings.Control.Status(limited)
		cancel()
		if err == nil {
			s.history.add(&status)
		}
	}
}

// add takes a sample, and forgets those that are too old.
func (h *history) add(s *connector.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.samples = append(h.samples, sample{s.At, s.Activities.Created, s.Lag})
	for s.At.Sub(h.samples[0].at) > remembered || len(h.samples) > int(remembered/sampleEvery)+1 {
		h.samples = h.samples[1:]
	}
}

// A chart is one line over the last minutes, in a box of width by height.
type chart struct {
	Line, Area string // points of a polyline and of a polygon, "" without two samples
	Now, Most  float64
}

const width, height = 600, 100

// charts draws how many activities were created per second, and the lag.
func (h *history) charts(now time.Time) (created, lag chart) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var rates, lags []point
	for i, s := range h.samples {
		lags = append(lags, point{s.at, float64(s.lag)})
		if i > 0 {
			rates = append(rates, point{s.at, rate(h.samples[i-1], s)})
		}
	}
	created, lag = draw(rates, now), draw(lags, now)
	created.Now = h.rate()
	return created, lag
}

// rate is how many activities were created per second, recently.
func (h *history) rate() float64 {
	if len(h.samples) < 2 {
		return 0
	}
	last := h.samples[len(h.samples)-1]
	for _, s := range h.samples {
		if last.at.Sub(s.at) <= recently {
			return rate(s, last)
		}
	}
	return 0
}

func rate(from, to sample) float64 {
	passed := to.at.Sub(from.at).Seconds()
	if passed <= 0 {
		return 0
	}
	return max(0, float64(to.created-from.created)/passed)
}

type point struct {
	at    time.Time
	value float64
}

func draw(points []point, now time.Time) (c chart) {
	for _, p := range points {
		c.Most = max(c.Most, p.value)
	}
	if len(points) < 2 {
		return c
	}
	c.Now = points[len(points)-1].value
	x := func(p point) float64 {
		return width * (1 - min(max(now.Sub(p.at).Seconds()/remembered.Seconds(), 0), 1))
	}
	var line strings.Builder
	for _, p := range points {
		// The line keeps off the edges, which would cut it in half.
		fmt.Fprintf(&line, "%.1f,%.1f ", x(p), height-2-(height-4)*p.value/max(c.Most, 1))
	}
	c.Line = strings.TrimSpace(line.String())
	c.Area = fmt.Sprintf("%.1f,%d %s %.1f,%d", x(points[0]), height, c.Line, x(points[len(points)-1]), height)
	return c
}
