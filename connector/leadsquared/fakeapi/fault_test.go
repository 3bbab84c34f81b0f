package fakeapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// faults says of each what a client with a timeout of 30 s sees of a call of
// three rows.
var faults = map[fakeapi.Fault]struct {
	status  int    // 0: none
	says    string // in the answer
	not     string // not in the answer
	rows    []int  // their numbers in the answer
	err     error  // instead of an answer
	after   time.Duration
	created int
}{
	fakeapi.Throttle:    {status: 429, says: "MXAPIRateLimitExceededException\",\"ExceptionMessage\":\"API calls exceeded the limit of 7 in 5 second(s)"},
	fakeapi.Throttle403: {status: 403, says: "API calls exceeded the limit of 7 in 5 second(s)"},
	fakeapi.Throttle200: {status: 200, says: `{"Status":"Error","ExceptionType":"MXAPIRateLimitExceededException","ExceptionMessage":"API calls exceeded the limit of 7 in 5 second(s)"}`},
	fakeapi.RefuseCall:  {status: 500, says: `"ExceptionType":"MX`},
	fakeapi.Failed500:   {status: 500, says: `"Status":"Error"`, not: `"MX`},
	fakeapi.Gateway502:  {status: 502, says: "<html>", not: "{"},
	fakeapi.Gateway503:  {status: 503, says: "<html>", not: "{"},
	fakeapi.Denied:      {status: 401, says: "MXInvalidAccessDetailsException"},
	fakeapi.TooLarge:    {status: 413, not: "{"},
	fakeapi.ResetBefore: {err: io.EOF},
	fakeapi.ResetAfter:  {err: io.EOF, created: 3},
	fakeapi.HangBefore:  {err: context.DeadlineExceeded, after: 30 * time.Second},
	fakeapi.HangAfter:   {err: context.DeadlineExceeded, after: 30 * time.Second, created: 3},
	fakeapi.Late:        {err: context.DeadlineExceeded, after: 30 * time.Second, created: 3},
	fakeapi.Slow:        {status: 200, rows: []int{1, 2, 3}, after: 10 * time.Second, created: 3},
	fakeapi.StatusError: {status: 200, says: `"Status":"Error"`, not: `"MX`},
	fakeapi.Truncated:   {status: 200, says: `{"Response":[`, not: "]}", created: 3},
	fakeapi.RowMissing:  {status: 200, rows: []int{1, 2}, created: 3},
	fakeapi.RowTwice:    {status: 200, rows: []int{1, 2, 3, 1}, created: 3},
	fakeapi.Renumbered:  {status: 200, rows: []int{2, 3, 4}, created: 3},
	fakeapi.Reordered:   {status: 200, rows: []int{3, 2, 1}, created: 3},
}

func TestEveryFaultIsSeenAsItIsDescribed(t *testing.T) {
	if len(faults) != len(fakeapi.Faults()) {
		t.Errorf("%d faults are tested of %d", len(faults), len(fakeapi.Faults()))
	}
	for _, fault := range fakeapi.Faults() {
		t.Run(string(fault), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { seeFault(t, fault) }) })
	}
}

func seeFault(t *testing.T, fault fakeapi.Fault) {
	want := faults[fault]
	f := start(t, fakeapi.Config{Limits: limits("7/5s")})
	f.client.Timeout = 30 * time.Second
	f.Script(fault)
	begun := time.Now()
	a := f.post(orders(0, 3))
	if took := time.Since(begun); took != want.after {
		t.Errorf("it took %s, want %s", took, want.after)
	}
	if a.status != want.status || !errors.Is(a.err, want.err) {
		t.Errorf("status %d, %v; want %d, %v", a.status, a.err, want.status, want.err)
	}
	if !strings.Contains(a.text, want.says) || want.not != "" && strings.Contains(a.text, want.not) {
		t.Errorf("%q; want %q and not %q", a.text, want.says, want.not)
	}
	if want.rows != nil {
		var numbers []int
		for _, r := range a.rows(t) {
			numbers = append(numbers, r.RowNumber)
		}
		if diff := cmp.Diff(want.rows, numbers); diff != "" {
			t.Errorf("row numbers: %s", diff)
		}
	}
	synctest.Wait()
	if sum := f.Summary(""); sum.Created != want.created || sum.Outcomes[string(fault)] != 1 {
		t.Errorf("summary %+v; want %d created and the outcome %s", sum, want.created, fault)
	}
	f.must(f.post(orders(3, 1)), http.StatusOK, `"ActivityCreated":true`)
}

func TestALateCallIsAppliedOnlyOnceTheClientHasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, fakeapi.Config{})
		f.client.Timeout = 30 * time.Second
		f.Script(fakeapi.Late)
		go f.post(orders(0, 3)) // ends by its timeout
		time.Sleep(30*time.Second - time.Nanosecond)
		synctest.Wait()
		if n := f.Summary("").Created; n != 0 {
			t.Errorf("%d rows are created while the client still waits", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := f.Summary("").Created; n != 3 {
			t.Errorf("%d rows are created in the end, want 3", n)
		}
	})
}

func TestASingleRowIsNeverTooLarge(t *testing.T) {
	f := start(t, fakeapi.Config{Rates: map[fakeapi.Fault]float64{fakeapi.TooLarge: 1}})
	f.must(f.post(orders(0, 2)), http.StatusRequestEntityTooLarge)
	f.must(f.post(orders(0, 1)), http.StatusOK, `"ActivityCreated":true`)
}

func TestALostAnswerHidesARefusal(t *testing.T) {
	f := start(t, fakeapi.Config{Reading: fakeapi.H2Before})
	f.Script(fakeapi.ResetAfter)
	a := f.post([]activity{orders(0, 1)[0], {Lead: "unknown-1", Code: 320}, orders(1, 1)[0]})
	if !errors.Is(a.err, io.EOF) {
		t.Errorf("status %d, %q, %v; want a broken connection", a.status, a.text, a.err)
	}
	if got := f.Activities(0, 0); len(got) != 1 || got[0].Note != "1" {
		t.Errorf("created %+v; want the row before the bad one", got)
	}
}

func TestAScriptGoesFirstAndInItsOrder(t *testing.T) {
	f := start(t, fakeapi.Config{Rates: map[fakeapi.Fault]float64{fakeapi.Gateway503: 1}})
	f.Script(fakeapi.Throttle, fakeapi.NoFault, fakeapi.Denied)
	for i, want := range []int{429, 200, 401, 503, 503} {
		if a := f.post(orders(i, 1)); a.status != want {
			t.Errorf("call %d: status %d, want %d", i+1, a.status, want)
		}
	}
}

func TestFaultsByRateComeAsOftenAsSaidAndAgainWithTheirSeed(t *testing.T) {
	play := func(seed uint64) (outcomes []string, counts map[string]int) {
		f := start(t, fakeapi.Config{Seed: seed, Rates: map[fakeapi.Fault]float64{fakeapi.Throttle: 0.1, fakeapi.Gateway502: 0.3}})
		for i := range 1000 {
			f.post(orders(i, 1))
		}
		for _, c := range f.Calls(0, 0) {
			outcomes = append(outcomes, c.Outcome)
		}
		return outcomes, f.Summary("").Outcomes
	}
	first, counts := play(1)
	again, _ := play(1)
	other, _ := play(2)
	if !slices.Equal(first, again) {
		t.Error("the same seed gives other faults")
	}
	if slices.Equal(first, other) {
		t.Error("another seed gives the same faults")
	}
	if n := counts["throttle"]; n < 70 || n > 130 {
		t.Errorf("%d of 1000 calls were throttled, want about 100", n)
	}
	if n := counts["gateway_502"]; n < 250 || n > 350 {
		t.Errorf("%d of 1000 calls met a gateway's 502, want about 300", n)
	}
}

func TestConfigurationsThatCannotBeAreErrors(t *testing.T) {
	for _, row := range []struct {
		config fakeapi.Config
		says   string
	}{
		{fakeapi.Config{Rates: map[fakeapi.Fault]float64{"throtle": 0.1}}, `there is no fault "throtle"; choose among throttle, `},
		{fakeapi.Config{Rates: map[fakeapi.Fault]float64{fakeapi.Slow: 1.1}}, "write a number from 0 to 1"},
		{fakeapi.Config{Rates: map[fakeapi.Fault]float64{fakeapi.Slow: -0.1}}, "write a number from 0 to 1"},
		{fakeapi.Config{Rates: map[fakeapi.Fault]float64{fakeapi.Slow: 0.6, fakeapi.Late: 0.6}}, "add up to"},
		{fakeapi.Config{Refuse: 2}, "write a number from 0 to 1"},
	} {
		if _, err := fakeapi.New(row.config); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%+v: %v; want %q", row.config, err, row.says)
		}
	}
	if _, err := fakeapi.ParseReading("h3"); err == nil || !strings.Contains(err.Error(), "h1, h2, h2-before") {
		t.Errorf("a reading that there is not: %v", err)
	}
}
