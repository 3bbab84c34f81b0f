package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestALeaseRunsFromWhenTheRequestWasSentAndIsOverForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(45*time.Second, time.Minute)
		if _, begun, _ := l.left(); begun {
			t.Error("it has begun without a proof")
		}
		sent := time.Now()
		time.Sleep(10 * time.Second)
		l.renew(sent)
		if left, begun, err := l.left(); left != 32*time.Second || !begun || err != nil {
			t.Errorf("left %s, %v, %v, want 45s less 3s and 10s", left, begun, err)
		}
		time.Sleep(32*time.Second - 1)
		if _, _, err := l.left(); err != nil {
			t.Errorf("it ended too early: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if _, _, err := l.left(); !errors.Is(err, errExpired) {
			t.Errorf("it has not ended: %v", err)
		}
		l.renew(time.Now())
		if _, _, err := l.left(); !errors.Is(err, errExpired) {
			t.Errorf("it was revived: %v", err)
		}
	})
}

func TestALateAnswerDoesNotShortenALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(10*time.Second, time.Minute)
		before := time.Now()
		time.Sleep(5 * time.Second)
		l.renew(time.Now())
		l.renew(before)
		if left, _, _ := l.left(); left != 9*time.Second {
			t.Errorf("left %s, want 9s", left)
		}
	})
}

func TestHeartbeatsDuringARebalanceExtendALeaseNotBeyondTheRebalanceTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(45*time.Second, 20*time.Second)
		began := time.Now()
		l.renew(began)
		var ended time.Duration
		for ended == 0 {
			time.Sleep(3 * time.Second)
			l.rebalancing(time.Now())
			if _, _, err := l.left(); err != nil {
				ended = time.Since(began)
			}
		}
		if ended != 18*time.Second { // the first look after 17 s
			t.Errorf("it ended after %s, want the rebalance timeout less the margin", ended)
		}

		l = newLease(10*time.Second, 20*time.Second)
		began, ended = time.Now(), 0
		l.renew(began)
		for ended == 0 {
			time.Sleep(time.Second)
			l.rebalancing(time.Now())
			if _, _, err := l.left(); err != nil {
				ended = time.Since(began)
			}
		}
		if ended != 10*time.Second {
			t.Errorf("it ended after %s, want one further session from the first answer", ended)
		}
	})
}

func TestARebalanceTimeoutShorterThanTheSessionBoundsALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(45*time.Second, 20*time.Second)
		l.renew(time.Now())
		if left, _, _ := l.left(); left != 17*time.Second {
			t.Errorf("left %s, want 20s less 3s: the member may be cut off right before a rebalance", left)
		}
	})
}

func TestAgeIsTheLargerOfWallAndMonotonicTime(t *testing.T) {
	t.Parallel()
	// The layout of a time that has both readings.
	monotonic := func(t *time.Time) *int64 {
		return &(*struct {
			wall uint64
			ext  int64
			loc  *time.Location
		})(unsafe.Pointer(t)).ext
	}
	since := time.Now()
	suspended := since.Add(time.Hour)
	*monotonic(&suspended) -= int64(time.Hour - time.Second) // stood still
	setBack := since.Add(time.Second)
	*monotonic(&setBack) += int64(time.Hour - time.Second)
	for name, now := range map[string]time.Time{"suspended": suspended, "set back": setBack, "as usual": since.Add(time.Hour)} {
		if got := age(since, now); got != time.Hour {
			t.Errorf("%s: age %s, want 1h", name, got)
		}
	}
}

// coordinator answers requests on a connection with the error codes in turn.
func coordinator(conn net.Conn, codes ...int16) {
	for _, code := range codes {
		size := make([]byte, 4)
		if _, err := io.ReadFull(conn, size); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(size))
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		response := kmsg.ResponseForKey(int16(binary.BigEndian.Uint16(request)))
		version := int16(binary.BigEndian.Uint16(request[2:]))
		response.SetVersion(version)
		switch r := response.(type) {
		case *kmsg.HeartbeatResponse:
			r.ErrorCode = code
		case *kmsg.SyncGroupResponse:
			r.ErrorCode, r.MemberAssignment = code, make([]byte, 1000)
		case *kmsg.JoinGroupResponse:
			r.ErrorCode = code
		case *kmsg.ConsumerGroupHeartbeatResponse:
			r.ErrorCode = code
		case *kmsg.MetadataResponse:
			r.Topics = make([]kmsg.MetadataResponseTopic, 50)
		}
		body := append([]byte(nil), request[4:8]...)
		if response.IsFlexible() {
			body = append(body, 0)
		}
		body = response.AppendTo(body)
		frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
		for len(frame) > 0 { // in pieces, as a network may
			n := min(len(frame), 3)
			if _, err := conn.Write(frame[:n]); err != nil {
				return
			}
			frame = frame[n:]
		}
	}
}

func TestAnObservedConnectionReadsTheCoordinatorsErrorCodes(t *testing.T) {
	for _, c := range []struct {
		name    string
		request kmsg.Request
		version int16
		code    int16
		begun   bool
		ended   error
	}{
		{"heartbeat", kmsg.NewPtrHeartbeatRequest(), 4, 0, true, nil},
		{"heartbeat of version 0", kmsg.NewPtrHeartbeatRequest(), 0, 0, true, nil},
		{"heartbeat of version 3", kmsg.NewPtrHeartbeatRequest(), 3, 0, true, nil},
		{"heartbeat of an expelled member", kmsg.NewPtrHeartbeatRequest(), 4, kerr.UnknownMemberID.Code, true, kerr.UnknownMemberID},
		{"heartbeat of an old generation, version 0", kmsg.NewPtrHeartbeatRequest(), 0, kerr.IllegalGeneration.Code, true, kerr.IllegalGeneration},
		{"heartbeat to the wrong broker", kmsg.NewPtrHeartbeatRequest(), 4, kerr.NotCoordinator.Code, false, nil},
		{"sync", kmsg.NewPtrSyncGroupRequest(), 5, 0, true, nil},
		{"sync of version 0", kmsg.NewPtrSyncGroupRequest(), 0, 0, true, nil},
		{"join proves nothing yet", kmsg.NewPtrJoinGroupRequest(), 9, 0, false, nil},
		{"join of a fenced member", kmsg.NewPtrJoinGroupRequest(), 5, kerr.FencedInstanceID.Code, true, kerr.FencedInstanceID},
		{"KIP-848", kmsg.NewPtrConsumerGroupHeartbeatRequest(), 1, 0, true, nil},
		{"KIP-848, fenced", kmsg.NewPtrConsumerGroupHeartbeatRequest(), 0, kerr.FencedMemberEpoch.Code, true, kerr.FencedMemberEpoch},
		{"something else", kmsg.NewPtrMetadataRequest(), 12, 0, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer func() { _ = ours.Close() }()
				// Before and after it comes an answer of another kind.
				go coordinator(theirs, 0, c.code, 0)
				l := newLease(45*time.Second, time.Minute)
				conn, err := observe(func(context.Context, string, string) (net.Conn, error) { return ours, nil }, l)(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				c.request.SetVersion(c.version)
				format := kmsg.NewRequestFormatter()
				metadata := kmsg.NewPtrMetadataRequest()
				metadata.SetVersion(12)
				for id, request := range []kmsg.Request{metadata, c.request, metadata} {
					if _, err := conn.Write(format.AppendRequest(nil, request, int32(id))); err != nil {
						t.Fatal(err)
					}
					size := make([]byte, 4)
					if _, err := io.ReadFull(conn, size); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(conn, make([]byte, binary.BigEndian.Uint32(size))); err != nil {
						t.Fatal(err)
					}
				}
				_, begun, err := l.left()
				if begun != c.begun || !errors.Is(err, c.ended) {
					t.Errorf("begun %v, ended %v, want %v, %v", begun, err, c.begun, c.ended)
				}
			})
		})
	}
}

func FuzzAnObservedConnectionSurvivesAnyAnswer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, int16(4))
	f.Add([]byte{0, 0, 0, 0, 255, 255, 255, 255, 1}, int16(0))
	f.Fuzz(func(t *testing.T, answer []byte, version int16) {
		for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat} {
			c := &observedConn{lease: newLease(time.Second, time.Second), pending: map[int32]groupRequest{1: {key: key.Int16(), version: version}}}
			for b := answer; len(b) > 0; {
				rest := c.follow(b)
				if len(rest) >= len(b) && c.skip == 0 && len(rest) > 0 {
					t.Fatal("an answer is not followed to its end")
				}
				b = rest
			}
			if len(c.frame) > 4+frameKept {
				t.Fatalf("%d bytes are kept", len(c.frame))
			}
		}
	})
}
