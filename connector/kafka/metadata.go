package kafka

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"

	"github.com/leadsink/leadsink/connector"
)

// A commit's metadata lists what is finished beyond the committed offset. It
// is text: a prefix that names the format, then base64 of
//
//	topic id (16 bytes) · leader epoch + 1 (uvarint)
//	for each range: distance from what lies before (uvarint) · length - 1 (uvarint)
//	CRC-32 of all this (4 bytes)
//
// The first distance counts from the committed offset, the others from the
// offset after the last range.
const (
	metadataPrefix = "leadsink1:"
	metadataMost   = 4096 // bytes of text: Kafka's offset.metadata.max.bytes
)

// metadataRoom is how many bytes fit behind the prefix before base64.
var metadataRoom = base64.RawStdEncoding.DecodedLen(metadataMost - len(metadataPrefix))

var (
	errForeign = errors.New("it was not written by leadsink")
	errDamaged = errors.New("it is damaged")
	errTopic   = errors.New("it belongs to a deleted topic of the same name")
)

// EncodeMetadata writes the ranges finished beyond the committed offset next
// (ascending, disjoint, not below next) and the highest leader epoch among
// their records (-1 for none) as a commit's metadata of at most 4,096 bytes. When they do not
// fit, the oldest that do are kept; kept says how many. Without ranges the text is "".
func EncodeMetadata(topic [16]byte, next int64, ranges []connector.Range, epoch int32) (text string, kept int) {
	b := append(make([]byte, 0, metadataRoom), topic[:]...)
	b = binary.AppendUvarint(b, uint64(int64(epoch)+1))
	at := next
	for _, r := range ranges {
		longer := binary.AppendUvarint(b, uint64(r.First-at))
		longer = binary.AppendUvarint(longer, uint64(r.Last-r.First))
		if len(longer)+crc32.Size > metadataRoom {
			break
		}
		b, at = longer, r.Last+1
		kept++
	}
	if kept == 0 {
		return "", 0
	}
	return metadataPrefix + base64.RawStdEncoding.EncodeToString(summed(b)), kept
}

func summed(b []byte) []byte { return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }

// DecodeMetadata reads what EncodeMetadata wrote for the same topic and
// committed offset. The text "" holds no ranges. The error says whether
// the text is foreign, damaged, or about a deleted topic of the same name; it
// is to be ignored then.
func DecodeMetadata(text string, topic [16]byte, next int64) (ranges []connector.Range, epoch int32, err error) {
	if text == "" {
		return nil, -1, nil
	}
	encoded, ours := strings.CutPrefix(text, metadataPrefix)
	if !ours {
		return nil, -1, errForeign
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(b) < len(topic)+crc32.Size {
		return nil, -1, errDamaged
	}
	b, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if crc32.ChecksumIEEE(b) != sum {
		return nil, -1, errDamaged
	}
	if [16]byte(b) != topic {
		return nil, -1, errTopic
	}
	b = b[len(topic):]
	number := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err = errDamaged
			return 0
		}
		b = b[size:]
		return n
	}
	plusOne := number()
	if plusOne > math.MaxInt32+1 {
		return nil, -1, fmt.Errorf("%w: leader epoch out of range", errDamaged)
	}
	for at := next; err == nil && len(b) > 0; {
		distance, length := number(), number()
		left := uint64(math.MaxInt64 - 1 - at) // so that the offset after the range is one
		if err != nil || distance > left || length > left-distance {
			return nil, -1, errDamaged
		}
		first := at + int64(distance)
		r := connector.Range{First: first, Last: first + int64(length)}
		ranges, at = append(ranges, r), r.Last+1
	}
	if err != nil {
		return nil, -1, err
	}
	return ranges, int32(int64(plusOne) - 1), nil
}
