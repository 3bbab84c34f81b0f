package transform

import "time"

// A Record is one Kafka message with its position. Key and Value are the
// bytes as Kafka holds them; nil means null, which is not the same as empty.
// A Record is never changed after it was polled, so it may be shared.
type Record struct {
	Topic       string
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // of the leader that wrote it; -1 where the broker does not tell
	Timestamp   time.Time
	Key         []byte
	Value       []byte
	Headers     []Header
}

// A Header is one header of a record. Kafka allows a key to occur several times.
type Header struct {
	Key   string
	Value []byte
}

// eachHeader yields the headers in their order.
func (r *Record) eachHeader(yield func(name string, value []byte) bool) {
	for _, h := range r.Headers {
		if !yield(h.Key, h.Value) {
			return
		}
	}
}

// Size is what the record counts for against the window's bytes: its content
// and a flat charge for what surrounds it in memory.
func (r *Record) Size() int {
	const overhead = 256
	n := overhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}
