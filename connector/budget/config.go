package budget

import (
	"fmt"
	"time"

	"github.com/leadsink/leadsink/config/setting"
)

// A Config is the part of the document's leadsquared section that says how
// many calls may be made.
type Config struct {
	// Limits are the account's limits for bulk calls, as CALLS/WINDOW: all of
	// them hold at once. One may be for a day, as in 100000/day: it counts from a
	// fixed time, the others slide. An empty list means no limit, for a fake API
	// or a proxy that limits by itself.
	Limits []Limit `yaml:"limits"`
	// GeneralLimits are the account's sliding limits for calls of any kind,
	// where they are wider than those for bulk calls: what they leave beside
	// the bulk calls is for reads, which look for rows in doubt. Empty: a read
	// takes the place of a bulk call.
	GeneralLimits []Limit `yaml:"general_limits"`
	// Guard is what calls' ways to the server, the members' clocks and the
	// lateness in using a slot may differ by together: from 50ms, shorter than
	// every window.
	Guard time.Duration `yaml:"guard"`
	// Share is the part of the limits that leadsink may use, above 0 up to 1, in whole
	// calls of each window: rounded down, so that shares never exceed the limit together, and at least one;
	// the rest is left to other integrations of the account.
	Share float64 `yaml:"limits_share"`
	// Day says how the limit for a day is spent.
	Day DayConfig `yaml:"day"`
}

// A DayConfig says how the limit for a day is spent.
type DayConfig struct {
	// Starts is when the account's day starts, as a time and a zone: 00:00 UTC,
	// or 00:00 Asia/Kolkata.
	Starts DayStart `yaml:"starts"`
	// Policy is pause | spread: pause uses the day's calls as they are needed and
	// stops when they are spent, spread never runs ahead of an even pace.
	Policy string `yaml:"policy"`
	// Reserve is how many of the day's calls are kept for live records, those that
	// were at most five minutes old when they were taken in: a backlog leaves them.
	Reserve int `yaml:"reserve"`
}

// leastGuard is the shortest guard: a quarter of it is how late a program may be
// woken for a slot without losing it.
const leastGuard = 50 * time.Millisecond

// Values of DayConfig.Policy.
const (
	Pause  = "pause"
	Spread = "spread"
)

// Default returns the limit of the API's own page, with a guard of 100 ms.
func Default() Config {
	return Config{
		Limits: []Limit{{Calls: 25, Window: 5 * time.Second}},
		Guard:  100 * time.Millisecond,
		Share:  1,
		Day:    DayConfig{Starts: DayStart{zone: time.UTC}, Policy: Pause},
	}
}

// Validate returns what is wrong with the values.
func (c Config) Validate() []setting.Problem {
	var problems []setting.Problem
	wrong := func(key, format string, args ...any) {
		problems = append(problems, setting.Problem{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	for _, list := range []struct {
		key    string
		limits []Limit
	}{{"limits", c.Limits}, {"general_limits", c.GeneralLimits}} {
		for i, l := range list.limits {
			key := fmt.Sprintf("%s[%d]", list.key, i)
			switch {
			case l.Calls < 1 || l.Window <= 0:
				wrong(key, "%s allows nothing; write CALLS/WINDOW, for instance 25/5s", l)
			case c.Guard >= l.Window:
				wrong("guard", "%s is not shorter than the window of the limit %s; choose a guard below it", c.Guard, l)
			case l.Daily() && list.key == "general_limits":
				wrong(key, "%s is for a day; write it into limits, where reads are counted too", l)
			case l.Window > day && list.key == "limits":
				wrong(key, "the window of %s is longer than a day; write the part that a day has of it, as CALLS/day", l)
			}
		}
	}
	days := 0
	for i, l := range c.Limits {
		if l.Daily() {
			if days++; days > 1 {
				wrong(fmt.Sprintf("limits[%d]", i), "%s is a second limit for a day; write only the lower one", l)
			}
		}
	}
	if len(c.Limits) > 0 && len(c.Limits) == days {
		wrong("limits", "has only a limit for a day; add the account's short one, for instance 25/5s")
	}
	if c.Guard < leastGuard && (len(c.Limits) > 0 || c.Guard < 0) {
		wrong("guard", "%s is too short for any machine to use a slot in time; write %s or more, for instance 100ms", c.Guard, leastGuard)
	}
	if !(c.Share > 0 && c.Share <= 1) {
		wrong("limits_share", "%v is not a share; write a number above 0 and up to 1", c.Share)
	}
	if c.Day.Policy != Pause && c.Day.Policy != Spread {
		wrong("day.policy", "%q is not a policy; write pause or spread", c.Day.Policy)
	}
	switch quota := c.quota(); {
	case c.Day.Reserve < 0:
		wrong("day.reserve", "%d is negative; write a number of calls from 0", c.Day.Reserve)
	case c.Day.Reserve > 0 && days == 0:
		wrong("day.reserve", "there is no limit for a day that it is a part of; add one to leadsquared.limits, for instance 100000/day")
	case c.Day.Reserve > 0 && c.Day.Reserve >= quota:
		wrong("day.reserve", "%d leaves nothing of the day's %d calls for a backlog; write fewer", c.Day.Reserve, quota)
	}
	return problems
}

// quota is how many calls leadsink may make in a day, 0 for any number.
func (c Config) quota() int {
	for _, l := range c.Limits {
		if l.Daily() {
			return l.part(c.Share)
		}
	}
	return 0
}
