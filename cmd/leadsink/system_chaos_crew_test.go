//go:build system

package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/leadsink/leadsink/connector"
)

// chaosSession is the group's session timeout. What has to outlast it does so by
// a second and more.
const chaosSession = 10 * time.Second

// The size of calls, and how many may be in doubt when a member dies.
const (
	chaosInFlight = 8
	chaosBatch    = 25
)

// launch starts a member at a seat and waits until it has joined.
func (s *storm) launch(seat int) *crewMember {
	s.Helper()
	port := freePort(s.T)
	path := writeFile(s.T, s.TempDir(), "leadsink.yaml", s.document(seat, port))
	m := &crewMember{process: startProcess(s.T, s.binary, "run", "-c", path), admin: "http://" + loopback(port), document: path}
	eventually(s.T, 2*time.Minute, fmt.Sprintf("the member of seat %d is ready", seat), func() bool {
		select {
		case <-m.ended:
			s.Fatalf("the member of seat %d ended while it started, with exit code %d:\n%s", seat, m.cmd.ProcessState.ExitCode(), m.stderr.last(20))
		default:
		}
		return m.ready()
	})
	return m
}

// document is a member's: all are alike but for the seat's way to the brokers.
func (s *storm) document(seat, port int) string {
	marker, unknown := "", ""
	if s.marker {
		marker, unknown = "  marker: mx_Custom_5\n", "  on_unknown: reconcile\n  reconcile_after: 6s\n"
	}
	return fmt.Sprintf(`name: chaos
start_timeout: 1m
kafka:
%s  topics: [%s]
  group: %s
  assignment: %s
  session_timeout: %s
  rebalance_timeout: 20s
transform:
  rules:
    - name: order
      lead: event.lead
      activity: 320
      note: '"Order " + event.id'
      fields:
        mx_Custom_1: event.id
leadsquared:
  host: %s
  access_key: key
  secret_key: secret
  limits: [%s]
  guard: 1s
  timeout: 3s
  batch: %d
  in_flight: %d
%sdelivery:
  drain_timeout: 5s
  breaker: {failures: 20, ratio: 0.5, window: 30s, open_for: 2s}
%sdead_letters: {topic: %s}
admin: {listen: "127.0.0.1:%d"}
log: {format: text}
`, s.trio.section(seat), s.topic, s.group, s.assignment(), chaosSession, s.api, s.limit, chaosBatch, chaosInFlight, marker, unknown, s.dead, port)
}

// end ends a member as a deployment does.
func (s *storm) end(m *crewMember, when string) {
	m.terminate(s.T)
	if code := m.wait(s.T, time.Minute); code != 0 {
		s.Errorf("%s a member ended %s with exit code %d after SIGTERM, want 0:\n%s", s.at(), when, code, m.stderr.last(20))
	}
}

// alive sees to members that ended by themselves: that is a fault, and the run goes on.
func (s *storm) alive() {
	for seat, m := range s.crew {
		select {
		case <-m.ended:
			s.Errorf("%s the member of seat %d ended by itself with exit code %d:\n%s", s.at(), seat, m.cmd.ProcessState.ExitCode(), m.stderr.last(20))
			s.crew[seat] = s.launch(seat)
		default:
		}
	}
}

func (m *crewMember) status() (s connector.Status, ok bool) {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(m.admin + "/status") //nolint:noctx // loopback, and bounded
	if err != nil {
		return s, false
	}
	defer func() { _ = resp.Body.Close() }()
	return s, json.NewDecoder(resp.Body).Decode(&s) == nil && resp.StatusCode == http.StatusOK
}

// logCrew says what the members are doing, and what they wait for.
func (s *storm) logCrew() {
	for seat, m := range s.crew {
		status, _ := m.status()
		s.Logf("seat %d: %s %s, waiting for %v, breaker %s, %d in flight, %d in doubt, partitions %+v",
			seat, status.State, status.Words, status.Waiting, status.Breaker, status.InFlight, status.Doubtful, status.Partitions)
	}
}
