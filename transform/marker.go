package transform

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// maxMarker is how many characters a marker may have: what a text field of an
// activity takes. Were it cut off, no activity would be found again by it.
const maxMarker = 200

// marker returns what identifies the activity that the rule makes of the record
// in scope, in the account and for as long as anybody may ask: the rule's own
// expression, or the record's position and the rule.
func (r *Rules) marker(rule *rule) (string, error) {
	if rule.marker == nil {
		index := -1
		if rule.each != nil {
			index = r.scope.index
		}
		return identity(r.scope.record, rule.name, index), nil
	}
	text, err := r.text(rule.marker)
	switch n := utf8.RuneCountInString(text); {
	case err != nil:
		return "", err
	case n == 0:
		return "", fault(rule.marker, errors.New("the marker is null or empty; it has to identify the activity"))
	case n > maxMarker:
		return "", fault(rule.marker, fmt.Errorf("the marker has %d characters; a field takes %d", n, maxMarker))
	}
	return text, nil
}

// identity is TOPIC-PARTITION-OFFSET:RULE, or TOPIC-PARTITION-OFFSET:RULE:INDEX
// for an element of each (from 0, else -1), in characters that survive every
// encoding on the way: others are written as ~ and their code. No two activities
// of a topic have the same. One that is too long ends in its SHA-256.
func identity(record *Record, rule string, index int) string {
	b := make([]byte, 0, len(record.Topic)+len(rule)+24)
	b = append(b, record.Topic...)
	b = strconv.AppendInt(append(b, '-'), int64(record.Partition), 10)
	b = strconv.AppendInt(append(b, '-'), record.Offset, 10)
	b = append(b, ':')
	for i := range len(rule) {
		switch c := rule[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			b = append(b, c)
		default:
			b = append(b, '~', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	if index >= 0 {
		b = strconv.AppendInt(append(b, ':'), int64(index), 10)
	}
	if len(b) <= maxMarker {
		return string(b)
	}
	sum := sha256.Sum256(b)
	kept := maxMarker - 1 - hex.EncodedLen(len(sum))
	return string(hex.AppendEncode(append(b[:kept:kept], '~'), sum[:]))
}

const hexDigits = "0123456789abcdef"
