package setting

import (
	"fmt"
	"math"
	"strconv"
)

// A Size is a number of bytes, written as 32MiB, 1KiB, 5MB or 512.
type Size int64

var units = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// ParseSize reads a whole number, with one of the units KiB, MiB, GiB (powers
// of 1024), KB, MB, GB (powers of 1000), B, or none for bytes.
func ParseSize(text string) (Size, error) {
	digits := 0
	for digits < len(text) && '0' <= text[digits] && text[digits] <= '9' {
		digits++
	}
	number, unit := text[:digits], text[digits:]
	factor := int64(1)
	if unit != "" {
		factor = 0
		for _, u := range units {
			if u.name == unit {
				factor = u.bytes
			}
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || factor == 0 || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is not a size; write a whole number with KiB, MiB, GiB, KB, MB or GB, for instance 32MiB", text)
	}
	return Size(n * factor), nil
}

// String returns the size with the largest unit that needs no fraction.
func (s Size) String() string {
	for _, u := range units {
		if u.bytes > 1 && s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// UnmarshalText reads a size from the document.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// MarshalText writes a size as it is written in the document.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
