package setting

import (
	"strings"
	"time"
)

// Written returns a duration as documents write it: 2m rather than 2m0s.
func Written(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
