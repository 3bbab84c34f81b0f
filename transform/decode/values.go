package decode

import (
	"encoding/base64"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Values of events, as the binary formats make them.

// whole returns a whole number.
func whole(n uint64) any {
	if n <= math.MaxInt {
		return int(n)
	}
	return Number{strconv.FormatUint(n, 10), float64(n)}
}

// float returns a number of so many bits with the fewest digits that tell it
// from its neighbours. What is not finite stays a float64.
func float(f float64, bits int) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return f
	}
	text := strconv.FormatFloat(f, 'g', -1, bits)
	if bits == 32 {
		f, _ = strconv.ParseFloat(text, 64)
	}
	return Number{text, f}
}

// decimal returns the number whose digits, without the point, are a whole
// number in two's complement. It returns false if that has too many digits.
func decimal(unscaled []byte, scale int) (any, bool) {
	const largest = maxDigits * 10 / 24 // bytes of so many digits
	if len(unscaled) > largest || scale > maxDigits || scale < -maxDigits {
		return nil, false
	}
	n := new(big.Int).SetBytes(unscaled)
	if len(unscaled) > 0 && unscaled[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
	}
	digits := n.Text(10)
	if scale < 0 && digits != "0" {
		digits += strings.Repeat("0", -scale)
	}
	if scale <= 0 {
		return newNumber(digits, true)
	}
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	return newNumber(sign+digits[:len(digits)-scale]+"."+digits[len(digits)-scale:], false)
}

// instant returns the time so many units after 1970. A time that no calendar
// of four digits has (databases write infinity so) stays the number that it is.
func instant(n int64, unit time.Duration) any {
	perSecond := int64(time.Second / unit)
	seconds, rest := n/perSecond, n%perSecond
	return moment(seconds, rest*int64(unit), int(n))
}

// day returns the beginning of a day, in UTC, by its number after 1970.
func day(n int) any { return moment(int64(n)*24*60*60, 0, n) }

func moment(seconds, nanoseconds int64, otherwise any) any {
	// Beyond these seconds time's own arithmetic overflows.
	if seconds > -1<<40 && seconds < 1<<40 {
		if t := time.Unix(seconds, nanoseconds).UTC(); t.Year() >= 1 && t.Year() <= 9999 {
			return t
		}
	}
	return otherwise
}

// clock returns a time of day as text, by the units after midnight. A number
// that is none stays a number.
func clock(n int64, unit time.Duration) any {
	if n < 0 || n >= int64(24*time.Hour/unit) {
		return int(n)
	}
	return time.Unix(0, 0).UTC().Add(time.Duration(n) * unit).Format("15:04:05.999999999")
}

// base64Text is how bytes stand in an event.
func base64Text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// fromBase64Text returns the bytes that base64Text was given.
func fromBase64Text(text string) []byte {
	b, _ := base64.StdEncoding.DecodeString(text)
	return b
}
