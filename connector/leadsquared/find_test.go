package leadsquared

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

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
		// The bubble begins at midnight of 2000-01-01. 5 s are added on both sides,
		// and behind them the fraction that a Date may lack.
		0:                 {"1999-12-31 23:59:55", "2000-01-01 00:00:46"},
		90 * time.Second:  {"2000-01-01 00:01:25", "2000-01-01 00:02:16"},
		-90 * time.Second: {"1999-12-31 23:58:25", "1999-12-31 23:59:16"},
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
				q := connector.Query{Code: 320, From: begin, To: begin.Add(40 * time.Second), Page: 1}
				client.Find(t.Context(), q)
				if from := begin.Add(-astray).UTC().Format(time.DateTime); got.Parameter.FromDate != from {
					t.Errorf("from %s while the server's clock is unknown, want %s", got.Parameter.FromDate, from)
				}
				// All pages are about the same times, whatever is learned between two.
				client.Find(t.Context(), q)
				for q.Page = 2; q.Page < 17; q.Page++ {
					time.Sleep(300 * time.Millisecond)
					client.Find(t.Context(), q)
					if got.Parameter.FromDate != want[0] || got.Parameter.ToDate != want[1] {
						t.Errorf("from %s to %s, want %v", got.Parameter.FromDate, got.Parameter.ToDate, want)
					}
				}
				if got.Parameter.ActivityEvent != 320 || got.Paging.PageIndex != 16 || got.Paging.PageSize != 1000 || got.Sorting.ColumnName != "ProspectActivityId" {
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

// activities is a service that stores what is posted when it arrives, answers after a
// while, and gives those of the times that it is asked for, by its own clock.
type activities struct {
	mu     sync.Mutex // guards what follows
	ahead  time.Duration
	slow   time.Duration
	stored []time.Time
}

func (s *activities) now() time.Time { return time.Now().Add(s.ahead).UTC() }

func (s *activities) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path != pathFind {
		s.stored = append(s.stored, s.now())
		s.mu.Unlock()
		time.Sleep(s.slow)
		s.mu.Lock()
		w.Header().Set("Date", s.now().Format(http.TimeFormat))
		accept(w, r)
		return
	}
	var q asked
	_ = json.NewDecoder(r.Body).Decode(&q)
	from, _ := time.Parse(time.DateTime, q.Parameter.FromDate)
	to, _ := time.Parse(time.DateTime, q.Parameter.ToDate)
	found := 0
	for _, at := range s.stored {
		if !at.Before(from) && !at.After(to) {
			found++
		}
	}
	w.Header().Set("Date", s.now().Format(http.TimeFormat))
	_, _ = fmt.Fprintf(w, `{"RecordCount":%d}`, found)
}

func (s *activities) set(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

// A service that is slow tells little of its clock, by a Date at the end of a long
// request; what it stored at the beginning is found all the same.
func TestWhatASlowServiceStoredIsFound(t *testing.T) {
	for _, ahead := range []time.Duration{0, 90 * time.Second, -90 * time.Second} {
		for _, slow := range []time.Duration{0, time.Second, 12 * time.Second, 29 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				service := &activities{ahead: ahead, slow: slow}
				network := newPipeNet()
				serve(t, network, service.serve)
				client := newClient(t, configFor("http://h"), Settings{Dial: network.DialContext})
				for range 20 {
					sent := time.Now()
					if a := client.Deliver(t.Context(), batchOf(1), time.Time{}); a.Outcome != connector.Judged {
						t.Fatalf("%+v", a)
					}
					n := len(service.stored)
					page := client.Find(t.Context(), connector.Query{Code: 320, From: sent, To: time.Now(), Page: 1})
					if page.Total < 1 {
						t.Fatalf("ahead %v, answers after %v: %d of %d found", ahead, slow, page.Total, n)
					}
					time.Sleep(317 * time.Millisecond)
				}
			})
		}
	}
}

// When LeadSquared's clock is set between a call and the search for what it stored,
// both ways in which the clocks stood count, for a while.
func TestWhatWasStoredBeforeAClockWasSetIsFound(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 10 * time.Second, -10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			service := &activities{}
			network := newPipeNet()
			serve(t, network, service.serve)
			client := newClient(t, configFor("http://h"), Settings{Dial: network.DialContext})
			sent := time.Now()
			client.Deliver(t.Context(), batchOf(1), time.Time{})
			service.set(by)
			time.Sleep(time.Minute)
			client.Deliver(t.Context(), batchOf(1), time.Time{})
			if page := client.Find(t.Context(), connector.Query{Code: 320, From: sent, To: time.Now(), Page: 1}); page.Total != 2 {
				t.Errorf("set by %v: %d of 2 found", by, page.Total)
			}
			// What came later is asked for by the present clock alone.
			time.Sleep(time.Minute)
			later := time.Now()
			w := client.clock.window(320, 1, later, later, later)
			if span := w.serverTo.Sub(w.serverFrom); span > 2*aside+2*time.Second {
				t.Errorf("set by %v: a moment of later is looked for in %v", by, span)
			}
		})
	}
}

// wall returns the time as this machine's clock shows it after it was set, while
// the time that the machine counts on by itself is what it was.
func wall(t time.Time, set time.Duration) time.Time {
	inner := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&t))
	inner.wall += uint64(int64(set/time.Second)) << 30 // where package time has the seconds
	return t
}

func TestSettingThisMachinesClockMovesNoSearch(t *testing.T) {
	for _, set := range []time.Duration{-time.Hour, time.Hour} {
		var said strings.Builder
		c := clock{log: slog.New(slog.NewTextHandler(&said, nil))}
		sent := time.Now()
		server := sent.UTC()
		c.read(http.Header{"Date": {server.Format(http.TimeFormat)}}, sent, sent)
		now := wall(sent.Add(time.Minute), set)
		if now.Sub(sent) != time.Minute || now.Round(0).Sub(sent.Round(0)) != time.Minute+set {
			t.Fatal("package time keeps its times in another way than this test believes")
		}
		at, late := server, server.Add(time.Minute)
		for _, known := range []string{"before", "after"} {
			if w := c.window(320, 1, sent, now, now); w.serverFrom.After(at) || w.serverTo.Before(late) {
				t.Errorf("set by %v, %s an answer told: from %v to %v, want %v to %v within", set, known, w.serverFrom, w.serverTo, at, late)
			}
			if said.Len() > 0 && known == "before" {
				t.Error(said.String())
			}
			// Nor is it taken for a clock of the server that was set; but it is said.
			c.read(http.Header{"Date": {late.Format(http.TimeFormat)}}, now, now)
		}
		if !c.set.IsZero() || !strings.Contains(said.String(), "set the clock") {
			t.Errorf("set by %v: noticed at %v, said %q", set, c.set, said.String())
		}
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
	// A slow answer tells little, which is no reason to warn.
	c.read(http.Header{"Date": {at.Add(12 * time.Second).UTC().Format(http.TimeFormat)}}, at, at.Add(12*time.Second))
	if said.Len() > 0 || !c.known || c.ahead.least < -time.Second || c.ahead.most > time.Second {
		t.Errorf("ahead %v, said %q", c.ahead, said.String())
	}
	c = clock{log: slog.New(slog.NewTextHandler(&said, nil))}
	c.read(http.Header{"Date": {at.Add(12 * time.Second).UTC().Format(http.TimeFormat)}}, at, at.Add(12*time.Second))
	if said.Len() > 0 {
		t.Errorf("said %q of clocks that may agree", said.String())
	}
}
