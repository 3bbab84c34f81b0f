package fakeapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A Spoil is what a row does to every call that it is in, because of what it
// holds: faults by rate and by script choose calls, this one comes again with
// its row.
type Spoil string

// The spoils. Rows that come after the spoiling one are not stored, unless said
// otherwise, and it is not stored itself.
const (
	NoSpoil        Spoil = ""
	SpoilFailed    Spoil = "failed"     // 500 without an MX envelope; the rows before it are stored
	SpoilLeftOut   Spoil = "left_out"   // 200; all others are stored, and it is left out of the answer
	SpoilHang      Spoil = "hang"       // no answer ever; nothing is stored
	SpoilHangAfter Spoil = "hang_after" // no answer ever; it and the rows before it are stored
	SpoilForbidden Spoil = "forbidden"  // 403 with a firewall's HTML; nothing is stored
	SpoilQuoted    Spoil = "quoted"     // refused for what it holds, in words that quote it
)

// Spoils lists all of them.
func Spoils() []Spoil {
	return []Spoil{SpoilFailed, SpoilLeftOut, SpoilHang, SpoilHangAfter, SpoilForbidden, SpoilQuoted}
}

// ParseSpoil returns the spoil of the name.
func ParseSpoil(name string) (Spoil, error) {
	if s := Spoil(name); slices.Contains(Spoils(), s) {
		return s, nil
	}
	var names []string
	for _, s := range Spoils() {
		names = append(names, string(s))
	}
	return NoSpoil, fmt.Errorf("there is no poison %q; choose among %s", name, strings.Join(names, ", "))
}

// SetPoison sets what rows do to their calls that hold a word, in the note or
// in any field.
func (s *Server) SetPoison(poison map[string]Spoil) error {
	for word, spoil := range poison {
		if word == "" {
			return fmt.Errorf("a poison needs a word that its rows hold; write for instance poisonous=%s", spoil)
		}
		if _, err := ParseSpoil(string(spoil)); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poison = maps.Clone(poison)
	return nil
}

// poisoned is what the row does to its call, and the text that holds the word.
// The caller holds mu.
func (s *Server) poisoned(r *row) (Spoil, string) {
	if len(s.poison) == 0 {
		return NoSpoil, ""
	}
	texts := []string{r.ActivityNote}
	for _, f := range r.Fields {
		texts = append(texts, f.Value)
	}
	for _, text := range texts {
		for word, spoil := range s.poison {
			if strings.Contains(text, word) {
				return spoil, text
			}
		}
	}
	return NoSpoil, ""
}

// spoiler finds the first row that ends the call, or else one that is left out.
func (s *Server) spoiler(rows []row) (at int, spoil Spoil) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rows {
		switch one, _ := s.poisoned(&rows[i]); one {
		case NoSpoil, SpoilQuoted:
		case SpoilLeftOut:
			at, spoil = i, one
		case SpoilFailed, SpoilHang, SpoilHangAfter, SpoilForbidden:
			return i, one
		}
	}
	return at, spoil
}

// isLeftOut reports whether the row is left out of answers.
func (s *Server) isLeftOut(r row) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	spoil, _ := s.poisoned(&r)
	return spoil == SpoilLeftOut
}

// quoted is the refusal of a row whose poison is to be quoted, or nil. The
// caller holds mu.
func (s *Server) quoted(r *row) *refusal {
	spoil, text := s.poisoned(r)
	if spoil != SpoilQuoted {
		return nil
	}
	return &refusal{inputException, fmt.Sprintf("Invalid Input! '%s' is not allowed here", text)}
}

// spoiled carries out and answers a call that its row at spoils.
func (s *Server) spoiled(w http.ResponseWriter, r *http.Request, call int, rows []row, at int, spoil Spoil, byField bool) {
	stored := rows[:0:0]
	switch spoil {
	case SpoilFailed:
		stored = rows[:at]
	case SpoilHangAfter:
		stored = rows[:at+1]
	case SpoilLeftOut:
		stored = rows
	case NoSpoil, SpoilHang, SpoilForbidden, SpoilQuoted:
	}
	stored = slices.DeleteFunc(slices.Clone(stored), s.isLeftOut)
	results, whole := s.apply(call, stored, byField)
	if whole != nil && spoil != SpoilHangAfter { // an earlier row has ended the call before it came to this one
		s.end(call, "refused")
		answer(w, http.StatusInternalServerError, envelope{"Error", whole.kind, whole.words})
		return
	}
	s.end(call, "spoiled_"+string(spoil))
	switch spoil {
	case SpoilFailed:
		s.answerFault(w, r, Failed500)
	case SpoilForbidden:
		htmlPage(w, http.StatusForbidden)
	case SpoilHang, SpoilHangAfter:
		<-r.Context().Done()
		reset(w)
	case SpoilLeftOut:
		left, n := answerRows(results), 0
		for i := range rows {
			if !s.isLeftOut(rows[i]) {
				left[n].RowNumber = i + 1
				n++
			}
		}
		answerResponse(w, response(left))
	case NoSpoil, SpoilQuoted:
		panic("fakeapi: " + spoil + " spoils no call")
	}
}
