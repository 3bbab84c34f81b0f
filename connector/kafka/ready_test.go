package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadsink/leadsink/config/setting"
)

// ready waits for at most 20 s of virtual time.
func (m *member) ready() error {
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	return m.WaitReady(ctx)
}

func TestAMemberThatJoinedIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(2, "events"))
		m := w.join()
		if err := m.ready(); err != nil {
			t.Fatal(err)
		}
		if !hasJoined(m) {
			t.Error("it is ready and has not joined")
		}
		standby := w.join()
		if err := standby.ready(); err != nil {
			t.Errorf("a standby: %v", err)
		}
	})
}

func TestWhatKeepsAMemberFromJoiningIsSaid(t *testing.T) {
	password := setting.NewSecret("canary-password")
	for name, c := range map[string]struct {
		cluster []kfake.Opt
		change  func(*Settings)
		want    []string
	}{
		"no broker there": {
			nil,
			func(s *Settings) { s.Config.Brokers = []string{"localhost:1", "localhost:2"} },
			[]string{"localhost:1", "localhost:2"},
		},
		"no such topic": {
			nil,
			func(s *Settings) { s.Config.Topics = []string{"orders"} },
			[]string{`topic "orders" does not exist`, "kafka.topics"},
		},
		"wrong password": {
			[]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right")},
			func(s *Settings) {
				s.Config.SASL = SASLConfig{Mechanism: "PLAIN", Username: setting.NewSecret("u"), Password: password}
			},
			[]string{"broker localhost:", "kafka.sasl"},
		},
		"no TLS where it is wanted": {
			nil,
			func(s *Settings) {
				s.Config.TLS.Enabled = true
				s.Dial = func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() { // a broker takes the greeting for a size that is far too large
						_, _ = io.ReadFull(theirs, make([]byte, 5))
						_ = theirs.Close()
					}()
					return ours, nil
				}
			},
			[]string{"set up TLS with localhost:"},
		},
		"secret file gone": {
			[]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right")},
			func(s *Settings) {
				path := filepath.Join(t.TempDir(), "password")
				if err := os.WriteFile(path, []byte("right"), 0o600); err != nil {
					t.Fatal(err)
				}
				secret, err := setting.SecretFrom(setting.Part{File: path})
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				s.Config.SASL = SASLConfig{Mechanism: "PLAIN", Username: setting.NewSecret("u"), Password: secret}
			},
			[]string{"read sasl.username and sasl.password"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, append(c.cluster, kfake.SeedTopics(1, "events"))...)
				m := w.join(c.change)
				err := m.ready()
				if err == nil {
					t.Fatal("it is ready")
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q does not say %q", err, want)
					}
				}
				if errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "localhost:1") {
					t.Errorf("%q is only the end of the wait", err)
				}
				if strings.Contains(err.Error(), "canary") || m.log.has("canary") {
					t.Error("the password is shown")
				}
				if hasJoined(m) != (m.Gate() == nil) {
					t.Error("the gate is open without the group")
				}
			})
		})
	}
}

func hasJoined(m *member) bool {
	select {
	case <-m.Joined():
		return true
	default:
		return false
	}
}

func TestMembersAuthenticateWithCredentialsThatMayRotate(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "u", "right"), kfake.SeedTopics(1, "events"))
				user, password := newFile(t, "an earlier user"), newFile(t, "an earlier password")
				m := w.join(func(s *Settings) {
					s.Config.SASL = SASLConfig{Mechanism: mechanism, Username: user.secret, Password: password.secret}
				})
				if err := m.ready(); err == nil {
					t.Fatal("it joined with the wrong password")
				}
				user.write("u")
				password.write("right")
				if err := m.ready(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestIDsFromFilesAreReadAgainAsTheirSecretsAre(t *testing.T) {
	t.Parallel()
	id, secret, session := newFile(t, "id 1"), newFile(t, "secret 1"), newFile(t, "session 1")
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		rw.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(rw, `{"access_token": "%s, %s", "token_type": "bearer"}`, user, password)
	}))
	defer server.Close()
	iam := SASLConfig{Mechanism: "AWS_MSK_IAM", Username: id.secret, Password: secret.secret, Token: session.secret}
	oauth := SASLConfig{Mechanism: "OAUTHBEARER", TokenURL: server.URL, ClientID: id.secret, ClientSecret: secret.secret}
	for _, n := range []string{"1", "22", "333"} {
		id.write("id " + n)
		secret.write("secret " + n)
		session.write("session " + n)
		if auth, err := iam.iam(t.Context()); err != nil || auth.AccessKey != "id "+n || auth.SecretKey != "secret "+n || auth.SessionToken != "session "+n {
			t.Errorf("generation %s: AWS gets %+v, %v", n, auth, err)
		}
		if auth, err := oauth.bearer(t.Context()); err != nil || auth.Token != "id+"+n+", secret+"+n {
			t.Errorf("generation %s: the token was fetched as %q, %v", n, auth.Token, err)
		}
	}
}

// A file holds a secret that may rotate.
type file struct {
	*testing.T
	path   string
	secret setting.Secret
}

func newFile(t *testing.T, text string) *file {
	t.Helper()
	f := &file{T: t, path: filepath.Join(t.TempDir(), "secret")}
	f.write(text)
	var err error
	if f.secret, err = setting.SecretFrom(setting.Part{File: f.path}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *file) write(text string) {
	f.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

func TestMembersUseMutualTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := certificates(t)
		w := newWorld(t, kfake.TLS(files.server), kfake.SeedTopics(1, "events"))
		m := w.join(func(s *Settings) {
			s.Config.TLS = TLSConfig{Enabled: true, CAFile: files.ca, CertFile: files.cert, KeyFile: files.key}
		})
		if err := m.ready(); err != nil {
			t.Fatal(err)
		}
		if err := m.Gate(); err != nil {
			t.Errorf("heartbeats are not observed inside TLS: %v", err)
		}
		anonymous := w.join(func(s *Settings) { s.Config.TLS = TLSConfig{Enabled: true, CAFile: files.ca} })
		if err := anonymous.ready(); err == nil {
			t.Error("a member without certificate is ready")
		}
	})
}

func TestABrokerOfAnUnknownAuthorityIsNotTrusted(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	address := server.Listener.Addr().String()
	_, err := TLSConfig{Enabled: true}.dialer(nil)(t.Context(), "tcp", address)
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "set up TLS with "+address) {
		t.Errorf("the error is %v", err)
	}
}

func TestFilesThatCannotBeReadAreAnErrorAtTheStart(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	if err := os.WriteFile(garbage, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []TLSConfig{
		{Enabled: true, CAFile: "/nowhere/ca.pem"},
		{Enabled: true, CAFile: garbage},
		{Enabled: true, CertFile: garbage, KeyFile: garbage},
	} {
		config := valid()
		config.TLS = c
		if s, err := New(t.Context(), Settings{Config: config}); err == nil {
			_ = s.Close(t.Context())
			t.Errorf("%+v: no error", c)
		}
		if d, err := NewDeadLetters(t.Context(), Settings{Config: config}, "t", "n"); err == nil {
			d.Close()
			t.Errorf("%+v: no error of the dead letters", c)
		}
	}
}

func TestTokensAreFetchedWithoutShowingSecrets(t *testing.T) {
	t.Parallel()
	broken := false
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		rw.Header().Set("Content-Type", "application/json")
		switch {
		case broken || id != "client" || secret != "canary-secret" || r.FormValue("scope") != "kafka":
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = rw.Write([]byte(`{"error": "invalid_client", "error_description": "canary-secret"}`))
		default:
			_, _ = rw.Write([]byte(`{"access_token": "the-token", "token_type": "bearer", "expires_in": 60}`))
		}
	}))
	defer server.Close()
	c := SASLConfig{Mechanism: "OAUTHBEARER", TokenURL: server.URL + "/token?canary-query", ClientID: setting.NewSecret("client"), ClientSecret: setting.NewSecret("canary-secret"), Scope: "kafka"}
	auth, err := c.bearer(t.Context())
	if err != nil || auth.Token != "the-token" {
		t.Fatalf("token %q, %v", auth.Token, err)
	}
	broken = true
	_, err = c.bearer(t.Context())
	if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "canary") {
		t.Errorf("a refusal: %v", err)
	}
	server.Close()
	if _, err = c.bearer(t.Context()); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("no server: %v", err)
	}
	static := SASLConfig{Mechanism: "OAUTHBEARER", Token: setting.NewSecret("static")}
	if auth, err := static.bearer(t.Context()); err != nil || auth.Token != "static" {
		t.Errorf("a static token: %q, %v", auth.Token, err)
	}
	iam := SASLConfig{Mechanism: "AWS_MSK_IAM", Username: setting.NewSecret("id"), Password: setting.NewSecret("key"), Token: setting.NewSecret("session")}
	if auth, err := iam.iam(t.Context()); err != nil || auth.AccessKey != "id" || auth.SecretKey != "key" || auth.SessionToken != "session" {
		t.Errorf("AWS credentials: %v", err)
	}
}

type files struct {
	ca, cert, key string
	server        *tls.Config
}

// certificates makes an authority, a server's and a client's certificate.
func certificates(t *testing.T) files {
	t.Helper()
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, signer = template, key
		}
		raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
	}
	authority := template(1, "authority")
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	ca, caKey := issue(authority, nil, nil)
	broker := template(2, "broker")
	broker.DNSNames, broker.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	server, serverKey := issue(broker, ca, caKey)
	client, clientKey := issue(template(3, "leadsink"), ca, caKey)

	folder := t.TempDir()
	write := func(name, kind string, raw []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	raw, err := x509.MarshalECPrivateKey(clientKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return files{
		ca:   write("ca.pem", "CERTIFICATE", ca.Raw),
		cert: write("cert.pem", "CERTIFICATE", client.Raw),
		key:  write("key.pem", "EC PRIVATE KEY", raw),
		server: &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{server.Raw}, PrivateKey: serverKey}},
			ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12,
		},
	}
}
