package leadsquared

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
)

// A busy connection lives as long as nobody closes it. When its name leads to another
// node, calls have to find the way there, at once where the first has faults, and no
// slot may find itself without a connection meanwhile.
func TestABusyConnectionFollowsItsName(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		slow   time.Duration
		every  time.Duration
		most   int
	}{
		"the old node answers well":        {status: 200, slow: 700 * time.Millisecond, every: 1 * time.Second, most: 310},
		"the old node has faults":          {status: 503, slow: 700 * time.Millisecond, every: 10 * time.Second, most: 3},
		"it has faults, and many calls":    {status: 502, slow: 100 * time.Millisecond, every: 200 * time.Millisecond, most: 110},
		"calls that overlap for some time": {status: 200, slow: 4700 * time.Millisecond, every: 1 * time.Second, most: 330},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var elsewhere atomic.Bool
				var there, failed atomic.Int32
				network := [2]*pipeNet{newPipeNet(), newPipeNet()}
				for i, n := range network {
					n.set(60*time.Millisecond, nil)
					serve(t, n, func(w http.ResponseWriter, r *http.Request) {
						time.Sleep(row.slow)
						if i == 0 && elsewhere.Load() {
							there.Add(1)
							_, _ = io.Copy(io.Discard, r.Body)
							w.WriteHeader(row.status)
							return
						}
						accept(w, r)
					})
				}
				dial := func(ctx context.Context, n, a string) (net.Conn, error) {
					if elsewhere.Load() {
						return network[1].DialContext(ctx, n, a)
					}
					return network[0].DialContext(ctx, n, a)
				}
				client := newClient(t, configFor("http://api"), Settings{Dial: dial})
				time.Sleep(time.Second)
				var calls sync.WaitGroup
				for i := range 2000 {
					if i == 200 {
						elsewhere.Store(true)
					}
					if !client.Ready() {
						failed.Add(1)
					}
					calls.Go(func() { client.Deliver(t.Context(), batchOf(1), time.Time{}) })
					time.Sleep(row.every)
				}
				calls.Wait()
				if n := int(there.Load()); n > row.most || failed.Load() > 0 {
					t.Errorf("%d of 1800 calls went to the old node, want %d at most; %d slots had no connection", n, row.most, failed.Load())
				}
				if n := network[0].dialled() + network[1].dialled(); n > 800 {
					t.Errorf("%d dials for 2000 calls", n)
				}
			})
		})
	}
}

// Certificates and a proxy's password are rotated like other secrets: a new connection
// reads what the files hold now.
func TestANewConnectionReadsTheCertificatesAndTheProxyAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proxy")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "http://user:old@proxy:3128")
	proxySecret, err := setting.SecretFrom(setting.Part{File: file})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		target, proxy := newPipeNet(), newPipeNet()
		_, ca := serveTLS(t, target, accept)
		connectProxy(t, proxy, http.StatusOK, target)
		right, err := os.ReadFile(ca)
		if err != nil {
			t.Fatal(err)
		}
		_, other := serveTLS(t, newPipeNet(), accept)
		wrong, err := os.ReadFile(other)
		if err != nil {
			t.Fatal(err)
		}
		write(ca, string(wrong)+string(right))
		c := configFor("https://example.com")
		c.CAFile, c.Proxy = ca, proxySecret
		client := newClient(t, c, Settings{Dial: proxy.DialContext})
		synctest.Wait()
		for _, now := range []struct {
			pem, proxy string
			want       connector.Outcome
			says       string
		}{
			{string(right), "http://user:new@proxy:3128", connector.Judged, ""},
			{"none", "http://user:new@proxy:3128", connector.NotApplied, "leadsquared.ca_file"},
			{string(right), "nonsense", connector.NotApplied, "leadsquared.proxy"},
			{string(right), "http://user:new@proxy:3128", connector.Judged, ""},
		} {
			write(ca, now.pem)
			write(file, now.proxy)
			for c := client.conns.take(); c != nil; c = client.conns.take() {
				client.conns.discard(c) // so that the next call dials
			}
			if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != now.want || !strings.Contains(a.Message, now.says) {
				t.Errorf("%+v, want outcome %v and %q", a, now.want, now.says)
			}
		}
		client.Close()
	})
}
