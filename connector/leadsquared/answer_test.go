package leadsquared

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
)

const (
	id1 = "6e2a3c76-9e57-4dd6-8bf1-660960336d6e"
	id2 = "50d619b7-9013-4467-aa6a-389d82530a69"
)

// envelope is LeadSquared's answer to a call that it refuses as a whole.
func envelope(kind, message string) string {
	return `{"Status":"Error","ExceptionType":"` + kind + `","ExceptionMessage":"` + message + `"}`
}

func rowsOf(rows ...string) string { return `{"Response":[` + strings.Join(rows, ",") + `]}` }

func created(number, id string) string {
	return `{"ProspectActivityId":"` + id + `","RowNumber":` + number + `,"ActivityCreated":true}`
}

func TestAWholeCallsOutcomeFollowsFromItsAnswer(t *testing.T) {
	const tooMany = "API calls exceeded the limit of 20 in 5 second(s)"
	limit := budget.Limit{Calls: 20, Window: 5 * time.Second}
	html := "<html><head><title>Bad\n Gateway</title></head><body><h1>x</h1></body></html>"
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   connector.Outcome
		says   string // part of the message
		limit  budget.Limit
	}{
		{"rows named once each are judged", 200, rowsOf(created("1", id1), created("2", id2)), connector.Judged, "", budget.Limit{}},
		{"a missing row proves nothing of the others", 200, rowsOf(created("1", id1)), connector.Unknown, "1 rows for 2", budget.Limit{}},
		{"a row named twice proves nothing", 200, rowsOf(created("1", id1), created("1", id2)), connector.Unknown, "each once", budget.Limit{}},
		{"a row too many proves nothing", 200, rowsOf(created("1", id1), created("2", id2), created("3", id2)), connector.Unknown, "each once", budget.Limit{}},
		{"rows numbered from 0 prove nothing", 200, rowsOf(created("0", id1), created("1", id2)), connector.Unknown, "each once", budget.Limit{}},
		{"a row number in quotes proves nothing", 200, rowsOf(created(`"1"`, id1), created("2", id2)), connector.Unknown, "each once", budget.Limit{}},
		{"a row without a number proves nothing", 200, rowsOf(`{"ActivityCreated":true}`, created("2", id2)), connector.Unknown, "each once", budget.Limit{}},
		{"a row that is null proves nothing", 200, rowsOf(`null`, created("2", id2)), connector.Unknown, "each once", budget.Limit{}},
		{"no row at all proves nothing", 200, `{"Response":[]}`, connector.Unknown, "HTTP 200", budget.Limit{}},
		{"rows without their frame prove nothing", 200, `[` + created("1", id1) + `,` + created("2", id2) + `]`, connector.Unknown, "", budget.Limit{}},
		{"rows of another status prove nothing", 201, rowsOf(created("1", id1), created("2", id2)), connector.Unknown, "", budget.Limit{}},
		{"rows in a 400 may have been applied", 400, rowsOf(created("1", id1), created("2", id2)), connector.Unknown, "", budget.Limit{}},
		{"a limit named in one row is not the call's", 200, rowsOf(`{"RowNumber":1,"ActivityCreated":false,"Message":"` + tooMany + `"}`), connector.Unknown, "", budget.Limit{}},
		{"a cut answer that names a limit in a row is not throttled", 200, `{"Response":[{"ActivityCreated":false,"Message":"` + tooMany, connector.Unknown, "", budget.Limit{}},

		{"an application error with 500 is a refusal", 500, envelope("MXInvalidInputException", "Invalid Input!"), connector.Refused, "MXInvalidInputException: Invalid Input!", budget.Limit{}},
		{"an application error with 400 is a refusal", 400, envelope("MXInvalidDataTypeException", "x"), connector.Refused, "MXInvalidDataTypeException: x", budget.Limit{}},
		{"an application error with 200 is a refusal", 200, envelope("MXInvalidActivityFieldsException", "Field name : 'mx_Custom_1' of datatype : 'String' is mandatory."), connector.Refused, "mx_Custom_1", budget.Limit{}},
		{"a value over its length is a refusal", 500, envelope("MXInvalidInputException", "Note exceeds the maximum limit of 2000 characters"), connector.Refused, "2000", budget.Limit{}},
		{"a lead that may be missing is a refusal", 500, envelope("MXInvalidInputException", "Lead does not exist in the system or You do not have permission to update the lead"), connector.Refused, "", budget.Limit{}},
		{"an envelope without a status is not known", 500, `{"ExceptionType":"MXInvalidInputException"}`, connector.Unknown, "", budget.Limit{}},
		{"an envelope that claims success is not known", 200, `{"Status":"Success","ExceptionType":"MXInvalidInputException"}`, connector.Unknown, "", budget.Limit{}},
		{"a .NET exception is not known", 500, envelope("NullReferenceException", "There was an error processing the request."), connector.Unknown, "There was an error", budget.Limit{}},
		{"an application error from a gateway is not known", 503, envelope("MXInvalidInputException", "x"), connector.Unknown, "", budget.Limit{}},
		{"another error in a 200 is not known", 200, `{"Status":"Failed","Message":{"Message":"Something"}}`, connector.Unknown, "Something", budget.Limit{}},

		{"an unknown event code is a fault", 500, envelope("MXInvalidActivityException", "Event Code is invalid or empty"), connector.Fault, "Event Code", budget.Limit{}},
		{"a deactivated event code in a 200 is a fault", 200, `{"Status":"Failed","Message":{"Message":"Invalid event code"}}`, connector.Fault, "Invalid event code", budget.Limit{}},
		{"wrong keys in a 500 are a fault", 500, envelope("MXInvalidAccessDetailsException", "Invalid Access Details provided."), connector.Fault, "Invalid Access", budget.Limit{}},
		{"missing rights are a fault", 500, envelope("MXUnauthorizedRequestException", "x"), connector.Fault, "", budget.Limit{}},
		{"missing access is a fault", 200, envelope("MXUnAuthorizedAccessException", "x"), connector.Fault, "", budget.Limit{}},
		{"a mandate is a fault", 500, envelope("MXMandatoryAttributeMissingException", "'leadId' is mandatory"), connector.Fault, "leadId", budget.Limit{}},
		{"a 401 is a fault", 401, envelope("MXInvalidAccessDetailsException", "Invalid Access Details provided."), connector.Fault, "region", budget.Limit{}},
		{"a 401 without a body is a fault", 401, "", connector.Fault, "HTTP 401 Unauthorized; check", budget.Limit{}},
		{"a 403 page is a fault", 403, html, connector.Fault, "Bad Gateway", budget.Limit{}},
		{"a 404 is a fault", 404, "", connector.Fault, "leadsquared.host", budget.Limit{}},
		{"a 405 is a fault", 405, "", connector.Fault, "", budget.Limit{}},
		{"a 407 is a fault", 407, "", connector.Fault, "leadsquared.proxy", budget.Limit{}},
		{"a firewall's 400 is a fault", 400, html, connector.Fault, "", budget.Limit{}},
		{"a 400 with a foreign error is a fault", 400, `{"Message":"Unexpected character encountered while parsing value"}`, connector.Fault, "Unexpected character", budget.Limit{}},
		{"a 422 is a fault", 422, "{}", connector.Fault, "", budget.Limit{}},
		{"a 302 is a fault", 302, "", connector.Fault, "redirects", budget.Limit{}},
		{"a 307 is a fault", 307, "", connector.Fault, "redirects", budget.Limit{}},

		{"a 429 is throttled", 429, "", connector.Throttled, "HTTP 429", budget.Limit{}},
		{"a 429 teaches the limit", 429, envelope("MXAPIRateLimitExceededException", tooMany), connector.Throttled, tooMany, limit},
		{"a 429 teaches a bare text's limit", 429, tooMany, connector.Throttled, tooMany, limit},
		{"a 403 with the limit is throttled", 403, `{"Status":"Error","Message":"` + tooMany + `"}`, connector.Throttled, tooMany, limit},
		{"a 200 with the limit is throttled", 200, envelope("MXAPIRateLimitExceededException", tooMany), connector.Throttled, tooMany, limit},
		{"a 500 with the limit is throttled", 500, `{"Status":"Error","ExceptionMessage":"` + tooMany + `"}`, connector.Throttled, tooMany, limit},
		{"a limit in a message in a message is throttled", 200, `{"Status":"Failed","Message":{"Message":"` + tooMany + `"}}`, connector.Throttled, tooMany, limit},
		{"a gateway's limit is throttled", 403, `{"message":"Rate limit exceeded"}`, connector.Throttled, "HTTP 403", budget.Limit{}},
		{"a page of a limit is throttled", 503, "<html><title>Too many requests</title></html>", connector.Throttled, "Too many requests", budget.Limit{}},
		{"a type of rate limits is throttled", 500, envelope("MXAPIRateLimitExceededException", "x"), connector.Throttled, "", budget.Limit{}},
		{"a spent quota is throttled", 500, `{"Status":"Error","ExceptionMessage":"Daily API quota exceeded"}`, connector.Throttled, "", budget.Limit{}},
		{"too many requests in words are throttled", 503, "Too many requests", connector.Throttled, "", budget.Limit{}},
		{"a limit of nothing teaches nothing", 429, "exceeded the limit of 0 in 5 second(s)", connector.Throttled, "", budget.Limit{}},
		{"a limit beyond all measure teaches nothing", 429, "exceeded the limit of 99999999999999999999 in 5 second(s)", connector.Throttled, "", budget.Limit{}},

		{"a 413 is too large", 413, html, connector.TooLarge, "", budget.Limit{}},
		{"a 408 is not known", 408, "", connector.Unknown, "HTTP 408", budget.Limit{}},
		{"a 500 without a body is not known", 500, "", connector.Unknown, "HTTP 500", budget.Limit{}},
		{"a 502 page is not known", 502, html, connector.Unknown, "HTTP 502: Bad Gateway", budget.Limit{}},
		{"a 504 is not known", 504, "", connector.Unknown, "", budget.Limit{}},
		{"an empty 200 is not known", 200, "", connector.Unknown, "", budget.Limit{}},
		{"a 200 that is no JSON is not known", 200, "OK", connector.Unknown, "OK", budget.Limit{}},
		{"a cut 200 is not known", 200, rowsOf(created("1", id1), created("2", id2))[:120], connector.Unknown, "", budget.Limit{}},
		{"a 200 with more behind it is not known", 200, rowsOf(created("1", id1), created("2", id2)) + "x", connector.Unknown, "", budget.Limit{}},
		{"a 204 is not known", 204, "", connector.Unknown, "HTTP 204", budget.Limit{}},
		{"a status that nobody defined is not known", 999, "", connector.Unknown, "HTTP 999", budget.Limit{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := classify(response{status: test.status, body: []byte(test.body)}, 2)
			keys{"AK", "SK"}.redact(&a)
			if a.Outcome != test.want || !strings.Contains(a.Message, test.says) || a.Limit != test.limit || a.Status != test.status {
				t.Errorf("got %+v; want outcome %d, a message with %q, limit %v", a, test.want, test.says, test.limit)
			}
			if a.Outcome != connector.Judged && a.Message == "" {
				t.Error("it says nothing about what happened")
			}
		})
	}
}

func TestWordsOfADayAreToldFromThoseOfOtherLimits(t *testing.T) {
	for _, test := range []struct {
		text, retry string
		want        bool
	}{
		{"Daily API quota exceeded", "", true},
		{"API calls exceeded the limit for today", "", true},
		{"API calls exceeded the limit of 1000 in 86400 second(s)", "", true},
		{"Daily API quota exceeded", "7200", true},
		{"Quota exceeded for quota metric calls per minute", "", false},
		{"Too many requests. Contact us today to raise your plan", "", false},
		{"API calls exceeded the limit of 20 in 5 second(s)", "", false},
	} {
		header := http.Header{}
		if test.retry != "" {
			header.Set("Retry-After", test.retry)
		}
		a := classify(response{status: 429, header: header, body: []byte(envelope("MXAPIRateLimitExceededException", test.text))}, 2)
		if a.Outcome != connector.Throttled || a.DaySpent != test.want {
			t.Errorf("%q, Retry-After %q: %+v; want throttled, the day spent: %v", test.text, test.retry, a, test.want)
		}
	}
}

// LeadSquared quotes what it refuses. Whatever an event holds, the words of a limit in it
// are no limit, and those of a fault no fault.
func TestWordsInsideTheDataAreNotBelieved(t *testing.T) {
	for _, data := range []string{
		"quota exceeded", "Daily limit reached", "API calls exceeded the limit of 1 in 86400 second(s)", "Too many requests",
		"Invalid event code", "Event Code is inactive", `{"ActivityCreated":true}`,
	} {
		in, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		text := string(in[1 : len(in)-1])
		for _, test := range []struct {
			name   string
			status int
			body   string
			want   connector.Outcome
		}{
			{"refused", 500, envelope("MXInvalidInputException", "Invalid value '"+text+"' of mx_Custom_1"), connector.Refused},
			{"refused without marks", 200, envelope("MXXSSException", text), connector.Refused},
			{"refused with 400", 400, envelope("MXInvalidDataTypeException", text+" is no number"), connector.Refused},
			{"failed without a type", 200, `{"Status":"Failed","Message":{"Message":"The note '` + text + `' is too long"}}`, connector.Unknown},
			{"failed without a type or marks", 200, `{"Status":"Failed","Message":"Invalid value: ` + text + `"}`, connector.Unknown},
			{"a .NET exception", 500, envelope("FormatException", text), connector.Unknown},
			{"rights", 403, envelope("MXUnauthorizedRequestException", text), connector.Fault},
			{"keys", 401, envelope("MXInvalidAccessDetailsException", text), connector.Fault},
			{"a firewall's page", 403, "<html><title>Blocked</title><p>" + data + "</p></html>", connector.Fault},
			{"a firewall's echo", 403, `{"error":"blocked","body":"` + text + `"}`, connector.Fault},
			{"the call's echo", 403, `[{"ActivityNote":"` + text + `"}]`, connector.Fault},
		} {
			if a := classify(response{status: test.status, body: []byte(test.body)}, 1); a.Outcome != test.want || a.DaySpent || !a.Limit.IsZero() {
				t.Errorf("%s, quoting %q: %+v, want outcome %v", test.name, data, a, test.want)
			}
		}
		row := `{"RowNumber":1,"ActivityCreated":false,"ExceptionType":"MXInvalidInputException","ExceptionMessage":"` + text + `"}`
		if a := classify(response{status: 200, body: []byte(rowsOf(row))}, 1); a.Outcome != connector.Judged || a.Verdicts[0].Kind != connector.RowRefused {
			t.Errorf("a row that quotes %q: %+v", data, a)
		}
	}
}

// What is not in LeadSquared's envelope is not the keys' fault, and may be about a row.
func TestARefusalOfSomebodyElseIsToldFromLeadSquaredsOwn(t *testing.T) {
	html := "<html><title>403 Forbidden</title></html>"
	for _, test := range []struct {
		status  int
		body    string
		foreign bool
		says    string
	}{
		{403, html, true, "firewall or proxy"},
		{403, "", true, "firewall or proxy"},
		{400, html, true, "firewall or proxy"},
		{406, "Not Acceptable", true, "firewall or proxy"},
		{404, html, true, "firewall or proxy"},
		{400, `{"message":"blocked"}`, true, "firewall or proxy"},
		{403, envelope("MXUnauthorizedRequestException", "x"), false, "access_key"},
		{403, `{"Status":"Error","Message":"no"}`, false, "access_key"},
		{401, html, false, "access_key"},
		{401, envelope("MXInvalidAccessDetailsException", "x"), false, "access_key"},
		{407, html, false, "leadsquared.proxy"},
		{302, html, false, "redirects"},
		{500, envelope("MXInvalidActivityException", "x"), false, "activity codes"},
	} {
		a := classify(response{status: test.status, body: []byte(test.body)}, 1)
		if a.Outcome != connector.Fault || a.Foreign != test.foreign || !strings.Contains(a.Message, test.says) || test.foreign && strings.Contains(a.Message, "key") {
			t.Errorf("%d %s: %+v, want foreign %v, saying %q", test.status, test.body, a, test.foreign, test.says)
		}
	}
}

func TestALongRetryAfterIsBelievedOfASpentDayOnly(t *testing.T) {
	for _, test := range []struct {
		body string
		want time.Duration
	}{
		{"", 5 * time.Minute},
		{"<html><title>Daily limit reached</title></html>", 5 * time.Minute},
		{envelope("MXAPIRateLimitExceededException", "API calls exceeded the limit of 20 in 5 second(s)"), 5 * time.Minute},
		{envelope("MXAPIRateLimitExceededException", "Daily API quota exceeded"), 24 * time.Hour},
	} {
		a := classify(response{status: 429, header: http.Header{"Retry-After": {"172800"}}, body: []byte(test.body)}, 1)
		if a.RetryAfter != test.want || !strings.Contains(a.Message, "asks to wait for 48h0m0s") {
			t.Errorf("%q: %+v, want %v", test.body, a, test.want)
		}
	}
}

func TestARowsVerdictNeedsItsProof(t *testing.T) {
	for _, test := range []struct {
		name, row string
		want      connector.Verdict
	}{
		{"flag and id prove it", `{"RowNumber":1,"ActivityCreated" : true ,"ProspectActivityId":"` + id1 + `"}`, connector.Verdict{Kind: connector.RowCreated, ActivityID: id1}},
		{"without an id it is not proven", `{"RowNumber":1,"ActivityCreated":true}`, connector.Verdict{Message: "the activity was created, but without an id"}},
		{"a null id is none", `{"RowNumber":1,"ActivityCreated":true,"ProspectActivityId":null}`, connector.Verdict{Message: "the activity was created, but without an id"}},
		{"a zero id is none", `{"RowNumber":1,"ActivityCreated":true,"ProspectActivityId":"` + noID + `"}`, connector.Verdict{Message: "the activity was created, but without an id"}},
		{"an id without a flag is not proof", `{"RowNumber":1,"ProspectActivityId":"` + id1 + `"}`, connector.Verdict{Message: "the row does not say whether the activity was created"}},
		{"a flag in quotes is not proof", `{"RowNumber":1,"ActivityCreated":"true","ProspectActivityId":"` + id1 + `"}`, connector.Verdict{Message: "the row does not say whether the activity was created"}},
		{"a flag of another spelling is not proof", `{"RowNumber":1,"activitycreated":true,"ProspectActivityId":"` + id1 + `"}`, connector.Verdict{Message: "the row does not say whether the activity was created"}},
		{"an id contradicts the flag", `{"RowNumber":1,"ActivityCreated":false,"ProspectActivityId":"` + id1 + `"}`, connector.Verdict{Message: "the activity was not created, but has an id"}},
		{"refused without a word", `{"RowNumber":1,"ActivityCreated":false}`, connector.Verdict{Kind: connector.RowRefused, Message: "the activity was not created; no reason was given"}},
		{"refused with ErrorMessage", `{"RowNumber":1,"ActivityCreated":false,"ErrorMessage":"e"}`, connector.Verdict{Kind: connector.RowRefused, Message: "e"}},
		{"refused with type and message", `{"RowNumber":1,"ActivityCreated":false,"ExceptionType":"MXa","ExceptionMessage":"e"}`, connector.Verdict{Kind: connector.RowRefused, Message: "MXa: e"}},
		{"refused with Message in Message", `{"RowNumber":1,"ActivityCreated":false,"Message":{"Message":"m"}}`, connector.Verdict{Kind: connector.RowRefused, Message: "m"}},
		{"refused with Reason", `{"RowNumber":1,"ActivityCreated":false,"Reason":"r"}`, connector.Verdict{Kind: connector.RowRefused, Message: "r"}},
		{"refused with Status", `{"RowNumber":1,"ActivityCreated":false,"Status":1}`, connector.Verdict{Kind: connector.RowRefused, Message: "1"}},
		{"a rate limit is no refusal", `{"RowNumber":1,"ActivityCreated":false,"ExceptionType":"MXAPIRateLimitExceededException"}`, connector.Verdict{Kind: connector.RowAgain, Message: "MXAPIRateLimitExceededException"}},
		{"a named limit is no refusal", `{"RowNumber":1,"ActivityCreated":false,"Message":"API calls exceeded the limit of 5 in 5 second(s)"}`, connector.Verdict{Kind: connector.RowAgain, Message: "API calls exceeded the limit of 5 in 5 second(s)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := classify(response{status: 200, body: []byte(rowsOf(test.row))}, 1)
			if diff := cmp.Diff(connector.Answer{Status: 200, Verdicts: []connector.Verdict{test.want}}, a); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVerdictsGoByRowNumberNotByPosition(t *testing.T) {
	a := classify(response{status: 200, body: []byte(rowsOf(created("2", id2), `{"RowNumber":3,"ActivityCreated":false}`, created("1", id1)))}, 3)
	if a.Verdicts[0].ActivityID != id1 || a.Verdicts[1].ActivityID != id2 || a.Verdicts[2].Kind != connector.RowRefused {
		t.Errorf("%+v", a.Verdicts)
	}
}

func TestABrokenAnswerProvesNothing(t *testing.T) {
	for status, want := range map[int]connector.Outcome{200: connector.Unknown, 500: connector.Unknown, 401: connector.Fault, 429: connector.Throttled} {
		a := classify(response{status: status, body: []byte(rowsOf(created("1", id1))), broken: "cut"}, 1)
		if status == 401 || status == 429 {
			a = classify(response{status: status, broken: "cut"}, 1)
		}
		if a.Outcome != want {
			t.Errorf("%d: got %+v, want outcome %d", status, a, want)
		}
	}
}

func TestRetryAfterIsReadInBothFormsAndBounded(t *testing.T) {
	at := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return at.Add(d).Format(http.TimeFormat) }
	for _, test := range []struct {
		retry, date string
		want        time.Duration
	}{
		{"7", "", 7 * time.Second},
		{"0", "", 0},
		{"-1", "", 0},
		{"soon", "", 0},
		{"", "", 0},
		{in(time.Minute), "", time.Minute},
		{in(-time.Minute), "", 0},
		{in(time.Minute), in(50 * time.Second), 10 * time.Second}, // the server's clock is ahead
		{"999999999", "", 5 * time.Minute},
		{in(1000 * time.Hour), "", 5 * time.Minute},
	} {
		h := http.Header{}
		h.Set("Retry-After", test.retry)
		h.Set("Date", test.date)
		if a := classify(response{status: 429, header: h, at: at}, 1); a.RetryAfter != test.want {
			t.Errorf("Retry-After %q, Date %q: got %v, want %v", test.retry, test.date, a.RetryAfter, test.want)
		}
	}
}

func TestMessagesAreBoundedOnOneLineAndWithoutKeys(t *testing.T) {
	k := keys{"u$r/acc+key&1", "s3cr\"et<x>"}
	body := "<b>\n" + `POST /v2/x?accessKey=u%24r%2facc%2Bkey%261&secretKey=s3cr%22et%3Cx%3E u$r/acc+key&amp;1 s3cr\"et<x>` + "\x00\xff" + strings.Repeat("é", 1000)
	a := classify(response{status: 502, body: []byte(body)}, 1)
	k.redact(&a)
	if n := len([]rune(a.Message)); n > maxMessage+1 {
		t.Errorf("the message has %d characters", n)
	}
	for _, bad := range []string{"acc", "s3cr", "\n", "\x00"} {
		if strings.Contains(strings.ReplaceAll(a.Message, "accessKey=", ""), bad) {
			t.Errorf("the message holds %q: %s", bad, a.Message)
		}
	}
}

func FuzzAnAnswerIsNeverTakenForMoreThanItProves(f *testing.F) {
	for _, body := range []string{
		"", "null", "[]", "{}", "x", rowsOf(created("1", id1)), rowsOf(created("1", id1), created("2", id2)),
		envelope("MXInvalidInputException", "x"), envelope("MXAPIRateLimitExceededException", "exceeded the limit of 1 in 5 second(s)"),
		`{"Response":{}}`, `{"Response":[[]]}`, `{"Status":"Failed","Message":{"Message":"Invalid event code"}}`, "<html><title>x</title></html>",
	} {
		for _, status := range []int{200, 400, 403, 429, 500, 502} {
			f.Add(status, body, "5", false, 2)
		}
	}
	f.Fuzz(func(t *testing.T, status int, body, retry string, broken bool, rows int) {
		rows = 1 + (rows&0xff)%MaxBatch
		r := response{status: status, header: http.Header{"Retry-After": {retry}}, body: []byte(body)}
		if broken {
			r.broken = "cut"
		}
		a := classify(r, rows)
		keys{"ACCESS", "SECRET"}.redact(&a)
		if (a.Outcome == connector.Judged) != (len(a.Verdicts) == rows) || a.Outcome != connector.Judged && a.Verdicts != nil {
			t.Fatalf("outcome %d with %d verdicts for %d rows", a.Outcome, len(a.Verdicts), rows)
		}
		if a.Outcome == connector.NotApplied {
			t.Fatal("an answer came, so the call reached somebody")
		}
		if a.Outcome == connector.Judged && (status != 200 || broken) {
			t.Fatalf("judged by status %d, broken %v", status, broken)
		}
		for _, v := range a.Verdicts {
			if v.Kind == connector.RowCreated && (v.ActivityID == "" || !strings.Contains(body, "true")) {
				t.Fatalf("created without proof: %+v", v)
			}
			if len([]rune(v.Message)) > maxMessage+1 {
				t.Fatal("a message without bound")
			}
		}
		if len([]rune(a.Message)) > maxMessage+1 || len([]rune(a.Type)) > maxType+1 || strings.Contains(a.Message, "SECRET") {
			t.Fatalf("message %q, type %q", a.Message, a.Type)
		}
		if a.RetryAfter < 0 || a.RetryAfter > maxRetryAfter || a.Limit.Calls < 0 || a.Limit.Window < 0 {
			t.Fatalf("retry after %v, limit %v", a.RetryAfter, a.Limit)
		}
	})
}
