package budget

import (
	"fmt"
	"strings"
	"time"
)

// A DayStart is when an account's day starts: a time of the day in a zone.
type DayStart struct {
	minutes int // after midnight
	zone    *time.Location
}

// ParseDayStart reads HH:MM ZONE, where the zone is UTC or a name of the IANA
// time zone database.
func ParseDayStart(text string) (DayStart, error) {
	const advice = "write a time and a zone, for instance 00:00 UTC or 00:00 Asia/Kolkata"
	clock, zone, _ := strings.Cut(strings.TrimSpace(text), " ")
	at, err := time.Parse("15:04", clock)
	if err != nil {
		return DayStart{}, fmt.Errorf("%q is not when a day starts; %s", text, advice)
	}
	in, err := time.LoadLocation(strings.TrimSpace(zone))
	if zone == "" || zone == "Local" || err != nil {
		return DayStart{}, fmt.Errorf("%q is not a time zone; %s", strings.TrimSpace(zone), advice)
	}
	return DayStart{at.Hour()*60 + at.Minute(), in}, nil
}

// String returns the start as it is written in the document.
func (d DayStart) String() string {
	return fmt.Sprintf("%02d:%02d %s", d.minutes/60, d.minutes%60, d.location())
}

// Equal reports whether both are the same time of the day in the same zone.
func (d DayStart) Equal(other DayStart) bool { return d.String() == other.String() }

func (d DayStart) location() *time.Location {
	if d.zone == nil {
		return time.UTC
	}
	return d.zone
}

// UnmarshalText reads a start from the document.
func (d *DayStart) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDayStart(string(text))
	return err
}

// MarshalText writes a start as it is written in the document.
func (d DayStart) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Around returns the start of the day that the moment is in, and of the next.
// Where clocks change, a day may be longer or shorter than 24 hours.
func (d DayStart) Around(at time.Time) (start, next time.Time) {
	y, m, date := at.In(d.location()).Date()
	on := func(days int) time.Time {
		t := time.Date(y, m, date+days, d.minutes/60, d.minutes%60, 0, 0, d.location())
		// Where clocks are set forward over that time, time.Date may give an earlier
		// one, of the day before at midnight. The day starts with the first that there is.
		if early := (d.minutes - t.Hour()*60 - t.Minute() + 24*60) % (24 * 60); early < 12*60 {
			t = t.Add(time.Duration(early) * time.Minute)
		}
		return t
	}
	if start = on(0); start.After(at) {
		return on(-1), start
	}
	return start, on(1)
}
