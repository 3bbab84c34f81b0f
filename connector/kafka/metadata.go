package kafka

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"strings"
	"time"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
)

// Metadata is what a commit says besides its offset: what is finished beyond it,
// and what may have been sent. It is text: a prefix that names the format, then
// base64 of
//
//	topic id (16 bytes) · leader epoch of what is finished + 1
//	start of the day whose calls are counted (Unix seconds, 0: none), and if one is:
//	  calls of it that are reserved
//	in doubt since (Unix milliseconds, 0: nothing is), and if something is:
//	  reach + 1 less the committed offset · its leader epoch + 1
//	number of held ranges · the held ranges
//	the finished ranges, up to the end
//	CRC-32 of all this (4 bytes)
//
// Numbers are uvarints. A range is its distance from what lies before, and its
// length - 1. The first distance of each list counts from the committed offset,
// the others from the offset after the last range.
type Metadata struct {
	Finished      []connector.Range // ascending, disjoint, not below the committed offset
	FinishedEpoch int32             // highest leader epoch of their records, -1 for none
	Doubt         connector.Doubt   // Held is ascending, disjoint, not below the committed offset
	Day           budget.Reservation
}

const (
	metadataPrefix = "leadsink3:" // 1 knew no doubts, 2 no day
	metadataMost   = 4096         // bytes of text: Kafka's offset.metadata.max.bytes
)

// metadataRoom is how many bytes fit behind the prefix before base64.
var metadataRoom = base64.RawStdEncoding.DecodedLen(metadataMost - len(metadataPrefix))

var (
	errForeign = errors.New("it was not written by leadsink")
	errDamaged = errors.New("it is damaged")
	errTopic   = errors.New("it belongs to a deleted topic of the same name")
)

// Encode writes a commit's metadata of at most 4,096 bytes, "" if there is
// nothing to say. When not all ranges fit, the oldest that do are kept, held ones
// first; left says how many are left out.
func (m *Metadata) Encode(topic [16]byte, next int64) (text string, left int) {
	if len(m.Finished) == 0 && len(m.Doubt.Held) == 0 && m.Doubt.Since.IsZero() && m.Day.Day.IsZero() {
		return "", 0
	}
	b := append(make([]byte, 0, metadataRoom), topic[:]...)
	b = binary.AppendUvarint(b, uint64(int64(m.FinishedEpoch)+1))
	if m.Day.Day.IsZero() {
		b = binary.AppendUvarint(b, 0)
	} else {
		b = binary.AppendUvarint(b, uint64(m.Day.Day.Unix()))
		b = binary.AppendUvarint(b, uint64(m.Day.Calls))
	}
	if m.Doubt.Since.IsZero() {
		b = binary.AppendUvarint(b, 0)
	} else {
		b = binary.AppendUvarint(b, uint64(m.Doubt.Since.UnixMilli()))
		b = binary.AppendUvarint(b, uint64(max(m.Doubt.Reach+1-next, 0)))
		b = binary.AppendUvarint(b, uint64(int64(m.Doubt.Epoch)+1))
	}
	const count = binary.MaxVarintLen16 // of held ranges: 4,096 bytes hold fewer than 16 bits count
	held, kept := appendRanges(nil, next, m.Doubt.Held, metadataRoom-len(b)-count-crc32.Size)
	b = append(binary.AppendUvarint(b, uint64(kept)), held...)
	left = len(m.Doubt.Held) - kept
	finished, kept := appendRanges(nil, next, m.Finished, metadataRoom-len(b)-crc32.Size)
	left += len(m.Finished) - kept
	return metadataPrefix + base64.RawStdEncoding.EncodeToString(summed(append(b, finished...))), left
}

// appendRanges appends as many ranges as room has bytes for, and says how many.
func appendRanges(b []byte, at int64, ranges []connector.Range, room int) (_ []byte, kept int) {
	for _, r := range ranges {
		longer := binary.AppendUvarint(b, uint64(r.First-at))
		longer = binary.AppendUvarint(longer, uint64(r.Last-r.First))
		if len(longer) > room {
			break
		}
		b, at = longer, r.Last+1
		kept++
	}
	return b, kept
}

func summed(b []byte) []byte { return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }

// DecodeMetadata reads what Encode wrote for the same topic and committed
// offset. The text "" says nothing. The error says whether the text is foreign,
// damaged, or about a deleted topic of the same name; it is to be ignored then.
func DecodeMetadata(text string, topic [16]byte, next int64) (Metadata, error) {
	nothing := Metadata{FinishedEpoch: -1}
	if text == "" {
		return nothing, nil
	}
	encoded, ours := strings.CutPrefix(text, metadataPrefix)
	if !ours {
		return nothing, errForeign
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(b) < len(topic)+crc32.Size {
		return nothing, errDamaged
	}
	b, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if crc32.ChecksumIEEE(b) != sum {
		return nothing, errDamaged
	}
	if [16]byte(b) != topic {
		return nothing, errTopic
	}
	r := reader{left: b[len(topic):]}
	m := r.metadata(next)
	if r.damaged {
		return nothing, errDamaged
	}
	return m, nil
}

// A reader reads numbers and notes whether any of them cannot be.
type reader struct {
	left    []byte
	damaged bool
}

func (r *reader) metadata(next int64) Metadata {
	m := Metadata{FinishedEpoch: r.epoch()}
	if day := r.number(math.MaxInt32 * 8); day > 0 {
		m.Day = budget.Reservation{Day: time.Unix(day, 0), Calls: int(r.number(math.MaxInt32))}
	}
	if ms := r.number(math.MaxInt64 / 2); ms > 0 {
		m.Doubt.Since = time.UnixMilli(ms)
		m.Doubt.Reach = next - 1 + r.number(math.MaxInt64-next)
		m.Doubt.Epoch = r.epoch()
	}
	held := r.number(metadataMost)
	for at := next; held > 0 && !r.damaged; held-- {
		m.Doubt.Held, at = r.span(m.Doubt.Held, at)
	}
	for at := next; len(r.left) > 0 && !r.damaged; {
		m.Finished, at = r.span(m.Finished, at)
	}
	return m
}

// number reads a number from 0 to most.
func (r *reader) number(most int64) int64 {
	n, size := binary.Uvarint(r.left)
	if size <= 0 || n > uint64(most) {
		r.damaged = true
		return 0
	}
	r.left = r.left[size:]
	return int64(n)
}

func (r *reader) epoch() int32 { return int32(r.number(math.MaxInt32+1) - 1) }

// span reads a range that lies at or after an offset, and returns the offset
// behind it.
func (r *reader) span(to []connector.Range, at int64) ([]connector.Range, int64) {
	first := at + r.number(math.MaxInt64-1-at) // so that the offset after the range is one
	last := first + r.number(math.MaxInt64-1-first)
	return append(to, connector.Range{First: first, Last: last}), last + 1
}
