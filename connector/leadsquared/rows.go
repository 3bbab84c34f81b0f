package leadsquared

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leadsink/leadsink/connector"
)

// judge gives each of n rows its verdict. An answer that does not name every
// row exactly once says nothing about any: if failed rows were left out and the
// others numbered anew, a refused row would look created.
func judge(a *connector.Answer, rows []object, n int) {
	verdicts := make([]connector.Verdict, n)
	seen := make([]bool, n)
	for _, o := range rows {
		number, err := strconv.Atoi(string(o["RowNumber"]))
		if err != nil || number < 1 || number > n || seen[number-1] {
			a.Outcome = connector.Unknown
			a.Message = fmt.Sprintf("the answer does not number its rows from 1 to %d, each once", n)
			return
		}
		seen[number-1] = true
		verdicts[number-1] = o.verdict()
	}
	if len(rows) != n {
		a.Outcome = connector.Unknown
		a.Message = fmt.Sprintf("the answer has %d rows for %d activities", len(rows), n)
		return
	}
	// Invariant 6: verdict i is for row i.
	a.Outcome, a.Verdicts = connector.Judged, verdicts
}

// An object is a JSON object whose members are looked up by their exact names.
type object map[string]json.RawMessage

const noID = "00000000-0000-0000-0000-000000000000"

// verdict returns what an answer's row says. Created needs both the flag and
// an id; without either, nothing is proven.
func (o object) verdict() connector.Verdict {
	id := strings.TrimSpace(o.string("ProspectActivityId"))
	if id == noID {
		id = ""
	}
	created := string(o["ActivityCreated"])
	if created == "true" && id != "" {
		return connector.Verdict{Kind: connector.RowCreated, ActivityID: id}
	}
	words := o.words()
	switch {
	case created != "true" && created != "false":
		return connector.Verdict{Message: orElse(words, "the row does not say whether the activity was created")}
	case created == "true":
		return connector.Verdict{Message: orElse(words, "the activity was created, but without an id")}
	case id != "":
		return connector.Verdict{Message: orElse(words, "the activity was not created, but has an id")}
	case overLimit(o.string("ExceptionType"), o.limitWords()):
		return connector.Verdict{Kind: connector.RowAgain, Message: words}
	}
	return connector.Verdict{Kind: connector.RowRefused, Message: orElse(words, "the activity was not created; no reason was given")}
}

// words returns what an object says, in any of the ways in which LeadSquared's
// calls do: "TYPE: message", or its status if it has nothing else.
func (o object) words() string {
	var said []string
	add := func(text string) {
		if text = strings.TrimSpace(text); text != "" && !slices.Contains(said, text) {
			said = append(said, text)
		}
	}
	add(o.string("ExceptionType"))
	for _, name := range []string{"ExceptionMessage", "ErrorMessage", "Message", "Reason"} {
		add(o.string(name))
		var inner object
		if raw := o[name]; len(raw) > 0 && raw[0] == '{' && json.Unmarshal(raw, &inner) == nil {
			for _, name := range []string{"ExceptionType", "ExceptionMessage", "ErrorMessage", "Message", "Reason"} {
				add(inner.string(name))
			}
		}
	}
	if len(said) == 0 {
		add(o.string("Status"))
	}
	return strings.Join(said, ": ")
}

// string returns the member's text, or its digits if it is a number; "" for
// anything else.
func (o object) string(name string) string {
	raw := o[name]
	if len(raw) == 0 {
		return ""
	}
	if c := raw[0]; c == '-' || '0' <= c && c <= '9' {
		return string(raw)
	}
	// Nearly all is plain text, which needs no decoding.
	if end := len(raw) - 1; raw[0] == '"' && end > 0 && !slices.ContainsFunc(raw[1:end], special) {
		return string(raw[1:end])
	}
	var text string
	_ = json.Unmarshal(raw, &text) // what is no string leaves it empty
	return text
}

// special reports whether a byte of a JSON string may stand for something else.
func special(c byte) bool { return c == '\\' || c >= utf8.RuneSelf }

func orElse(text, other string) string {
	if text != "" {
		return text
	}
	return other
}
