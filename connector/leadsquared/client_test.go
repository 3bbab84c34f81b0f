package leadsquared

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
)

func TestABatchIsDeliveredWithAVerdictForEachRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != "POST" || r.URL.Path != pathByLeadID || r.Header.Get("x-LSQ-SecretKey") != canarySecret {
				http.Error(w, "wrong", http.StatusNotFound)
				return
			}
			accept(w, r)
		})
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		a := client.Deliver(t.Context(), batchOf(25), time.Time{})
		if a.Outcome != connector.Judged || len(a.Verdicts) != 25 {
			t.Fatalf("%+v", a)
		}
		for i, v := range a.Verdicts {
			if v.Kind != connector.RowCreated || v.ActivityID != fmt.Sprintf("id-%d", i+1) {
				t.Errorf("row %d: %+v", i, v)
			}
		}
	})
}

func TestOnlyBatchesOf1To25AreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		network := newPipeNet()
		serve(t, network, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		for _, n := range []int{0, 26} {
			if a := client.Deliver(t.Context(), batchOf(n), time.Time{}); a.Outcome != connector.NotApplied {
				t.Errorf("%d rows: %+v", n, a)
			}
		}
		if calls.Load() != 0 {
			t.Error("something was sent")
		}
	})
}

func TestAPackedAnswerIsUnpacked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.Header.Get("Accept-Encoding") != "gzip" {
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, rowsOf(created("1", id1)))
			_ = z.Close()
		})
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		synctest.Wait()
		for range 3 {
			if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
				t.Fatalf("%+v", a)
			}
			synctest.Wait()
		}
		if n := network.dialled(); n != 2 {
			t.Errorf("%d connections for calls one after the other; want one, and a spare", n)
		}
	})
}

func TestAnAnswerWithoutEndIsCutOffAndItsConnectionClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<16)); err != nil {
					return
				}
			}
		})
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		a := client.Deliver(t.Context(), batchOf(1), time.Time{})
		if a.Outcome != connector.Unknown || !strings.Contains(a.Message, "longer than") {
			t.Errorf("%+v", a)
		}
	})
}

func TestACallThatIsNotAnsweredIsUnknownExactlyAtTheTimeout(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"no answer": hang,
		"half an answer": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"Response":[{`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"101 Switching Protocols": func(w http.ResponseWriter, _ *http.Request) {
			slowly(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 0, "")
		},
		"101 and a drip": func(w http.ResponseWriter, _ *http.Request) {
			slowly(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", time.Second, "x")
		},
		"1xx without end": func(w http.ResponseWriter, _ *http.Request) {
			slowly(w, "", time.Second, "HTTP/1.1 103 Early Hints\r\n\r\n")
		},
		"a header that drips": func(w http.ResponseWriter, _ *http.Request) { slowly(w, "HTTP/1.1 200 OK\r\nX: ", time.Second, "x") },
		"headers without end": func(w http.ResponseWriter, _ *http.Request) {
			slowly(w, "HTTP/1.1 200 OK\r\n", time.Second, "X: x\r\n")
		},
		"a status line that drips": func(w http.ResponseWriter, _ *http.Request) { slowly(w, "HTTP/1.1 200 ", time.Second, "O") },
		"a body that drips": func(w http.ResponseWriter, _ *http.Request) {
			slowly(w, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", time.Second, " ")
		},
		"chunks without end": func(w http.ResponseWriter, _ *http.Request) {
			slowly(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", time.Second, "1\r\n \r\n")
		},
		"the call is not read": func(_ http.ResponseWriter, _ *http.Request) { time.Sleep(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipeNet()
				serve(t, network, handler)
				client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
				began := time.Now()
				a := client.Deliver(t.Context(), batchOf(25), time.Time{})
				defer time.Sleep(time.Hour) // let the handler end
				if strings.HasPrefix(name, "101") {
					if a.Outcome != connector.Unknown || a.Status != 101 || time.Since(began) > 0 {
						t.Errorf("after %v: %+v", time.Since(began), a)
					}
					return
				}
				if a.Outcome != connector.Unknown || !strings.Contains(a.Message, "within 30s") {
					t.Errorf("%+v", a)
				}
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// slowly takes the connection over, and writes the text and then the drop again and again.
func slowly(w http.ResponseWriter, text string, every time.Duration, drop string) {
	nc, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer func() { _ = nc.Close() }()
	_, err = io.WriteString(nc, text)
	for err == nil && every > 0 {
		time.Sleep(every)
		_, err = io.WriteString(nc, drop)
	}
	_, _ = io.Copy(io.Discard, nc) // until the client closes
}

func TestAnEndedContextEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		serve(t, network, hang)
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		began := time.Now()
		if a := client.Deliver(ctx, batchOf(1), time.Time{}); a.Outcome != connector.Unknown || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), a)
		}
	})
}

func TestCloseEndsCallsInFlightAsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		serve(t, network, hang)
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
		time.AfterFunc(time.Second, client.Close)
		began := time.Now()
		if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Unknown || time.Since(began) != time.Second {
			t.Errorf("after %v: %+v", time.Since(began), a)
		}
		if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.NotApplied {
			t.Errorf("after Close: %+v", a)
		}
	})
}

func TestACallThatFindsNoWayIsNotApplied(t *testing.T) {
	for name, fail := range map[string]error{
		"refused":   &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connect: connection refused")},
		"no name":   &net.DNSError{Err: "no such host", Name: "api"},
		"timed out": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipeNet()
				network.set(0, fail)
				client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext})
				a := client.Deliver(t.Context(), batchOf(1), time.Time{})
				if a.Outcome != connector.NotApplied || !strings.HasPrefix(a.Message, "not sent: ") {
					t.Errorf("%+v", a)
				}
			})
		})
	}
}

func TestACertificateThatIsNotTrustedMeansNotApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		var calls atomic.Int32
		serveTLS(t, network, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
		client := newClient(t, configFor("https://example.com"), Settings{Dial: network.DialContext})
		a := client.Deliver(t.Context(), batchOf(1), time.Time{})
		if a.Outcome != connector.NotApplied || !strings.Contains(a.Message, "certificate") || calls.Load() > 0 {
			t.Errorf("%+v", a)
		}
	})
}

func TestNothingIsSentOnceTheGateRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		var calls atomic.Int32
		var ended atomic.Bool
		_, ca := serveTLS(t, network, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); accept(w, r) })
		c := configFor("https://example.com")
		c.CAFile = ca
		var asked atomic.Int32
		client := newClient(t, c, Settings{Dial: network.DialContext, Lease: under(func() error {
			// The first question of a call comes before its connection is taken;
			// the lease ends after it, and the connection's own gate has to refuse.
			if ended.Load() && asked.Add(1) > 1 {
				return errors.New("the lease has ended")
			}
			return nil
		})})
		synctest.Wait()
		if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
			t.Fatalf("%+v", a)
		}
		ended.Store(true)
		a := client.Deliver(t.Context(), batchOf(1), time.Time{})
		if a.Outcome != connector.NotApplied || !strings.Contains(a.Message, "the lease has ended") {
			t.Errorf("%+v", a)
		}
		a = client.Deliver(t.Context(), batchOf(1), time.Time{})
		if a.Outcome != connector.NotApplied || calls.Load() != 1 {
			t.Errorf("%+v after %d calls", a, calls.Load())
		}
	})
}

// under is a lease of which the gate is asked.
func under(gate func() error) func() func() error { return func() func() error { return gate } }

// A call that still dials when its lease ends may not go out under the next lease: its
// rows may be another member's by then.
func TestACallIsWrittenUnderItsOwnLeaseOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		network.set(3*time.Second, nil)
		var calls, lease atomic.Int32
		serve(t, network, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); accept(w, r) })
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext, Lease: func() func() error {
			mine := lease.Load()
			return func() error {
				if lease.Load() != mine {
					return errors.New("the lease has ended")
				}
				return nil
			}
		}})
		time.AfterFunc(time.Second, func() { lease.Add(1) })
		a := client.Deliver(t.Context(), batchOf(1), time.Time{})
		if a.Outcome != connector.NotApplied || !strings.Contains(a.Message, "the lease has ended") || calls.Load() != 0 {
			t.Errorf("%+v, %d calls", a, calls.Load())
		}
		if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
			t.Errorf("under the next lease: %+v", a)
		}
	})
}

func TestARefusalOfTheGateSparesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		serve(t, network, accept)
		client := newClient(t, configFor("http://api"), Settings{Dial: network.DialContext, Lease: under(func() error { return errors.New("no lease") })})
		synctest.Wait()
		for range 3 {
			if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.NotApplied {
				t.Errorf("%+v", a)
			}
			synctest.Wait()
		}
		if n := network.dialled(); n != 1 || !client.Ready() {
			t.Errorf("%d connections for nothing sent", n)
		}
	})
}

func TestALeaseThatEndsWithinACallMakesItUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		var calls atomic.Int32
		_, ca := serveTLS(t, network, func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err == nil {
				calls.Add(1)
			}
		})
		c := configFor("https://example.com")
		c.CAFile = ca
		var asked atomic.Int32
		client := newClient(t, c, Settings{Dial: network.DialContext, Lease: under(func() error {
			if asked.Add(1) > 3 { // a batch of 25 takes more TLS records
				return errors.New("the lease has ended")
			}
			return nil
		})})
		a := client.Deliver(t.Context(), batchOf(25), time.Time{})
		if a.Outcome != connector.Unknown || calls.Load() != 0 {
			t.Errorf("%+v, %d whole calls", a, calls.Load())
		}
	})
}

func TestKeysAreReadForEachCallAndAMissingOneIsAFault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	secret, err := setting.SecretFrom(setting.Part{File: file})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		var seen []string // each call's, one after the other
		serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, r.Header.Get("x-LSQ-SecretKey"))
			accept(w, r)
		})
		c := configFor("http://api")
		c.SecretKey = secret
		client := newClient(t, c, Settings{Dial: network.DialContext})
		client.Deliver(t.Context(), batchOf(1), time.Time{})
		write("rotated")
		client.Deliver(t.Context(), batchOf(1), time.Time{})
		for _, bad := range []string{"two\nlines", ""} {
			write(bad)
			a := client.Deliver(t.Context(), batchOf(1), time.Time{})
			if a.Outcome != connector.Fault || !strings.Contains(a.Message, "leadsquared.secret_key") {
				t.Errorf("%q: %+v", bad, a)
			}
		}
		if diff := cmp.Diff([]string{"first", "rotated"}, seen); diff != "" {
			t.Error(diff)
		}
	})
}

// Every message of every fault, and the log, are searched for the keys.
func TestNoMessageHoldsAKey(t *testing.T) {
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", r.URL.String())
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "%s %s %q %v", r.RequestURI, r.URL.Query(), r.URL.Query(), r.Header)
		}
	}
	modes := map[string]http.HandlerFunc{
		"hang":   hang,
		"refuse": nil,
		"reset":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"garbage": func(w http.ResponseWriter, r *http.Request) {
			nc, _, _ := http.NewResponseController(w).Hijack()
			_, _ = fmt.Fprintf(nc, "HTTP/1.1 abc %s\r\n\r\n", r.RequestURI)
			_ = nc.Close()
		},
		"row": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprintf(w, `{"Response":[{"RowNumber":1,"ActivityCreated":false,"ExceptionType":%q,"Message":%q}]}`, r.RequestURI, r.URL.Query())
		},
		"envelope": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(500)
			_, _ = fmt.Fprintf(w, `{"Status":"Error","ExceptionType":"MX%s","ExceptionMessage":%q}`, canaryAccess, fmt.Sprint(r.Header, r.URL.Query()))
		},
	}
	for _, status := range []int{200, 302, 307, 400, 401, 404, 408, 413, 429, 500, 502} {
		modes[fmt.Sprint("echo ", status)] = echo(status)
	}
	for name, handler := range modes {
		for _, auth := range []string{AuthQuery, AuthHeaders} {
			t.Run(name+" "+auth, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					network := newPipeNet()
					if handler == nil {
						network.set(0, errors.New("connect: connection refused"))
					} else {
						serve(t, network, handler)
					}
					var logged bytes.Buffer
					c := configFor("http://api")
					c.Auth = auth
					client := newClient(t, c, Settings{Dial: network.DialContext, Log: slog.New(slog.NewTextHandler(&logged, nil))})
					a := client.Deliver(t.Context(), batchOf(1), time.Time{})
					client.Close()
					shown := fmt.Sprintf("%+v %s", a, logged.String())
					for _, canary := range []string{"CANARY", "u$r4", "u%24r4"} {
						if strings.Contains(shown, canary) {
							t.Errorf("shows %q: %s", canary, shown)
						}
					}
				})
			})
		}
	}
}
