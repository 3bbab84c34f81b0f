package leadsquared

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/connector"
)

// The error of an http.Client is `Post "http://…?accessKey=…&secretKey=…": …`.
// With the keys in the query, as some gateways want them, nothing that is said
// of a failure may hold a URL at all.
func TestTrapErrorTextsHoldTheURL(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		dial    error
	}{
		"nobody listens":  {dial: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connect: connection refused")}},
		"no such name":    {dial: &net.DNSError{Err: "no such host", Name: "api"}},
		"a reset":         {handler: abort},
		"a hanging call":  {handler: hang},
		"no HTTP at all":  {handler: func(w http.ResponseWriter, _ *http.Request) { hijacked(w, "SSH-2.0-OpenSSH_9.6\r\n\r\n") }},
		"half a header":   {handler: func(w http.ResponseWriter, _ *http.Request) { hijacked(w, "HTTP/1.1 200 OK\r\nContent-Le") }},
		"refused keys":    {handler: func(w http.ResponseWriter, r *http.Request) { http.Error(w, r.URL.String(), http.StatusUnauthorized) }},
		"a redirect":      {handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }},
		"a page of nginx": {handler: func(w http.ResponseWriter, r *http.Request) { http.Error(w, r.RequestURI, http.StatusBadGateway) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipeNet()
				network.set(0, c.dial)
				if c.handler != nil {
					serve(t, network, c.handler)
				}
				cfg := configFor("http://api")
				cfg.Auth = AuthQuery
				var said bytes.Buffer
				settings := Settings{Dial: network.DialContext, Log: slog.New(slog.NewTextHandler(&said, nil))}
				client := newClient(t, cfg, settings)
				a := client.Deliver(t.Context(), batchOf(1), time.Time{})
				client.Close()
				if a.Outcome == connector.Judged || a.Message == "" {
					t.Fatalf("%+v, want a failure with words", a)
				}
				fmt.Fprintf(&said, "%+v", a)
				holdsNoKey(t, said.String())
			})
		})
	}
}

// hijacked writes the text to the connection and closes it.
func hijacked(w http.ResponseWriter, text string) {
	nc, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(nc, text)
	_ = nc.Close()
}

func holdsNoKey(t *testing.T, said string) {
	t.Helper()
	for _, key := range []string{canaryAccess, canarySecret} {
		for _, form := range []string{key, url.QueryEscape(key), url.PathEscape(key)} {
			if strings.Contains(said, form) {
				t.Errorf("%q is in %s", form, said)
			}
		}
	}
	if strings.Contains(said, "Post \"") {
		t.Errorf("an http.Client's error is in %s", said)
	}
}

// net/http sends an applied request again after a stream reset of HTTP/2, after
// a connection that was closed while idle, and for 307 and 308, where the body
// can be had again or the request looks idempotent. Arrivals are counted.
func TestTrapTransportSendsAgain(t *testing.T) {
	to := func(status int) func(*net.TCPConn, *http.Request) {
		return func(nc *net.TCPConn, r *http.Request) {
			_, _ = fmt.Fprintf(nc, "HTTP/1.1 %d Elsewhere\r\nLocation: http://%s/again\r\nContent-Length: 0\r\n\r\n", status, r.Host)
		}
	}
	for name, bad := range map[string]func(*net.TCPConn, *http.Request){
		"a reset":                             func(nc *net.TCPConn, _ *http.Request) { _ = nc.SetLinger(0); _ = nc.Close() },
		"a close that looks like an idle one": func(nc *net.TCPConn, _ *http.Request) { _ = nc.Close() },
		"307":                                 to(307),
		"308":                                 to(308),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The second call goes over a connection that the first has used, which
			// is what makes a transport take a close for an idle one.
			host, calls := rawServer(t, func(call int, nc *net.TCPConn, r *http.Request) {
				for header := range r.Header {
					if strings.Contains(strings.ToLower(header), "idempotency") {
						t.Errorf("the request says %s, which makes net/http send it again", header)
					}
				}
				if call > 1 {
					bad(nc, r)
					return
				}
				answer(nc, rowsOf(created("1", id1)))
			})
			client := newClient(t, configFor(host), Settings{})
			first, second := client.Deliver(t.Context(), batchOf(1), time.Time{}), client.Deliver(t.Context(), batchOf(1), time.Time{})
			if first.Outcome != connector.Judged || second.Outcome == connector.Judged {
				t.Errorf("%+v, then %+v", first, second)
			}
			if n := calls.Load(); n != 2 {
				t.Errorf("%d calls arrived of two that were made", n)
			}
		})
	}
	t.Run("HTTP/2 is not negotiated", thereIsNoStreamToReset)
}

// thereIsNoStreamToReset shows that RST_STREAM and GOAWAY cannot come: a server
// that would rather speak HTTP/2 finds that the client does not offer it.
func thereIsNoStreamToReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own listener
	if err != nil {
		t.Fatal(err)
	}
	var spoken atomic.Value
	s, ca := serveTLS(t, l, func(w http.ResponseWriter, r *http.Request) {
		spoken.Store(r.Proto + " after ALPN " + strconv.Quote(r.TLS.NegotiatedProtocol))
		accept(w, r)
	})
	// The server does offer it: another client is given it.
	other := s.Client()
	resp, err := other.Post(s.URL, "application/json", strings.NewReader("[]")) //nolint:noctx // ends with the test's server
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := spoken.Load(); got != `HTTP/2.0 after ALPN "h2"` {
		t.Fatalf("another client speaks %v, so the server proves nothing", got)
	}
	c := configFor(s.URL)
	c.CAFile = ca
	client := newClient(t, c, Settings{})
	if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
		t.Fatalf("%+v", a)
	}
	if got := fmt.Sprint(spoken.Load()); !strings.HasPrefix(got, "HTTP/1.1 ") || strings.Contains(got, "h2") {
		t.Errorf("the call came over %s", got)
	}
}
