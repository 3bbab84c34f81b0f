package leadsquared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// dialTimeout bounds name look-up, TCP, proxy and TLS handshake together.
	dialTimeout = 10 * time.Second

	// idleLimit is how long a connection may lie idle. Load balancers close
	// theirs after 60 s and more; a request that crosses such a close on its
	// way has an unknown outcome, so ours goes first.
	idleLimit = 45 * time.Second
	// renewAfter is when a new spare is dialled, while the old one still serves.
	renewAfter = 40 * time.Second
	// shortestIdle is the least that a server which closes idle connections can
	// make of idleLimit.
	shortestIdle = time.Second

	// oldAge is when a connection is replaced however much it is used, since its name
	// may lead elsewhere by now; wornAge the same where the service had a fault on it,
	// which another node may not have.
	oldAge  = 5 * time.Minute
	wornAge = 10 * time.Second

	// After a failed dial the next waits, twice as long each time.
	redialFirst = 250 * time.Millisecond
	redialMax   = 15 * time.Second
)

var errClosed = errors.New("the client is closed")

// A conn is one HTTP/1.1 connection with its handshakes done. One call uses
// it at a time. It never repeats a request: that is the transport's doing,
// which is used to dial only.
type conn struct {
	*http.ClientConn
	wire      *wire
	born      time.Time
	worn      bool // the service had a fault on it; set by its call
	idleSince time.Time
}

// old reports whether another connection should take the place of this one, which
// serves until that is there.
func (c *conn) old(now time.Time) bool {
	age := now.Sub(c.born)
	return age >= oldAge || c.worn && age >= wornAge
}

// usable reports whether a call may be written to the idle connection.
func (c *conn) usable(now time.Time, limit time.Duration) bool {
	return !c.wire.spent.Load() && c.Err() == nil && c.Available() == 1 && now.Sub(c.idleSince) < limit
}

// conns keeps connections warm: those that calls have left and, when there are
// none, one spare that is dialled in the background. There are never more than
// calls at a time, and the spare, and the one that it replaces.
type conns struct {
	dialler func() (*http.Transport, error) // what dials, read anew each time; no request goes through it
	host    *url.URL
	log     *slog.Logger

	kick chan struct{} // wakes keep; holds one
	stop context.CancelFunc
	done chan struct{} // closed when keep has ended

	mu      sync.Mutex    // guards what follows
	idle    []*conn       // the one used last at the end
	limit   time.Duration // how long one may lie idle: idleLimit, or what the server's closing taught
	all     map[*conn]bool
	failing bool // the last dial failed

	connected bool // some dial succeeded
	closed    bool
}

// open starts keeping connections to the host warm, until close.
//
//nolint:contextcheck,nolintlint // connections outlive whatever opens the client; contextcheck reads this by itself
func (p *conns) open() {
	ctx, stop := context.WithCancel(context.Background()) //nolint:forbidigo // the client's own life, ended by close
	p.kick, p.stop, p.done = make(chan struct{}, 1), stop, make(chan struct{})
	p.all, p.limit = map[*conn]bool{}, idleLimit
	go p.keep(ctx) // ends when close cancels ctx
}

// keep dials a spare whenever no connection is idle, and closes those that
// have been idle for too long or that the server has closed.
func (p *conns) keep(ctx context.Context) {
	defer close(p.done)
	wake := time.NewTimer(0)
	defer wake.Stop()
	var pause time.Duration // after a failed dial
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.kick:
			if pause > 0 && p.failed() {
				continue // wake comes
			}
		case <-wake.C:
		}
		next, missing := p.prune(time.Now())
		if !missing {
			pause = 0
			wake.Reset(next)
			continue
		}
		c, err := p.dial(ctx)
		if err != nil {
			pause = min(max(2*pause, redialFirst), redialMax)
			wake.Reset(pause)
			continue
		}
		pause = 0
		p.put(c)
		wake.Reset(0) // when to look again depends on all of them
	}
}

// prune closes idle connections that are of no use any more. It reports whether
// a spare is missing, and otherwise when to look again.
func (p *conns) prune(now time.Time) (next time.Duration, missing bool) {
	p.mu.Lock()
	var useless []*conn
	kept := p.idle[:0]
	for _, c := range p.idle {
		p.learn(c, now)
	}
	limit, renew := p.limit, renewAfter
	if limit < idleLimit {
		renew = limit / 2
	}
	oldest, newest := time.Duration(0), limit
	another := p.young(now)
	for _, c := range p.idle {
		if !c.usable(now, limit) || another && c.old(now) {
			useless = append(useless, c)
			continue
		}
		age := now.Sub(c.idleSince)
		oldest, newest = max(oldest, age), min(newest, age)
		kept = append(kept, c)
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	p.mu.Unlock()
	for _, c := range useless {
		p.discard(c)
	}
	return min(limit-oldest, renew-newest), newest >= renew || !another
}

// young reports whether a connection is idle that is not to be replaced. The caller holds mu.
func (p *conns) young(now time.Time) bool {
	return slices.ContainsFunc(p.idle, func(c *conn) bool { return c.usable(now, p.limit) && !c.old(now) })
}

// learn shortens the limit when the server has closed an idle connection before
// it, so that no slot finds none and no call crosses such a close on its way, and
// lengthens it a little when one has reached it. The caller holds mu.
func (p *conns) learn(c *conn, now time.Time) {
	switch age := now.Sub(c.idleSince); {
	case age >= p.limit:
		p.limit = min(p.limit+p.limit/20, idleLimit)
	case c.Err() != nil:
		p.limit = max(age*4/5, shortestIdle)
	}
}

// dial returns a new connection with its handshakes done.
func (p *conns) dial(ctx context.Context) (*conn, error) {
	w := &wire{}
	cc, err := p.connect(ctx, w)
	if err != nil {
		p.noteFailure(ctx, err)
		return nil, err
	}
	c := &conn{ClientConn: cc, wire: w, born: time.Now(), idleSince: time.Now()}
	p.mu.Lock()
	closed := p.closed
	p.failing, p.connected = false, true
	if !closed {
		p.all[c] = true
	}
	p.mu.Unlock()
	if closed {
		_ = cc.Close()
		return nil, errClosed
	}
	// A spare that the server closes is replaced at once.
	cc.SetStateHook(func(cc *http.ClientConn) {
		if cc.Err() != nil {
			p.nudge()
		}
	})
	return c, nil
}

func (p *conns) connect(ctx context.Context, w *wire) (*http.ClientConn, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, wireKey{}, w), dialTimeout)
	defer cancel()
	port := p.host.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[p.host.Scheme]
	}
	began := time.Now()
	transport, err := p.dialler()
	if err != nil {
		return nil, err
	}
	cc, err := transport.NewClientConn(ctx, p.host.Scheme, net.JoinHostPort(p.host.Hostname(), port))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("no connection within %v: %w", time.Since(began).Round(time.Millisecond), err)
	}
	return cc, err
}

// noteFailure remembers that connecting failed, unless the caller gave up, and
// says so at the beginning of a series.
func (p *conns) noteFailure(ctx context.Context, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	p.mu.Lock()
	first := !p.failing
	p.failing = true
	p.mu.Unlock()
	if first {
		p.log.Warn("no connection to LeadSquared", "host", p.host.Host, "error", err.Error())
	}
}

// unreached reports whether dialling has failed, and never succeeded.
func (p *conns) unreached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failing && !p.connected
}

func (p *conns) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failing
}

// take returns an idle connection, or nil when there is none.
func (p *conns) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for i, c := range slices.Backward(p.idle) {
		if !c.usable(now, p.limit) {
			continue // prune closes it
		}
		p.idle = slices.Delete(p.idle, i, i+1)
		if len(p.idle) == 0 {
			p.nudge()
		}
		return c
	}
	p.nudge()
	return nil
}

// put takes a connection back that no call uses any more. One that cannot
// serve another call is closed.
func (p *conns) put(c *conn) {
	c.idleSince = time.Now()
	p.mu.Lock()
	old := c.old(c.idleSince)
	keep := !p.closed && c.usable(c.idleSince, p.limit) && (!old || !p.young(c.idleSince))
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		p.discard(c)
	}
	if !keep || old {
		p.nudge()
	}
}

func (p *conns) discard(c *conn) {
	p.mu.Lock()
	delete(p.all, c)
	p.mu.Unlock()
	_ = c.Close()
}

// ready reports whether a connection is idle, or the last dial failed: then a
// call has to find out how things are.
func (p *conns) ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, c := range p.idle {
		if c.usable(now, p.limit) {
			return true
		}
	}
	p.nudge()
	return p.failing
}

// nudge makes keep look whether a spare is missing.
func (p *conns) nudge() {
	select {
	case p.kick <- struct{}{}:
	default: // it will look anyway
	}
}

// close closes all connections, those in use too, and waits for keep to end.
func (p *conns) close() {
	p.mu.Lock()
	p.closed = true
	all := p.all
	p.all, p.idle = map[*conn]bool{}, nil
	p.mu.Unlock()
	p.stop()
	for c := range all {
		_ = c.wire.Close() // without TLS's goodbye, for which a server can make us wait
		_ = c.Close()
	}
	<-p.done
}

// A wire is what a connection writes to. Once armed it is the last gate: a
// member whose lease has ended sends nothing, even if it was stopped between
// deciding to send and sending.
type wire struct {
	net.Conn
	armed   atomic.Bool           // a call uses the connection: no handshake any more
	sent    atomic.Bool           // a byte of the call may have left
	spent   atomic.Bool           // a write failed or was refused: net/http closes the connection, but only a little later
	refusal atomic.Pointer[error] // why a write of the call was refused
	gate    func() error          // of the call's lease; set before armed
	writeBy time.Time             // until when its first byte may be, zero for any time; set before armed
}

type wireKey struct{}

// errLate says that the slot of a call was over before it was written.
var errLate = errors.New("its slot was over")

// late reports whether the call must not begin any more: by either clock, since
// one stands still while a virtual machine is suspended and the other may be set.
func (w *wire) late() bool {
	now := time.Now()
	return !w.writeBy.IsZero() && !w.sent.Load() && (now.After(w.writeBy) || now.Round(0).After(w.writeBy.Round(0)))
}

// arm makes the wire refuse when the gate does, or when the call begins too late,
// and begins to note whether anything of a call is sent.
func (w *wire) arm(writeBy time.Time, gate func() error) {
	w.sent.Store(false)
	w.refusal.Store(nil)
	w.writeBy, w.gate = writeBy, gate
	w.armed.Store(true)
}

// Write refuses when the gate does; then nothing of p is sent.
func (w *wire) Write(p []byte) (int, error) {
	if !w.armed.Load() {
		return w.Conn.Write(p)
	}
	if err := w.gate(); err != nil {
		return 0, w.refuse(&gateError{err})
	}
	if w.late() {
		return 0, w.refuse(errLate)
	}
	n, err := w.Conn.Write(p)
	if n > 0 {
		w.sent.Store(true)
	}
	if err != nil {
		w.spent.Store(true)
	}
	return n, err
}

// refuse notes why a write of the call was refused.
func (w *wire) refuse(why error) error {
	w.spent.Store(true)
	w.refusal.Store(&why)
	return why
}

// A gateError says that the gate refused a write.
type gateError struct{ err error }

func (e *gateError) Error() string { return "nothing may be sent: " + e.err.Error() }
func (e *gateError) Unwrap() error { return e.err }
