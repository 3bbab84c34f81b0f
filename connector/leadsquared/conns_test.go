package leadsquared

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
)

func TestACallGoesOutAtOnceHoweverLongConnectingTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		network.set(250*time.Millisecond, nil)
		var mu sync.Mutex
		var arrived []time.Time
		_, ca := serveTLS(t, network, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			arrived = append(arrived, time.Now())
			mu.Unlock()
			time.Sleep(time.Second)
			accept(w, r)
		})
		c := configFor("https://example.com")
		c.CAFile = ca
		client := newClient(t, c, Settings{Dial: network.DialContext})
		if client.Ready() {
			t.Error("ready before it is connected")
		}
		time.Sleep(251 * time.Millisecond)
		// Calls that overlap: every one needs a connection of its own, the spare,
		// which is there for the next slot.
		var calls sync.WaitGroup
		for i := range 4 {
			if !client.Ready() {
				t.Fatalf("not ready for call %d", i+1)
			}
			sent := time.Now()
			calls.Go(func() { client.Deliver(t.Context(), batchOf(1), time.Time{}) })
			synctest.Wait()
			mu.Lock()
			if len(arrived) != i+1 || !arrived[i].Equal(sent) {
				t.Errorf("call %d was sent at %v, arrivals %v", i+1, sent, arrived)
			}
			mu.Unlock()
			if client.Ready() {
				t.Errorf("ready while the spare of call %d is being dialled", i+1)
			}
			time.Sleep(260 * time.Millisecond)
		}
		calls.Wait()
		if n := network.dialled(); n != 5 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestASpareThatTheServerClosesIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		serve(t, network, accept, func(s *http.Server) {
			s.IdleTimeout, s.ReadHeaderTimeout = 10*time.Second, 10*time.Second
		})
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		for minute := range 3 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if !client.Ready() {
				t.Fatalf("not ready after minute %d", minute+1)
			}
			if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
				t.Fatalf("%+v", a)
			}
		}
	})
}

// A server that closes idle connections after five seconds would have closed
// the last one and its spare when a slot comes every 5.1 seconds, and another
// would still be dialled.
func TestAServerThatClosesIdleConnectionsCostsOneSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		network.set(70*time.Millisecond, nil)
		serve(t, network, accept, func(s *http.Server) {
			s.IdleTimeout, s.ReadHeaderTimeout = 5*time.Second, 5*time.Second
		})
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		time.Sleep(time.Second)
		missed := 0
		for range 120 {
			if client.Ready() {
				if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
					t.Errorf("a call met a connection that was being closed: %+v", a)
				}
			} else {
				missed++
			}
			time.Sleep(5100 * time.Millisecond)
			synctest.Wait()
		}
		if missed > 1 {
			t.Errorf("%d of 120 slots found no connection, want 1 at most", missed)
		}
		if n := network.dialled(); n > 120*3 {
			t.Errorf("%d dials in ten minutes", n)
		}
	})
}

// When a server restarts, it closes connections of any age: what that taught is
// forgotten again.
func TestWhatARestartOfTheServerTeachesIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		closing := func() {}
		serve(t, network, accept, func(s *http.Server) {
			closing = func() { s.SetKeepAlivesEnabled(false); s.SetKeepAlivesEnabled(true) }
		})
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		time.Sleep(2 * time.Second)
		client.Deliver(t.Context(), batchOf(1), time.Time{})
		time.Sleep(3 * time.Second)
		closing()
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		before := network.dialled()
		time.Sleep(10 * time.Minute)
		if n := network.dialled() - before; n > 17 {
			t.Errorf("%d dials in ten minutes", n)
		}
	})
}

func TestAnIdleSpareIsRenewedBeforeABalancerWouldCloseIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		network.set(time.Second, nil)
		var mu sync.Mutex
		lives := map[net.Conn]time.Time{}
		watch := func(c net.Conn, state http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			switch state {
			case http.StateNew:
				lives[c] = time.Now()
			case http.StateClosed:
				if age := time.Since(lives[c]); age > 50*time.Second {
					t.Errorf("a spare lay idle for %v", age)
				}
				delete(lives, c)
			case http.StateActive, http.StateIdle, http.StateHijacked:
			}
		}
		serve(t, network, accept, func(s *http.Server) { s.ConnState = watch })
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		time.Sleep(2 * time.Second)
		for range 600 {
			if !client.Ready() {
				t.Fatal("not ready while idle")
			}
			time.Sleep(time.Second)
		}
		mu.Lock()
		defer mu.Unlock()
		if n := network.dialled(); n > 17 || len(lives) > 2 {
			t.Errorf("%d dials in ten minutes, %d connections open", n, len(lives))
		}
	})
}

func TestAFailureToConnectIsShownToTheCallerAndTriedAgainWithPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		network.set(0, errors.New("connect: connection refused"))
		serve(t, network, accept)
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		synctest.Wait()
		if !client.Ready() {
			t.Error("not ready, so nobody learns that the service is down")
		}
		if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.NotApplied || !strings.Contains(a.Message, "connection refused") {
			t.Errorf("%+v", a)
		}
		for range 5 * 60 * 5 { // asking at every slot must not hurry it
			client.Ready()
			time.Sleep(200 * time.Millisecond)
		}
		if n := network.dialled(); n < 20 || n > 30 {
			t.Errorf("%d dials in five minutes", n)
		}
		network.set(0, nil)
		if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
			t.Errorf("%+v", a)
		}
		// That call's connection is taken by the next: its spare must not wait
		// for the pause of the failures before.
		synctest.Wait()
		client.conns.take()
		synctest.Wait()
		if !client.Ready() {
			t.Error("no spare after the service came back")
		}
	})
}

func TestAHangingDialEndsAndIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		network.set(time.Hour, nil)
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		synctest.Wait()
		if client.Ready() {
			t.Error("ready while the first dial goes on")
		}
		time.Sleep(dialTimeout)
		synctest.Wait()
		if !client.Ready() {
			t.Error("the dial's failure is not shown")
		}
		began := time.Now()
		a := client.Deliver(t.Context(), batchOf(1), time.Time{})
		if a.Outcome != connector.NotApplied || time.Since(began) != dialTimeout || !strings.Contains(a.Message, "within 10s") {
			t.Errorf("after %v: %+v", time.Since(began), a)
		}
	})
}

func TestACallerThatGivesUpConnectingSaysNothingOfTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		network.set(5*time.Second, nil)
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if a := client.Deliver(ctx, batchOf(1), time.Time{}); a.Outcome != connector.NotApplied {
			t.Errorf("%+v", a)
		}
		if client.Ready() {
			t.Error("ready, although nothing is connected and nothing has failed")
		}
	})
}

func TestCallsAtOnceEachHaveAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		var now, most atomic.Int32
		serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			time.Sleep(time.Second)
			accept(w, r)
		})
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				for range 5 {
					if a := client.Deliver(t.Context(), batchOf(3), time.Time{}); a.Outcome != connector.Judged {
						t.Errorf("%+v", a)
					}
				}
			})
		}
		calls.Wait()
		if n := network.dialled(); most.Load() != 8 || n > 17 {
			t.Errorf("%d at once over %d connections", most.Load(), n)
		}
	})
}

// net/http closes a connection on which a write was refused, but only after it has told
// so. In between no other call may get the connection, and the refusal of the first.
func TestAConnectionThatRefusedAWriteServesNoOtherCall(t *testing.T) {
	for name, row := range map[string]struct {
		gate    error
		writeBy time.Duration
		broken  bool
	}{
		"too late":              {writeBy: -time.Second},
		"the lease has ended":   {gate: errors.New("no lease")},
		"the connection failed": {broken: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			network := newPipeNet()
			serve(t, network, accept)
			client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext, Lease: under(func() error { return row.gate })})
			synctest.Wait()
			c := client.conns.take()
			synctest.Wait() // its spare is there
			c.wire.arm(time.Now().Add(row.writeBy), func() error { return row.gate })
			if row.broken {
				_ = c.wire.Close()
			}
			if _, err := c.wire.Write([]byte("POST / ")); err == nil {
				t.Fatalf("%s: written all the same", name)
			}
			if c.usable(time.Now(), idleLimit) {
				t.Errorf("%s: another call may use the connection", name)
			}
			client.conns.put(c)
		})
	}
}

func TestConnectionsOfFailedCallsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		serve(t, network, hang)
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			client.Deliver(ctx, batchOf(1), time.Time{})
			cancel()
		}
		synctest.Wait()
		client.conns.mu.Lock()
		defer client.conns.mu.Unlock()
		if n := len(client.conns.all); n != 1 {
			t.Errorf("%d connections are known, want the spare", n)
		}
	})
}

// connectProxy answers CONNECT with the status, and forwards if it is 200.
func connectProxy(t *testing.T, l *pipeNet, status int, target *pipeNet) {
	serve(t, l, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			t.Errorf("the proxy was asked to %s", r.Method)
		}
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		nc, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		there, err := target.DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			_ = nc.Close()
			return
		}
		_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, nc); _ = there.Close() }() // ends when the client closes
		_, _ = io.Copy(nc, there)
		_ = nc.Close()
	})
}

func TestASpareReachesThroughAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, proxy := newPipeNet(), newPipeNet()
		_, ca := serveTLS(t, target, accept)
		connectProxy(t, proxy, http.StatusOK, target)
		c := configFor("https://example.com")
		c.CAFile, c.Proxy = ca, setting.NewSecret("http://user:CANARY@proxy:3128")
		client := newClient(t, c, Settings{Dial: proxy.DialContext})
		synctest.Wait()
		if !client.Ready() || target.dialled() != 1 {
			t.Error("no spare")
		}
		if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
			t.Errorf("%+v", a)
		}
		client.Close()
	})
}

func TestAProxysRefusalIsAFaultAndItsTroubleIsNot(t *testing.T) {
	for status, want := range map[int]connector.Outcome{
		407: connector.Fault, 403: connector.Fault, 502: connector.NotApplied, 503: connector.NotApplied, 429: connector.NotApplied,
	} {
		synctest.Test(t, func(t *testing.T) {
			proxy := newPipeNet()
			connectProxy(t, proxy, status, nil)
			c := configFor("https://example.com")
			c.Proxy = setting.NewSecret("http://user:CANARY@proxy:3128")
			client := newClient(t, c, Settings{Dial: proxy.DialContext})
			a := client.Deliver(t.Context(), batchOf(1), time.Time{})
			if a.Outcome != want || strings.Contains(a.Message, "CANARY") {
				t.Errorf("%d: %+v", status, a)
			}
		})
	}
}
