package kafka

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// An observedConn reads along on a connection to a broker what the group
// coordinator answers to this member: kgo's hooks tell neither when a heartbeat
// was sent nor the error code of its answer, and an expelled member's heartbeats
// are answered as promptly as any other's. It sees Kafka's frames, inside TLS.
type observedConn struct {
	net.Conn
	lease *lease

	mu      sync.Mutex // guards pending: kgo writes and reads in two goroutines
	pending map[int32]groupRequest

	// The answer being read; owned by the reader.
	frame []byte // its first bytes, the size before them
	skip  int    // bytes of it that are still to come and not kept
}

// A groupRequest is a request whose answer says whether we are still a member.
type groupRequest struct {
	key, version int16
	sent         time.Time
}

// frameKept is how many bytes of an answer are kept: size, correlation id,
// tags, throttle time and error code, with room for tags to come.
const frameKept = 64

func observe(dial dialFunc, l *lease) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &observedConn{Conn: c, lease: l, pending: map[int32]groupRequest{}}, nil
	}
}

// Write notes requests to the coordinator. kgo writes each request at once:
// size (4 bytes), key (2), version (2), correlation id (4) and so on.
func (c *observedConn) Write(p []byte) (int, error) {
	if len(p) >= 12 && int(binary.BigEndian.Uint32(p)) == len(p)-4 {
		key := kmsg.Key(int16(binary.BigEndian.Uint16(p[4:])))
		switch key {
		case kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat:
			r := groupRequest{key.Int16(), int16(binary.BigEndian.Uint16(p[6:])), time.Now()}
			c.mu.Lock()
			c.pending[int32(binary.BigEndian.Uint32(p[8:]))] = r
			c.mu.Unlock()
		}
	}
	return c.Conn.Write(p)
}

// Read follows the frames of the answers.
func (c *observedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for b := p[:n]; len(b) > 0; {
		b = c.follow(b)
	}
	return n, err
}

// follow takes the next bytes of an answer and returns those that it left.
func (c *observedConn) follow(b []byte) []byte {
	if c.skip > 0 {
		n := min(c.skip, len(b))
		c.skip -= n
		return b[n:]
	}
	want := 4
	size := 0
	if len(c.frame) >= 4 {
		size = int(binary.BigEndian.Uint32(c.frame))
		want = 4 + min(size, frameKept)
	}
	n := min(want-len(c.frame), len(b))
	c.frame = append(c.frame, b[:n]...)
	if len(c.frame) == want && want > 4 {
		c.answer(c.frame[4:])
		c.skip = size - (want - 4)
		c.frame = c.frame[:0]
	} else if len(c.frame) == 4 && binary.BigEndian.Uint32(c.frame) == 0 {
		c.frame = c.frame[:0]
	}
	return b[n:]
}

// answer looks at the beginning of an answer: correlation id and what follows.
func (c *observedConn) answer(b []byte) {
	if len(b) < 4 {
		return
	}
	id := int32(binary.BigEndian.Uint32(b))
	c.mu.Lock()
	r, ok := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if !ok {
		return
	}
	if code, ok := r.errorCode(b[4:]); ok {
		c.lease.heard(r, code)
	}
}

// errorCode finds the error code in an answer: behind the header's tags where
// the version is a flexible one, and behind the throttle time where it has one.
func (r groupRequest) errorCode(b []byte) (int16, bool) {
	request := kmsg.RequestForKey(r.key)
	request.SetVersion(r.version)
	if request.IsFlexible() {
		tags, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		for range tags {
			_, n := binary.Uvarint(b)
			if n <= 0 {
				return 0, false
			}
			length, m := binary.Uvarint(b[n:])
			if m <= 0 || length > uint64(len(b)-n-m) {
				return 0, false
			}
			b = b[n+m+int(length):]
		}
	}
	if throttled := map[int16]int16{
		kmsg.JoinGroup.Int16(): 2, kmsg.SyncGroup.Int16(): 1, kmsg.Heartbeat.Int16(): 1,
	}[r.key]; r.version >= throttled {
		b = b[min(4, len(b)):]
	}
	if len(b) < 2 {
		return 0, false
	}
	return int16(binary.BigEndian.Uint16(b)), true
}

// heard concludes from the coordinator's answer.
func (l *lease) heard(r groupRequest, code int16) {
	switch {
	case code == 0 && r.key != kmsg.JoinGroup.Int16():
		l.renew(r.sent)
	case code == kerr.RebalanceInProgress.Code && r.key == kmsg.Heartbeat.Int16():
		l.rebalancing(r.sent)
	case expels(code):
		l.end(kerr.ErrorForCode(code))
	}
}

// expels reports whether the error code says that this is no member any more.
func expels(code int16) bool {
	switch code {
	case kerr.UnknownMemberID.Code, kerr.IllegalGeneration.Code, kerr.FencedInstanceID.Code, kerr.FencedMemberEpoch.Code:
		return true
	}
	return false
}
