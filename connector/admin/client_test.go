package admin_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/admin"
)

func client(t *testing.T, s *site, token string) *admin.Client {
	t.Helper()
	c, err := admin.NewClient("http://127.0.0.1:8080/", setting.NewSecret(token), s.transport)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAClientReadsTheStatusAndTellsPauseAndResume(t *testing.T) {
	member := &control{status: connector.Status{Name: "crm", State: connector.Active, Words: "sending"}}
	c := client(t, serve(t, member, elsewhere, canary), canary)
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(member.status, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if err := c.Pause(t.Context()); err != nil || member.told.Load() != "pause" {
		t.Errorf("Pause = %v, told %v", err, member.told.Load())
	}
	if err := c.Resume(t.Context()); err != nil || member.told.Load() != "resume" {
		t.Errorf("Resume = %v, told %v", err, member.told.Load())
	}
}

func TestAClientSaysWhatTheServerSaid(t *testing.T) {
	c := client(t, serve(t, &control{}, elsewhere, "another"), canary)
	err := c.Pause(t.Context())
	if err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "admin.token") {
		t.Errorf("Pause = %v, want the answer and its advice", err)
	}
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("the error shows the token: %v", err)
	}
}

func TestAConnectorThatIsNotThereIsSaidWithAdvice(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	c, err := admin.NewClient("http://"+address, setting.NewSecret(canary), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Status(t.Context())
	if err == nil || !strings.Contains(err.Error(), "cannot be reached at http://"+address) || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("Status = %v, want the address and advice", err)
	}
}

func TestAClientDoesNotTakeItsTokenWhereARedirectPoints(t *testing.T) {
	asked := 0
	c, err := admin.NewClient("http://127.0.0.1:8080", setting.NewSecret(canary), roundTrip(func(*http.Request) (*http.Response, error) {
		asked++
		return &http.Response{
			Status: "307 Temporary Redirect", StatusCode: 307, Body: http.NoBody,
			Header: http.Header{"Location": {"http://evil.example/"}},
		}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(t.Context()); err == nil || asked != 1 {
		t.Errorf("Pause = %v after %d requests, want an error after one", err, asked)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestOnlyAnHTTPAddressIsAnAdminAddress(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:8080", "localhost", "ftp://x", "http://", "http://user:pw@x", "http://x?token=y", "http://x#y"} {
		if _, err := admin.NewClient(address, setting.Secret{}, nil); err == nil {
			t.Errorf("NewClient(%q) took it", address)
		} else if strings.Contains(err.Error(), "pw") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}
