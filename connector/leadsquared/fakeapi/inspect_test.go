package fakeapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// decode reads an answer about the fake.
func decode[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.text), &v); err != nil || a.status != http.StatusOK {
		t.Fatalf("status %d, %q, %v", a.status, a.text, err)
	}
	return v
}

type page[T any] struct {
	Items []T `json:"items"`
	Next  int `json:"next"`
}

func TestWhatWasCreatedIsRememberedAsItWasSent(t *testing.T) {
	f := start(t, fakeapi.Config{})
	sent := activity{Lead: "l-1", Code: 320, Note: "ü", Time: "2026-01-02 03:04:05", Fields: []field{{"mx_Custom_1", "a"}, {"mx_Custom_7", "12345678901234567890"}}}
	before := time.Now()
	f.post(orders(0, 2))
	rows := f.post([]activity{orders(2, 1)[0], sent}).rows(t)
	got := decode[page[fakeapi.Activity]](t, f.get("/_fake/activities?after=3")).Items[0]
	if got.At.Before(before) || got.At.After(time.Now()) {
		t.Errorf("created at %s", got.At)
	}
	if got.Stored.Before(got.At) || got.Stored.After(time.Now()) {
		t.Errorf("stored at %s, but created at %s", got.Stored, got.At)
	}
	got.At, got.Stored = time.Time{}, time.Time{}
	want := fakeapi.Activity{
		ID: rows[1].ProspectActivityID, Call: 2, Row: 2, Lead: "l-1", Code: 320, Note: "ü", Time: "2026-01-02 03:04:05",
		Fields: map[string]string{"mx_Custom_1": "a", "mx_Custom_7": "12345678901234567890"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestQuestionsAreAnsweredAlikeOverHTTPAndByMethods(t *testing.T) { synctest.Test(t, askBothWays) }

func askBothWays(t *testing.T) {
	f := start(t, fakeapi.Config{Limits: limits("3/5s")})
	f.Script(fakeapi.NoFault, fakeapi.HangBefore)
	f.post(orders(0, 5))
	f.client.Timeout = time.Second
	f.post(orders(5, 2))
	f.client.Timeout = 0
	f.post([]activity{{Lead: "unknown-1", Code: 320}})
	f.post(orders(7, 1)) // over the limit
	if diff := cmp.Diff(f.Summary("mx_Custom_1"), decode[fakeapi.Summary](t, f.get("/_fake/summary?key=mx_Custom_1"))); diff != "" {
		t.Errorf("summary: %s", diff)
	}
	if diff := cmp.Diff(f.Activities(0, 0), decode[page[fakeapi.Activity]](t, f.get("/_fake/activities")).Items); diff != "" {
		t.Errorf("activities: %s", diff)
	}
	calls := decode[page[fakeapi.Call]](t, f.get("/_fake/calls")).Items
	if diff := cmp.Diff(f.Calls(0, 0), calls); diff != "" {
		t.Errorf("calls: %s", diff)
	}
	var told []string
	for _, c := range calls {
		told = append(told, fmt.Sprintf("%s: %d rows, %d created, %d refused", c.Outcome, c.Rows, c.Created, c.Refused))
	}
	want := []string{"created: 5 rows, 5 created, 0 refused", "hang_before: 2 rows, 0 created, 0 refused", "created: 1 rows, 0 created, 1 refused", "throttled: 0 rows, 0 created, 0 refused"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}

func TestDuplicatesAreCountedByTheChosenKey(t *testing.T) {
	f := start(t, fakeapi.Config{})
	row := func(note, marker string) activity {
		return activity{Lead: "l", Code: 320, Note: note, Fields: []field{{"mx_Custom_1", marker}}}
	}
	f.post([]activity{row("1", "a"), row("2", "a"), row("3", "b"), row("3", "a")})
	if sum := f.Summary(""); sum.Distinct != 3 || sum.Twice != 1 {
		t.Errorf("by the note: %+v; want 3 distinct, 1 twice", sum)
	}
	if sum := f.Summary("mx_Custom_1"); sum.Distinct != 2 || sum.Twice != 2 {
		t.Errorf("by the marker: %+v; want 2 distinct, 2 twice", sum)
	}
}

func TestPagesHoldEverythingOnce(t *testing.T) {
	f := start(t, fakeapi.Config{})
	for i := range 4 {
		f.post(orders(25*i, 25))
	}
	var notes, want []string
	after := 0
	for {
		p := decode[page[fakeapi.Activity]](t, f.get(fmt.Sprintf("/_fake/activities?after=%d&limit=30", after)))
		for _, a := range p.Items {
			notes = append(notes, a.Note)
		}
		if len(p.Items) == 0 {
			break
		}
		after = p.Next
	}
	for _, r := range orders(0, 100) {
		want = append(want, r.Note)
	}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Error(diff)
	}
	for _, query := range []string{"after=-1", "limit=x"} {
		f.must(f.get("/_fake/calls?"+query), http.StatusBadRequest, "whole numbers")
	}
}

func TestQuestionsNeedNoKeysAndAreNotCounted(t *testing.T) {
	f := start(t, fakeapi.Config{AccessKey: "a", SecretKey: "s", Limits: limits("1/5s"), Latency: time.Hour})
	for _, path := range []string{"/_fake/summary", "/_fake/activities", "/_fake/calls"} {
		f.must(f.get(path), http.StatusOK)
	}
	if sum := f.Summary(""); sum.Calls != 0 {
		t.Errorf("summary %+v", sum)
	}
}

func TestFaultsAndLimitsChangeOverHTTP(t *testing.T) {
	f := start(t, fakeapi.Config{})
	change := func(path, body string, status int, words ...string) {
		t.Helper()
		f.must(f.do(http.MethodPost, path, strings.NewReader(body), nil), status, words...)
	}
	change("/_fake/faults", `{"rates":{"gateway_503":1},"script":["denied","","throttle"]}`, http.StatusNoContent)
	for i, want := range []int{401, 200, 429, 503} {
		f.must(f.post(orders(i, 1)), want)
	}
	change("/_fake/faults", `{"rates":{"slw":1}}`, http.StatusBadRequest, `there is no fault "slw"`)
	change("/_fake/faults", `{"script":["slw"]}`, http.StatusBadRequest, `there is no fault "slw"`)
	change("/_fake/faults", `{"rate":{}}`, http.StatusBadRequest, "rate")
	f.must(f.post(orders(4, 1)), 503) // what is wrong changes nothing
	change("/_fake/faults", `{}`, http.StatusNoContent)
	f.must(f.post(orders(5, 1)), 200)
	change("/_fake/limits", `{"limits":["1/h"]}`, http.StatusNoContent)
	f.must(f.post(orders(6, 1)), 200)
	f.must(f.post(orders(7, 1)), 429, "the limit of 1 in 3600 second(s)")
	change("/_fake/limits", `{"limits":["x"]}`, http.StatusBadRequest, "CALLS/WINDOW")
	change("/_fake/limits", `{"limits":[]}`, http.StatusNoContent)
	f.must(f.post(orders(8, 1)), 200)
}

func TestCountingOnlyKeepsNumbers(t *testing.T) {
	f := start(t, fakeapi.Config{CountOnly: true, Limits: limits("2/h")})
	rows := f.post(append(orders(0, 3), activity{Lead: "unknown-1", Code: 320})).rows(t)
	f.post(orders(3, 2))
	f.post(orders(5, 1))
	if rows[0].ProspectActivityID == "" || rows[0].ProspectActivityID == rows[1].ProspectActivityID {
		t.Errorf("ids %q and %q", rows[0].ProspectActivityID, rows[1].ProspectActivityID)
	}
	sum := f.Summary("")
	if sum.Calls != 3 || sum.Rows != 6 || sum.Created != 5 || sum.Refused != 1 || sum.Violations != 1 || sum.Most["2/1h"] != 3 {
		t.Errorf("summary %+v", sum)
	}
	if len(f.Activities(0, 0)) != 0 || len(f.Calls(0, 0)) != 0 {
		t.Error("more than numbers is kept")
	}
}
