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
	// them hold at once. An empty list means no limit, for a fake API or a proxy
	// that limits by itself.
	Limits []Limit `yaml:"limits"`
	// Guard is what calls' ways to the server, the members' clocks and the
	// lateness in using a slot may differ by together.
	Guard time.Duration `yaml:"guard"`
	// Share is the part of the limits that leadsink may use, above 0 up to 1;
	// the rest is left to other integrations of the account.
	Share float64 `yaml:"limits_share"`
}

// Default returns the limit of the API's own page, with a guard of 100 ms.
func Default() Config {
	return Config{
		Limits: []Limit{{Calls: 25, Window: 5 * time.Second}},
		Guard:  100 * time.Millisecond,
		Share:  1,
	}
}

// Validate returns what is wrong with the values.
func (c Config) Validate() []setting.Problem {
	var problems []setting.Problem
	wrong := func(key, format string, args ...any) {
		problems = append(problems, setting.Problem{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	for i, l := range c.Limits {
		if l.Calls < 1 || l.Window <= 0 {
			wrong(fmt.Sprintf("limits[%d]", i), "%s allows nothing; write CALLS/WINDOW, for instance 25/5s", l)
		} else if c.Guard >= l.Window {
			wrong("guard", "%s is not shorter than the window of the limit %s; choose a guard below it", c.Guard, l)
		}
	}
	if c.Guard < 0 {
		wrong("guard", "%s is negative; write a duration from 0s, for instance 100ms", c.Guard)
	}
	if !(c.Share > 0 && c.Share <= 1) {
		wrong("limits_share", "%v is not a share; write a number above 0 and up to 1", c.Share)
	}
	return problems
}
