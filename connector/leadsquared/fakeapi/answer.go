package fakeapi

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"time"
)

// A wayBack holds an answer, or the end of its connection, back for as long as
// it takes and is on its way.
type wayBack struct {
	http.ResponseWriter
	request *http.Request
	takes   time.Duration
	here    bool // it has arrived
}

func (w *wayBack) travel() {
	if !w.here {
		w.here = true
		wait(w.request, w.takes)
	}
}

func (w *wayBack) WriteHeader(status int) {
	w.travel()
	w.ResponseWriter.WriteHeader(status)
}

func (w *wayBack) Write(b []byte) (int, error) {
	w.travel()
	return w.ResponseWriter.Write(b)
}

// Hijack is how a connection is reset.
func (w *wayBack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.travel()
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// envelope is how LeadSquared says what is wrong with a whole call.
type envelope struct {
	Status           string `json:"Status"`
	ExceptionType    string `json:"ExceptionType"`
	ExceptionMessage string `json:"ExceptionMessage"`
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // our own types
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// An answerRow is a row of a bulk call's answer.
type answerRow struct {
	ProspectActivityID string `json:"ProspectActivityId,omitempty"`
	RowNumber          int    `json:"RowNumber"`
	ActivityCreated    bool   `json:"ActivityCreated"`
	ExceptionType      string `json:"ExceptionType,omitempty"`
	ExceptionMessage   string `json:"ExceptionMessage,omitempty"`
}

// answerApplied answers a call that was applied as far as its rows are good,
// rightly or wrongly. whole is why it is refused as a whole, or nil.
func (s *Server) answerApplied(w http.ResponseWriter, r *http.Request, f Fault, results []result, whole *refusal) {
	switch {
	case f == HangAfter:
		<-r.Context().Done()
		reset(w)
		return
	case f == ResetAfter:
		reset(w)
		return
	case f == Slow && !wait(r, s.slow()):
		return
	case whole != nil:
		answer(w, http.StatusInternalServerError, envelope{"Error", whole.kind, whole.words})
		return
	}
	rows := answerRows(results)
	switch f {
	case RowMissing:
		rows = rows[:len(rows)-1]
	case RowTwice:
		rows = append(rows, rows[0])
	case Renumbered:
		for i := range rows {
			rows[i].RowNumber++
		}
	case Reordered:
		slices.Reverse(rows)
	default:
	}
	text := response(rows)
	if f == Truncated {
		text = text[:len(text)/2]
	}
	answerResponse(w, text)
}

// answerRows are the rows of an answer that is in order.
func answerRows(results []result) []answerRow {
	rows := make([]answerRow, 0, len(results))
	for i, res := range results {
		row := answerRow{ProspectActivityID: res.id, RowNumber: i + 1, ActivityCreated: res.id != ""}
		if res.reason != nil {
			row.ExceptionType, row.ExceptionMessage = res.reason.kind, res.reason.words
		}
		rows = append(rows, row)
	}
	return rows
}

func response(rows []answerRow) []byte {
	text, err := json.Marshal(map[string]any{"Response": append([]answerRow{}, rows...)})
	if err != nil {
		panic(err) // our own types
	}
	return text
}

func answerResponse(w http.ResponseWriter, text []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(text)
}

// reset closes the connection without an answer, by RST where it is TCP.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = over.NetConn() // without TLS's farewell, which would make an orderly end of it
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
