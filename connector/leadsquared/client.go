package leadsquared

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/transform"
)

const (
	// MaxBatch is the most activities that LeadSquared takes in one call.
	MaxBatch = 25

	// maxAnswer is the most that is read of an answer, unpacked. An answer for
	// a whole batch has about 3 KiB.
	maxAnswer = 1 << 20

	// writeBuffer holds a usual call, so that it goes out in one write.
	writeBuffer = 64 << 10
)

// Settings is what a Client needs besides its part of the document.
type Settings struct {
	// Lease returns, when a call begins, the gate of the lease under which it is made.
	// The gate is asked before each write of the call, from any goroutine. An error
	// means that nothing may be sent any more (the lease has ended, whatever has begun
	// since); the write is refused. Nil lets everything pass.
	Lease func() (gate func() error)
	// Log receives the beginning of troubles with connecting. Nil discards.
	Log *slog.Logger
	// Tracer makes a span of each call. Nil makes none.
	Tracer trace.Tracer
	// Dial opens the network connections. Nil uses a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Failed is told each try of WaitAccepted that was in vain. Nil: nobody is.
	Failed func(error)
}

// A Client posts activities to one account. It is safe for concurrent use.
// Its connections and its goroutine live until Close.
type Client struct {
	config   Config
	endpoint endpoint
	lease    func() (gate func() error)
	conns    *conns
	clock    clock
	tracer   trace.Tracer
}

var _ connector.Sink = (*Client)(nil)

// New returns a client and starts connecting, in the background. It is an
// error when the configuration is not valid.
func New(c Config, s Settings) (*Client, error) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, fmt.Errorf("leadsquared.%s: %s", problems[0].Key, problems[0].Text)
	}
	host, _ := parseHost(c.Host)
	if s.Lease == nil {
		s.Lease = func() func() error { return func() error { return nil } }
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Dial == nil {
		s.Dial = (&net.Dialer{}).DialContext
	}
	if s.Tracer == nil {
		s.Tracer = noop.NewTracerProvider().Tracer("")
	}
	sessions := tls.NewLRUClientSessionCache(1)
	dialler := func() (*http.Transport, error) { return newTransport(c, s, sessions) }
	if _, err := dialler(); err != nil {
		return nil, err
	}
	client := &Client{
		config:   c,
		endpoint: newEndpoint(c, host),
		lease:    s.Lease,
		clock:    clock{log: s.Log},
		tracer:   s.Tracer,
		conns:    &conns{dialler: dialler, host: host, log: s.Log},
	}
	client.conns.open()
	return client, nil
}

// newTransport returns what dials. HTTP/1.1 only: with HTTP/2 an applied
// request can be sent again. It reads ca_file and proxy as they are now.
func newTransport(c Config, s Settings, sessions tls.ClientSessionCache) (*http.Transport, error) {
	roots, err := trusted(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("leadsquared.ca_file: %w", err)
	}
	t := &http.Transport{
		Protocols:              new(http.Protocols),
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: sessions},
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        writeBuffer,
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				return &proxyError{answer.StatusCode}
			}
			return nil
		},
	}
	t.Protocols.SetHTTP1(true)
	proxy, text := parseProxy(c.Proxy)
	if text != "" {
		return nil, fmt.Errorf("leadsquared.proxy %s", text)
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		w, ok := ctx.Value(wireKey{}).(*wire)
		if !ok {
			return nil, errors.New("a connection outside of conns")
		}
		nc, err := s.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		w.Conn = nc
		return w, nil
	}
	return t, nil
}

// Close closes all connections, those of calls in flight too, whose outcome is
// then unknown. The client delivers nothing afterwards.
func (c *Client) Close() { c.conns.close() }

// Ready reports whether a call could be written at once, on a connection whose
// handshakes are done. It is also true when the last attempt to connect has
// failed: then Deliver tries to connect and says NotApplied, with the reason, so
// that the caller's breaker learns of it.
func (c *Client) Ready() bool { return c.conns.ready() }

// Unreached reports whether LeadSquared could not be connected to since the start.
func (c *Client) Unreached() bool { return c.conns.unreached() }

// Row returns the activity as it is sent.
func (c *Client) Row(a *transform.Activity) []byte {
	return c.endpoint.appendRow(make([]byte, 0, sizeOf(a)), a)
}

// Deliver posts the batch once and says what became of it. It is Missed if it
// cannot be written before writeBy, which is any time if it is zero.
func (c *Client) Deliver(ctx context.Context, batch []*transform.Activity, writeBy time.Time) connector.Answer {
	if len(batch) == 0 || len(batch) > MaxBatch {
		return connector.Answer{Outcome: connector.NotApplied, Message: fmt.Sprintf("a call holds 1 to %d activities, not %d", MaxBatch, len(batch))}
	}
	k, problem := c.keys()
	if problem != "" {
		return connector.Answer{Outcome: connector.Fault, Message: problem}
	}
	answer := c.post(ctx, k, batch, writeBy)
	k.redact(&answer)
	return answer
}

func (c *Client) post(ctx context.Context, k keys, batch []*transform.Activity, writeBy time.Time) connector.Answer {
	r, failed := c.attempt(ctx, c.endpoint.request(ctx, k), c.endpoint.encode(batch), writeBy, maxAnswer)
	if failed != nil {
		return *failed
	}
	return classify(r, len(batch))
}

// attempt sends the request with the body, if any, once, unless it is too late. It returns
// the response, with at most so many bytes of its body, or else what became of
// the request.
func (c *Client) attempt(ctx context.Context, req *http.Request, body []byte, writeBy time.Time, most int64) (r response, failed *connector.Answer) {
	ctx, span := c.trace(ctx, req, len(body))
	defer func() { end(span, r, failed) }()
	gate := c.lease()
	if err := gate(); err != nil { // spares the connection
		return r, notSent(&gateError{err})
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	conn := c.conns.take()
	if conn == nil {
		var err error
		if conn, err = c.conns.dial(ctx); err != nil {
			return r, notSent(err)
		}
	}
	// The connection is given back when the answer's body is closed: net/http
	// makes it available then.
	defer c.conns.put(conn)
	req = req.WithContext(ctx)
	if len(body) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	// Whatever the server does, nothing of the call outlives its time or a stop: net/http
	// itself does not end everything, for instance what comes after "101 Switching Protocols".
	unstop := context.AfterFunc(ctx, func() { _ = conn.wire.Close() })
	defer func() {
		if !unstop() {
			conn.wire.spent.Store(true) // it is being closed
		}
	}()
	conn.wire.arm(writeBy, gate)
	sent := time.Now()
	resp, err := conn.RoundTrip(req)
	if err != nil {
		// Invariant 6: RoundTrip returns an error only after its writing has
		// ended, so what the wire says is final.
		if why := conn.wire.refusal.Load(); why != nil {
			err = *why // net/http may say something else about the connection that it closes then
		}
		if !conn.wire.sent.Load() {
			return r, notSent(err)
		}
		return r, &connector.Answer{Outcome: connector.Unknown, Message: c.explain(ctx, err)}
	}
	c.clock.read(resp.Header, sent, time.Now())
	// LeadSquared itself says 500 of what a call holds.
	conn.worn = conn.worn || resp.StatusCode > http.StatusInternalServerError
	defer func() { _ = resp.Body.Close() }()
	// Reading to the end makes the connection available again; a longer answer
	// is cut off by closing the connection.
	var text []byte
	if resp.StatusCode != http.StatusSwitchingProtocols { // what follows is no answer
		text, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
	}
	r = response{status: resp.StatusCode, header: resp.Header, body: text, at: time.Now()}
	switch {
	case err != nil:
		r.broken = c.explain(ctx, err)
	case int64(len(text)) > most:
		r.broken = fmt.Sprintf("the answer is longer than %d bytes", most)
	}
	return r, nil
}

// notSent is the answer when no byte of the call has left. What a proxy
// refuses for good is a fault of the configuration.
func notSent(err error) *connector.Answer {
	a := &connector.Answer{Outcome: connector.NotApplied, Message: "not sent: " + err.Error()}
	if errors.Is(err, errLate) {
		a.Outcome = connector.Missed
	}
	if p, ok := errors.AsType[*proxyError](err); ok && p.permanent() {
		a.Outcome = connector.Fault
		a.Status = p.status
		a.Message += "; check leadsquared.proxy, its user and password, and what it lets through"
	}
	return a
}

// explain says in words why no whole answer came to a call that was sent.
func (c *Client) explain(ctx context.Context, err error) string {
	if ctx.Err() != nil { // then the connection was closed, which is what err says
		err = ctx.Err()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("sent, but no whole answer came within %v", c.config.Timeout)
	case errors.Is(err, context.Canceled):
		return "sent, but given up before a whole answer came"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "sent, but the connection was closed before a whole answer came"
	}
	return "sent, but no whole answer came: " + err.Error()
}

// A proxyError says that a proxy did not open a way to LeadSquared.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answered HTTP %d %s to CONNECT", e.status, http.StatusText(e.status))
}

// permanent reports whether the proxy refuses, rather than having trouble.
func (e *proxyError) permanent() bool {
	return e.status < 500 && e.status != http.StatusRequestTimeout && e.status != http.StatusTooManyRequests
}
