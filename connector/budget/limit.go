package budget

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Limit is a number of calls in a window of time, written as 25/5s or
// 100000/day.
type Limit struct {
	Calls  int
	Window time.Duration
}

const day = 24 * time.Hour

// Daily reports whether the limit is for a day, which starts at a fixed time.
func (l Limit) Daily() bool { return l.Window == day }

// part is a share of the calls: a whole number, rounded down, so that the shares of
// several never exceed the limit together, and at least one.
func (l Limit) part(share float64) int {
	const exact = 1e-9 // 0.29 of 100 is 28.999999999999996 in floating point
	return max(1, int(float64(l.Calls)*share+exact))
}

// perSecond is the pace that the limit allows.
func (l Limit) perSecond() float64 { return float64(l.Calls) / l.Window.Seconds() }

// IsZero reports whether no limit was given.
func (l Limit) IsZero() bool { return l == Limit{} }

// String returns the limit as it is written in the document.
func (l Limit) String() string {
	if l.Daily() {
		return fmt.Sprintf("%d/day", l.Calls)
	}
	w := l.Window.String()
	if strings.HasSuffix(w, "m0s") {
		w = w[:len(w)-2]
	}
	if strings.HasSuffix(w, "h0m") {
		w = w[:len(w)-2]
	}
	return fmt.Sprintf("%d/%s", l.Calls, w)
}

// ParseLimit reads CALLS/WINDOW, for instance 25/5s or 100000/day.
func ParseLimit(text string) (Limit, error) {
	calls, window, ok := strings.Cut(text, "/")
	if !ok {
		return Limit{}, fmt.Errorf("%q is not a limit; write CALLS/WINDOW, for instance 25/5s or 100000/day", text)
	}
	n, err := strconv.Atoi(calls)
	if err != nil || n < 1 {
		return Limit{}, fmt.Errorf("%q is not a number of calls; write a whole number from 1, for instance 25/5s", calls)
	}
	if window == "day" {
		return Limit{n, day}, nil
	}
	if window != "" && (window[0] < '0' || window[0] > '9') {
		window = "1" + window // 10/s
	}
	w, err := time.ParseDuration(window)
	if err != nil || w <= 0 {
		return Limit{}, fmt.Errorf("%q is not a window; write a duration or day, for instance 25/5s or 100000/day", window)
	}
	return Limit{n, w}, nil
}

// UnmarshalText reads a limit from the document.
func (l *Limit) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLimit(string(text))
	return err
}

// MarshalText writes a limit as it is written in the document.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }
