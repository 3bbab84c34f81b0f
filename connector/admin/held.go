package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/leadsink/leadsink/connector"
)

// A HeldList is what GET /held answers.
type HeldList struct {
	Held []connector.HeldRecord `json:"held"`
}

// A HeldOrder is what POST /held takes: a decision about the chosen records.
type HeldOrder struct {
	Decision string `json:"decision"`
	connector.HeldChoice
}

// A HeldSettled is what POST /held answers.
type HeldSettled struct {
	Records int `json:"records"`
}

// held lists the records that wait for an operator.
func (s *Server) held(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerLimit)
	defer cancel()
	held, err := s.settings.Control.Held(ctx)
	if err != nil {
		http.Error(w, unanswered(err), http.StatusServiceUnavailable)
		return
	}
	s.show(w, HeldList{append([]connector.HeldRecord{}, held...)})
}

// settleHeld carries out what an operator decided.
func (s *Server) settleHeld(w http.ResponseWriter, r *http.Request) {
	var order HeldOrder
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	d.DisallowUnknownFields()
	if err := d.Decode(&order); err != nil {
		http.Error(w, "the body is not an order: "+err.Error()+`; write for instance {"decision":"absent","topic":"crm.events","partition":0,"offset":42}`, http.StatusBadRequest)
		return
	}
	decision, err := connector.ParseHeldDecision(order.Decision)
	if err != nil {
		http.Error(w, "decision: "+err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerLimit)
	defer cancel()
	n, err := s.settings.Control.SettleHeld(ctx, decision, order.HeldChoice)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, connector.ErrOver):
		http.Error(w, unanswered(err), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		s.settings.Log.Info("told through the admin address", "command", "held", "decision", decision, "records", n, "from", r.RemoteAddr)
		s.show(w, HeldSettled{n})
	}
}
