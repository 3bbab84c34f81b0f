package transform

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // for machines and images without a database of zones

	"github.com/leadsink/leadsink/transform/decode"
)

// maxText is the longest text that an expression may make, in bytes.
const maxText = 1 << 20

var errTooLong = errors.New("the text would be longer than 1 MiB; truncate() it")

// A function is what expressions can call besides the builtins. Functions are
// pure, never quote what they are given (errors become headers and log lines), and
// make no text longer than maxText.
type function struct {
	name  string
	call  func(args ...any) (any, error)
	types []any // its signatures, for the check before the start
}

// functions are documented in docs/mapping.md, which a test compares with this list.
var functions = []function{
	{"string", onText(func(s string) (any, error) { return s, nil }), []any{new(func(any) string)}},
	{"trim", onText(func(s string) (any, error) { return strings.TrimSpace(s), nil }), []any{new(func(string) string)}},
	{"lower", onText(func(s string) (any, error) { return bounded(strings.ToLower(s)) }), []any{new(func(string) string)}},
	{"upper", onText(func(s string) (any, error) { return bounded(strings.ToUpper(s)) }), []any{new(func(string) string)}},
	{"truncate", truncate, []any{new(func(string, int) string)}},
	{"replace", replace, []any{new(func(string, string, string) string)}},
	{"split", split, []any{new(func(string, string) []any)}},
	{"join", join, []any{new(func([]any, string) string)}},
	{"coalesce", coalesce, []any{new(func(...any) any)}},
	{"fixed", fixed, []any{new(func(any, int) string)}},
	{"phone", phone(""), []any{new(func(any, any) string)}},
	{"leadsquaredPhone", phone("-"), []any{new(func(any, any) string)}},
	{"email", onText(email), []any{new(func(any) string)}},
	{"sha256", onText(hash), []any{new(func(any) string)}},
	{"uuid5", uuid5, []any{new(func(string, any) string)}},
	{"int", toInt, []any{new(func(any) int)}},
	{"float", toFloat, []any{new(func(any) float64)}},
	{"time", toTime, []any{new(func(string) time.Time), new(func(string, string) time.Time), new(func(string, string, string) time.Time)}},
	{"timeIn", timeIn, []any{new(func(any, string) time.Time)}},
	{"unix", epoch(time.Second), []any{new(func(float64) time.Time)}},
	{"unixMilli", epoch(time.Millisecond), []any{new(func(float64) time.Time)}},
	{"unixMicro", epoch(time.Microsecond), []any{new(func(float64) time.Time)}},
	{"leadsquaredTime", leadsquaredTime, []any{new(func(any) string)}},
	{"formatTime", formatTime, []any{new(func(any, string) string), new(func(any, string, string) string)}},
	{"duration", duration, []any{new(func(string) time.Duration)}},
}

// onText makes a function of one argument: null stays null, everything else is
// taken as its text.
func onText(f func(string) (any, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if args[0] == nil {
			return nil, nil
		}
		s, err := text(args[0])
		if err != nil {
			return nil, err
		}
		return f(s)
	}
}

func bounded(s string) (any, error) {
	if len(s) > maxText {
		return nil, errTooLong
	}
	return s, nil
}

// truncate cuts text to so many characters, never inside one.
func truncate(args ...any) (any, error) {
	n, ok := args[1].(int)
	if !ok || n < 0 {
		return nil, errors.New("truncate: the number of characters is not a whole number from 0")
	}
	return onText(func(s string) (any, error) {
		for i := range s {
			if n == 0 {
				return s[:i], nil
			}
			n--
		}
		return s, nil
	})(args[0])
}

func replace(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	var parts [3]string
	for i := range parts {
		s, err := text(args[i])
		if err != nil {
			return nil, fmt.Errorf("replace: argument %d: %w", i+1, err)
		}
		parts[i] = s
	}
	if n := strings.Count(parts[0], parts[1]); len(parts[0])+n*(len(parts[2])-len(parts[1])) > maxText {
		return nil, errTooLong
	}
	return strings.ReplaceAll(parts[0], parts[1], parts[2]), nil
}

func split(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	words, err := texts("split", args)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(words[0], words[1])
	list := make([]any, len(parts))
	for i, part := range parts {
		list[i] = part
	}
	return list, nil
}

// join leaves null elements out.
func join(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	list, ok := args[0].([]any)
	if !ok {
		return nil, fmt.Errorf("join: a list was expected, it is %s", kindOf(args[0]))
	}
	glue, err := text(args[1])
	if err != nil {
		return nil, fmt.Errorf("join: argument 2: %w", err)
	}
	var all strings.Builder
	joined := false
	for i, element := range list {
		if element == nil {
			continue
		}
		s, err := text(element)
		if err != nil {
			return nil, fmt.Errorf("join: element %d: %w", i, err)
		}
		if joined {
			all.WriteString(glue)
		}
		joined = true
		if all.Len()+len(s) > maxText {
			return nil, errTooLong
		}
		all.WriteString(s)
	}
	return all.String(), nil
}

// coalesce returns the first argument that is neither null nor "".
func coalesce(args ...any) (any, error) {
	for _, arg := range args {
		if arg != nil && arg != "" {
			return arg, nil
		}
	}
	return nil, nil
}

// fixed writes a number with so many decimals, rounded half away from zero. It
// reads the digits, not their nearest float64.
func fixed(args ...any) (any, error) {
	n, ok := args[1].(int)
	if !ok || n < 0 || n > 20 {
		return nil, errors.New("fixed: the number of decimals is not a whole number from 0 to 20")
	}
	return onText(func(s string) (any, error) {
		s = strings.TrimSpace(s)
		number, ok := new(big.Rat), strings.Trim(s, "+-.0123456789") == "" && len(s) <= 1100
		if ok {
			_, ok = number.SetString(s)
		}
		if !ok {
			return nil, errors.New("fixed: the text is not a number")
		}
		text := number.FloatString(n)
		if strings.Trim(text, "-0.") == "" {
			text = strings.TrimPrefix(text, "-") // what is rounded to nothing has no sign
		}
		return text, nil
	})(args[0])
}

func hash(s string) (any, error) {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:]), nil
}

// toInt reads text, or cuts a number's fraction off.
func toInt(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	if s, ok := args[0].(string); ok {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			return nil, errors.New("int: the text is not a whole number")
		}
		return n, nil
	}
	switch n := plain(args[0]).(type) {
	case int:
		return n, nil
	case float64:
		// 2^63 is a float64, the largest int is not.
		if n >= -(1<<63) && n < 1<<63 {
			return int(n), nil
		}
		return nil, errors.New("int: the number does not fit 64 bits")
	}
	return nil, fmt.Errorf("int: a number or text was expected, it is %s", kindOf(args[0]))
}

func toFloat(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	if s, ok := args[0].(string); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errors.New("float: the text is not a number")
		}
		return f, nil
	}
	switch n := plain(args[0]).(type) {
	case int:
		return float64(n), nil
	case float64:
		return n, nil
	}
	return nil, fmt.Errorf("float: a number or text was expected, it is %s", kindOf(args[0]))
}

// toTime reads time(text), time(text, layout) and time(text, layout, zone).
func toTime(args ...any) (any, error) {
	switch args[0].(type) {
	case nil, time.Time:
		return args[0], nil
	}
	words, err := texts("time", args)
	if err != nil {
		return nil, err
	}
	if len(words) == 1 {
		return wrapped(moment(args[0]))
	}
	zone := time.UTC
	if len(words) == 3 {
		if zone, err = zoneOf("time", words[2]); err != nil {
			return nil, err
		}
	}
	t, err := time.ParseInLocation(words[1], words[0], zone)
	if err != nil {
		return nil, errors.New("time: the text does not have the layout's form; a layout shows how 2 January 2006, 15:04:05 is written")
	}
	// An abbreviation that the zone does not have is given an offset of 0 by
	// time.Parse, if the text has no offset too. One without a name is an offset of 0.
	name, offset := t.Zone()
	if offset == 0 && t.Location() != time.UTC && t.Location() != zone && name != "" && name != "GMT" && !strings.Contains(words[1], "07") {
		return nil, errors.New("time: the text's zone is an abbreviation that says no offset; name the zone in a third argument, such as Asia/Kolkata, or send an offset")
	}
	return t, nil
}

// timeIn reads text that names no zone in the zone given; null and times stay.
func timeIn(args ...any) (any, error) {
	zone, err := zoneOf("timeIn", args[1])
	if err != nil {
		return nil, err
	}
	switch v := args[0].(type) {
	case nil, time.Time:
		return v, nil
	case string:
		return wrapped(parseTime(v, zone))
	}
	_, err = moment(args[0])
	return nil, err
}

// wrapped returns a time as any value.
func wrapped(t time.Time, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

func zoneOf(function string, v any) (*time.Location, error) {
	name, err := text(v)
	if err != nil {
		return nil, fmt.Errorf("%s: the zone: %w", function, err)
	}
	zone, err := location(name)
	if err != nil {
		return nil, fmt.Errorf("%s: the zone is not known; write it like Asia/Kolkata", function)
	}
	return zone, nil
}

// leadsquaredTime writes a time as LeadSquared takes it.
func leadsquaredTime(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	t, err := moment(args[0])
	if err != nil {
		return nil, fmt.Errorf("leadsquaredTime: %w", err)
	}
	return text(t)
}

// texts returns arguments as texts.
func texts(function string, args []any) ([]string, error) {
	words := make([]string, len(args))
	for i, arg := range args {
		s, err := text(arg)
		if err != nil {
			return nil, fmt.Errorf("%s: argument %d: %w", function, i+1, err)
		}
		words[i] = s
	}
	return words, nil
}

// epoch makes the function that reads a count of units since 1970.
func epoch(unit time.Duration) func(...any) (any, error) {
	perSecond := int(time.Second / unit)
	return func(args ...any) (any, error) {
		n := args[0]
		if n == nil {
			return nil, nil
		}
		if s, ok := n.(string); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
			if err != nil {
				return nil, errors.New("the text is not a number")
			}
			n = f
		}
		var seconds, rest int
		switch n := plain(n).(type) {
		case int:
			seconds, rest = n/perSecond, n%perSecond*int(unit)
		case float64:
			whole, fraction := math.Modf(n / float64(perSecond))
			if math.Abs(whole) > 1e15 || math.IsNaN(whole) {
				return nil, errTimeRange
			}
			seconds, rest = int(whole), int(fraction*1e9)
		default:
			return nil, fmt.Errorf("a number was expected, it is %s", kindOf(n))
		}
		t := time.Unix(int64(seconds), int64(rest)).UTC()
		if t.Year() < 1 || t.Year() > 9999 {
			return nil, errTimeRange
		}
		return t, nil
	}
}

var errTimeRange = errors.New("the time is not in the years 1 to 9999; unix() counts seconds, unixMilli() milliseconds, unixMicro() microseconds")

// zones keeps the locations that were asked for: there are some 600 of them,
// and loading one reads a file. Safe for concurrent use.
var zones sync.Map // string to *time.Location

func location(name string) (*time.Location, error) {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	if name == "Local" {
		return nil, errors.New("the machine's own zone is not available")
	}
	zone, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, zone)
	}
	return zone, err
}

// formatTime writes formatTime(time, layout) in UTC, or in a third argument's zone.
func formatTime(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	t, err := moment(args[0])
	if err != nil {
		return nil, fmt.Errorf("formatTime: %w", err)
	}
	words, err := texts("formatTime", args[1:])
	if err != nil {
		return nil, err
	}
	zone := time.UTC
	if len(words) == 2 {
		if zone, err = zoneOf("formatTime", words[1]); err != nil {
			return nil, err
		}
	}
	return t.In(zone).Format(words[0]), nil
}

func duration(args ...any) (any, error) {
	s, _ := args[0].(string)
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, errors.New("duration: write it like 90s, 30m or 24h")
	}
	return d, nil
}

// plain returns a number as what arithmetic works with, and a list with its
// numbers so; everything else as it is.
func plain(v any) any {
	switch v := v.(type) {
	case decode.Number:
		return v.Float()
	case []any:
		for i, element := range v {
			if _, ok := element.(decode.Number); !ok {
				continue
			}
			list := append([]any(nil), v...)
			for j := i; j < len(list); j++ {
				if n, ok := list[j].(decode.Number); ok {
					list[j] = n.Float()
				}
			}
			return list
		}
	}
	return v
}
