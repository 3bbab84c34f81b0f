//go:build system

package main_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
)

var draw = flag.Bool("draw", false, "draw the picture of docs/budget.md anew")

// Members are killed, suspended beyond their session and ended; by the fake's
// clock no window holds more calls than the limit.
func TestSystemNoWindowIsExceededWhenMembersAreKilledSuspendedAndEnded(t *testing.T) {
	d := newDelivery(t, startKafka(t, overPlaintext), 20_000, "--limit", "25/5s", "--latency", "100ms")
	d.inLimit, d.flight = "25/5s", 8
	d.produce()
	crew := []*crewMember{d.start(), d.start(), d.start()}
	var marks []mark
	note := func(words string) { marks = append(marks, mark{time.Now(), words}) }
	send := func(n int) { // some calls more
		from := len(pages[timed](d, "/_fake/calls"))
		eventually(t, 2*time.Minute, "calls go on", func() bool { return len(pages[timed](d, "/_fake/calls")) >= from+n })
	}
	send(60)
	i := active(t, crew)
	note("killed")
	crew[i].kill(t)
	crew[i].wait(t, time.Minute)
	crew[i] = d.start()
	send(60)
	i = active(t, crew)
	note("suspended")
	crew[i].freeze(t)
	send(60)
	note("goes on")
	crew[i].thaw(t)
	send(30)
	i = active(t, crew)
	note("ended")
	crew[i] = d.restart(crew[i])
	send(60)
	for _, m := range crew {
		m.terminate(t)
		if code := m.wait(t, time.Minute); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	}
	calls := pages[timed](d, "/_fake/calls")
	most, rows := 0, 0
	for _, n := range sliding(calls) {
		most = max(most, n)
	}
	for _, c := range calls {
		rows += c.Rows
		if c.Outcome != "created" {
			t.Errorf("a call was %s", c.Outcome)
		}
	}
	fill := float64(rows) / float64(25*len(calls))
	t.Logf("%d calls, %.4f full, at most %d in 5 s", len(calls), fill, most)
	if most > 25 || most < 20 {
		t.Errorf("%d calls in 5 s, want 25 at most and nearly as many", most)
	}
	if fill < 0.995 {
		t.Errorf("calls were %.4f full, want 0.995", fill)
	}
	if *draw {
		if err := os.WriteFile("../../docs/budget.svg", []byte(picture(calls, marks)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A timed is a call as the fake remembers it.
type timed struct {
	At      time.Time
	Rows    int
	Outcome string
}

// active is the index of the member that owns the partitions.
func active(t *testing.T, crew []*crewMember) (at int) {
	t.Helper()
	eventually(t, time.Minute, "a member is active", func() bool {
		for i, m := range crew {
			resp, err := http.Get(m.admin + "/status") //nolint:noctx // loopback
			if err != nil {
				continue
			}
			var s connector.Status
			err = json.NewDecoder(resp.Body).Decode(&s)
			_ = resp.Body.Close()
			if err == nil && len(s.Partitions) > 0 {
				at = i
				return true
			}
		}
		return false
	})
	return at
}

// sliding is how many calls had arrived within the five seconds that end with
// each call.
func sliding(calls []timed) []int {
	counts := make([]int, len(calls))
	first := 0
	for i, c := range calls {
		for !calls[first].At.After(c.At.Add(-5 * time.Second)) {
			first++
		}
		counts[i] = i - first + 1
	}
	return counts
}

// A mark is something that was done to a member.
type mark struct {
	at    time.Time
	words string
}

// picture draws, over time, how many calls the server had counted in the last five
// seconds, the limit, and what was done to members.
func picture(calls []timed, marks []mark) string {
	const width, height, left, top = 900, 260, 46, 34
	from := calls[0].At
	span := calls[len(calls)-1].At.Sub(from) + 2*time.Second
	x := func(at time.Time) float64 { return left + (width-left-10)*at.Sub(from).Seconds()/span.Seconds() }
	y := func(n int) float64 { return top + (height-top-40)*(1-float64(n)/28) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img">`+"\n", width, height)
	b.WriteString("<title>Calls in the last five seconds, as the server counted them</title>\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	for _, n := range []int{0, 5, 10, 15, 20, 25} {
		color, dash := "#ddd", ""
		if n == 25 {
			color, dash = "#c22", ` stroke-dasharray="6 3"`
		}
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="%s"%s/><text x="%d" y="%.1f" text-anchor="end" fill="#555">%d</text>`+"\n",
			left, width-10, y(n), y(n), color, dash, left-6, y(n)+4, n)
	}
	for s := 0; time.Duration(s)*time.Second < span; s += 20 {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%d s</text>`+"\n", x(from.Add(time.Duration(s)*time.Second)), height-8, s)
	}
	var line strings.Builder
	for i := range int(span / (100 * time.Millisecond)) { // what the window holds at each moment
		at := from.Add(time.Duration(i) * 100 * time.Millisecond)
		n := 0
		for _, c := range calls {
			if !c.At.After(at) && c.At.After(at.Add(-5*time.Second)) {
				n++
			}
		}
		fmt.Fprintf(&line, "%.1f,%.1f ", x(at), y(n))
	}
	fmt.Fprintf(&b, `<polyline fill="none" stroke="#1560bd" stroke-width="1.5" points="%s"/>`+"\n", strings.TrimSpace(line.String()))
	for _, c := range calls {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#1560bd" stroke-width="0.6"/>`+"\n", x(c.At), x(c.At), height-36, height-26)
	}
	for i, m := range marks {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#888" stroke-dasharray="2 2"/><text x="%.1f" y="%d" fill="#333">%s</text>`+"\n",
			x(m.at), x(m.at), top-12, height-24, x(m.at)+4, top-14+12*(i%2), m.words)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
