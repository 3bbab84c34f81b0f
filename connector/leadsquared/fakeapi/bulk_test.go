package fakeapi_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

func TestACallIsAnsweredInTheDocumentedShape(t *testing.T) {
	f := start(t, fakeapi.Config{})
	a := f.post(orders(0, 2))
	f.must(a, http.StatusOK)
	var body map[string][]map[string]any
	if err := json.Unmarshal([]byte(a.text), &body); err != nil {
		t.Fatal(err)
	}
	rows := body["Response"]
	if len(body) != 1 || len(rows) != 2 {
		t.Fatalf("the answer is %s", a.text)
	}
	for i, row := range rows {
		if len(row) != 3 || row["RowNumber"] != float64(i+1) || row["ActivityCreated"] != true || row["ProspectActivityId"] == "" {
			t.Errorf("row %d is %v", i+1, row)
		}
	}
	if rows[0]["ProspectActivityId"] == rows[1]["ProspectActivityId"] {
		t.Error("two activities have one id")
	}
}

// bad are rows that the default account refuses.
var bad = []struct {
	name string
	row  activity
	kind string
	says string
}{
	{"unknown lead", activity{Lead: "unknown-1", Code: 320}, "MXInvalidInputException", "does not exist"},
	{"no lead", activity{Code: 320}, "MXInvalidInputException", "RelatedProspectId"},
	{"unknown code", activity{Lead: "l", Code: 777}, "MXInvalidActivityException", "Event Code"},
	{"inactive code", activity{Lead: "l", Code: 399}, "MXInvalidActivityException", "Event Code"},
	{"mandatory field missing", activity{Lead: "l", Code: 321}, "MXInvalidActivityFieldsException", "'mx_Custom_0' of datatype : 'String' is mandatory"},
	{"mandatory field empty", with(321, "mx_Custom_0", ""), "MXInvalidActivityFieldsException", "is mandatory"},
	{"unknown field", with(320, "mx_Custom_99", "x"), "MXInvalidActivityFieldsException", "does not exist"},
	{"text for a number", with(320, "mx_Custom_7", "many"), "MXInvalidDataTypeException", "mx_Custom_7"},
	{"another time format", with(320, "mx_Custom_8", "2026-01-02T03:04:05Z"), "MXInvalidDataTypeException", "mx_Custom_8"},
	{"text for a boolean", with(320, "mx_Custom_9", "yes"), "MXInvalidDataTypeException", "mx_Custom_9"},
	{"value too long", with(320, "mx_Custom_1", strings.Repeat("ü", 201)), "MXInvalidActivityFieldsException", "more than 200"},
	{"note too long", activity{Lead: "l", Code: 320, Note: strings.Repeat("ü", 2001)}, "MXInvalidInputException", "2001"},
	{"activity time in another format", activity{Lead: "l", Code: 320, Time: "02/01/2026"}, "MXInvalidInputException", "ActivityDateTime"},
}

func with(code int, name, value string) activity {
	return activity{Lead: "l", Code: code, Fields: []field{{name, value}}}
}

func TestABadRowIsRefusedAloneInTheFirstReading(t *testing.T) {
	f := start(t, fakeapi.Config{})
	for i, row := range bad {
		t.Run(row.name, func(t *testing.T) {
			rows := f.post([]activity{orders(0, 1)[0], row.row, orders(1, 1)[0]}).rows(t)
			if len(rows) != 3 || !rows[0].ActivityCreated || !rows[2].ActivityCreated {
				t.Fatalf("rows %+v; want the good ones created", rows)
			}
			r := rows[1]
			if r.RowNumber != 2 || r.ActivityCreated || r.ProspectActivityID != "" || r.ExceptionType != row.kind || !strings.Contains(r.ExceptionMessage, row.says) {
				t.Errorf("row %+v; want %s with %q", r, row.kind, row.says)
			}
			if sum := f.Summary(""); sum.Created != 2*(i+1) || sum.Refused != i+1 || sum.Rows != 3*(i+1) {
				t.Errorf("summary %+v", sum)
			}
		})
	}
}

func TestRowsAtTheEdgeOfWhatIsAllowedAreCreated(t *testing.T) {
	f := start(t, fakeapi.Config{})
	rows := f.post([]activity{
		with(320, "mx_Custom_1", strings.Repeat("ü", 200)),
		{Lead: "l", Code: 320, Note: strings.Repeat("ü", 2000), Time: "2026-01-02 03:04:05"},
		with(321, "mx_Custom_0", "x"),
		with(320, "mx_Custom_7", "-12.50"),
		with(320, "mx_Custom_8", "2026-01-02 03:04:05"),
		with(320, "mx_Custom_9", "true"),
	}).rows(t)
	for _, r := range rows {
		if !r.ActivityCreated {
			t.Errorf("refused: %+v", r)
		}
	}
}

func TestABadRowRefusesTheWholeCallInTheSecondReading(t *testing.T) {
	for reading, created := range map[fakeapi.Reading]int{fakeapi.H2: 0, fakeapi.H2Before: 2} {
		t.Run(string(reading), func(t *testing.T) {
			f := start(t, fakeapi.Config{Reading: reading})
			for i, row := range bad {
				good := orders(10*i, 4)
				a := f.post([]activity{good[0], good[1], row.row, good[2], good[3]})
				f.must(a, http.StatusInternalServerError, `"Status":"Error"`, `"ExceptionType":"`+row.kind+`"`, row.says)
				if got := f.Activities(created*i, 0); len(got) != created {
					t.Errorf("%s: created %+v; want the first %d rows", row.name, got, created)
				}
			}
			for i, a := range f.Activities(0, 0) {
				if want := fmt.Sprint(10*(i/2) + i%2 + 1); a.Note != want {
					t.Errorf("created %s, want %s", a.Note, want)
				}
			}
			if rows := f.post(orders(1000, 25)).rows(t); len(rows) != 25 || !rows[24].ActivityCreated {
				t.Errorf("a call of good rows was answered %+v", rows)
			}
			if sum := f.Summary(""); sum.Outcomes["refused"] != len(bad) || sum.Refused != len(bad) || sum.Outcomes["created"] != 1 {
				t.Errorf("summary %+v", sum)
			}
		})
	}
}

func TestTheSameRowsAreRefusedWheneverTheyCome(t *testing.T) {
	f := start(t, fakeapi.Config{Refuse: 0.3})
	refused := func(size int) map[string]bool {
		of := map[string]bool{}
		for from := 0; from < 1000; from += size {
			posted := orders(from, size)
			for i, r := range f.post(posted).rows(t) {
				if !r.ActivityCreated {
					of[posted[i].Note] = true
				}
			}
		}
		return of
	}
	inLarge, inSmall := refused(25), refused(10)
	if diff := cmp.Diff(inLarge, inSmall); diff != "" {
		t.Errorf("other rows were refused in calls of another size: %s", diff)
	}
	if n := len(inLarge); n < 250 || n > 350 {
		t.Errorf("%d of 1000 rows were refused; want about 300", n)
	}
}

func TestKeysAreTakenFromHeadersOrTheQuery(t *testing.T) {
	f := start(t, fakeapi.Config{AccessKey: "u$r1", SecretKey: "s&1"})
	const probe, right, wrong = "/v2/Authentication.svc/UserByAccessKey.Get", "accessKey=u%24r1&secretKey=s%261", "accessKey=u%24r1&secretKey=other"
	headers := func(access, secret string) map[string]string {
		return map[string]string{"x-LSQ-AccessKey": access, "x-LSQ-SecretKey": secret}
	}
	body := `[{"RelatedProspectId":"l","ActivityEvent":320}]`
	for _, row := range []struct {
		query  string
		header map[string]string
		status int
	}{
		{"", headers("u$r1", "s&1"), 200},
		{right, nil, 200},
		{"", nil, 401},
		{"", headers("u$r1", "other"), 401},
		{"", headers("other", "s&1"), 401},
		{"", headers("u$r1", ""), 401},
		{wrong, nil, 401},
		{wrong, headers("u$r1", "s&1"), 401},
	} {
		for _, a := range []answer{
			f.do(http.MethodPost, byID+"?"+row.query, strings.NewReader(body), row.header),
			f.do(http.MethodGet, probe+"?"+row.query, nil, row.header),
		} {
			f.must(a, row.status)
			if row.status == 401 {
				f.must(a, 401, `"Status":"Error"`, `"ExceptionType":"MXInvalidAccessDetailsException"`)
			}
		}
	}
	if sum := f.Summary(""); sum.Created != 2 || sum.Outcomes["denied"] != 6 {
		t.Errorf("summary %+v; want 2 created, 6 denied", sum)
	}
}

func TestRequestsThatAreWrongAreAnsweredByTheirStatus(t *testing.T) {
	f := start(t, fakeapi.Config{})
	const good = `[{"RelatedProspectId":"l","ActivityEvent":320}]`
	many, err := json.Marshal(orders(0, 26))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, method, path, body string
		header                   map[string]string
		status                   int
	}{
		{"wrong path", "POST", "/v2/ProspectActivity.svc/Bulk/Add", good, nil, 404},
		{"wrong verb", "GET", byID, "", nil, 405},
		{"wrong verb of the probe", "POST", "/v2/Authentication.svc/UserByAccessKey.Get", good, nil, 405},
		{"wrong content type", "POST", byID, good, map[string]string{"Content-Type": "text/plain"}, 400},
		{"no content type", "POST", byID, good, map[string]string{"Content-Type": ""}, 400},
		{"not JSON", "POST", byID, `[{`, nil, 400},
		{"not an array", "POST", byID, `{"RelatedProspectId":"l"}`, nil, 400},
		{"a code that is no number", "POST", byID, `[{"RelatedProspectId":"l","ActivityEvent":"x"}]`, nil, 400},
		{"no rows", "POST", byID, `[]`, nil, 400},
		{"26 rows", "POST", byID, string(many), nil, 400},
		{"not the gzip it says", "POST", byID, good, map[string]string{"Content-Encoding": "gzip"}, 400},
		{"no field to search by", "POST", strings.TrimSuffix(byField, "?searchBy=EmailAddress"), good, nil, 500},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := f.do(row.method, row.path, strings.NewReader(row.body), row.header)
			if a.err != nil || a.status != row.status {
				t.Errorf("%d %q %v; want %d", a.status, a.text, a.err, row.status)
			}
		})
	}
	if sum := f.Summary(""); sum.Created != 0 {
		t.Errorf("summary %+v; want nothing created", sum)
	}
}

func TestTheContentTypeMayNameItsCharset(t *testing.T) {
	f := start(t, fakeapi.Config{})
	f.must(f.do(http.MethodPost, byID, strings.NewReader(`[{"RelatedProspectId":"l","ActivityEvent":320}]`),
		map[string]string{"Content-Type": "application/json; charset=utf-8"}), http.StatusOK, `"ActivityCreated":true`)
}

func TestCompressedCallsAreTaken(t *testing.T) {
	f := start(t, fakeapi.Config{})
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	if err := json.NewEncoder(z).Encode(orders(0, 3)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	f.must(f.do(http.MethodPost, byID, &body, map[string]string{"Content-Encoding": "gzip"}), http.StatusOK)
	if got := f.Activities(0, 0); len(got) != 3 || got[2].Note != "3" {
		t.Errorf("created %+v", got)
	}
}

func TestCallsByLeadFieldTakeTheValueForTheLead(t *testing.T) {
	f := start(t, fakeapi.Config{})
	rows := f.postTo(byField, []activity{{Value: "a@example.com", Code: 320}, {Value: "unknown@example.com", Code: 320}, {Lead: "l", Code: 320}}).rows(t)
	if !rows[0].ActivityCreated || rows[1].ActivityCreated || rows[2].ActivityCreated {
		t.Errorf("rows %+v; want only the first created", rows)
	}
	if got := f.Activities(0, 0); len(got) != 1 || got[0].Lead != "a@example.com" {
		t.Errorf("created %+v", got)
	}
}

func TestTheAccountDescribesItself(t *testing.T) {
	f := start(t, fakeapi.Config{})
	f.must(f.get("/v2/Authentication.svc/UserByAccessKey.Get"), http.StatusOK, `"LSQCommonServiceURLs":{"api":"http://localhost:8085"`)
	types := f.get("/v2/ProspectActivity.svc/ActivityTypes.Get")
	f.must(types, http.StatusOK, `"ActivityEvent":320`, `"ActivityEvent":321`)
	if strings.Contains(types.text, "399") {
		t.Errorf("an inactive type is listed: %s", types.text)
	}
	setting := "/v2/ProspectActivity.svc/CustomActivity/GetActivitySetting?code="
	f.must(f.get(setting+"321"), http.StatusOK, `"SchemaName":"mx_Custom_0"`, `"IsMandatory":true`, `"DataType":"DateTime"`, `"MaxFieldLength":200`)
	f.must(f.get(setting+"777"), http.StatusInternalServerError, "MXInvalidActivityException")
}

func TestAnAccountOfOnesOwnDecides(t *testing.T) {
	account, err := fakeapi.ReadAccount(strings.NewReader(
		`{"unknown_lead":"no-","types":[{"code":12,"name":"Call","fields":[{"schema_name":"mx_Custom_1","data_type":"Number","mandatory":true}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, fakeapi.Config{Account: account})
	rows := f.post([]activity{with(12, "mx_Custom_1", "7"), with(12, "mx_Custom_1", "x"), {Lead: "l", Code: 12}, {Lead: "l", Code: 320}, {Lead: "no-1", Code: 12}}).rows(t)
	for i, r := range rows {
		if r.ActivityCreated != (i == 0) {
			t.Errorf("row %+v; want only the first created", r)
		}
	}
	if _, err := fakeapi.ReadAccount(strings.NewReader(`{"types":[{"code":12,"feilds":[]}]}`)); err == nil || !strings.Contains(err.Error(), "feilds") {
		t.Errorf("a misspelt key gives %v", err)
	}
}

func TestASnapshotIsAnAccountWithItsOptions(t *testing.T) {
	account, err := fakeapi.ReadAccount(strings.NewReader(`{"version":1,"types":[
		{"code":320,"name":"Order","display_name":"An order","fields":[
			{"schema_name":"mx_Custom_1","display_name":"Tier","data_type":"Dropdown","options":["Gold","Silver"]},
			{"schema_name":"mx_Custom_2","data_type":"MultiSelect","options":["a","b"],"multiple":true},
			{"schema_name":"mx_Custom_3","data_type":"Dropdown","options":["a"],"others":true}]},
		{"code":321,"name":"Unread","fields":null}]}`))
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, fakeapi.Config{Account: account})
	skips := with(320, "mx_Custom_1", "Bronze")
	skips.Skip = "true"
	rows := f.post([]activity{
		with(320, "mx_Custom_1", "Gold"), with(320, "mx_Custom_2", "a;b"), with(320, "mx_Custom_3", "other"), skips, with(321, "mx_Custom_1", "any"),
		with(320, "mx_Custom_1", "Bronze"), with(320, "mx_Custom_2", "a;c"),
	}).rows(t)
	for i, r := range rows {
		if r.ActivityCreated != (i < 5) {
			t.Errorf("row %+v; want the first five created", r)
		}
	}
	f.must(f.get("/v2/ProspectActivity.svc/CustomActivity/GetActivitySetting?code=320"), http.StatusOK, `"OptionSet":"[{\"Label\":\"Gold\",\"Value\":\"Gold\"}`)
	if got := f.Summary("").Lookups; got != 1 {
		t.Errorf("%d lookups", got)
	}
	f.SetAccount(fakeapi.DefaultAccount())
	f.must(f.get("/v2/ProspectActivity.svc/ActivityTypes.Get"), http.StatusOK, `"Visit"`)
}
