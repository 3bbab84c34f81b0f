package transform

import (
	"testing"
	"time"
)

// 15:00 IST is 09:30 UTC, and time.Parse makes it 15:00 of a zone that it invents.
func TestAZonesAbbreviationThatSaysNoOffsetIsRefused(t *testing.T) {
	for _, test := range []struct {
		layout, text, zone string
		want               string // UTC; "" for an error
	}{
		{"MST", "23 Nov 2026 15:00 IST", "", ""},
		{"MST", "23 Nov 2026 15:00 EST", "Asia/Kolkata", ""},
		{"MST", "23 Nov 2026 15:00 IST", "Asia/Kolkata", "09:30"},
		{"MST", "23 Nov 2026 15:00 EST", "America/New_York", "20:00"},
		{"MST", "23 Nov 2026 15:00 UTC", "", "15:00"},
		{"MST", "23 Nov 2026 15:00 GMT", "", "15:00"},
		{"MST", "23 Nov 2026 15:00 GMT", "Europe/London", "15:00"},
		{"-0700", "23 Nov 2026 15:00 +0000", "Asia/Kolkata", "15:00"},
		{"Z07:00", "23 Nov 2026 15:00 Z", "Asia/Kolkata", "15:00"},
		{"-0700 MST", "23 Nov 2026 15:00 +0000 WET", "Asia/Kolkata", "15:00"},
	} {
		args := []any{test.text, "02 Jan 2006 15:04 " + test.layout}
		if test.zone != "" {
			args = append(args, test.zone)
		}
		got, err := toTime(args...)
		at, _ := got.(time.Time)
		if (err == nil) != (test.want != "") || err == nil && at.UTC().Format("15:04") != test.want {
			t.Errorf("%v: %v, %v; want %q", args, got, err, test.want)
		}
	}
}
