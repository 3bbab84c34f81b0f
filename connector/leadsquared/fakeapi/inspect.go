package fakeapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/leadsink/leadsink/connector/budget"
)

// inspection adds what is answered below /_fake/: without keys, and not counted.
func (s *Server) inspection() {
	s.mux.HandleFunc("GET /_fake/summary", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, s.Summary(r.URL.Query().Get("key")))
	})
	s.mux.HandleFunc("GET /_fake/activities", func(w http.ResponseWriter, r *http.Request) {
		paged(w, r, s.Activities)
	})
	s.mux.HandleFunc("GET /_fake/calls", func(w http.ResponseWriter, r *http.Request) {
		paged(w, r, s.Calls)
	})
	s.mux.HandleFunc("POST /_fake/faults", func(w http.ResponseWriter, r *http.Request) {
		var to struct {
			Rates  map[Fault]float64 `json:"rates"`
			Script []Fault           `json:"script"`
			Poison map[string]Spoil  `json:"poison"`
		}
		changed(w, r, &to, func() error {
			for _, f := range to.Script {
				if _, err := ParseFault(string(f)); f != NoFault && err != nil {
					return err
				}
			}
			if err := s.SetRates(to.Rates); err != nil {
				return err
			}
			if err := s.SetPoison(to.Poison); err != nil {
				return err
			}
			s.Script(to.Script...)
			return nil
		})
	})
	s.mux.HandleFunc("POST /_fake/limits", func(w http.ResponseWriter, r *http.Request) {
		var to struct {
			Limits []budget.Limit `json:"limits"`
		}
		changed(w, r, &to, func() error { s.SetLimits(to.Limits); return nil })
	})
}

// maxPage is the most that one page of an answer holds.
const maxPage = 10_000

// paged answers {"items": […], "next": N}: N is what after should be next.
func paged[T any](w http.ResponseWriter, r *http.Request, list func(after, limit int) []T) {
	number := func(name string, otherwise int) (int, bool) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return otherwise, true
		}
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= 0
	}
	after, ok := number("after", 0)
	limit, ok2 := number("limit", maxPage)
	if !ok || !ok2 {
		http.Error(w, "after and limit are whole numbers from 0", http.StatusBadRequest)
		return
	}
	if limit == 0 || limit > maxPage {
		limit = maxPage
	}
	items := list(after, limit)
	answer(w, http.StatusOK, map[string]any{"items": items, "next": after + len(items)})
}

func changed(w http.ResponseWriter, r *http.Request, to any, apply func() error) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	err := d.Decode(to)
	if err == nil {
		err = apply()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// user is whose keys these are.
func (s *Server) user(w http.ResponseWriter, r *http.Request) {
	host := "http://" + r.Host
	if r.TLS != nil {
		host = "https://" + r.Host
	}
	answer(w, http.StatusOK, map[string]any{
		"EmailAddress": "integration@example.com", "Role": "Administrator", "TimeZone": "UTC", "OrgShortCode": "fake",
		"LSQCommonServiceURLs": map[string]string{"api": host, "app": host},
	})
}
