package kafka

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// marginMost is the most that a lease ends before the group may give the
// partitions away: the way of a call that was let through just before.
const marginMost = 3 * time.Second

var (
	errNotMember = errors.New("not a member of the consumer group yet")
	errExpired   = errors.New("no heartbeat was answered within the session timeout")
)

// A lease is the time for which the group coordinator has vouched that this
// member's partitions are its own. It is counted from the moment when a
// request was sent, since the coordinator counts from when it arrived. Once
// over it stays over. Safe for concurrent use.
type lease struct {
	session   time.Duration
	rebalance time.Duration
	over      chan struct{} // closed when the lease has ended

	mu      sync.Mutex    // guards what follows
	sent    time.Time     // of the last request that proved membership, zero before the first
	length  time.Duration // of the lease from then on
	pending bool          // that proof was an answer "rebalance in progress"
	ended   error
}

func newLease(session, rebalance time.Duration) *lease {
	return &lease{session: session, rebalance: rebalance, over: make(chan struct{})}
}

// renew notes that the coordinator took a request sent then for one of a member.
func (l *lease) renew(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent.After(l.sent) {
		// A member that does not answer a rebalance is expelled by its timeout,
		// which may be the shorter one and may begin right after this proof.
		l.sent, l.length, l.pending = sent, min(l.session, l.rebalance)-margin(l.session), false
	}
}

// rebalancing notes the answer "rebalance in progress": still a member, but
// from the beginning of the rebalance, which is later than the last proof, only
// for the rebalance timeout, however many such answers follow.
func (l *lease) rebalancing(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pending || l.sent.IsZero() || !sent.After(l.sent) {
		return
	}
	length := min(l.session, l.rebalance-sent.Sub(l.sent)) - margin(l.session)
	l.sent, l.length, l.pending = sent, length, true
}

// end ends the lease for the given reason, unless it has ended already.
func (l *lease) end(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked(why)
}

func (l *lease) endLocked(why error) {
	if l.ended == nil {
		l.ended = why
		close(l.over)
	}
}

// left returns how long the lease still runs; ok is false before it has begun.
// The error says why it has ended.
func (l *lease) left() (left time.Duration, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return 0, true, l.ended
	}
	if l.sent.IsZero() {
		return 0, false, nil
	}
	if left = l.length - age(l.sent, time.Now()); left <= 0 {
		l.endLocked(fmt.Errorf("%w of %s", errExpired, l.session))
		return 0, true, l.ended
	}
	return left, true, nil
}

// proven is when the request was sent that last proved the membership, zero before the first.
func (l *lease) proven() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// age is the larger of wall and monotonic time: the latter stands still while
// a virtual machine is suspended, the former may be set back.
func age(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

func margin(session time.Duration) time.Duration { return min(marginMost, session/10) }

// last sets for how long a proof of membership holds from now on, and makes
// the present one hold no longer.
func (l *lease) last(session time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session = session
	l.length = min(l.length, session-margin(session))
}
