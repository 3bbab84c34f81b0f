package fakeapi_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// retrieval is a read's body; the times are seconds after the bubble's start.
func retrieval(start time.Time, code, from, to, page, size int) map[string]any {
	at := func(s int) string { return start.Add(time.Duration(s) * time.Second).UTC().Format(time.DateTime) }
	return map[string]any{
		"Parameter": map[string]any{"FromDate": at(from), "ToDate": at(to), "ActivityEvent": code},
		"Paging":    map[string]any{"PageIndex": page, "PageSize": size},
		"Sorting":   map[string]any{"ColumnName": "ProspectActivityId", "Direction": 0},
	}
}

const byEvent = "/v2/ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"

type readPage struct {
	RecordCount int
	List        []map[string]string
}

func (f *fake) read(body any) readPage {
	f.Helper()
	a := f.postTo(byEvent, body)
	f.must(a, http.StatusOK)
	return decode[readPage](f.T, a)
}

func TestAReadShowsWhatWasStoredInItsTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{ReadLag: 3 * time.Second})
		began := time.Now()
		time.Sleep(10*time.Second + 400*time.Millisecond)
		f.post(orders(0, 5))
		f.post([]activity{{Lead: "lead-9", Code: 321, Fields: []field{{"mx_Custom_0", "other"}}}})

		if got := f.read(retrieval(began, 320, 0, 60, 1, 1000)); got.RecordCount != 0 || got.List != nil {
			t.Errorf("read within the lag: %+v, want nothing, without a List", got)
		}
		time.Sleep(3 * time.Second)
		if got := f.read(retrieval(began, 320, 0, 60, 1, 1000)); got.RecordCount != 5 || len(got.List) != 5 {
			t.Errorf("read after the lag: %d of %d, want 5 of 5", len(got.List), got.RecordCount)
		}
		// Stored at 10.4 s: a whole second at the end cuts the fraction off.
		if got := f.read(retrieval(began, 320, 0, 10, 1, 1000)); got.RecordCount != 0 {
			t.Errorf("%d read up to second 10, want none", got.RecordCount)
		}
		if got := f.read(retrieval(began, 320, 10, 11, 1, 1000)); got.RecordCount != 5 {
			t.Errorf("%d read from second 10 to 11, want 5", got.RecordCount)
		}
		seen := map[string]bool{}
		for page := 1; page <= 3; page++ {
			got := f.read(retrieval(began, 320, 0, 60, page, 2))
			if got.RecordCount != 5 {
				t.Errorf("page %d says %d in all, want 5", page, got.RecordCount)
			}
			for _, a := range got.List {
				seen[a["ActivityEvent_Note"]] = true
			}
		}
		if len(seen) != 5 {
			t.Errorf("three pages of two show %d activities, want 5", len(seen))
		}
		if s := f.Summary(""); s.Reads != 7 || s.Calls != 2 {
			t.Errorf("%d reads and %d calls were counted, want 7 and 2", s.Reads, s.Calls)
		}
	})
}

func TestAReadWithoutItsParametersIsRefused(t *testing.T) {
	f := start(t, fakeapi.Config{})
	now := time.Now()
	for name, body := range map[string]any{
		"no code":          retrieval(now, 0, 0, 1, 1, 10),
		"a page too large": retrieval(now, 320, 0, 1, 1, 1001),
		"page zero":        retrieval(now, 320, 0, 1, 0, 10),
		"no times":         map[string]any{"Parameter": map[string]any{"ActivityEvent": 320}, "Paging": map[string]any{"PageIndex": 1, "PageSize": 10}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{T: t, Server: f.Server, client: f.client, host: f.host}
			f.must(f.postTo(byEvent, body), http.StatusInternalServerError, "MXInvalidInputException")
		})
	}
	f.must(f.postTo("/v2/ProspectActivity.svc/RetrieveByActivityEvent", retrieval(now, 320, 0, 1, 1, 10)), http.StatusNotFound)
}

func TestALateCallIsAppliedAfterItsClientHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{LateBy: 5 * time.Second})
		f.client.Timeout = 2 * time.Second
		f.Script(fakeapi.Late)
		began := time.Now()
		if a := f.post(orders(0, 3)); a.err == nil {
			t.Errorf("answered %d", a.status)
		}
		time.Sleep(4 * time.Second)
		if n := len(f.Activities(0, 0)); n != 0 {
			t.Errorf("%d activities 4 s after the client has gone, want none yet", n)
		}
		time.Sleep(2 * time.Second)
		created := f.Activities(0, 0)
		if len(created) != 3 {
			t.Fatalf("%d activities 6 s after the client has gone, want 3", len(created))
		}
		if at := created[0].Stored.Sub(began); fmt.Sprint(at.Round(time.Second)) != "7s" || created[0].At.Sub(began) > time.Second {
			t.Errorf("arrived after %s and stored after %s, want at once and 7s", created[0].At.Sub(began), at)
		}
	})
}
