package leadsquared

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
)

// A rawServer counts the whole calls that arrive over real TCP and lets a
// function decide what happens to the connection after each.
func rawServer(t *testing.T, after func(call int, nc *net.TCPConn, r *http.Request)) (host string, calls *atomic.Int32) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own listener
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	calls = &atomic.Int32{}
	go func() { // ends with the listener
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with its connection, which the client closes
				defer func() { _ = nc.Close() }()
				in := bufio.NewReader(nc)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return
					}
					after(int(calls.Add(1)), nc.(*net.TCPConn), r)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), calls
}

func answer(nc net.Conn, body string) {
	_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
}

func TestAnAppliedCallIsNeverSentAgain(t *testing.T) {
	const ok = `{"Response":[{"RowNumber":1,"ActivityCreated":true,"ProspectActivityId":"a"}]}`
	for name, bad := range map[string]func(*net.TCPConn){
		"reset":              func(nc *net.TCPConn) { _ = nc.SetLinger(0); _ = nc.Close() },
		"closed":             func(nc *net.TCPConn) { _ = nc.Close() },
		"closed for writing": func(nc *net.TCPConn) { _ = nc.CloseWrite() },
		"half a status line": func(nc *net.TCPConn) { _, _ = io.WriteString(nc, "HTTP/1.1 2"); _ = nc.Close() },
		"half a body":        func(nc *net.TCPConn) { answer(nc, ok[:20]+"x"); _ = nc.Close() },
		"a body cut by its end": func(nc *net.TCPConn) {
			_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"+ok)
			_ = nc.Close()
		},
		"a 408 as idle servers do": func(nc *net.TCPConn) {
			_, _ = io.WriteString(nc, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			_ = nc.Close()
		},
	} {
		// On its first call a connection is fresh, on its second it is reused,
		// which is when net/http's pool would send again.
		for _, at := range []int{1, 2} {
			t.Run(name+" at call "+strconv.Itoa(at), func(t *testing.T) {
				t.Parallel()
				host, calls := rawServer(t, func(call int, nc *net.TCPConn, _ *http.Request) {
					if call == at {
						bad(nc)
						return
					}
					answer(nc, ok)
				})
				client := newClient(t, configFor(host), Settings{})
				for range at - 1 {
					if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
						t.Fatalf("%+v", a)
					}
				}
				if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Unknown {
					t.Errorf("%+v", a)
				}
				if n := calls.Load(); n != int32(at) {
					t.Errorf("%d calls arrived, %d were made", n, at)
				}
			})
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		host, calls := rawServer(t, func(_ int, nc *net.TCPConn, r *http.Request) {
			_, _ = io.WriteString(nc, "HTTP/1.1 "+strconv.Itoa(status)+" Moved\r\nLocation: http://"+r.Host+"/elsewhere\r\nContent-Length: 0\r\n\r\n")
		})
		client := newClient(t, configFor(host), Settings{})
		if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Fault || calls.Load() != 1 {
			t.Errorf("%d: %+v after %d calls", status, a, calls.Load())
		}
	}
}

// The server says goodbye while the connection is idle. The next call must go
// out on another one, or if the goodbye crosses it, be unknown; never twice.
func TestAConnectionClosedWhileIdleLosesAndRepeatsNothing(t *testing.T) {
	const ok = `{"Response":[{"RowNumber":1,"ActivityCreated":true,"ProspectActivityId":"a"}]}`
	for name, goodbye := range map[string]func(*net.TCPConn){
		"FIN": func(nc *net.TCPConn) { _ = nc.Close() },
		"RST": func(nc *net.TCPConn) { _ = nc.SetLinger(0); _ = nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, calls := rawServer(t, func(_ int, nc *net.TCPConn, _ *http.Request) {
				answer(nc, ok)
				goodbye(nc)
			})
			client := newClient(t, configFor(host), Settings{})
			const made = 200
			judged := 0
			for i := range made {
				switch a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome {
				case connector.Judged:
					judged++
				case connector.Unknown, connector.NotApplied:
				default:
					t.Fatalf("call %d: %+v", i+1, a)
				}
			}
			if n := int(calls.Load()); n > made || n < judged || judged == 0 {
				t.Errorf("%d calls arrived, %d were made, %d judged", n, made, judged)
			}
		})
	}
}

// With HTTP/2 an applied call can be sent again by the transport itself.
func TestHTTP2IsNotSpokenEvenWhereOffered(t *testing.T) {
	var proto atomic.Value
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own listener
	if err != nil {
		t.Fatal(err)
	}
	var s *httptest.Server
	s, ca := serveTLS(t, l, func(w http.ResponseWriter, r *http.Request) { proto.Store(r.Proto); accept(w, r) })
	c := configFor(s.URL)
	c.CAFile = ca
	client := newClient(t, c, Settings{})
	if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged || proto.Load() != "HTTP/1.1" {
		t.Errorf("%v: %+v", proto.Load(), a)
	}
}
