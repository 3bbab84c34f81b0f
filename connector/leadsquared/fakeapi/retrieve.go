package fakeapi

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// mostPerPage is how many activities one page of a read may hold.
const mostPerPage = 1000

// A retrieval is the body of CustomActivity/RetrieveByActivityEvent.
type retrieval struct {
	Parameter struct {
		FromDate      string `json:"FromDate"`
		ToDate        string `json:"ToDate"`
		ActivityEvent int    `json:"ActivityEvent"`
	} `json:"Parameter"`
	Paging struct {
		PageIndex int `json:"PageIndex"`
		PageSize  int `json:"PageSize"`
	} `json:"Paging"`
	Sorting struct {
		ColumnName string `json:"ColumnName"`
		Direction  int    `json:"Direction"`
	} `json:"Sorting"`
}

// retrieve lists activities of a type across leads, by the time at which they
// were stored, not by the time that they carry.
func (s *Server) retrieve(w http.ResponseWriter, r *http.Request) {
	var asked retrieval
	// Before anything goes wrong: net/http notices that a client has gone only
	// once its request was read.
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	fault := s.beginRead()
	if !fault.applies() {
		s.answerFault(w, r, fault)
		return
	}
	if err != nil || json.Unmarshal(body, &asked) != nil {
		answer(w, http.StatusBadRequest, envelope{"Error", "MXInvalidInputException", "Unexpected character encountered while parsing value"})
		return
	}
	from, errFrom := time.Parse(time.DateTime, asked.Parameter.FromDate)
	to, errTo := time.Parse(time.DateTime, asked.Parameter.ToDate)
	switch {
	case errFrom != nil || errTo != nil:
		refuse(w, "Invalid Input! Parameter Name: FromDate, ToDate")
		return
	case asked.Parameter.ActivityEvent == 0:
		refuse(w, "Invalid Input! Parameter Name: ActivityEvent")
		return
	case asked.Paging.PageIndex < 1 || asked.Paging.PageSize < 1 || asked.Paging.PageSize > mostPerPage:
		refuse(w, fmt.Sprintf("Invalid Input! Parameter Name: PageSize, from 1 to %d", mostPerPage))
		return
	}
	switch {
	case fault == HangAfter || fault == Late:
		<-r.Context().Done()
		reset(w)
		return
	case fault == ResetAfter:
		reset(w)
		return
	case fault == Slow && !wait(r, s.slow()):
		return
	}
	text := s.stored(&asked, from, to)
	if fault == Truncated {
		text = text[:len(text)/2]
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(text)
}

func refuse(w http.ResponseWriter, words string) {
	answer(w, http.StatusInternalServerError, envelope{"Error", "MXInvalidInputException", words})
}

// beginRead counts a read and draws what goes wrong with it. Reads count
// against another limit than bulk calls, and a script is for bulk calls only.
func (s *Server) beginRead() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Reads++
	if s.reads != NoFault {
		return s.reads
	}
	return s.drawByRate()
}

// stored answers a read: what was stored between the two times, ends included,
// as far as reads show it yet.
func (s *Server) stored(asked *retrieval, from, to time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var found []*Activity
	for i := range s.activities {
		a := &s.activities[i]
		// A stored time has a fraction, which a whole second in ToDate cuts off.
		if a.Code == asked.Parameter.ActivityEvent && !a.Stored.Before(from) && !a.Stored.After(to) && now.Sub(a.Stored) >= s.config.ReadLag {
			found = append(found, a)
		}
	}
	if asked.Sorting.ColumnName == "ProspectActivityId" {
		slices.SortFunc(found, func(a, b *Activity) int { return strings.Compare(a.ID, b.ID) })
	} else { // ties in a date come in another order for every page
		s.random.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	}
	count := len(found)
	first := min((asked.Paging.PageIndex-1)*asked.Paging.PageSize, count)
	found = found[first:min(first+asked.Paging.PageSize, count)]
	list := make([]map[string]string, 0, len(found))
	for _, a := range found {
		list = append(list, a.read())
	}
	page := map[string]any{"RecordCount": count}
	if len(list) > 0 { // it is absent when empty
		page["List"] = list
	}
	text, err := json.Marshal(page)
	if err != nil {
		panic(err) // our own types
	}
	return text
}

// read is the activity as a read shows it.
func (a *Activity) read() map[string]string {
	o := map[string]string{
		"ProspectActivityId": a.ID, "RelatedProspectId": a.Lead, "ActivityEvent": fmt.Sprint(a.Code), "ActivityEvent_Note": a.Note,
		"CreatedOn": a.Time, "ModifiedOn": a.Stored.UTC().Format("2006-01-02 15:04:05.000"),
	}
	maps.Copy(o, a.Fields)
	return o
}
