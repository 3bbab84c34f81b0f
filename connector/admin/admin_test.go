package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/admin"
)

// canary is a token that may be shown nowhere.
const canary = "canary-5e1f0c77-token"

// control is a connector without a loop.
type control struct {
	status connector.Status
	fails  error // answers everything, if it is set
	stuck  bool  // answers nothing
	told   atomic.Value
	held   []connector.HeldRecord
	choice connector.HeldChoice // of the last order
}

func (c *control) answer(ctx context.Context) error {
	if c.stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	return c.fails
}

func (c *control) Status(ctx context.Context) (connector.Status, error) {
	return c.status, c.answer(ctx)
}

func (c *control) Pause(ctx context.Context) error  { return c.tell(ctx, "pause") }
func (c *control) Resume(ctx context.Context) error { return c.tell(ctx, "resume") }

func (c *control) Held(ctx context.Context) ([]connector.HeldRecord, error) {
	return c.held, c.answer(ctx)
}

func (c *control) SettleHeld(ctx context.Context, d connector.HeldDecision, choice connector.HeldChoice) (int, error) {
	c.choice = choice
	return len(c.held), c.tell(ctx, "held "+string(d))
}

func (c *control) tell(ctx context.Context, what string) error {
	if err := c.answer(ctx); err != nil {
		return err
	}
	c.told.Store(what)
	return nil
}

var (
	loopback  = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	elsewhere = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 8080}
)

// A network is a listener in memory, and the transport that reaches it.
type network struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	select {
	case <-n.closed:
	default:
		close(n.closed)
	}
	return nil
}

func (n *network) Addr() net.Addr { return n.address }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case n.conns <- there:
		return here, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A site is a running server, and what its log holds.
type site struct {
	t         *testing.T
	transport *http.Transport
	log       bytes.Buffer
	body      string // of requests
}

// serve runs a server for the connector at the address until the test, or its
// bubble, ends.
func serve(t *testing.T, c *control, at net.Addr, token string) *site {
	t.Helper()
	n := &network{address: at, conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &site{t: t, transport: &http.Transport{DialContext: n.dial, DisableKeepAlives: true}}
	server := admin.New(admin.Settings{
		Config:  admin.Config{Listen: at.String(), Token: setting.NewSecret(token)},
		Control: c,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "leadsink_up 1\n") }),
		Log:     slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, n) }() // ends with cancel
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if strings.Contains(s.log.String(), canary) {
			t.Errorf("the log shows the token:\n%s", s.log.String())
		}
	})
	return s
}

// An answer is a response that has been read.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request with headers, given in pairs.
func (s *site) ask(method, path string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://127.0.0.1:8080"+path, strings.NewReader(s.body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.transport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

func (s *site) wants(code int, method, path string, headers ...string) string {
	s.t.Helper()
	got := s.ask(method, path, headers...)
	if got.code != code {
		s.t.Errorf("%s %s %q = %d, want %d: %s", method, path, headers, got.code, code, got.body)
	}
	if strings.Contains(got.body, canary) {
		s.t.Errorf("%s %s shows the token: %s", method, path, got.body)
	}
	return got.body
}

func TestAMemberIsReadyWhenItHasJoinedAndIsNotHalted(t *testing.T) {
	for state, code := range map[connector.State]int{
		connector.Starting: 503,
		connector.StandBy:  200,
		connector.Active:   200,
		connector.Paused:   200,
		connector.Halted:   503,
		connector.Stopping: 503,
	} {
		t.Run(string(state), func(t *testing.T) {
			s := serve(t, &control{status: connector.Status{State: state, Words: "in words"}}, loopback, "")
			if body := s.wants(code, "GET", "/readyz"); body != "in words\n" {
				t.Errorf("body = %q, want the words", body)
			}
			s.wants(200, "GET", "/healthz")
		})
	}
}

// A member that is cut off from the group does not say that others have the partitions.
func TestTroubleWithKafkaIsSaidAndMakesAMemberNotReady(t *testing.T) {
	status := connector.Status{State: connector.StandBy, Words: "Standing by: another member has the partitions, or none is assigned yet."}
	status.TellKafkaTrouble("the consumer group \"crm\" cannot be reached: SASL authentication failed", time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC))
	s := serve(t, &control{status: status}, loopback, "")
	body := s.wants(503, "GET", "/readyz")
	if !strings.Contains(body, "since 2026-11-02 12:00:00Z") || !strings.Contains(body, "SASL authentication failed") || strings.Contains(body, "Standing by") {
		t.Errorf("body = %q, want why and since when, and nothing that is not known", body)
	}
	if page := s.wants(200, "GET", "/"); !strings.Contains(page, `data-level="bad"`) || strings.Contains(page, "nothing waits") {
		t.Error("the page is not alarmed, or says that nothing waits")
	}
}

func TestALoopThatDoesNotAnswerFor2sIsUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &control{stuck: true}, loopback, "")
		for _, path := range []string{"/healthz", "/readyz", "/status", "/"} {
			start := time.Now()
			body := s.wants(503, "GET", path)
			if took := time.Since(start); took != 2*time.Second {
				t.Errorf("GET %s took %v, want 2s", path, took)
			}
			if want := "the connector has not answered for 2s\n"; body != want {
				t.Errorf("GET %s = %q, want %q", path, body, want)
			}
		}
		s.wants(503, "POST", "/pause")
	})
}

func TestAConnectorThatHasStoppedIsUnhealthy(t *testing.T) {
	s := serve(t, &control{fails: connector.ErrOver}, loopback, "")
	s.wants(503, "GET", "/healthz")
	s.wants(503, "POST", "/resume")
}

func TestStatusIsTheStatusAsJSON(t *testing.T) {
	want := connector.Status{
		Name: "crm", State: connector.Active, Words: "sending", Fill: 0.96, DrainETA: -1,
		Partitions: []connector.PartitionStatus{{Topic: "crm.events", Partition: 1, Lag: 5}},
	}
	s := serve(t, &control{status: want}, loopback, "")
	page := s.ask("GET", "/status")
	var got connector.Status
	if err := json.Unmarshal([]byte(page.body), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if got := page.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type = %q", got)
	}
}

func TestThePageShowsTheStatusWithoutRunningAnythingItQuotes(t *testing.T) {
	s := serve(t, &control{status: connector.Status{
		Name: "crm", State: connector.Halted, Words: "Halted: the access key was refused", Waiting: []string{"halted", "in_flight"},
		Lag: 1234, DrainETA: 90, Fill: 0.96, Breaker: "half_open", Trouble: "<b>HTTP 503</b>",
		Partitions: []connector.PartitionStatus{{Topic: "crm.events", Partition: 3, Lag: 1234, DrainETA: 95}},
		Budget: connector.BudgetStatus{
			Configured: 4.9, Share: 2.45, Windows: []connector.WindowStatus{{Limit: "25/5s", Spent: 11}},
			Day: &connector.DayStatus{Calls: 100_000, Part: 50_000, Spent: 48_000, Ends: time.Date(2026, 5, 1, 18, 30, 0, 0, time.UTC)},
		},
		Account:     connector.CheckResult{Problems: []string{"there is no field <i>mx_Custom_9</i>"}},
		Members:     []connector.MemberStatus{{ID: "leadsink-1", Host: "10.0.0.7", Partitions: 3, Self: true}, {ID: "leadsink-2", Host: "10.0.0.8"}},
		DeadLetters: []connector.DeadLetterStatus{{Class: "refused", Message: "<script>alert(1)</script>"}},
	}}, loopback, canary)
	page := s.ask("GET", "/")
	body := page.body
	for _, want := range []string{
		`data-level="bad"`, "<title>crm: halted</title>", "Halted: the access key was refused", `>in flight</span>`,
		">1,234<", "1m30s", "1m35s", "96 %", "half open", "crm.events/3", "&lt;script&gt;", "&lt;b&gt;HTTP 503",
		"2.45 calls/s for this member, of 4.9 calls/s", "11 of 25 calls spent", "48,000 of 50,000 calls spent, until 2026-05-01 18:30:00 UTC", "100,000/day",
		"leadsink-1 <span", "this one", "stands by", "there is no field &lt;i&gt;",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "<script>") || strings.Contains(body, canary) {
		t.Errorf("the page has a foreign script or the token:\n%s", body)
	}
	for header, want := range map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"X-Content-Type-Options": "nosniff",
		"Cache-Control":          "no-store",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	} {
		if got := page.header.Get(header); got != want {
			t.Errorf("%s = %q, want %q", header, got, want)
		}
	}
}

func TestThePagesPartsComeFromTheServerItself(t *testing.T) {
	s := serve(t, &control{}, loopback, "")
	body := s.ask("GET", "/").body
	for name, kind := range map[string]string{"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		if !strings.Contains(body, `"`+name+`"`) {
			t.Errorf("the page does not use %s", name)
		}
		if got := s.ask("GET", "/"+name); got.code != http.StatusOK || got.header.Get("Content-Type") != kind || got.body == "" {
			t.Errorf("%s: %d, %s", name, got.code, got.header.Get("Content-Type"))
		}
	}
	if strings.Contains(body, "://") || strings.Contains(body, `"//`) {
		t.Errorf("the page names another address:\n%s", body)
	}
}

func TestMetricsAreServed(t *testing.T) {
	s := serve(t, &control{}, elsewhere, "")
	if body := s.wants(200, "GET", "/metrics"); body != "leadsink_up 1\n" {
		t.Errorf("body = %q", body)
	}
}

func TestAWrongMethodIsToldTheRightOne(t *testing.T) {
	s := serve(t, &control{}, loopback, "")
	for path, allow := range map[string]string{"/pause": "POST", "/resume": "POST", "/status": "GET, HEAD", "/healthz": "GET, HEAD"} {
		got := s.ask("PUT", path)
		if got.code != 405 || got.header.Get("Allow") != allow {
			t.Errorf("PUT %s = %d, Allow %q; want 405, %q", path, got.code, got.header.Get("Allow"), allow)
		}
	}
	s.wants(405, "GET", "/pause")
	s.wants(404, "GET", "/nothing")
}

func TestWhoMayPauseResumeAndDecide(t *testing.T) {
	const right = "Bearer " + canary
	for _, c := range []struct {
		name    string
		at      net.Addr
		token   string
		headers []string
		want    int
	}{
		{"anybody on the machine", loopback, "", nil, 200},
		{"a page of the machine itself", loopback, "", []string{"Origin", "http://127.0.0.1:8080", "Sec-Fetch-Site", "same-origin"}, 200},
		{"not another site's page", loopback, "", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"not another site's page in an old browser", loopback, "", []string{"Origin", "https://evil.example"}, 403},
		{"not another port's page", loopback, "", []string{"Origin", "http://127.0.0.1:3000", "Sec-Fetch-Site", "same-site"}, 403},
		{"not a site whose name leads here", loopback, "", []string{"Host", "rebound.example:8080"}, 403},
		{"nobody from elsewhere without a token to know", elsewhere, "", nil, 403},
		{"nobody with an empty token where there is none", elsewhere, "", []string{"Authorization", "Bearer "}, 403},
		{"nobody from elsewhere who shows no token", elsewhere, canary, nil, 401},
		{"nobody from elsewhere with a wrong token", elsewhere, canary, []string{"Authorization", right + "x"}, 401},
		{"nobody with the token in another scheme", elsewhere, canary, []string{"Authorization", "Basic " + canary}, 401},
		{"whoever shows the token", elsewhere, canary, []string{"Authorization", right}, 200},
		{"not another site's page with the token", elsewhere, canary, []string{"Authorization", right, "Origin", "https://evil.example"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			for path, order := range map[string]string{"/pause": "pause", "/resume": "resume", "/held": "held dead"} {
				member := &control{}
				s := serve(t, member, c.at, c.token)
				s.body = `{"decision":"dead"}`
				s.wants(c.want, "POST", path, c.headers...)
				told, _ := member.told.Load().(string)
				if want := map[bool]string{true: order}[c.want == 200]; told != want {
					t.Errorf("the connector was told %q, want %q", told, want)
				}
			}
		})
	}
}

func TestReadingFromElsewhereNeedsNoTokenAndOnLoopbackTheMachinesName(t *testing.T) {
	s := serve(t, &control{}, elsewhere, canary)
	s.wants(200, "GET", "/status", "Host", "leadsink.example:8080")
	s = serve(t, &control{}, loopback, "")
	for _, host := range []string{"localhost:8080", "LOCALHOST", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "[::1]"} {
		s.wants(200, "GET", "/status", "Host", host)
	}
	for _, host := range []string{"rebound.example", "localhost.rebound.example:8080", "10.0.0.7:8080"} {
		s.wants(403, "GET", "/status", "Host", host)
	}
}

func TestAnAdviceIsGivenWhereNobodyMayPause(t *testing.T) {
	s := serve(t, &control{}, elsewhere, "")
	if body := s.wants(403, "POST", "/pause"); !strings.Contains(body, "set admin.token") {
		t.Errorf("body = %q, want the advice to set admin.token", body)
	}
}

func TestARefusalOfTheConnectorIsPassedOn(t *testing.T) {
	s := serve(t, &control{fails: errors.New("only a restart can help")}, loopback, "")
	if body := s.wants(409, "POST", "/resume"); body != "only a restart can help\n" {
		t.Errorf("body = %q", body)
	}
}

func TestHeadersWithoutEndAreRefused(t *testing.T) {
	s := serve(t, &control{}, loopback, "")
	s.wants(431, "GET", "/status", "X-Long", strings.Repeat("x", 64<<10))
}

func TestAPortInUseIsKnownBeforeAnythingStarts(t *testing.T) {
	first := admin.New(admin.Settings{Config: admin.Config{Listen: "127.0.0.1:0"}})
	l, err := first.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = admin.New(admin.Settings{Config: admin.Config{Listen: l.Addr().String()}}).Listen(t.Context())
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "admin.listen") {
		t.Errorf("Listen = %v, want the address and advice", err)
	}
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*admin.Config)
		want   []string
	}{
		{"the default is right", func(*admin.Config) {}, nil},
		{"all interfaces", func(c *admin.Config) { c.Listen = ":8080" }, nil},
		{"no port", func(c *admin.Config) { c.Listen = "localhost" }, []string{"listen"}},
		{"nothing", func(c *admin.Config) { c.Listen = "" }, []string{"listen"}},
		{"a port that is none", func(c *admin.Config) { c.Listen = "127.0.0.1:70000" }, []string{"listen"}},
		{"a token with a blank", func(c *admin.Config) { c.Token = setting.NewSecret(canary + " x") }, []string{"token"}},
		{"a token", func(c *admin.Config) { c.Token = setting.NewSecret(canary) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := admin.Default()
			c.change(&config)
			var keys []string
			for _, p := range config.Validate() {
				keys = append(keys, p.Key)
				if strings.Contains(p.Text, canary) {
					t.Errorf("%s shows the token: %s", p.Key, p.Text)
				}
			}
			if diff := cmp.Diff(c.want, keys); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAddressForAllInterfacesIsReachedAsLocalhost(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		":8080":          "http://localhost:8080",
		"0.0.0.0:9":      "http://localhost:9",
		"[::]:9":         "http://localhost:9",
		"[::1]:9":        "http://[::1]:9",
		"sink:80":        "http://sink:80",
	} {
		if got := (admin.Config{Listen: listen}).URL(); got != want {
			t.Errorf("URL of %q = %q, want %q", listen, got, want)
		}
	}
}

func TestHeldRecordsAreListedAndDecidedAbout(t *testing.T) {
	at := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	member := &control{held: []connector.HeldRecord{{Topic: "crm.events", Partition: 3, Offset: 42, Rules: []string{"order"}, Since: at}}}
	s := serve(t, member, loopback, "")
	var list admin.HeldList
	if err := json.Unmarshal([]byte(s.wants(200, "GET", "/held")), &list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(member.held, list.Held); diff != "" {
		t.Error(diff)
	}
	for body, says := range map[string]string{
		`{"decision":"created","topic":"crm.events","partition":3,"offset":42}`: `"records": 1`,
		`{"decision":"perhaps"}`:             "perhaps",
		`{"decision":"dead","offset":"all"}`: "not an order",
		`{"decision":"dead","lead":"x"}`:     "not an order",
		``:                                   "not an order",
	} {
		s.body = body
		code := 400
		if strings.HasPrefix(says, `"records"`) {
			code = 200
		}
		if got := s.wants(code, "POST", "/held"); !strings.Contains(got, says) {
			t.Errorf("%s answered %s, want %q", body, got, says)
		}
	}
	want := connector.HeldChoice{Topic: "crm.events", Partition: new(int32(3)), Offset: new(int64(42))}
	if diff := cmp.Diff(want, member.choice); diff != "" || member.told.Load() != "held created" {
		t.Error(diff, member.told.Load())
	}
}
