package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is one thing that is wrong with a document.
type Error struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`   // from 1; 0: the document as a whole
	Column int    `json:"column,omitempty"` // in characters, from 1
	Key    string `json:"key,omitempty"`    // path of the key concerned, "" for none
	Text   string `json:"text"`             // what is wrong; what to do

	excerpt string // the line, without secrets; "" where there is none to show
}

// Error returns FILE:LINE:COLUMN: KEY: what is wrong; what to do, followed by
// the line and a caret below the place.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Text)
	if e.excerpt != "" {
		line, column := clip(e.excerpt, e.Column)
		b.WriteString("\n    " + line + "\n    " + strings.Repeat(" ", column-1) + "^")
	}
	return b.String()
}

// clip shortens a long line to what surrounds the column, and returns the
// column in the shortened line.
func clip(line string, column int) (string, int) {
	const width = 120
	runes := []rune(line)
	column = max(1, min(column, len(runes)+1))
	if len(runes) <= width {
		return line, column
	}
	first := max(0, min(column-width/2, len(runes)-width))
	last := min(len(runes), first+width)
	return string(runes[first:last]), column - first
}

// short leaves out the middle of a key that is longer than anybody reads: with
// aliases it may be longer than the document.
func short(key string) string {
	const most = 240
	runes := []rune(key)
	if len(runes) <= most {
		return key
	}
	return string(runes[:most/2]) + "…" + string(runes[len(runes)-most/2:])
}

// Errors is everything that is wrong with a document, in order of position.
type Errors struct {
	List []*Error
}

// Error returns the errors, one below the other: all of them, unless there are
// more than anybody reads.
func (e *Errors) Error() string {
	const most = 100
	var texts []string
	for _, one := range e.List[:min(most, len(e.List))] {
		texts = append(texts, one.Error())
	}
	if more := len(e.List) - most; more > 0 {
		texts = append(texts, fmt.Sprintf("%s: %d more errors; correct these first", e.List[0].File, more))
	}
	return strings.Join(texts, "\n")
}

// sorted brings the errors into order of position and drops repetitions.
func sorted(list []*Error) *Errors {
	slices.SortStableFunc(list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	list = slices.CompactFunc(list, func(a, b *Error) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Key == b.Key && a.Text == b.Text
	})
	return &Errors{List: list}
}
