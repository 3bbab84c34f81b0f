package transform

import (
	"crypto/sha1" // of UUIDs
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
)

// Calling codes are free of prefixes: 1 and 7, those below, and three digits
// everywhere else, apart from what is not assigned.
var (
	twoDigitCodes = []string{
		"20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51", "52", "53", "54",
		"55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
	}
	noCodes = []string{"28", "83", "89"}
)

// callingCode returns the calling code that digits begin with, "" for none.
func callingCode(digits string) string {
	switch {
	case len(digits) < 3 || digits[0] == '0' || slices.Contains(noCodes, digits[:2]):
		return ""
	case digits[0] == '1' || digits[0] == '7':
		return digits[:1]
	case slices.Contains(twoDigitCodes, digits[:2]):
		return digits[:2]
	}
	return digits[:3]
}

// homeCode reads the calling code that numbers without one have.
func homeCode(v any) (string, error) {
	s, err := text(v)
	if err != nil {
		return "", err
	}
	code := strings.TrimPrefix(strings.TrimSpace(s), "+")
	if code == "" || callingCode(code+"00") != code || strings.Trim(code, "0123456789") != "" {
		return "", errors.New("it is not the calling code of a country; write it like \"91\"")
	}
	return code, nil
}

// phone makes the function that cleans a number up: its calling code, sep and
// the rest. What cannot be a phone number is null.
func phone(sep string) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		home, err := homeCode(args[1])
		if err != nil {
			return nil, fmt.Errorf("phone: argument 2: %w", err)
		}
		return onText(func(s string) (any, error) {
			digits, international := phoneDigits(s)
			if !international {
				digits = withCode(digits, home)
			}
			code := callingCode(digits)
			rest := strings.TrimPrefix(digits, code)
			if !slices.Contains(zeroKept, code) {
				rest = strings.TrimLeft(rest, "0") // +44 (0)20 …
			}
			if n := len(code) + len(rest); code == "" || len(rest) < 4 || n < 7 || n > 15 {
				return nil, nil
			}
			return "+" + code + sep + rest, nil
		})(args[0])
	}
}

// zeroKept are the calling codes of countries whose numbers keep their first zero
// abroad: Italy, Ivory Coast and Congo.
var zeroKept = []string{"39", "225", "242"}

// phoneDigits returns the digits of a number, "" if there is more than digits
// and what is put between them, and whether they begin with a calling code.
func phoneDigits(s string) (digits string, international bool) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "tel:")
	kept := make([]byte, 0, 16)
	for _, r := range s {
		switch {
		case '0' <= r && r <= '9':
			if len(kept) == 32 {
				return "", false
			}
			kept = append(kept, byte(r))
		case r == '+' && len(kept) == 0 && !international:
			international = true
		case strings.ContainsRune(" -.()/\u00a0\u2010\u2011\u2012\u2013\u2014", r):
		default:
			return "", false
		}
	}
	digits = string(kept)
	if rest, ok := strings.CutPrefix(digits, "00"); ok && !international {
		return rest, true
	}
	return digits, international
}

// withCode puts the home's calling code before digits that have none. Without
// a zero in front, more than ten digits that begin with the code have it already.
func withCode(digits, home string) string {
	switch {
	case digits == "":
		return ""
	case slices.Contains(zeroKept, home) && digits[0] == '0':
		return home + digits
	case digits[0] == '0':
		return home + strings.TrimLeft(digits, "0")
	case home == "7" && len(digits) == 11 && digits[0] == '8':
		return home + digits[1:]
	case strings.HasPrefix(digits, home) && len(digits) > 10:
		return digits
	}
	return home + digits
}

// email returns an address in lower case without what surrounds it, null for
// what is none.
func email(s string) (any, error) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "mailto:")
	if len(s) > 1000 {
		return nil, nil
	}
	address, err := mail.ParseAddress(s)
	if err != nil {
		return nil, nil
	}
	_, domain, _ := strings.Cut(address.Address, "@")
	if len(address.Address) > 254 || !strings.Contains(domain, ".") || strings.ContainsAny(address.Address, " \"") {
		return nil, nil
	}
	return strings.ToLower(address.Address), nil
}

// namespaces are those of RFC 9562.
var namespaces = map[string]string{
	"dns": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "url": "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
	"oid": "6ba7b812-9dad-11d1-80b4-00c04fd430c8", "x500": "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
}

// namespace reads what uuid5 takes for one.
func namespace(s string) ([]byte, error) {
	if known, ok := namespaces[s]; ok {
		s = known
	}
	parts := strings.Split(s, "-")
	id, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil || len(id) != 16 || len(parts) != 5 {
		return nil, errors.New("the namespace is no UUID; write one, or \"url\", \"dns\", \"oid\" or \"x500\"")
	}
	return id, nil
}

// uuid5 returns the UUID of a name in a namespace: the same for the same name.
func uuid5(args ...any) (any, error) {
	s, err := text(args[0])
	if err != nil {
		return nil, fmt.Errorf("uuid5: argument 1: %w", err)
	}
	space, err := namespace(s)
	if err != nil {
		return nil, fmt.Errorf("uuid5: %w", err)
	}
	return onText(func(name string) (any, error) {
		sum := sha1.Sum(append(space, name...))
		id := sum[:16]
		id[6], id[8] = id[6]&0x0f|0x50, id[8]&0x3f|0x80
		return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), nil
	})(args[1])
}
