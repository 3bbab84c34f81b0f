package fakeapi_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// loopback serves a fake over TCP until the test ends, with or without TLS.
func loopback(t *testing.T, c fakeapi.Config, secure bool) *fake {
	t.Helper()
	server, err := fakeapi.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{T: t, Server: server, host: "http://" + l.Addr().String()}
	wires := &http.Transport{}
	var cert *tls.Certificate
	if secure {
		made, pool, err := fakeapi.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pool) {
			t.Fatal("the pool holds no certificate")
		}
		cert, f.host = &made, "https://"+l.Addr().String()
		wires.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	f.client.Transport = wires
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l, cert) }() // ends with stop
	t.Cleanup(func() {
		wires.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestTLSIsForWhoeverHasTheCertificate(t *testing.T) {
	f := loopback(t, fakeapi.Config{}, true)
	f.must(f.post(orders(0, 1)), http.StatusOK, `"ActivityCreated":true`)
	f.must(f.get("/v2/Authentication.svc/UserByAccessKey.Get"), http.StatusOK, `"api":"`+f.host+`"`)
	f.client.Transport.(*http.Transport).CloseIdleConnections()
	f.client.Transport = &http.Transport{}
	if a := f.post(orders(1, 1)); !isUnknownAuthority(a.err) {
		t.Errorf("a client without the certificate sees %d, %v", a.status, a.err)
	}
}

func isUnknownAuthority(err error) bool {
	_, is := errors.AsType[x509.UnknownAuthorityError](err)
	return is
}

func TestResetsAreResetsOverTCP(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			f := loopback(t, fakeapi.Config{}, secure)
			f.Script(fakeapi.ResetBefore, fakeapi.ResetAfter)
			for range 2 {
				if a := f.post(orders(0, 1)); !errors.Is(a.err, syscall.ECONNRESET) {
					t.Errorf("the client sees %d, %v; want a reset", a.status, a.err)
				}
			}
			if n := f.Summary("").Created; n != 1 {
				t.Errorf("%d created, want the second call's", n)
			}
		})
	}
}

func TestACallArrivesAfterHalfTheWayAndItsAnswerAfterAllOfIt(t *testing.T) {
	for name, fault := range map[string]fakeapi.Fault{
		"created": fakeapi.NoFault, "throttled": fakeapi.Throttle, "gateway": fakeapi.Gateway502, "too large": fakeapi.TooLarge, "reset": fakeapi.ResetAfter,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t, fakeapi.Config{Way: 120 * time.Millisecond, Latency: 20 * time.Millisecond})
				f.Script(fault)
				f.took(140*time.Millisecond, func() { f.post(orders(0, 2)) })
				if at := f.Calls(0, 1)[0].At; time.Since(at) != 80*time.Millisecond {
					t.Errorf("the call arrived %s before its answer, want 80ms", time.Since(at))
				}
			})
		})
	}
}

func TestEveryAnswerOfTheAPITakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{AccessKey: "a", Way: 120 * time.Millisecond, Limits: limits("1/h")})
		key := map[string]string{"x-LSQ-AccessKey": "a"}
		f.took(120*time.Millisecond, func() { f.must(f.post(orders(0, 1)), http.StatusUnauthorized) })
		f.took(120*time.Millisecond, func() { f.must(f.do(http.MethodPost, byID, http.NoBody, key), http.StatusTooManyRequests) })
		f.took(120*time.Millisecond, func() {
			f.must(f.do(http.MethodGet, "/v2/Authentication.svc/UserByAccessKey.Get", nil, key), http.StatusOK)
		})
		f.took(0, func() { f.must(f.get("/_fake/summary"), http.StatusOK) })
	})
}

// took fails the test unless what is done takes so long.
func (f *fake) took(want time.Duration, do func()) {
	f.Helper()
	begun := time.Now()
	do()
	if took := time.Since(begun); took != want {
		f.Errorf("it took %s, want %s", took, want)
	}
}

func TestServingEndsAlthoughCallsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{})
		f.Script(fakeapi.HangBefore, fakeapi.HangAfter, fakeapi.Late)
		ended := make(chan answer)
		for i := range 3 {
			go func() { ended <- f.post(orders(i, 1)) }() // ends with the connection
		}
		synctest.Wait()
		f.stop()
		for range 3 {
			if a := <-ended; !errors.Is(a.err, io.EOF) {
				t.Errorf("a hanging call ended with %d, %v; want the end of its connection", a.status, a.err)
			}
		}
	})
}
