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
//	  reach + 1 less the committed offset
//	leader epoch of what is in doubt or held + 1
//	when the group began to read (Unix milliseconds, 0: not known)
//	the held offsets · the finished offsets, each as runs or as a bitmap
//	CRC-32 of all this (4 bytes)
//
// Numbers are uvarints. Runs are 2n for n of them, and for each its distance from
// what lies before, and its length - 1; the first distance counts from the committed
// offset, the others from the offset after the last run. A bitmap is 2n+1 for n
// bytes, and these; bit b of byte i is the committed offset + 8i + b. The shorter of
// the two is written.
type Metadata struct {
	Finished      []connector.Range // ascending, disjoint, not below the committed offset
	FinishedEpoch int32             // highest leader epoch of their records, -1 for none
	Doubt         connector.Doubt   // Held is ascending, disjoint, not below the committed offset
	Day           budget.Reservation
	Start         time.Time // when the group began to read; zero: not known
}

const (
	metadataPrefix = "leadsink4:" // 1 knew no doubts, 2 no day, 3 no bitmaps and no start
	runsPrefix     = "leadsink3:" // still read: runs only, and an epoch only with a time since when
	metadataMost   = 4096         // bytes of text: Kafka's offset.metadata.max.bytes, unless it is set
	metadataLeast  = 128          // have room for everything but ranges
	metadataHead   = 88           // bytes before base64 of everything but ranges, at most
)

var (
	errForeign = errors.New("it was not written by leadsink")
	errDamaged = errors.New("it is damaged")
	errTopic   = errors.New("it belongs to a deleted topic of the same name")
	errNewer   = errors.New("it was written by another version of leadsink")
)

// spanOf is how many offsets from the committed one on can be told apart as
// finished or not in so many bytes of text, whatever their pattern. For half as many
// it can also be told which are held.
func spanOf(most int) int64 {
	return int64(max(0, base64.RawStdEncoding.DecodedLen(most-len(metadataPrefix))-metadataHead)) * 8
}

// Encode writes a commit's metadata of at most so many bytes, "" if there is
// nothing to say. When not all ranges fit, those within the span are kept; left says
// how many are left out or cut short.
func (m *Metadata) Encode(topic [16]byte, next int64, most int) (text string, left int) {
	if len(m.Finished) == 0 && len(m.Doubt.Held) == 0 && m.Doubt.Since.IsZero() && m.Day.Day.IsZero() && m.Start.IsZero() {
		return "", 0
	}
	if text = m.encode(topic, next); len(text) <= most {
		return text, 0
	}
	span := spanOf(most)
	if len(m.Doubt.Held) > 0 {
		span /= 2
	}
	short := *m
	short.Finished, left = within(m.Finished, next+span)
	var cut int
	short.Doubt.Held, cut = within(m.Doubt.Held, next+span)
	return short.encode(topic, next), left + cut
}

// within returns the ranges as far as they lie below the offset, and how many do not.
func within(ranges []connector.Range, end int64) (kept []connector.Range, left int) {
	for _, r := range ranges {
		if r.Last >= end {
			left++
			r.Last = end - 1
		}
		if r.First <= r.Last {
			kept = append(kept, r)
		}
	}
	return kept, left
}

func (m *Metadata) encode(topic [16]byte, next int64) string {
	b := append([]byte{}, topic[:]...)
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
	}
	b = binary.AppendUvarint(b, uint64(int64(m.Doubt.Epoch)+1))
	if m.Start.IsZero() {
		b = binary.AppendUvarint(b, 0)
	} else {
		b = binary.AppendUvarint(b, uint64(m.Start.UnixMilli()))
	}
	b = appendOffsets(b, next, m.Doubt.Held)
	b = appendOffsets(b, next, m.Finished)
	return metadataPrefix + base64.RawStdEncoding.EncodeToString(summed(b))
}

// appendOffsets appends the offsets of the ranges, as runs or as a bitmap.
func appendOffsets(b []byte, next int64, ranges []connector.Range) []byte {
	runs, at := []byte(nil), next
	for _, r := range ranges {
		runs = binary.AppendUvarint(runs, uint64(r.First-at))
		runs = binary.AppendUvarint(runs, uint64(r.Last-r.First))
		at = r.Last + 1
	}
	size := (at - next + 7) / 8
	if size >= int64(len(runs)) {
		return append(binary.AppendUvarint(b, uint64(len(ranges))*2), runs...)
	}
	bitmap := make([]byte, size)
	for _, r := range ranges {
		for o := r.First - next; o <= r.Last-next; o++ {
			bitmap[o/8] |= 1 << (o % 8)
		}
	}
	return append(binary.AppendUvarint(b, uint64(size)*2+1), bitmap...)
}

func summed(b []byte) []byte { return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }

// DecodeMetadata reads what Encode wrote for the same topic and committed
// offset, in this format or the one before. The text "" says nothing. The error says
// whether the text is foreign, of another version, damaged, or about a deleted topic of
// the same name; it is to be ignored then.
func DecodeMetadata(text string, topic [16]byte, next int64) (Metadata, error) {
	m, id, err := readMetadata(text, next)
	if err == nil && text != "" && !sameTopic(id, topic) {
		return Metadata{FinishedEpoch: -1, Doubt: connector.Doubt{Epoch: -1}}, errTopic
	}
	return m, err
}

// metadataStart reads when the group began, zero if the text does not say it.
func metadataStart(text string) time.Time {
	m, _, _ := readMetadata(text, 0)
	return m.Start
}

func readMetadata(text string, next int64) (m Metadata, topic [16]byte, err error) {
	nothing := Metadata{FinishedEpoch: -1, Doubt: connector.Doubt{Epoch: -1}}
	if text == "" {
		return nothing, topic, nil
	}
	read := (*reader).metadata
	encoded, ours := strings.CutPrefix(text, metadataPrefix)
	if !ours {
		encoded, ours = strings.CutPrefix(text, runsPrefix)
		read = (*reader).metadataOfRuns
	}
	if !ours {
		if strings.HasPrefix(text, "leadsink") {
			return nothing, topic, errNewer
		}
		return nothing, topic, errForeign
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(b) < len(topic)+crc32.Size {
		return nothing, topic, errDamaged
	}
	b, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if crc32.ChecksumIEEE(b) != sum {
		return nothing, topic, errDamaged
	}
	topic = [16]byte(b)
	r := &reader{left: b[len(topic):]}
	m = read(r, next)
	if r.damaged {
		return nothing, topic, errDamaged
	}
	return m, topic, nil
}

// A reader reads numbers and notes whether any of them cannot be.
type reader struct {
	left    []byte
	damaged bool
}

func (r *reader) metadata(next int64) Metadata {
	m := r.head(next)
	m.Doubt.Epoch = r.epoch()
	if ms := r.number(math.MaxInt64 / 2); ms > 0 {
		m.Start = time.UnixMilli(ms)
	}
	m.Doubt.Held = r.offsets(next)
	m.Finished = r.offsets(next)
	r.damaged = r.damaged || len(r.left) > 0
	return m
}

// metadataOfRuns reads the format before. It had the epoch only with a time since
// when: held records without one are held whatever their epoch.
func (r *reader) metadataOfRuns(next int64) Metadata {
	m := r.head(next)
	if m.Doubt.Epoch = math.MaxInt32; !m.Doubt.Since.IsZero() {
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

// head reads what both formats begin with.
func (r *reader) head(next int64) Metadata {
	m := Metadata{FinishedEpoch: r.epoch()}
	if day := r.number(math.MaxInt32 * 8); day > 0 {
		m.Day = budget.Reservation{Day: time.Unix(day, 0), Calls: int(r.number(math.MaxInt32))}
	}
	if ms := r.number(math.MaxInt64 / 2); ms > 0 {
		m.Doubt.Since = time.UnixMilli(ms)
		m.Doubt.Reach = next - 1 + r.number(math.MaxInt64-next)
	}
	return m
}

// offsets reads runs or a bitmap.
func (r *reader) offsets(next int64) (ranges []connector.Range) {
	n := r.number(2*metadataMost + 1)
	if n%2 == 0 {
		for at := next; n > 0 && !r.damaged; n -= 2 {
			ranges, at = r.span(ranges, at)
		}
		return ranges
	}
	size := int(n / 2)
	if size > len(r.left) || next > math.MaxInt64-8*int64(size) {
		r.damaged = true
		return nil
	}
	bitmap := r.left[:size]
	r.left = r.left[size:]
	for i := range int64(8 * size) {
		if bitmap[i/8]&(1<<(i%8)) == 0 {
			continue
		}
		if last := len(ranges) - 1; last >= 0 && ranges[last].Last == next+i-1 {
			ranges[last].Last++
		} else {
			ranges = append(ranges, connector.Range{First: next + i, Last: next + i})
		}
	}
	return ranges
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
