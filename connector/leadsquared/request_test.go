package leadsquared

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform"
)

func activity(lead string) *transform.Activity {
	return &transform.Activity{
		Lead: lead, Code: 320, Note: "Add/ByLeadId", Owner: "example@example.com",
		At:     time.Date(2016, 9, 18, 17, 42, 12, 999e6, time.FixedZone("IST", 5*3600+1800)),
		Fields: []transform.Field{{SchemaName: "mx_Custom_1", Value: "First"}, {SchemaName: "mx_Custom_2", Value: "0419"}},
	}
}

func batchOf(n int) []*transform.Activity {
	batch := make([]*transform.Activity, n)
	for i := range batch {
		batch[i] = activity(fmt.Sprintf("lead-%d", i+1))
	}
	return batch
}

func TestARequestIsToldWithoutKeys(t *testing.T) {
	c := Config{Host: "https://api.example.com", Target: TargetLeadField, SearchBy: "EmailAddress", Auth: AuthQuery, AccessKey: setting.NewSecret("canary"), Marker: "mx_Custom_9"}
	a := activity("a@example.com")
	a.Marker = "t-0-1:r"
	address, body := Request(c, []*transform.Activity{a})
	if address != "https://api.example.com/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadField?searchBy=EmailAddress" {
		t.Error(address)
	}
	if !strings.Contains(string(body), `{"SearchByValue":"a@example.com",`) || !strings.Contains(string(body), `{"SchemaName":"mx_Custom_9","Value":"t-0-1:r"}`) {
		t.Errorf("%s", body)
	}
	c.Host, c.Target = "", TargetLeadID
	if address, _ := Request(c, nil); address != pathByLeadID {
		t.Error(address)
	}
}

func TestABodyIsABareArrayInTheDocumentedForm(t *testing.T) {
	e := newEndpoint(Config{Target: TargetLeadID}, &url.URL{Scheme: "https", Host: "h"})
	second := &transform.Activity{Lead: "b", Code: 201, Attributes: []transform.Attribute{{Name: "ValidateDropDownOptions", Value: "true"}}}
	const want = `[{"RelatedProspectId":"a","ActivityEvent":320,"ActivityNote":"Add/ByLeadId","ActivityOwnerEmail":"example@example.com",` +
		`"ActivityDateTime":"2016-09-18 12:12:12","Fields":[{"SchemaName":"mx_Custom_1","Value":"First"},{"SchemaName":"mx_Custom_2","Value":"0419"}]},` +
		`{"RelatedProspectId":"b","ActivityEvent":201,"ValidateDropDownOptions":"true"}]`
	if diff := cmp.Diff(want, string(e.encode([]*transform.Activity{activity("a"), second}))); diff != "" {
		t.Error(diff)
	}
}

func TestALeadFieldNamesTheLeadByValueAndTheFieldInTheQuery(t *testing.T) {
	e := newEndpoint(Config{Target: TargetLeadField, SearchBy: "mx_Customer Id"}, &url.URL{Scheme: "https", Host: "h"})
	if got := string(e.encode([]*transform.Activity{{Lead: "x@y.z", Code: 1}})); got != `[{"SearchByValue":"x@y.z","ActivityEvent":1}]` {
		t.Error(got)
	}
	if got := e.request(t.Context(), keys{"a", "s"}).URL.String(); got != "https://h"+pathByLeadField+"?searchBy=mx_Customer+Id" {
		t.Error(got)
	}
}

func TestTheMarkerIsAFieldAmongTheOthers(t *testing.T) {
	e := newEndpoint(Config{Marker: "mx_Custom_5"}, &url.URL{Scheme: "https", Host: "h"})
	fields := []transform.Field{{SchemaName: "mx_Custom_1", Value: "one"}}
	got := string(e.encode([]*transform.Activity{{Lead: "a", Code: 1, Marker: "t-0-7:r"}, {Lead: "b", Code: 1, Marker: "t-0-8:r", Fields: fields}}))
	const want = `[{"RelatedProspectId":"a","ActivityEvent":1,"Fields":[{"SchemaName":"mx_Custom_5","Value":"t-0-7:r"}]},` +
		`{"RelatedProspectId":"b","ActivityEvent":1,"Fields":[{"SchemaName":"mx_Custom_1","Value":"one"},{"SchemaName":"mx_Custom_5","Value":"t-0-8:r"}]}]`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestKeysTravelInHeadersOrEscapedInTheQuery(t *testing.T) {
	k := keys{"u$r&1", "s=+"}
	host := &url.URL{Scheme: "https", Host: "h"}
	e := newEndpoint(Config{Auth: AuthHeaders}, host)
	req := e.request(t.Context(), k)
	var wire strings.Builder
	if err := req.Write(&wire); err != nil {
		t.Fatal(err)
	}
	if w := wire.String(); !strings.Contains(w, "x-LSQ-AccessKey: u$r&1\r\n") || !strings.Contains(w, "x-LSQ-SecretKey: s=+\r\n") || req.URL.RawQuery != "" {
		t.Errorf("as sent: %s", w)
	}
	e = newEndpoint(Config{Auth: AuthQuery, Target: TargetLeadField, SearchBy: "Phone"}, host)
	req = e.request(t.Context(), k)
	if got := req.URL.RawQuery; got != "accessKey=u%24r%261&searchBy=Phone&secretKey=s%3D%2B" || strings.Contains(fmt.Sprint(req.Header), "s=+") {
		t.Errorf("query %s, headers %v", got, req.Header)
	}
	if e.url.RawQuery != "searchBy=Phone" {
		t.Error("the endpoint keeps the keys")
	}
}

func TestARequestDoesNotLookReplayable(t *testing.T) {
	e := newEndpoint(Default(), &url.URL{Scheme: "https", Host: "h"})
	req := e.request(t.Context(), keys{"a", "s"})
	if req.GetBody != nil || req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != "" {
		t.Errorf("%+v", req)
	}
	if got := req.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Error(got)
	}
}

func TestAnyTextBecomesValidJSONThatReadsBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		var back string
		if err := json.Unmarshal(appendString(nil, text), &back); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		// The standard library's own reading of invalid UTF-8 is the measure.
		quoted, _ := json.Marshal(text)
		var want string
		_ = json.Unmarshal(quoted, &want)
		if back != want {
			t.Fatalf("%q became %q", text, back)
		}
	})
}

func TestARowNeedsNoSecondAllocation(t *testing.T) {
	e := newEndpoint(Default(), &url.URL{Host: "h"})
	batch := batchOf(MaxBatch)
	if n := testing.AllocsPerRun(10, func() { e.encode(batch) }); n > 1 {
		t.Errorf("%v allocations for a body", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	e := newEndpoint(Default(), &url.URL{Host: "h"})
	batch := batchOf(MaxBatch)
	for _, a := range batch {
		a.Note = strings.Repeat("a note of some length, as people write them; ", 10)
	}
	b.SetBytes(int64(len(e.encode(batch))))
	b.ReportAllocs()
	for b.Loop() {
		e.encode(batch)
	}
}

func BenchmarkClassify(b *testing.B) {
	rows := make([]string, MaxBatch)
	for i := range rows {
		rows[i] = created(fmt.Sprint(i+1), id1)
	}
	r := response{status: 200, body: []byte(rowsOf(rows...))}
	b.SetBytes(int64(len(r.body)))
	b.ReportAllocs()
	for b.Loop() {
		classify(r, MaxBatch)
	}
}
