package admin

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"time"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"percent": func(part float64) string { return fmt.Sprintf("%.0f %%", 100*part) },
	"pace":    Pace,
	"eta":     ETA,
}).Parse(pageText))

// page shows the status to people.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	status, ok := s.ask(w, r)
	if !ok {
		return
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, status); err != nil {
		s.settings.Log.Error("the status page cannot be made", "error", err)
		http.Error(w, "the status page cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w) // as in say
}

// Pace writes a number of calls per second for people; 0 is no limit.
func Pace(perSecond float64) string {
	if perSecond <= 0 {
		return "no limit"
	}
	return fmt.Sprintf("%.3g calls/s", perSecond)
}

// ETA writes a number of seconds for people; a negative one is unknown.
func ETA(seconds float64) string {
	const tooLong = 10 * 365 * 24 * 3600 // keeps the conversion below in its range
	if seconds < 0 || seconds > tooLong {
		return "unknown"
	}
	return (time.Duration(seconds) * time.Second).String()
}
