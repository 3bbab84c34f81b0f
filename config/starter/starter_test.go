package starter

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/transform/account"
	"github.com/leadsink/leadsink/transform/decode"
)

var update = flag.Bool("update", false, "write the golden files")

func theAccount(t testing.TB) *account.Account {
	t.Helper()
	f, err := os.Open("testdata/account.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	a, err := account.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// valid loads the document, with the sample beside it.
func valid(t testing.TB, document, sample string) *config.Document {
	t.Helper()
	t.Setenv("LSQ_ACCESS_KEY", "a")
	t.Setenv("LSQ_SECRET_KEY", "b")
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "event.json"), []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "leadsink.yaml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	doc, err := config.Load(path)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, document)
	}
	return doc
}

func TestAFirstDocumentIsAsUsersAreToSeeIt(t *testing.T) {
	text, err := os.ReadFile("testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	events, err := decode.JSON(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	for file, s := range map[string]Starter{
		"nothing.golden":            {},
		"sample.golden":             {Sample: "event.json", Events: events},
		"account.golden":            {Account: theAccount(t), Host: "https://api.leadsquared.com"},
		"sample_and_account.golden": {Sample: "event.json", Events: events, Account: theAccount(t)},
	} {
		t.Run(file, func(t *testing.T) {
			got := s.Document()
			golden := filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
			}
			doc := valid(t, got, string(text))
			if s.Events == nil || s.Account == nil {
				return
			}
			expected, _ := doc.Expects()
			if problems, unchecked := expected.Check(s.Account); problems != nil || unchecked != nil {
				t.Errorf("it does not fit the account: %v %v", problems, unchecked)
			}
		})
	}
}

func TestTheLeadIsGuessedByNamesAndLooks(t *testing.T) {
	for sample, want := range map[string]string{
		`{"lead": {"id": "1", "name": "x"}, "user": {"id": "2"}}`: "lead: event.lead.id   # the lead's id",
		`{"leadId": "1"}`: "lead: event.leadId   # the lead's id",
		`{"data": {"RelatedProspectId": "1"}, "lead_source": "web"}`: "lead: event.data.RelatedProspectId   # the lead's id",
		`{"customer": {"id": 7}}`:                                    "lead: event.customer.id   # a guess: say where your events have the lead's id",
		`{"a": 1}`:                                                   "lead: key   # the record's key: say where your events have the lead's id",
		`[1, 2]`:                                                     "lead: key   # the record's key: say where your events have the lead's id",
		`{"the lead": {"id-1": "x", "no": "4"}, "lead": {"score": 3.5}}`: `lead: event["the lead"].no`,
	} {
		events, err := decode.JSON([]byte(sample), 64)
		if err != nil {
			t.Fatal(err)
		}
		document := Starter{Sample: "event.json", Events: events}.Document()
		valid(t, document, sample)
		if !strings.Contains(strings.ReplaceAll(document, "'", ""), strings.ReplaceAll(want, "'", "")) {
			t.Errorf("%s: want %s in\n%s", sample, want, document)
		}
	}
}

func TestValuesAreWrittenAsTheFieldTakesThem(t *testing.T) {
	for _, row := range []struct {
		sample, name, dataType string
		change                 func(*account.Field)
		want                   string
	}{
		{`{"coupon": "X"}`, "Coupon", "String", nil, "mx_Custom_1: event.coupon"},
		{`{"coupons": "XXXX"}`, "Coupon", "String", func(f *account.Field) { f.MaxLength = 3 }, "mx_Custom_1: 'truncate(event.coupons, 3)'"},
		{`{"placed": "2026-11-23"}`, "Placed on", "Date", nil, "mx_Custom_1: time(event.placed)"},
		{`{"placed": 1795426200}`, "Placed", "DateTime", nil, "mx_Custom_1: unix(event.placed)"},
		{`{"placed": 1795426200000}`, "Placed", "DateTime", nil, "mx_Custom_1: unixMilli(event.placed)"},
		{`{"placed": "yesterday"}`, "Placed", "DateTime", nil, "# mx_Custom_1: …"},
		{`{"paid": "yes"}`, "Paid", "Boolean", nil, "# mx_Custom_1: …"},
		{`{"total": "12"}`, "Total", "Number", nil, "# mx_Custom_1: …"},
		{`{"orderTotal": 12, "total": {"other": 3}}`, "Order total", "Number", nil, "mx_Custom_1: event.orderTotal"},
		{`{"tier": "Bronze"}`, "Tier", "Dropdown", func(f *account.Field) { f.Options = []string{"Gold"} }, "# mx_Custom_1: …   # Tier: Dropdown, one of Gold"},
		{`{"total": {"sum": 3}}`, "Total amount due", "Number", func(f *account.Field) { f.Mandatory = true }, "mx_Custom_1: event.total.sum   # Total amount due: Number, mandatory: a guess"},
	} {
		events, err := decode.JSON([]byte(row.sample), 64)
		if err != nil {
			t.Fatal(err)
		}
		f := account.Field{SchemaName: "mx_Custom_1", DisplayName: row.name, DataType: row.dataType}
		if row.change != nil {
			row.change(&f)
		}
		a := &account.Account{Types: []account.Type{{Code: 320, Name: "Order", Fields: []account.Field{f}}}}
		document := Starter{Sample: "event.json", Events: events, Account: a}.Document()
		valid(t, document, row.sample)
		if !strings.Contains(document, "        "+row.want) {
			t.Errorf("%s into %s (%s): want %s in\n%s", row.sample, row.name, row.dataType, row.want, document)
		}
	}
}

func FuzzEverySampleGivesAValidDocument(f *testing.F) {
	for _, seed := range []string{
		`{"type": "order.placed", "lead": {"id": "1"}}`, `[]`, `7`, `null`, `{"": {"$": 1}}`, `{"type": "a\"b' #: {}\n"}`, `{"and": {"lead id": 1}}`,
		`[{"type": "x", "at": "2026-01-01"}, {"type": "x", "at": 1795426200}]`, `{"event": true, "owner": "a@b"}`, "{\"lead\u2028\": \"x\"}", `{"type":"true"}`,
		`{"#lead": {"id": 1}}`, `{"lead": [{"id": 1}]}`, `{"lead": {"id": {"lead": null}}}`,
	} {
		f.Add(seed)
	}
	a := theAccount(f)
	f.Fuzz(func(t *testing.T, sample string) {
		events, err := decode.JSON([]byte(sample), 64)
		if err != nil || len(sample) > 4096 {
			return
		}
		valid(t, Starter{Sample: "event.json", Events: events, Account: a}.Document(), sample)
	})
}
