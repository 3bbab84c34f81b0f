package decode

import (
	"math"
	"strconv"
	"strings"
)

// A Number is a number that is no 64-bit whole number: a decimal, or a whole
// number with more digits. It keeps the digits that came in.
type Number struct {
	text  string // valid JSON number, as it came in
	value float64
}

// maxDigits bounds the digits that a number has when it is written without an
// exponent: 1e999999 is five bytes of input.
const maxDigits = 1000

// Float returns the nearest float64, for arithmetic and comparison.
func (n Number) Float() float64 { return n.value }

// Whole reports whether the number is written without fraction and exponent.
func (n Number) Whole() bool { return !strings.ContainsAny(n.text, ".eE") }

// String returns the number without an exponent, with every digit that came in.
func (n Number) String() string {
	mantissa, exponent, found := strings.Cut(strings.ToLower(n.text), "e")
	if !found {
		return n.text
	}
	shift, _ := strconv.Atoi(exponent)
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	point := len(whole) + shift
	switch {
	case point <= 0:
		return sign + "0." + strings.Repeat("0", -point) + digits
	case point >= len(digits):
		digits = strings.TrimLeft(digits+strings.Repeat("0", point-len(digits)), "0")
		if digits == "" {
			digits = "0"
		}
		return sign + digits
	}
	whole = strings.TrimLeft(digits[:point], "0")
	if whole == "" {
		whole = "0"
	}
	return sign + whole + "." + digits[point:]
}

// MarshalJSON writes the number as it came in.
func (n Number) MarshalJSON() ([]byte, error) { return []byte(n.text), nil }

// newNumber reads a number that is known to be valid JSON. It returns an int
// where that holds the number as it is written, else a Number, and false if
// the number is beyond what a float64 or maxDigits can hold.
func newNumber(text string, whole bool) (any, bool) {
	if whole && len(text) <= len("-9223372036854775808") {
		if n, err := strconv.ParseInt(text, 10, 0); err == nil {
			return int(n), true
		}
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(value, 0) || len(text) > maxDigits {
		return nil, false
	}
	if _, exponent, found := strings.Cut(strings.ToLower(text), "e"); found {
		if n, err := strconv.Atoi(exponent); err != nil || n < -maxDigits || n > maxDigits {
			return nil, false
		}
	}
	return Number{text, value}, true
}
