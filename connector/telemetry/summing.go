package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// repeats is how many warnings and errors of one message are written within sumUp.
	repeats = 5
	sumUp   = time.Minute
	// kinds bounds how many kinds of messages are counted apart.
	kinds = 100
	// messages bounds how many messages are counted. Ours are constant and far fewer.
	messages = 1000
)

// summing writes the first few warnings and errors of a message and its kind at
// once, and the others of the same minute as one line, the last of them, with their number. What
// is summed up is written with the next line of any kind after that minute.
type summing struct {
	slog.Handler
	said *said
}

// said is what was said lately, for a logger and all that come of it.
type said struct {
	mu     sync.Mutex // guards lately, which lines from everywhere reach
	lately map[what]*times
}

func newSaid() *said { return &said{lately: map[what]*times{}} }

type what struct {
	level   slog.Level
	message string
	kind    string // which of the message's, "" for most
}

// kind returns which of its message's kinds a line is: what a library says, whose
// lines all have one message of ours, or the class and the rule of dead letters.
func kind(r slog.Record) (of string) {
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "text", "class", "rule":
			of += a.Value.String() + "\n"
		}
		return true
	})
	return of
}

type times struct {
	since   time.Time
	written int
	held    int // not written
	last    func(held int) error
}

// Handle writes the line, or counts it.
func (h *summing) Handle(ctx context.Context, r slog.Record) error {
	due, write := h.said.take(r, func(held int) error {
		again := r.Clone()
		again.AddAttrs(slog.Int("times since the line before", held))
		return h.Handler.Handle(ctx, again) //nolint:wrapcheck // it is the handler
	})
	for _, sum := range due {
		if err := sum(); err != nil {
			return err
		}
	}
	if !write {
		return nil
	}
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // likewise
}

// WithAttrs adds attributes to every line.
func (h *summing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &summing{h.Handler.WithAttrs(attrs), h.said}
}

// WithGroup puts the attributes that follow under a name.
func (h *summing) WithGroup(name string) slog.Handler {
	return &summing{h.Handler.WithGroup(name), h.said}
}

// take returns the sums that are due, and whether the line is written now; else
// last will write it with the number of lines that were not.
func (s *said) take(r slog.Record, last func(held int) error) (due []func() error, write bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	others := 0
	for key, t := range s.lately {
		if key.kind != "" {
			others++
		}
		if r.Time.Sub(t.since) < sumUp {
			continue
		}
		delete(s.lately, key)
		if t.held > 0 {
			due = append(due, func() error { return t.last(t.held) })
		}
	}
	if r.Level < slog.LevelWarn {
		return due, true
	}
	key := what{r.Level, r.Message, kind(r)}
	t := s.lately[key]
	if t == nil && others >= kinds {
		key.kind = "" // the others are one kind
		t = s.lately[key]
	}
	if t == nil {
		if len(s.lately) >= messages {
			return due, true
		}
		t = &times{since: r.Time}
		s.lately[key] = t
	}
	if t.written < repeats {
		t.written++
		return due, true
	}
	t.held++
	t.last = last
	return due, false
}
