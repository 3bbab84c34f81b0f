//go:build system

package main_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A delivery is a topic of records, a fake LeadSquared and members of leadsink,
// each a process of its own.
type delivery struct {
	*testing.T
	cluster *cluster
	binary  string
	topic   string
	dead    string
	group   string
	records int
	api     string
	also    []string // topics that are read besides
	extra   string   // lines of the kafka section
	share   string   // lines of the leadsquared section
	session string   // session_timeout, longer than drain_timeout, which is no shorter than timeout
	drain   string
	timeout string
	unknown string // on_unknown; empty: reconcile with markers, else resend
	marked  bool   // activities carry markers
	inLimit string
	guard   string
	flight  int
}

// A crew member is a process with its admin address.
type crewMember struct {
	*process
	t        *testing.T
	admin    string
	document string
}

// newDelivery makes topics, and starts the fake with the flags.
func newDelivery(t *testing.T, c *cluster, records int, flags ...string) *delivery {
	d := &delivery{
		T: t, cluster: c, binary: buildBinary(t), topic: c.createTopic(t, 6), dead: c.createTopic(t, 1),
		records: records, inLimit: "500/5s", guard: "1s", flight: 64, session: "20s", timeout: "5s", drain: "15s",
	}
	d.group = "group-of-" + d.topic
	fake := startProcess(t, d.binary, append([]string{
		"fake-api", "--listen", "127.0.0.1:0", "--access-key", "key", "--secret-key", "secret", "--limit", d.inLimit,
	}, flags...)...)
	line := fake.waitForLine(t, "address=", time.Minute)
	_, after, _ := strings.Cut(line, "address=")
	d.api = strings.Fields(after)[0]
	return d
}

// event is the ith record: every hundredth is of a lead that does not exist.
func event(i int) *kgo.Record {
	lead := fmt.Sprintf("lead-%d", (i*7919)%12_000)
	if i%100 == 99 {
		lead = fmt.Sprintf("unknown-%d", i)
	}
	return &kgo.Record{
		Key:   []byte(lead),
		Value: fmt.Appendf(nil, `{"id":"r%d","lead":%q,"total":%d.50,"text":"an order like any other, of a size like any other"}`, i, lead, i),
	}
}

// start starts a member and waits until it has joined.
func (d *delivery) start() *crewMember {
	d.Helper()
	m := d.launch()
	d.becomesReady(m)
	return m
}

func (d *delivery) becomesReady(m *crewMember) {
	d.Helper()
	eventually(d.T, 2*time.Minute, "the member is ready", func() bool { return m.ready() })
}

// launch starts a member.
func (d *delivery) launch() *crewMember {
	d.Helper()
	port := freePort(d.T)
	marker, unknown := "", "resend"
	if d.marked {
		marker, unknown = "mx_Custom_5", "reconcile"
	}
	unknown = cmp.Or(d.unknown, unknown)
	document := fmt.Sprintf(`name: system
start_timeout: 1m
kafka:
%s%s  topics: [%s]
  group: %s
  session_timeout: %s
  rebalance_timeout: 30s
transform:
  rules:
    - name: order
      lead: event.lead
      activity: 320
      note: '"Order " + event.id'
      fields:
        mx_Custom_1: event.id
        mx_Custom_7: event.total
leadsquared:
  host: %s
  access_key: key
  secret_key: secret
  limits: [%s]
  guard: %s
  timeout: %s
  in_flight: %d
  marker: %q
%sdelivery:
  on_unknown: %s
  reconcile_after: 5s
  drain_timeout: %s
  breaker: {failures: 20, ratio: 0.5, window: 30s, open_for: 2s}
dead_letters: {topic: %s}
admin: {listen: "127.0.0.1:%d"}
log: {format: text}
`, d.cluster.section, d.extra, strings.Join(append([]string{d.topic}, d.also...), ", "), d.group, d.session,
		d.api, d.inLimit, d.guard, d.timeout, d.flight, marker, d.share, unknown, d.drain, d.dead, port)
	path := writeFile(d.T, d.TempDir(), "leadsink.yaml", document)
	m := &crewMember{t: d.T, process: startProcess(d.T, d.binary, "run", "-c", path), admin: fmt.Sprintf("http://127.0.0.1:%d", port), document: path}
	d.Cleanup(m.explain)
	return m
}

// explain logs the member's status, in one line, if the test has failed.
func (m *crewMember) explain() {
	if !m.t.Failed() {
		return
	}
	resp, err := http.Get(m.admin + "/status") //nolint:noctx // loopback
	if err != nil {
		m.t.Logf("%s has no status: %v", m.admin, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	status, err := io.ReadAll(resp.Body)
	var line bytes.Buffer
	if err != nil || json.Compact(&line, status) != nil {
		line = *bytes.NewBuffer(status)
	}
	m.t.Logf("%s says: %s", m.admin, line.Bytes())
}

func (m *crewMember) ready() bool {
	resp, err := http.Get(m.admin + "/readyz") //nolint:noctx // loopback
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// restart ends a member as a deployment does, and starts another.
func (d *delivery) restart(m *crewMember) *crewMember {
	d.Helper()
	m.terminate(d.T)
	if code := m.wait(d.T, time.Minute); code != 0 {
		d.Errorf("a member ended with exit code %d after SIGTERM, want 0", code)
	}
	return d.start()
}

func (d *delivery) produce() {
	d.cluster.produce(d.T, d.topic, d.records, event)
}

// drained waits until everything is committed.
func (d *delivery) drained(within time.Duration) {
	d.Helper()
	eventually(d.T, within, "everything is committed", func() bool {
		return d.cluster.behind(d.T, d.group, d.topic) == 0
	})
}

// get reads a JSON answer of the fake.
func (d *delivery) get(path string, to any) {
	d.Helper()
	resp, err := http.Get(d.api + path) //nolint:noctx // loopback
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.Fatal(err)
	}
	if err := json.Unmarshal(body, to); err != nil {
		d.Fatalf("%s: %v\n%.200s", path, err, body)
	}
}

// pages reads a list of the fake, page by page.
func pages[T any](d *delivery, path string) (all []T) {
	d.Helper()
	for {
		var page struct {
			Items []T `json:"items"`
			Next  int `json:"next"`
		}
		d.get(fmt.Sprintf("%s?after=%d", path, len(all)), &page)
		if len(page.Items) == 0 {
			return all
		}
		all = append(all, page.Items...)
	}
}

// account compares every record with the fake's memory and the dead-letter
// topic, and returns the batch fill over all calls.
func (d *delivery) account(maxTwice int) (fill float64) {
	d.Helper()
	type activity struct {
		Lead   string            `json:"lead"`
		Fields map[string]string `json:"fields"`
	}
	created := map[string]int{}
	for _, a := range pages[activity](d, "/_fake/activities") {
		created[a.Fields["mx_Custom_1"]]++
	}
	buried := map[string]int{}
	for _, r := range d.cluster.readAll(d.T, d.dead) {
		var e struct{ ID string }
		if err := json.Unmarshal(r.Value, &e); err != nil {
			d.Errorf("a dead letter is not the record: %v", err)
		}
		buried[e.ID]++
	}
	lost, both, twice, dead := 0, 0, 0, 0
	for i := range d.records {
		id := fmt.Sprintf("r%d", i)
		n, letters := created[id], buried[id]
		twice += max(0, n-1)
		dead += min(1, letters)
		switch bad := i%100 == 99; {
		case n == 0 && letters == 0:
			lost++
		case n > 0 && letters > 0, bad != (letters > 0):
			both++
		}
	}
	type call struct {
		Rows    int
		Outcome string
	}
	calls := pages[call](d, "/_fake/calls")
	rows := 0
	outcomes := map[string]int{}
	for _, c := range calls {
		rows += c.Rows
		outcomes[c.Outcome]++
	}
	var sum struct {
		Violations int
		Most       map[string]int
	}
	d.get("/_fake/summary", &sum)
	// The rows of a call without proof go again in two calls: one more than needed.
	halves := outcomes["failed_500"] + outcomes["gateway_503"]
	fill = float64(rows) / float64(25*(len(calls)-halves))
	d.Logf("%d records: %d dead, %d lost, %d with the wrong fate, %d created twice; %d calls %v, fill %.4f, %d over the limit, at most %v in a window",
		d.records, dead, lost, both, twice, len(calls), outcomes, fill, sum.Violations, sum.Most)
	if lost > 0 || both > 0 {
		d.Errorf("%d records are lost and %d have another fate than they were made for", lost, both)
	}
	if twice > maxTwice {
		d.Errorf("%d activities were created twice, want at most %d", twice, maxTwice)
	}
	if sum.Violations > 0 {
		d.Errorf("%d calls came over the limit by the fake's clock", sum.Violations)
	}
	return fill
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func TestSystemARollingRestartUnderLoadLosesNothingAndDoublesNothing(t *testing.T) {
	d := newDelivery(t, startKafka(t, overPlaintext), 100_000,
		"--fault", "failed_500=0.01", "--fault", "gateway_503=0.01", "--fault", "throttle=0.001", "--latency", "20ms")
	if fill := d.restartAllUnderLoad(); fill < 0.98 {
		t.Errorf("calls were %.4f full, those apart that isolating costs; want 0.98", fill)
	}
}

func TestSystemARollingRestartDoublesNothingHoweverPartitionsAreShared(t *testing.T) {
	for _, test := range []struct {
		name, extra string
		marked      bool
	}{
		{"single with a marker", "", true},
		{"spread with a marker", "  assignment: spread\n", true},
		{"spread without a marker", "  assignment: spread\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDelivery(t, startKafka(t, overPlaintext), 20_000, "--fault", "gateway_503=0.02", "--latency", "100ms", "--read-lag", "1s")
			d.extra, d.marked, d.flight = test.extra, test.marked, 16
			d.restartAllUnderLoad()
		})
	}
}

// restartAllUnderLoad delivers everything by three members, each of which is
// restarted in between as a deployment does. It returns the batch fill.
func (d *delivery) restartAllUnderLoad() (fill float64) {
	t := d.T
	t.Helper()
	d.produce()
	began := time.Now()
	crew := []*crewMember{d.start(), d.start(), d.start()}
	half := int64(d.records) * 3 / 4
	eventually(t, 10*time.Minute, "a quarter is delivered", func() bool { return d.cluster.behind(t, d.group, d.topic) < half })
	for i, m := range crew {
		crew[i] = d.restart(m)
	}
	if d.cluster.behind(t, d.group, d.topic) == 0 {
		t.Error("the rolling restart came after the load")
	}
	d.drained(15 * time.Minute)
	for _, m := range crew {
		m.terminate(t)
		if code := m.wait(t, time.Minute); code != 0 {
			t.Errorf("a member ended with exit code %d, want 0", code)
		}
	}
	fill = d.account(0)
	t.Logf("in %s", time.Since(began).Round(time.Second))
	return fill
}

func TestSystemDeliversOverEveryListener(t *testing.T) {
	for _, l := range everyListener {
		t.Run(string(l), func(t *testing.T) {
			d := newDelivery(t, startKafka(t, l), 2000, "--fault", "gateway_503=0.02")
			d.produce()
			m := d.start()
			d.drained(3 * time.Minute)
			m.terminate(t)
			if code := m.wait(t, time.Minute); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			d.account(0)
		})
	}
}

func TestSystemSharesPartitionsUnderBothProtocols(t *testing.T) {
	for _, protocol := range []string{"classic", "kip848"} {
		t.Run(protocol, func(t *testing.T) {
			d := newDelivery(t, startKafka(t, overPlaintext), 4000, "--fault", "gateway_503=0.02")
			d.extra = "  assignment: spread\n  protocol: " + protocol + "\n"
			d.produce()
			crew := []*crewMember{d.start(), d.start()}
			crew[0] = d.restart(crew[0])
			d.drained(4 * time.Minute)
			for _, m := range crew {
				m.terminate(t)
				if code := m.wait(t, time.Minute); code != 0 {
					t.Errorf("exit code %d, want 0", code)
				}
			}
			d.account(0)
		})
	}
}

func TestSystemSaysWhatIsWrongWithTheSurroundings(t *testing.T) {
	c := startKafka(t, overPlain)
	d := newDelivery(t, c, 0)
	text := fmt.Sprintf(`start_timeout: 3s
kafka:
%s  topics: [%s]
  group: g
transform:
  rules: [{name: r, lead: event.lead, activity: 320}]
leadsquared: {host: %q, access_key: key, secret_key: secret}
dead_letters: {topic: %s}
admin: {listen: "127.0.0.1:0"}
`, c.section, d.topic, d.api, d.dead)
	nobody := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	for name, test := range map[string]struct {
		old, new string
		code     int
		says     []string
	}{
		"an unreachable broker":     {lineOf(text, "  brokers:"), "  brokers: [" + nobody + "]", 3, []string{nobody, "start_timeout"}},
		"a refused password":        {lineOf(text, "  sasl:"), "  sasl: {mechanism: PLAIN, username: leadsink, password: guessed}", 3, []string{"SASL", "start_timeout"}},
		"a refused key":             {"access_key: key", "access_key: withdrawn", 3, []string{"Invalid Access Details", "start_timeout", "access_key"}},
		"a wrong document":          {"start_timeout: 3s", "start_timeoutt: 3s", 2, []string{"leadsink.yaml:1:1: start_timeoutt", "did you mean"}},
		"a topic that is not there": {"topics: [" + d.topic + "]", "topics: [nowhere]", 3, []string{"nowhere"}},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Count(text, test.old) != 1 {
				t.Fatalf("%q stands %d times in the document", test.old, strings.Count(text, test.old))
			}
			path := writeFile(t, t.TempDir(), "leadsink.yaml", strings.Replace(text, test.old, test.new, 1))
			p := startProcess(t, d.binary, "run", "-c", path)
			if code := p.wait(t, time.Minute); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			said := p.stderr.last(40)
			for _, words := range test.says {
				if !strings.Contains(said, words) {
					t.Errorf("stderr does not say %q:\n%s", words, said)
				}
			}
		})
	}
}

// lineOf is the line of the text that begins so.
func lineOf(text, begins string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begins) {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return begins
}
