package leadsquared

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
	"github.com/leadsink/leadsink/transform/account"
)

// look looks at the account behind the handler until nothing more is to be read.
// It runs in a bubble.
func look(t *testing.T, h http.HandlerFunc, codes []int) (*account.Account, []string) {
	t.Helper()
	network := newPipeNet()
	serve(t, network, h)
	l := newClient(t, configFor("http://h"), Settings{Dial: network.DialContext}).Look(codes)
	for calls := 0; !l.Done(); calls++ {
		if a := l.Next(t.Context(), time.Time{}); a.Outcome != connector.Judged || calls > 20 {
			t.Fatalf("call %d: %+v", calls, a)
		}
	}
	a, untold := l.Account()
	return a, untold
}

func TestALookFindsWhatTheAccountTakes(t *testing.T) {
	want := account.Account{Types: []account.Type{
		{Code: 320, Name: "Order", DisplayName: "An order", Fields: []account.Field{
			{SchemaName: "mx_Custom_1", DisplayName: "Tier", DataType: "Dropdown", Mandatory: true, MaxLength: 200, Options: []string{"Gold", `Sil"ver`}},
			{SchemaName: "mx_Custom_2", DataType: "MultiSelect", Options: []string{"a", "b"}, Multiple: true, Others: true},
			{SchemaName: "mx_Custom_3", DataType: "DateTime"},
		}},
		{Code: 321, Name: "Visit", Fields: []account.Field{}},
	}}
	fake, err := fakeapi.New(fakeapi.Config{AccessKey: canaryAccess, SecretKey: canarySecret, Account: &fakeapi.Account{Account: want}})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		for _, codes := range [][]int{nil, {321, 320, 321}} {
			got, untold := look(t, fake.ServeHTTP, codes)
			if diff := cmp.Diff(&want, got); diff != "" || untold != nil {
				t.Errorf("%v: %s%v", codes, diff, untold)
			}
		}
		if got := fake.Summary("").Lookups; got != 6 {
			t.Errorf("%d calls for two looks, want 3 each", got)
		}
		look(t, fake.ServeHTTP, []int{})
		if got := fake.Summary("").Lookups; got != 7 {
			t.Errorf("%d calls for the list alone, want 1", got-6)
		}
	})
}

func TestTypesThatTheListLeavesOutAreNotActiveOrNotThere(t *testing.T) {
	fake, err := fakeapi.New(fakeapi.Config{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		got, untold := look(t, fake.ServeHTTP, []int{320, 399, 999})
		if retired := got.Type(399); retired == nil || !retired.Inactive || got.Type(999) != nil || got.Type(320).Inactive || got.Type(321).Fields != nil || untold != nil {
			t.Errorf("%+v, %v", got, untold)
		}
	})
}

// answering answers both calls of a look, with a status before the body if it is another than 200.
func answering(list, setting string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body := list
		if r.URL.Path == pathSetting {
			body = setting
		}
		if status, rest, found := strings.Cut(body, "|"); found {
			body = rest
			w.WriteHeader(map[string]int{"401": 401, "403": 403, "404": 404, "500": 500, "413": 413}[status])
		}
		_, _ = io.WriteString(w, body)
	}
}

func TestALookSurvivesEveryReadingOfWhatIsNotDocumented(t *testing.T) {
	const (
		listed  = `[{"ActivityEvent":320,"ActivityEventName":"Order"}]`
		other   = `[{"ActivityEvent":321,"ActivityEventName":"Visit"}]`
		setting = `{"ID":"320","Name":"Order","Fields":[{"SchemaName":"mx_Custom_1","DataType":"String"}]}`
		denied  = `{"Status":"Error","ExceptionType":"MXUnauthorizedRequestException","ExceptionMessage":"No"}`
		unknown = `500|{"Status":"Error","ExceptionType":"MXInvalidActivityException","ExceptionMessage":"Event Code is invalid or empty"}`
	)
	one := []account.Field{{SchemaName: "mx_Custom_1", DataType: "String"}}
	order := account.Type{Code: 320, Name: "Order", Fields: one}
	visit := account.Type{Code: 321, Name: "Visit"}
	nameless := account.Type{Code: 320}
	without := account.Type{Code: 320, Name: "Order"}
	inactive := func(t account.Type) account.Type { t.Inactive = true; return t }
	options := func(set string) string {
		return `{"Name":"Order","Fields":[{"SchemaName":"mx_Custom_1","DataType":"String","OptionSet":` + set + `}]}`
	}
	chosen := account.Type{Code: 320, Name: "Order", Fields: []account.Field{{SchemaName: "mx_Custom_1", DataType: "String", Options: []string{"A", "B"}}}}
	for _, row := range []struct {
		name, list, setting string
		types               []account.Type
		untold              string
	}{
		{"as documented", listed, setting, []account.Type{order}, ""},
		{
			"numbers as text", `[{"ActivityEvent":"320","ActivityEventName":"Order"}]`, `{"Fields":[{"SchemaName":"mx_Custom_1","DataType":"String","MaxFieldLength":"50","IsMandatory":"1"}]}`,
			[]account.Type{{Code: 320, Name: "Order", Fields: []account.Field{{SchemaName: "mx_Custom_1", DataType: "String", MaxLength: 50, Mandatory: true}}}},
			"",
		},
		{"a list in an object", `{"RecordCount":1,"List":` + listed + `}`, `{"Status":"Success","Message":` + setting + `}`, []account.Type{order}, ""},
		{"settings in a list", listed, `[` + setting + `]`, []account.Type{order}, ""},
		{"a deactivated type is marked", `[{"ActivityEvent":320,"ActivityEventName":"Order","IsActive":false}]`, setting, []account.Type{inactive(order)}, ""},
		{"or by its status", `[{"ActivityEvent":320,"ActivityEventName":"Order","StatusCode":1}]`, setting, []account.Type{inactive(order)}, ""},
		{"or left out", other, setting, []account.Type{visit, inactive(order)}, ""},
		{"a code that is unknown", other, unknown, []account.Type{visit}, ""},
		{"an unknown code with status 200", other, `{"Status":"Failed","Message":{"Message":"Invalid event code"}}`, []account.Type{visit}, ""},
		{"nothing is said of a code that is left out", other, `[]`, []account.Type{visit, nameless}, "LeadSquared does not tell the fields of activity type 320: its answer is empty"},
		{"an empty answer about a code that is left out", other, ``, []account.Type{visit, nameless}, "LeadSquared does not tell the fields of activity type 320: its answer is empty"},
		{"no rights to a code that is left out", other, `403|` + denied, []account.Type{visit, nameless}, "LeadSquared does not tell the fields of activity type 320: "},
		{"a code is said to be inactive", other, `500|{"Status":"Error","ExceptionType":"MXInvalidActivityException","ExceptionMessage":"Event Code is inactive"}`, []account.Type{visit, inactive(nameless)}, ""},
		{"a code that is listed is said to be inactive", listed, `{"Status":"Failed","Message":{"Message":"Event code is inactive"}}`, []account.Type{inactive(without)}, ""},
		{"nothing is said of a code that is listed", listed, `null`, []account.Type{without}, ""},
		{"no rights to the list", `403|` + denied, setting, []account.Type{order}, "LeadSquared does not tell the activity types: MXUnauthorizedRequestException: No; check leadsquared.access_key"},
		{"no rights to the list, and the code is unknown", `403|` + denied, unknown, []account.Type{nameless}, "LeadSquared does not tell the activity types: "},
		{"no rights to the list, and nothing is said of the code", `403|` + denied, `{}`, []account.Type{nameless}, "LeadSquared does not tell the activity types: "},
		{"an empty list", `[]`, setting, []account.Type{order}, "LeadSquared does not tell the activity types: its answer has another shape"},
		{"no rights to the fields", listed, `500|` + denied, []account.Type{without}, "LeadSquared does not tell the fields of activity type 320: MXUnauthorizedRequestException: No"},
		{"no such call", `404|<title>Not Found</title>`, `404|`, []account.Type{nameless}, "LeadSquared does not tell the activity types: HTTP 404: Not Found"},
		{"a page of a gateway", listed, `<html><title>Log in</title></html>`, []account.Type{without}, "LeadSquared does not tell the fields of activity type 320: its answer has another shape"},
		{"fields that are no list", listed, `{"Fields":{"a":1}}`, []account.Type{without}, "LeadSquared does not tell the fields of activity type 320: its answer has another shape"},
		{"fields that are not told", listed, `{"Name":"Order","Fields":null}`, []account.Type{without}, "LeadSquared does not tell the fields of activity type 320: its answer has another shape"},
		{"a field twice, and one without a name", listed, `{"Fields":[{"SchemaName":"mx_Custom_1","DataType":"String"},{"SchemaName":"mx_Custom_1","DataType":"Number"},{"DataType":"Date"}]}`, []account.Type{order}, ""},
		{"options as text of a list", listed, options(`"[\"A\",\"B\"]"`), []account.Type{chosen}, ""},
		{"options as a list", listed, options(`["A","B"]`), []account.Type{chosen}, ""},
		{"options as objects", listed, options(`"[{\"Label\":\"x\",\"Value\":\"A\"},{\"Text\":\"B\"}]"`), []account.Type{chosen}, ""},
		{"options in an object", listed, options(`"{\"Options\":[\"A\",\"B\"]}"`), []account.Type{chosen}, ""},
		{"no options", listed, options(`null`), []account.Type{order}, ""},
		{"options as nobody knows them", listed, options(`"A#B"`), []account.Type{order}, ""},
		{"some options as nobody knows them", listed, options(`["A",{"Odd":"B"}]`), []account.Type{order}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, untold := look(t, answering(row.list, row.setting), []int{320})
				if diff := cmp.Diff(row.types, got.Types); diff != "" {
					t.Error(diff)
				}
				if words := strings.Join(untold, "\n"); !strings.HasPrefix(words, row.untold) || (words == "") != (row.untold == "") {
					t.Errorf("untold: %s", words)
				}
			})
		})
	}
}

func TestALookForCodesAsksForTheListAndWhatItLeavesOut(t *testing.T) {
	fake, err := fakeapi.New(fakeapi.Config{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		h := func(w http.ResponseWriter, r *http.Request) { asked++; fake.ServeHTTP(w, r) }
		for _, row := range []struct {
			h     http.HandlerFunc
			codes []int
			calls int
		}{{h, []int{320, 321}, 1}, {h, []int{320, 399, 999}, 3}, {func(w http.ResponseWriter, _ *http.Request) { asked++; http.Error(w, "no", http.StatusForbidden) }, []int{320}, 1}} {
			asked = 0
			network := newPipeNet()
			serve(t, network, row.h)
			l := newClient(t, configFor("http://h"), Settings{Dial: network.DialContext}).LookFor(row.codes)
			for range 5 {
				if !l.Done() {
					l.Next(t.Context(), time.Time{})
				}
			}
			if asked != row.calls || !l.Done() {
				t.Errorf("%v: %d calls, want %d", row.codes, asked, row.calls)
			}
			for a, _ := l.Account(); len(row.codes) > 0; row.codes = row.codes[1:] {
				if code := row.codes[0]; (a.Type(code) == nil) != (code == 999) {
					t.Errorf("type %d: %+v", code, a.Type(code))
				}
			}
		}
	})
}

func TestACallThatFailsForAWhileIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down, limited bool
		var asked []string
		network := newPipeNet()
		h := answering(`[{"ActivityEvent":320,"ActivityEventName":"Order"}]`, `{"Fields":[]}`)
		serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.String())
			switch {
			case down:
				http.Error(w, "down", http.StatusServiceUnavailable)
			case limited:
				http.Error(w, "API calls exceeded the limit of 25 in 5 second(s)", http.StatusTooManyRequests)
			default:
				h(w, r)
			}
		})
		l := newClient(t, configFor("http://h"), Settings{Dial: network.DialContext}).Look(nil)
		next := func() connector.Outcome { return l.Next(t.Context(), time.Time{}).Outcome }
		down = true
		first := next()
		down = false
		second := next()
		limited = true
		third := next()
		limited = false
		late := l.Next(t.Context(), time.Now().Add(-time.Second)).Outcome
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		over := l.Next(ended, time.Time{}).Outcome
		fourth := next()
		got := []connector.Outcome{first, second, third, late, over, fourth}
		want := []connector.Outcome{connector.Unknown, connector.Judged, connector.Throttled, connector.Missed, connector.NotApplied, connector.Judged}
		if diff := cmp.Diff(want, got); diff != "" || !l.Done() {
			t.Error(diff)
		}
		list, fields := "GET "+pathTypes, "GET "+pathSetting+"?code=320"
		if diff := cmp.Diff([]string{list, list, fields, fields}, asked); diff != "" {
			t.Error(diff)
		}
	})
}

func TestALookSignsItsCallsAsTheDocumentSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipeNet()
		var asked []url.Values
		serve(t, network, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.Query())
			answering(`[{"ActivityEvent":320}]`, `403|`+r.URL.String())(w, r)
		})
		c := configFor("http://h")
		c.Auth = AuthQuery
		c.Target, c.SearchBy = TargetLeadField, "Phone"
		l := newClient(t, c, Settings{Dial: network.DialContext}).Look(nil)
		for !l.Done() {
			l.Next(t.Context(), time.Time{})
		}
		keys := url.Values{"accessKey": {canaryAccess}, "secretKey": {canarySecret}}
		withCode := url.Values{"accessKey": {canaryAccess}, "secretKey": {canarySecret}, "code": {"320"}}
		if diff := cmp.Diff([]url.Values{keys, withCode}, asked); diff != "" {
			t.Error(diff)
		}
		if _, untold := l.Account(); len(untold) != 1 || !strings.Contains(untold[0], redacted) || strings.Contains(untold[0], "CANARY") {
			t.Errorf("told %q", untold)
		}
	})
}

func FuzzEveryAnswerToALookIsSurvived(f *testing.F) {
	for _, seed := range []string{
		`[{"ActivityEvent":320,"ActivityEventName":"Order","IsActive":true}]`, `{"Fields":[{"SchemaName":"mx_Custom_1","OptionSet":"[\"A\"]","MaxFieldLength":"9"}]}`,
		`null`, `{"Fields":null}`, `{"Status":"Error","ExceptionType":"MXInvalidActivityException"}`, `"[[[]]]"`, `[[]]`, `{"Response":[{"RowNumber":1}]}`,
		`{"Fields":[{"SchemaName":"a","OptionSet":{"x":{"y":{"z":["q"]}}}}]}`, `[{"ActivityEvent":-1},{"ActivityEvent":1e3}]`,
	} {
		f.Add(200, seed)
		f.Add(500, seed)
	}
	f.Fuzz(func(t *testing.T, status int, text string) {
		for _, asked := range []bool{false, true} {
			l := (&Client{}).Look([]int{320})
			l.asked = asked
			a := l.take(&response{status: status, body: []byte(text)})
			if len(l.known.Types) > 0 && l.known.Types[0].Code < 1 {
				t.Errorf("%+v is a type", l.known.Types[0])
			}
			if a.Outcome == connector.Judged && !asked && len(l.known.Types) == 0 {
				t.Error("a list without types is taken for one")
			}
		}
	})
}
