package admin

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leadsink/leadsink/connector"
)

// The page's parts. Everything it needs is served from here.
//
//go:embed page.html page.css page.js icon.svg
var parts embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"percent": func(part float64) string { return fmt.Sprintf("%.0f %%", 100*part) },
	"pace":    Pace,
	"share":   Share,
	"done":    Done,
	"eta":     ETA,
	"count":   grouped,
	"rate":    func(perSecond float64) string { return fmt.Sprintf("%.1f", perSecond) },
	"time":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"since":   func(from, to time.Time) string { return to.Sub(from).Round(time.Second).String() },
	"word":    func(word any) string { return strings.ReplaceAll(fmt.Sprint(word), "_", " ") },
}).ParseFS(parts, "page.html"))

// pagePolicy lets the page use its own style sheet, script and icon, and nothing else.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// lettersShown is how many dead letters the page shows; /status has more.
const lettersShown = 10

// A view is what the page shows.
type view struct {
	connector.Status
	Level    string                       // good, wait or bad: how much the state needs somebody's attention
	Letters  []connector.DeadLetterStatus // the newest
	Created  chart
	LagChart chart
	Windows  []window
}

// A window is a limit of the budget and what was spent of it.
type window struct {
	Limit          string
	Spent, Allowed int
	Ends           time.Time // of a day; zero for a sliding window
}

// page shows the status to people.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	status, ok := s.ask(w, r)
	if !ok {
		return
	}
	v := view{Status: status, Level: level(&status), Letters: status.DeadLetters[:min(len(status.DeadLetters), lettersShown)]}
	v.Created, v.LagChart = s.history.charts(status.At)
	if strings.Contains(status.Words, status.Trouble) {
		v.Trouble = "" // it is said already
	}
	v.Windows = windows(&status.Budget)
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, v); err != nil {
		s.settings.Log.Error("the status page cannot be made", "error", err)
		http.Error(w, "the status page cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w) // as in say
}

// level says how much a state needs somebody's attention.
func level(s *connector.Status) string {
	switch {
	case s.State == connector.Halted, s.KafkaTrouble != "":
		return "bad"
	case s.State == connector.Starting, s.Unreached:
		return "wait"
	case s.State == connector.Paused, s.Breaker != "" && s.Breaker != "closed", s.Behind, s.Held > 0:
		return "wait"
	}
	return "good"
}

func windows(b *connector.BudgetStatus) (all []window) {
	for _, w := range b.Windows {
		calls, _, _ := strings.Cut(w.Limit, "/")
		allowed, err := strconv.Atoi(calls)
		if err == nil {
			all = append(all, window{Limit: w.Limit, Spent: w.Spent, Allowed: allowed})
		}
	}
	if d := b.Day; d != nil && d.Part > 0 {
		all = append(all, window{Limit: fmt.Sprintf("%s/day", grouped(int64(d.Calls))), Spent: d.Spent, Allowed: d.Part, Ends: d.Ends})
	}
	return all
}

// part serves one file of the page.
func part(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, parts, name) }
}

// grouped writes a whole number with commas between its thousands.
func grouped(n any) string {
	digits := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return sign + digits
}

// Pace writes a number of calls per second for people; 0 is no limit.
func Pace(perSecond float64) string {
	if perSecond <= 0 {
		return "no limit"
	}
	return fmt.Sprintf("%.3g calls/s", perSecond)
}

// Share writes how many calls per second a member may make now, "–" while that is
// not known.
func Share(s connector.Status) string {
	switch {
	case s.Budget.Share > 0:
		return Pace(s.Budget.Share)
	case s.State == connector.Starting:
		return "–"
	case s.Budget.Configured > 0 && len(s.Partitions) == 0:
		return "none without partitions"
	case s.Budget.Configured > 0:
		return "none for now"
	}
	return "no limit"
}

// Done writes when what waits is done, "–" where this member cannot know of it.
func Done(s connector.Status) string {
	switch {
	case len(s.Partitions) == 0:
		return "–"
	case s.Lag == 0:
		return "nothing waits"
	}
	return ETA(s.DrainETA)
}

// ETA writes a number of seconds for people; a negative one is unknown.
func ETA(seconds float64) string {
	const tooLong = 10 * 365 * 24 * 3600 // keeps the conversion below in its range
	if seconds < 0 || seconds > tooLong {
		return "unknown"
	}
	return (time.Duration(seconds) * time.Second).String()
}
