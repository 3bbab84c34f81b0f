package fakeapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A Fault is something that goes wrong with one call.
type Fault string

// The faults. Unless said otherwise nothing is applied.
const (
	NoFault     Fault = ""
	Throttle    Fault = "throttle"     // 429 with the words of a limit
	Throttle403 Fault = "throttle_403" // the same words under 403
	Throttle200 Fault = "throttle_200" // the same words in an envelope under 200
	RefuseCall  Fault = "refuse_call"  // 500 with an MX envelope for the whole call
	Failed500   Fault = "failed_500"   // 500 without an MX envelope
	Gateway502  Fault = "gateway_502"  // 502 with HTML
	Gateway503  Fault = "gateway_503"  // 503 with HTML
	Denied      Fault = "denied"       // 401, as with keys that were withdrawn
	TooLarge    Fault = "too_large"    // 413, to calls of more than one row
	ResetBefore Fault = "reset_before" // the connection is reset before anything is applied
	ResetAfter  Fault = "reset_after"  // everything is applied, then the connection is reset
	HangBefore  Fault = "hang_before"  // no answer ever
	HangAfter   Fault = "hang_after"   // everything is applied, and no answer ever
	Late        Fault = "late"         // applied Config.LateBy after the client has given up
	Slow        Fault = "slow"         // everything is applied, and answered after Config.Slow
	StatusError Fault = "status_error" // 200 with Status Error, without an MX type
	Truncated   Fault = "truncated"    // everything is applied, half of the answer comes
	RowMissing  Fault = "row_missing"  // everything is applied, the last row is left out of the answer
	RowTwice    Fault = "row_twice"    // everything is applied, one row is in the answer twice
	Renumbered  Fault = "renumbered"   // everything is applied, rows are numbered from 2
	Reordered   Fault = "reordered"    // everything is applied, and answered in the reverse order: no fault
)

// Faults lists all of them.
func Faults() []Fault {
	return []Fault{
		Throttle, Throttle403, Throttle200, RefuseCall, Failed500, Gateway502, Gateway503, Denied, TooLarge, ResetBefore, ResetAfter,
		HangBefore, HangAfter, Late, Slow, StatusError, Truncated, RowMissing, RowTwice, Renumbered, Reordered,
	}
}

// ParseFault returns the fault of the name.
func ParseFault(name string) (Fault, error) {
	if f := Fault(name); slices.Contains(Faults(), f) {
		return f, nil
	}
	var names []string
	for _, f := range Faults() {
		names = append(names, string(f))
	}
	return NoFault, fmt.Errorf("there is no fault %q; choose among %s", name, strings.Join(names, ", "))
}

// applies reports whether the call is applied although it goes wrong.
func (f Fault) applies() bool {
	return slices.Contains([]Fault{NoFault, ResetAfter, HangAfter, Late, Slow, Truncated, RowMissing, RowTwice, Renumbered, Reordered}, f)
}

const page = "<html><head><title>%d %s</title></head><body><center><h1>%d %s</h1></center></body></html>\n"

// answerFault answers a call that goes wrong without having been applied.
func (s *Server) answerFault(w http.ResponseWriter, r *http.Request, f Fault) {
	limit := "API calls exceeded the limit of 25 in 5 second(s)"
	if limits := s.limits(); len(limits) > 0 {
		limit = overLimit(limits[0])
	}
	throttled := envelope{"Error", "MXAPIRateLimitExceededException", limit}
	switch f {
	case Throttle:
		answer(w, http.StatusTooManyRequests, throttled)
	case Throttle403:
		answer(w, http.StatusForbidden, throttled)
	case Throttle200:
		answer(w, http.StatusOK, throttled)
	case RefuseCall:
		answer(w, http.StatusInternalServerError, envelope{"Error", "MXInvalidInputException", "Invalid Input! Parameter Name: fault"})
	case Failed500:
		answer(w, http.StatusInternalServerError, envelope{"Error", "NullReferenceException", "There was an error processing the request."})
	case StatusError:
		answer(w, http.StatusOK, envelope{"Error", "NullReferenceException", "There was an error processing the request."})
	case Gateway502, Gateway503:
		code := http.StatusBadGateway
		if f == Gateway503 {
			code = http.StatusServiceUnavailable
		}
		htmlPage(w, code)
	case Denied:
		answer(w, http.StatusUnauthorized, envelope{"Error", "MXInvalidAccessDetailsException", "Invalid Access Details provided."})
	case TooLarge:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case ResetBefore:
		reset(w)
	case HangBefore:
		<-r.Context().Done()
		reset(w)
	case NoFault, ResetAfter, HangAfter, Late, Slow, Truncated, RowMissing, RowTwice, Renumbered, Reordered:
		panic("fakeapi: " + f + " is applied")
	}
}

// htmlPage answers as a proxy or a firewall does.
func htmlPage(w http.ResponseWriter, code int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, page, code, http.StatusText(code), code, http.StatusText(code))
}
