package leadsquared

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/connector"
)

// asked is a question as the server got it.
type asked struct {
	Parameter struct {
		FromDate, ToDate string
		ActivityEvent    int
		RemoveEmptyValue bool
	}
	Paging  struct{ PageIndex, PageSize int }
	Sorting struct {
		ColumnName string
		Direction  int
	}
}

func TestAPageIsAskedForByTheServersClock(t *testing.T) {
	for ahead, want := range map[time.Duration][2]string{
		// The bubble begins at midnight of 2000-01-01. 5 s are added on both sides.
		0:                 {"1999-12-31 23:59:55", "2000-01-01 00:00:45"},
		90 * time.Second:  {"2000-01-01 00:01:25", "2000-01-01 00:02:15"},
		-90 * time.Second: {"1999-12-31 23:58:25", "1999-12-31 23:59:15"},
	} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got asked
				network := newPipeNet()
				serve(t, network, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
					if r.URL.Path != pathFind || r.URL.RawQuery != "" || r.Header.Get("x-LSQ-AccessKey") != canaryAccess {
						t.Errorf("asked at %s with %v", r.URL, r.Header)
					}
					body, _ := io.ReadAll(r.Body)
					if err := json.Unmarshal(body, &got); err != nil {
						t.Error(err)
					}
					_, _ = io.WriteString(w, `{"RecordCount":0}`)
				})
				c := configFor("http://h")
				c.Marker = "mx_Custom_5"
				client := newClient(t, c, Settings{Dial: network.DialContext})
				begin := time.Now()
				q := connector.Query{Code: 320, From: begin, To: begin.Add(40 * time.Second), Page: 2}
				client.Find(t.Context(), q)
				if from := begin.Add(-astray).UTC().Format(time.DateTime); got.Parameter.FromDate != from {
					t.Errorf("from %s while the server's clock is unknown, want %s", got.Parameter.FromDate, from)
				}
				// All pages are about the same times, whatever fraction a Date lacks.
				for range 15 {
					time.Sleep(300 * time.Millisecond)
					client.Find(t.Context(), q)
					if got.Parameter.FromDate != want[0] || got.Parameter.ToDate != want[1] {
						t.Errorf("from %s to %s, want %v", got.Parameter.FromDate, got.Parameter.ToDate, want)
					}
				}
				if got.Parameter.ActivityEvent != 320 || got.Paging.PageIndex != 2 || got.Paging.PageSize != 1000 || got.Sorting.ColumnName != "ProspectActivityId" {
					t.Errorf("asked for %+v", got)
				}
			})
		})
	}
}

func TestAPageHoldsTheMarkersHoweverTheyAreWritten(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		want   connector.Page
	}{
		"flat": {
			200, `{"RecordCount":7,"List":[{"ProspectActivityId":"a","mx_Custom_5":"t-0-1:r","mx_Custom_1":"x"},{"ProspectActivityId":"b"}]}`,
			connector.Page{Rows: 2, Total: 7, Markers: []string{"t-0-1:r"}, IDs: []string{"a"}},
		},
		"fields":           {200, `{"RecordCount":1,"List":[{"Fields":[{"SchemaName":"mx_Custom_1","Value":"x"},{"SchemaName":"mx_Custom_5","Value":"m"}]}]}`, connector.Page{Rows: 1, Total: 1, Markers: []string{"m"}, IDs: []string{""}}},
		"data":             {200, `{"RecordCount":1,"List":[{"Data":[{"Key":"mx_Custom_5","Value":"m"}]}]}`, connector.Page{Rows: 1, Total: 1, Markers: []string{"m"}, IDs: []string{""}}},
		"activity fields":  {200, `{"RecordCount":1,"List":[{"ActivityFields":{"mx_Custom_5":"m"}}]}`, connector.Page{Rows: 1, Total: 1, Markers: []string{"m"}, IDs: []string{""}}},
		"a bare list":      {200, `[{"mx_Custom_5":"m"}]`, connector.Page{Rows: 1, Total: -1, Markers: []string{"m"}, IDs: []string{""}}},
		"nothing":          {200, `{"RecordCount":0}`, connector.Page{}},
		"throttled":        {429, `{"Status":"Error","ExceptionType":"MXAPIRateLimitExceededException","ExceptionMessage":"API calls exceeded the limit of 10 in 5 second(s)"}`, connector.Page{Answer: connector.Answer{Outcome: connector.Throttled}}},
		"refused":          {500, `{"Status":"Error","ExceptionType":"MXInvalidInputException","ExceptionMessage":"page size"}`, connector.Page{Answer: connector.Answer{Outcome: connector.Refused}}},
		"refused with 200": {200, `{"Status":"Error","ExceptionType":"MXInvalidInputException","ExceptionMessage":"page size"}`, connector.Page{Answer: connector.Answer{Outcome: connector.Refused}}},
		"denied":           {401, `{}`, connector.Page{Answer: connector.Answer{Outcome: connector.Fault}}},
		"not there":        {404, ``, connector.Page{Answer: connector.Answer{Outcome: connector.Fault}}},
		"a gateway":        {502, `<html>`, connector.Page{Answer: connector.Answer{Outcome: connector.Unknown}}},
		"half a page":      {200, `{"RecordCount":1,"List":[{"mx_`, connector.Page{Answer: connector.Answer{Outcome: connector.Unknown}}},
		"something else":   {200, `{"Response":[]}`, connector.Page{Answer: connector.Answer{Outcome: connector.Unknown}}},
		"no count":         {200, `{"List":[{"mx_Custom_5":"m"}]}`, connector.Page{Answer: connector.Answer{Outcome: connector.Unknown}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := readPage(response{status: test.status, body: []byte(test.body), at: time.Now()}, "mx_Custom_5")
			if got.Outcome != test.want.Outcome {
				t.Errorf("%v (%s), want %v", got.Outcome, got.Message, test.want.Outcome)
			}
			got.Answer, test.want.Answer = connector.Answer{}, connector.Answer{}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPageThatIsLongerThanItsBoundProvesNothing(t *testing.T) {
	r := response{status: 200, body: []byte(`{"RecordCount":0}`), broken: "the answer is longer than 33554432 bytes"}
	if p := readPage(r, "mx_Custom_5"); p.Outcome != connector.Unknown || !strings.Contains(p.Message, "longer than") {
		t.Errorf("%v: %s", p.Outcome, p.Message)
	}
}

func TestClocksThatAreApartAreSaidOnceAnHour(t *testing.T) {
	var said strings.Builder
	c := clock{log: slog.New(slog.NewTextHandler(&said, nil))}
	at := time.Now()
	for range 3 {
		c.read(http.Header{"Date": {at.Add(-5 * time.Second).UTC().Format(http.TimeFormat)}}, at, at)
	}
	if n := strings.Count(said.String(), "set the clock"); n != 1 {
		t.Errorf("said %d times: %s", n, said.String())
	}
	c = clock{log: slog.New(slog.NewTextHandler(&said, nil))}
	said.Reset()
	c.read(http.Header{"Date": {at.UTC().Format(http.TimeFormat)}}, at, at)
	c.read(http.Header{"Date": {"soon"}}, at, at)
	if ahead, known := c.ahead(); said.Len() > 0 || !known || ahead.Abs() > time.Second {
		t.Errorf("ahead %s, said %q", ahead, said.String())
	}
}
