package fakeapi_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// spoils says of each what a client with a timeout of 30 s sees of a call of
// four rows of which the third holds the word, and which rows are stored.
var spoils = map[fakeapi.Spoil]struct {
	status int
	says   string
	rows   []int
	err    error
	stored string
}{
	fakeapi.SpoilFailed:    {status: 500, says: "NullReferenceException", stored: "1 2"},
	fakeapi.SpoilLeftOut:   {status: 200, rows: []int{1, 2, 4}, stored: "1 2 4"},
	fakeapi.SpoilHang:      {err: context.DeadlineExceeded},
	fakeapi.SpoilHangAfter: {err: context.DeadlineExceeded, stored: "1 2 3 bad word"},
	fakeapi.SpoilForbidden: {status: 403, says: "<html>"},
	fakeapi.SpoilQuoted:    {status: 200, says: "'3 bad word' is not allowed here", rows: []int{1, 2, 3, 4}, stored: "1 2 4"},
}

func TestARowThatHoldsAPoisonSpoilsEveryCallThatItIsIn(t *testing.T) {
	if len(spoils) != len(fakeapi.Spoils()) {
		t.Errorf("%d poisons are tested of %d", len(spoils), len(fakeapi.Spoils()))
	}
	for _, spoil := range fakeapi.Spoils() {
		t.Run(string(spoil), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { seeSpoil(t, spoil) }) })
	}
}

func seeSpoil(t *testing.T, spoil fakeapi.Spoil) {
	want := spoils[spoil]
	f := start(t, fakeapi.Config{Poison: map[string]fakeapi.Spoil{"bad word": spoil}})
	f.client.Timeout = 30 * time.Second
	rows := orders(0, 4)
	rows[2].Note = "3 bad word"
	for range 2 { // whenever it comes
		a := f.post(rows)
		if a.status != want.status || !errors.Is(a.err, want.err) || !strings.Contains(a.text, want.says) {
			t.Errorf("status %d, %q, %v; want %d, %q, %v", a.status, a.text, a.err, want.status, want.says, want.err)
		}
		if want.rows != nil {
			var numbers []int
			for _, r := range a.rows(t) {
				numbers = append(numbers, r.RowNumber)
			}
			if !slices.Equal(numbers, want.rows) {
				t.Errorf("rows %v in the answer, want %v", numbers, want.rows)
			}
		}
	}
	synctest.Wait()
	var stored []string
	for _, a := range f.Activities(0, 0) {
		if a.Call == 1 {
			stored = append(stored, a.Note)
		}
	}
	if got := strings.Join(stored, " "); got != want.stored {
		t.Errorf("stored %q, want %q", got, want.stored)
	}
	f.must(f.post(orders(4, 1)), http.StatusOK, `"ActivityCreated":true`)
}

func TestAPoisonThatCannotBeIsAnError(t *testing.T) {
	for how, says := range map[string]fakeapi.Config{
		"choose among failed, left_out, ": {Poison: map[string]fakeapi.Spoil{"word": "fial"}},
		"needs a word":                    {Poison: map[string]fakeapi.Spoil{"": fakeapi.SpoilHang}},
	} {
		if _, err := fakeapi.New(says); err == nil || !strings.Contains(err.Error(), how) {
			t.Errorf("%v; want %q", err, how)
		}
	}
}

func TestWhatARefusedCallStoresMayDependOnTheTypeOfTheRefusal(t *testing.T) {
	f := start(t, fakeapi.Config{Reading: fakeapi.H2Mixed})
	good := orders(0, 6)
	f.must(f.post([]activity{good[0], with(320, "mx_Custom_7", "no number"), {Lead: "unknown-1", Code: 320}}), http.StatusInternalServerError, "MXInvalidDataTypeException")
	if n := len(f.Activities(0, 0)); n != 0 {
		t.Errorf("%d rows are stored before a value that is refused, want none", n)
	}
	f.must(f.post([]activity{good[1], {Lead: "unknown-1", Code: 320}, good[2]}), http.StatusInternalServerError, "does not exist")
	if got := f.Activities(0, 0); len(got) != 1 || got[0].Note != "2" {
		t.Errorf("stored %+v; want the row before the lead that is not known", got)
	}
}
