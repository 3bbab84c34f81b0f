package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/leadsink/leadsink/connector"
)

// ask returns the status, or answers the request with what is wrong.
func (s *Server) ask(w http.ResponseWriter, r *http.Request) (connector.Status, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), answerLimit)
	defer cancel()
	status, err := s.settings.Control.Status(ctx)
	if err != nil {
		http.Error(w, unanswered(err), http.StatusServiceUnavailable)
		return connector.Status{}, false
	}
	return status, true
}

func unanswered(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("the connector has not answered for %v", answerLimit)
	}
	return err.Error()
}

// health answers 200 while the loop turns, whatever it does: restarting a
// connector that is paused, halted or waiting for a breaker mends nothing.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if status, ok := s.ask(w, r); ok {
		say(w, http.StatusOK, status.Words)
	}
}

// ready answers 200 for a member that has joined and does, or is ready to do,
// its part.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	status, ok := s.ask(w, r)
	if !ok {
		return
	}
	code := http.StatusServiceUnavailable
	switch status.State {
	case connector.Active, connector.StandBy, connector.Paused:
		if !status.Stalled && status.KafkaTrouble == "" {
			code = http.StatusOK
		}
	case connector.Starting, connector.Halted, connector.Stopping:
	}
	say(w, code, status.Words)
}

func say(w http.ResponseWriter, code int, words string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, words) // a client that went away has no use for it
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	status, ok := s.ask(w, r)
	if !ok {
		return
	}
	s.show(w, status)
}

// show answers with a value as JSON.
func (s *Server) show(w http.ResponseWriter, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		s.settings.Log.Error("an answer cannot be written as JSON", "error", err)
		http.Error(w, "the answer cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // as in say
}

// command answers a POST that tells the connector something.
func (s *Server) command(done string, tell func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerLimit)
		defer cancel()
		err := tell(ctx)
		switch {
		case err == nil:
			s.settings.Log.Info("told through the admin address", "command", done, "from", r.RemoteAddr)
			say(w, http.StatusOK, done)
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, connector.ErrOver):
			http.Error(w, unanswered(err), http.StatusServiceUnavailable)
		default:
			http.Error(w, err.Error(), http.StatusConflict) // it answered, and refuses
		}
	}
}
