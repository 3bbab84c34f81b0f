package transform

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leadsink/leadsink/transform/decode"
)

// timeLayout is how LeadSquared takes times, in UTC: an instant in whole seconds.
const timeLayout = "2006-01-02 15:04:05"

// text returns a value as LeadSquared wants it. Null has no text: callers look
// for it first.
func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) {
			return "", errors.New("the text is not valid UTF-8; cut text with truncate(), and do not send binary keys or headers")
		}
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case decode.Number:
		return v.String(), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", errors.New("the number is not finite; look for a division by zero")
		}
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	case time.Time:
		return v.UTC().Format(timeLayout), nil
	case nil:
		return "", errors.New("it is null; give a default with ??")
	case []any:
		return "", errors.New("it is a list; pick an element, or make it text with join()")
	case map[string]any:
		return "", errors.New("it is an object; pick one of its fields")
	}
	return "", fmt.Errorf("it is %s, which has no text; make it text, a number, true, false or a time", kindOf(v))
}

// truth returns a value as a condition: null is false.
func truth(v any) (bool, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case nil:
		return false, nil
	}
	return false, fmt.Errorf("true or false was expected, it is %s; compare it with something", kindOf(v))
}

// zonedLayouts and plainLayouts are the forms of times that parseTime knows,
// those first that are seen most. Seconds may have a fraction. What could be
// read in two ways, such as 02/01/2006, is not among them.
var (
	zonedLayouts = []string{
		time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05 Z0700",
		"2006-01-02 15:04:05 Z07:00", "2006-01-02T15:04Z07:00", "20060102T150405Z0700", "Mon, 2 Jan 2006 15:04:05Z0700", "Mon, 2 Jan 2006 15:04:05 Z0700",
	}
	plainLayouts = []string{
		timeLayout, "2006-01-02T15:04:05", "2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04", "2006/01/02 15:04:05", "2006/01/02",
		"20060102T150405", "20060102", "2 Jan 2006 15:04:05", "2 Jan 2006", "2 January 2006", "Jan 2, 2006", "January 2, 2006", time.ANSIC,
	}
)

// dotNet is how LeadSquared and others of its family write times in JSON: in
// milliseconds, with a zone that changes nothing.
var dotNet = regexp.MustCompile(`^/Date\((-?[0-9]{1,15})([+-][0-9]{4})?\)/$`)

// parseTime reads a time of the years 1 to 9999; one that names no zone is in loc.
func parseTime(s string, loc *time.Location) (time.Time, error) {
	t, err := parseAnyTime(s, loc)
	if year := t.UTC().Year(); err == nil && (year < 1 || year > 9999) {
		return time.Time{}, errors.New("the time is not in the years 1 to 9999; send null where there is none")
	}
	return t, err
}

func parseAnyTime(s string, loc *time.Location) (time.Time, error) {
	const longest = 100
	s = strings.TrimSpace(s)
	if m := dotNet.FindStringSubmatch(s[:min(len(s), longest)]); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		return time.UnixMilli(n).UTC(), nil
	}
	if len(s) > longest {
		return time.Time{}, errNoTime
	}
	if strings.HasSuffix(s, "]") { // Java writes the zone's name behind its offset
		s, _, _ = strings.Cut(s, "[")
	}
	for _, name := range []string{" UTC", " GMT"} {
		if rest, ok := strings.CutSuffix(s, name); ok {
			s = rest + "Z"
		}
	}
	for _, layout := range zonedLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	for _, layout := range plainLayouts {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errNoTime
}

var errNoTime = errors.New("the text is not a time; write it like 2026-11-23T09:30:00Z or 2026-11-23 09:30:00, or give a layout: time(text, \"02/01/2006\")")

// moment returns a value as a time.
func moment(v any) (time.Time, error) {
	switch v := v.(type) {
	case time.Time:
		return v, nil
	case string:
		return parseTime(v, time.UTC)
	case int, float64, decode.Number:
		return time.Time{}, errors.New("it is a number, not a time; say what it counts with unix() or unixMilli()")
	}
	return time.Time{}, fmt.Errorf("it is %s, not a time; read text with time()", kindOf(v))
}
