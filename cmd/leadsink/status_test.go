package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/admin"
)

// A member is a connector without an engine.
type member struct {
	status connector.Status
	told   atomic.Value
	held   []connector.HeldRecord
	choice connector.HeldChoice
}

func (m *member) Status(context.Context) (connector.Status, error) { return m.status, nil }

func (m *member) Pause(context.Context) error                          { m.told.Store("pause"); return nil }
func (m *member) Held(context.Context) ([]connector.HeldRecord, error) { return m.held, nil }

func (m *member) SettleHeld(_ context.Context, d connector.HeldDecision, choice connector.HeldChoice) (int, error) {
	m.told.Store(string(d))
	m.choice = choice
	return len(m.held), nil
}

func (m *member) Resume(context.Context) error { m.told.Store("resume"); return nil }

// listen serves the member on loopback and returns its admin address.
func listen(t *testing.T, m *member) string {
	t.Helper()
	server := admin.New(admin.Settings{
		Config:  admin.Config{Listen: "127.0.0.1:0", Token: setting.NewSecret("token")},
		Control: m,
		Metrics: http.NotFoundHandler(),
		Log:     slog.New(slog.DiscardHandler),
	})
	l, err := server.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }() // ends with cancel
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func typed(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func aStatus() connector.Status {
	at := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	return connector.Status{
		Name: "crm", State: connector.Active, Words: "sending; waiting for a call slot",
		At: at, Started: at.Add(-90 * time.Minute), Waiting: []string{"slot"},
		Lag: 1234, DrainETA: 250, Unsettled: 200, Waits: 175, InFlight: 1, Fill: 0.96, Breaker: "closed",
		Records: connector.RecordCounts{Delivered: 5000, Filtered: 10, Dead: 2},
		Calls:   connector.CallCounts{Total: 210},
		Budget: connector.BudgetStatus{
			Configured: 4.9, Learned: 2.45, Share: 2.45, LearnedLimit: "10/5s",
			Windows: []connector.WindowStatus{{Limit: "25/5s", Spent: 11}},
			Day:     &connector.DayStatus{Ends: at.Add(12 * time.Hour), Calls: 100_000, Part: 50_000, Spent: 1210},
		},
		Arrivals: 130, Capacity: 122.5, Behind: true,
		Account: connector.CheckResult{At: at.Add(-time.Minute), Problems: []string{"transform.rules[0].activity: activity type 320 (Order) is not active; activate it"}, Untold: []string{"x"}},
		Partitions: []connector.PartitionStatus{
			{Topic: "crm.events", Partition: 0, Committed: 5012, End: 6246, Lag: 1234, Unsettled: 200, DrainETA: 250},
			{Topic: "crm.events", Partition: 1, Committed: -1, Draining: true},
		},
		DeadLetters: []connector.DeadLetterStatus{{
			At: at, Topic: "crm.events", Partition: 0, Offset: 5007, Class: "refused", Message: "\x1b[31mLead not found\n",
		}},
	}
}

const aPrintedStatus = `crm: sending; waiting for a call slot

state      active, up 1h30m0s
waiting    slot
lag        1234 records, time to drain 4m10s
arrivals   130.0 records/s; the call budget is enough for 122.5
unsettled  200 records, 175 activities waiting, 1 calls in flight
records    5000 delivered, 10 filtered, 2 dead
calls      210, filled 96 %
pace       2.45 calls/s; configured 4.9 calls/s, learned 2.45 calls/s
window     25/5s: 11 calls of this member
learned    10/5s, from throttling answers
day        1210 of 50000 calls spent, this member's part of 100000; the next day begins at 2026-11-03 00:00Z
breaker    closed
account    the rules do not fit it in 1 places; it does not tell 1 things, as of 2026-11-02 11:59:00Z
misfit     transform.rules[0].activity: activity type 320 (Order) is not active; activate it

PARTITION     COMMITTED  END   LAG   TO DRAIN  UNSETTLED  
crm.events/0  5012       6246  1234  4m10s     200        
crm.events/1  -          0     0     0s        0          draining

LAST DEAD LETTERS     RECORD             CLASS    REASON
2026-11-02 12:00:00Z  crm.events/0@5007  refused  ` + "\uFFFD" + `[31mLead not found 
`

func TestStatusSaysWhatTheDayIsLikeWhateverIsKnownOfIt(t *testing.T) {
	ends := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	for want, day := range map[string]connector.DayStatus{
		"5 of 10 calls spent; the next day begins at 2026-11-03 00:00Z":                                              {Ends: ends, Calls: 10, Part: 10, Spent: 5},
		"10 of 10 calls spent; LeadSquared says that the day is spent; the next day begins at 2026-11-03 00:00Z":     {Ends: ends, Calls: 10, Part: 10, Spent: 10, Refused: true},
		"no limit in the document; LeadSquared says that the day is spent; the next day begins at 2026-11-03 00:00Z": {Ends: ends, Refused: true},
	} {
		if got := dayText(&day); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestStatusSaysWordsFirstAndThenNumbers(t *testing.T) {
	address := listen(t, &member{status: aStatus()})
	code, stdout, stderr := typed(t, "status", "--admin", address)
	if diff := cmp.Diff(aPrintedStatus, stdout); diff != "" || code != exitFine || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout (-want +got):\n%s", code, stderr, diff)
	}
}

func TestStatusAsJSONIsWhatTheConnectorSaid(t *testing.T) {
	address := listen(t, &member{status: aStatus()})
	code, stdout, _ := typed(t, "status", "--admin", address, "--json")
	var got connector.Status
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitFine {
		t.Fatalf("exit %d, %v: %s", code, err, stdout)
	}
	if diff := cmp.Diff(aStatus(), got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestPauseSaysThatItHoldsOneMember(t *testing.T) {
	m := &member{}
	address := listen(t, m)
	code, stdout, stderr := typed(t, "pause", "--admin", address)
	if code != exitFine || m.told.Load() != "pause" || !strings.Contains(stdout, "one member") {
		t.Errorf("exit %d, told %v: %s%s", code, m.told.Load(), stdout, stderr)
	}
	code, stdout, stderr = typed(t, "resume", "--admin", address, "--json")
	var got told
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitFine || got.Result != "resumed" || m.told.Load() != "resume" {
		t.Errorf("exit %d, told %v, %v: %s%s", code, m.told.Load(), err, stdout, stderr)
	}
}

func TestAConnectorThatCannotBeReachedIsExit1AndWrongArgumentsExit2(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"status", "--admin", "http://127.0.0.1:1"}, exitFailed, "cannot be reached at http://127.0.0.1:1"},
		{[]string{"pause", "--admin", "http://127.0.0.1:1"}, exitFailed, "see whether it runs"},
		{[]string{"status", "--admin", "127.0.0.1:8080"}, exitWrong, "write http://HOST:PORT"},
		{[]string{"resume", "--token-file", empty}, exitWrong, "--token-file: "},
		{[]string{"status", "-c", empty + ".yaml"}, exitWrong, "cannot be read"},
		{[]string{"status", "now"}, exitWrong, "takes no argument"},
	} {
		code, stdout, stderr := typed(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) || stdout != "" {
			t.Errorf("leadsink %q: exit %d, stdout %q, stderr %q; want exit %d and %q", c.args, code, stdout, stderr, c.code, c.says)
		}
	}
}

func TestTheDocumentSaysWhereARunningConnectorIsAsked(t *testing.T) {
	m := &member{status: aStatus()}
	address := listen(t, m)
	path := filepath.Join(t.TempDir(), "leadsink.yaml")
	document := `
kafka: {brokers: ["127.0.0.1:9092"], topics: [crm.events], group: leadsink}
transform: {rules: [{name: all, lead: event.lead, activity: 320}]}
leadsquared: {host: "https://api-in21.leadsquared.com", access_key: a, secret_key: b}
dead_letters: {topic: crm.events.dead}
admin: {listen: "` + strings.TrimPrefix(address, "http://") + `"}
`
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := typed(t, "status", "-c", path)
	if code != exitFine || !strings.HasPrefix(stdout, "crm: sending") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	code, _, stderr = typed(t, "status", "-c", path, "--admin", "http://127.0.0.1:1")
	if code != exitFailed || !strings.Contains(stderr, "http://127.0.0.1:1") {
		t.Errorf("--admin does not win over the document: exit %d: %s", code, stderr)
	}
}

func TestHeldRecordsAreShownAndSettled(t *testing.T) {
	m := &member{held: []connector.HeldRecord{{
		Topic: "crm.events", Partition: 3, Offset: 42, Rules: []string{"order", "visit"}, Since: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC),
	}}}
	address := listen(t, m)
	code, stdout, stderr := typed(t, "held", "--admin", address)
	if want := "HELD SINCE            RECORD           RULES\n2026-11-02 12:00:00Z  crm.events/3@42  order, visit\n"; stdout != want || code != exitFine {
		t.Errorf("exit %d, %q%s, want %q", code, stdout, stderr, want)
	}
	code, stdout, stderr = typed(t, "held", "settle", "absent", "--topic", "crm.events", "--partition", "3", "--admin", address)
	want := connector.HeldChoice{Topic: "crm.events", Partition: new(int32(3))}
	if diff := cmp.Diff(want, m.choice); diff != "" || code != exitFine || m.told.Load() != "absent" || !strings.Contains(stdout, "1 records are settled as absent") {
		t.Errorf("exit %d, told %v, %s%s%s", code, m.told.Load(), stdout, stderr, diff)
	}
	for _, args := range [][]string{
		{"held", "settle", "perhaps", "--all"}, {"held", "settle", "dead"}, {"held", "settle", "dead", "--all", "--topic", "t"}, {"held", "settle", "dead", "--offset", "3"},
	} {
		if code, _, stderr := typed(t, append(args, "--admin", address)...); code != exitWrong || stderr == "" {
			t.Errorf("leadsink %q: exit %d, %q; want 2 and why", args, code, stderr)
		}
	}
}
