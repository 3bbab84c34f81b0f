package leadsquared

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What has no address will hardly have one soon, and nothing would be delivered: that
// ends the start. An outage of a host that has one is waited out later.
func TestAStartWaitsForANameAndNotForAnAnswer(t *testing.T) {
	nobody := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "api"}}
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connect: connection refused")}
	for name, row := range map[string]struct {
		dial    error
		handler http.HandlerFunc
		reached bool
		says    string // part of the error, "" for none
		took    time.Duration
	}{
		"no address":   {dial: nobody, says: "api has no address", took: time.Minute},
		"nobody there": {dial: refused},
		"no answer":    {handler: hang, took: 30 * time.Second},
		"an outage":    {handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, reached: true},
		"it answers":   {handler: func(http.ResponseWriter, *http.Request) {}, reached: true},
		"wrong keys":   {handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, reached: true, says: "refuses the keys", took: time.Minute},
		"a firewall":   {handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, reached: true, says: "firewall", took: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipeNet()
				network.set(0, row.dial)
				if row.handler != nil {
					serve(t, network, row.handler)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				reached, err := WaitAccepted(ctx, configFor("http://api"), Settings{Dial: network.DialContext})
				if reached != row.reached || (err != nil) != (row.says != "") || err != nil && !strings.Contains(err.Error(), row.says) || time.Since(began) != row.took {
					t.Errorf("after %v: reached %v, %v", time.Since(began), reached, err)
				}
			})
		})
	}
}

// The name may get its address while the start waits.
func TestAStartGoesOnWhenTheNameHasAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		network.set(0, &net.DNSError{Err: "server misbehaving", Name: "api", IsTemporary: true})
		serve(t, network, func(http.ResponseWriter, *http.Request) {})
		time.AfterFunc(12*time.Second, func() { network.set(0, nil) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if reached, err := WaitAccepted(ctx, configFor("http://api"), Settings{Dial: network.DialContext}); !reached || err != nil || time.Since(began) > 16*time.Second {
			t.Errorf("after %v: %v, %v", time.Since(began), reached, err)
		}
	})
}
