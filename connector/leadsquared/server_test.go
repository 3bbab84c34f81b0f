package leadsquared

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/leadsink/leadsink/config/setting"
)

const (
	canaryAccess = "u$r4CANARY/ACCESS+KEY"
	canarySecret = "CANARY%SECRET=KEY&0"
)

// A pipeNet is a network in memory, for bubbles.
type pipeNet struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once

	mu    sync.Mutex // guards what follows
	delay time.Duration
	fail  error
	dials []time.Time
}

func newPipeNet() *pipeNet {
	return &pipeNet{incoming: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipeNet) set(delay time.Duration, fail error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.fail = delay, fail
}

func (p *pipeNet) dialled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.dials)
}

func (p *pipeNet) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	p.dials = append(p.dials, time.Now())
	delay, fail := p.delay, p.fail
	p.mu.Unlock()
	if delay > 0 {
		way := time.NewTimer(delay)
		defer way.Stop()
		select {
		case <-way.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fail != nil {
		return nil, fail
	}
	here, there := net.Pipe()
	select {
	case p.incoming <- there:
		return here, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	return nil, net.ErrClosed
}

func (p *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-p.incoming:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipeNet) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipeNet) Addr() net.Addr { return &net.TCPAddr{} }

// serve runs a real server over the network until the test ends, changed by
// the options before it starts.
func serve(t *testing.T, l net.Listener, h http.HandlerFunc, options ...func(*http.Server)) {
	s := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	for _, option := range options {
		option(s)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
}

// serveTLS is serve with HTTPS and HTTP/2 on offer. It returns the server and
// the file of its certificate, which is for example.com.
func serveTLS(t *testing.T, l net.Listener, h http.HandlerFunc) (*httptest.Server, string) {
	s := httptest.NewUnstartedServer(h)
	_ = s.Listener.Close()
	s.Listener = l
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, file
}

// configFor is a valid configuration for a host.
func configFor(host string) Config {
	c := Default()
	c.Host = host
	c.AccessKey, c.SecretKey = setting.NewSecret(canaryAccess), setting.NewSecret(canarySecret)
	return c
}

// newClient returns a client that is closed when the test ends.
func newClient(t *testing.T, c Config, s Settings) *Client {
	t.Helper()
	client, err := New(c, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// accept answers as LeadSquared does when it takes every row.
func accept(w http.ResponseWriter, r *http.Request) {
	var rows []json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&rows); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	type row struct {
		ID              string `json:"ProspectActivityId"`
		RowNumber       int
		ActivityCreated bool
	}
	var answer struct{ Response []row }
	for i := range rows {
		answer.Response = append(answer.Response, row{fmt.Sprintf("id-%d", i+1), i + 1, true})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// hang reads the call and never answers.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}
