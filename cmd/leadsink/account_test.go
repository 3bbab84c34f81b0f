package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
	"github.com/leadsink/leadsink/transform/account"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with the content of a file beside the tests, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
	}
}

func TestEveryRuleThatDoesNotFitTheAccountIsSaidWithItsPlace(t *testing.T) {
	t.Chdir(filepath.Join("testdata", "account"))
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d documents, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			if code, _, stderr := command(t, "validate", "-c", file); code != exitFine {
				t.Fatalf("it is not valid by itself: %s", stderr)
			}
			code, stdout, stderr := command(t, "validate", "-c", file, "--account", "account.json")
			if code != exitWrong || stdout != "" || strings.Contains(stderr, "very-secret") {
				t.Errorf("exit %d, stdout %q", code, stdout)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", stderr)
		})
	}
}

// theAccount is that of the golden files.
func theAccount(t *testing.T) *fakeapi.Account {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "account", "account.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	a, err := fakeapi.ReadAccount(f)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serveFake serves a fake with the account until the test ends, and returns its address. Between
// them is the handler, if it is not nil.
func serveFake(t *testing.T, a *fakeapi.Account, between func(w http.ResponseWriter, r *http.Request, next http.Handler)) (*fakeapi.Server, string) {
	t.Helper()
	fake, err := fakeapi.New(fakeapi.Config{AccessKey: "key", SecretKey: "very-secret", Account: a})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if between == nil {
			fake.ServeHTTP(w, r)
			return
		}
		between(w, r, fake)
	}))
	t.Cleanup(server.Close)
	return fake, server.URL
}

// tellingNothing answers questions about the account with the status.
func tellingNothing(status int) func(w http.ResponseWriter, r *http.Request, next http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "ProspectActivity.svc") {
			http.Error(w, "no", status)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// embedded starts an embedded Kafka with the topics until the test ends, and returns its address.
func embedded(t *testing.T, topics ...string) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

// checked is a document whose rules are those of the text.
func checked(broker, host, rules string) string {
	return `kafka:
  brokers: ["` + broker + `"]
  topics: [crm.events, crm.orders]
  group: leadsink
transform:
  rules:
` + rules + `leadsquared:
  host: ` + host + `
  access_key: key
  secret_key: very-secret
  limits: []
dead_letters: {topic: crm.events.dead}
`
}

// namesUnchecked is what validate says of a document without a sample or schema.
const namesUnchecked = "not checked: the names in expressions, so a mistyped field is null; give an event in transform.sample, or a JSON Schema in transform.schema\n"

const fittingRule = `    - name: order
      lead: event.lead.id
      activity: 320
      fields: {mx_Custom_1: event.order.id, mx_Custom_5: '"Gold"'}
`

func TestValidateOnlineAsksKafkaAndTheAccount(t *testing.T) {
	fake, host := serveFake(t, theAccount(t), nil)
	path := document(t, checked(embedded(t, "crm.events", "crm.orders", "crm.events.dead"), host, fittingRule))
	code, stdout, stderr := command(t, "validate", "-c", path, "--online")
	if code != exitFine || stdout != path+" is valid\n" || stderr != namesUnchecked {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if s := fake.Summary(""); s.Lookups != 2 || s.Calls != 0 {
		t.Errorf("it made %d look-ups and %d calls, want 2 and none", s.Lookups, s.Calls)
	}
}

func TestValidateOnlineListsAllThatIsWrongAtOnce(t *testing.T) {
	_, host := serveFake(t, theAccount(t), nil)
	path := document(t, checked(embedded(t, "crm.events"), host, strings.Replace(fittingRule, "Gold", "Golden", 1)+"    - {name: any, lead: event.lead.id, activity: event.code}\n"))
	code, stdout, stderr := command(t, "validate", "-c", path, "--online")
	want := strings.ReplaceAll(`FILE:10:58: transform.rules[0].fields.mx_Custom_5: "Golden" is no option of field mx_Custom_5 (Tier); did you mean Gold?
          fields: {mx_Custom_1: event.order.id, mx_Custom_5: '"Golden"'}
                                                             ^
FILE:3:24: kafka.topics[1]: topic "crm.orders" does not exist; create it, or correct kafka.topics: UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic-partition.
      topics: [crm.events, crm.orders]
                           ^
FILE:17:23: dead_letters.topic: topic "crm.events.dead" does not exist; create it, or let leadsink run do it with the brokers' defaults: UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic-partition.
    dead_letters: {topic: crm.events.dead}
                          ^
`+namesUnchecked+`not checked: rule "any": its code depends on the record, so its fields are not checked
`, "FILE", path)
	if diff := cmp.Diff(want, stderr); diff != "" || code != exitWrong || stdout != "" {
		t.Errorf("exit %d, stdout %q, stderr (-want +got):\n%s", code, stdout, diff)
	}
	code, stdout, stderr = command(t, "validate", "-c", path, "--online", "--json")
	var got validation
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitWrong || stderr != "" {
		t.Fatalf("exit %d, %v, %q", code, err, stderr)
	}
	if got.Valid || len(got.Errors) != 1 || got.Errors[0].Line != 10 || len(got.Surroundings) != 2 || got.Surroundings[1].Key != "dead_letters.topic" || len(got.Unchecked) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsWrongAroundTheDocumentAloneIsExit3(t *testing.T) {
	_, host := serveFake(t, theAccount(t), nil)
	_, closed := serveFake(t, theAccount(t), tellingNothing(http.StatusForbidden))
	there := embedded(t, "crm.events", "crm.orders", "crm.events.dead")
	for name, row := range map[string]struct{ document, says string }{
		"no broker":      {checked("127.0.0.1:1", host, fittingRule), "kafka.brokers: no broker can be used: broker 127.0.0.1:1: "},
		"no account":     {checked(there, "http://127.0.0.1:1", fittingRule), "leadsquared.host: LeadSquared cannot be asked for its activity types: not sent: "},
		"wrong keys":     {strings.Replace(checked(there, host, fittingRule), "very-secret", "CANARY", 1), "leadsquared.access_key: 127.0.0.1:"},
		"too few rights": {checked(there, closed, fittingRule), "leadsquared.access_key: LeadSquared does not tell the activity types: HTTP 403: no"},
	} {
		t.Run(name, func(t *testing.T) {
			path := document(t, row.document)
			code, stdout, stderr := command(t, "validate", "-c", path, "--online")
			if code != exitSurroundings || stdout != "" || !strings.Contains(stderr, row.says) || !strings.HasPrefix(stderr, path+":") || strings.Contains(stderr, "CANARY") {
				t.Errorf("exit %d, stdout %q, stderr %s", code, stdout, stderr)
			}
		})
	}
}

func TestAPatternMustMatchATopic(t *testing.T) {
	_, host := serveFake(t, theAccount(t), nil)
	broker := embedded(t, "crm.events", "crm.events.dead")
	for pattern, want := range map[string]int{"crm\\..*s": exitFine, "shop\\..*": exitSurroundings} {
		path := document(t, strings.Replace(checked(broker, host, fittingRule), "topics: [crm.events, crm.orders]", "topics_regex: '"+pattern+"'", 1))
		code, _, stderr := command(t, "validate", "-c", path, "--online")
		if code != want || code != exitFine && !strings.Contains(stderr, path+":3:17: kafka.topics_regex: no topic matches that may be described; create one, ") {
			t.Errorf("%s: exit %d, %s", pattern, code, stderr)
		}
	}
}

func TestASnapshotMustBeOne(t *testing.T) {
	path := document(t, checked("localhost:9092", "http://127.0.0.1:1", fittingRule))
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"--account", path + ".none"}, "no such file or directory; write a snapshot with leadsink activity-types --save"},
		{[]string{"--account", path}, "--account " + path + ": it is no snapshot of an account"},
		{[]string{"--account", path, "--online"}, "--online asks the account itself; leave --account out"},
	} {
		code, _, stderr := command(t, append([]string{"validate", "-c", path}, row.args...)...)
		if code != exitWrong || !strings.Contains(stderr, row.says) {
			t.Errorf("%q: exit %d, %s", row.args, code, stderr)
		}
	}
}

func TestActivityTypesAreListedAndSaved(t *testing.T) {
	fake, host := serveFake(t, theAccount(t), nil)
	path := document(t, checked("localhost:9092", host, fittingRule))
	code, stdout, stderr := command(t, "activity-types", "-c", path)
	if golden(t, filepath.Join("testdata", "account", "list.golden"), stdout); code != exitFine || stderr != "" {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
	saved := filepath.Join(t.TempDir(), "account.json")
	code, stdout, stderr = command(t, "activity-types", "-c", path, "--save", saved, "--json")
	text, err := os.ReadFile(saved)
	if err != nil || code != exitFine || string(text) != stdout || stderr != saved+" holds 3 activity types\n" || strings.Contains(stdout, "very-secret") {
		t.Errorf("exit %d, %v, stderr %q, saved %s", code, err, stderr, text)
	}
	read, err := account.Read(strings.NewReader(stdout))
	if err != nil {
		t.Fatal(err)
	}
	expected := theAccount(t).Account
	expected.Types = expected.Types[:3]          // the list leaves the inactive one out
	expected.Types[2].Fields = []account.Field{} // the fake knows of no field
	if diff := cmp.Diff(&expected, read); diff != "" {
		t.Error(diff)
	}
	if code, _, stderr := command(t, "validate", "-c", path, "--account", saved); code != exitFine {
		t.Errorf("validate: exit %d, %s", code, stderr)
	}
	before := fake.Summary("").Lookups
	code, stdout, _ = command(t, "activity-types", "-c", path, "--code", "321")
	if code != exitFine || strings.Contains(stdout, "320") || !strings.HasPrefix(stdout, "321") || fake.Summary("").Lookups-before != 2 {
		t.Errorf("exit %d, %s", code, stdout)
	}
	code, stdout, stderr = command(t, "activity-types", "-c", path, "--code", "321", "--code", "999")
	if code != exitWrong || stdout != "" || !strings.Contains(stderr, "--code: the account has no activity type 999; ") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	code, _, stderr = command(t, "activity-types", "-c", path, "--code", "321", "--save", saved)
	if kept, err := os.ReadFile(saved); code != exitWrong || err != nil || string(kept) != string(text) || !strings.Contains(stderr, "leave --code out") {
		t.Errorf("exit %d, %v, %s", code, err, stderr)
	}
}

func TestActivityTypesNeedNoDocument(t *testing.T) {
	_, host := serveFake(t, theAccount(t), nil)
	t.Setenv("LSQ_ACCESS_KEY", "key")
	code, stdout, stderr := command(t, "activity-types", "--host", host, "--code", "320", "--json")
	if code != exitWrong || stdout != "" || !strings.Contains(stderr, "LSQ_SECRET_KEY is missing") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	t.Setenv("LSQ_SECRET_KEY", "wrong-CANARY")
	code, stdout, stderr = command(t, "activity-types", "--host", host, "--code", "320")
	if code != exitSurroundings || stdout != "" || !strings.Contains(stderr, "refuses the keys (HTTP 401)") || strings.Contains(stderr, "CANARY") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
}

// produced writes the values to the topic crm.events.
func produced(t *testing.T, broker string, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic("crm.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, value := range values {
		if err := client.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// runs runs the document's connector until so many records have their fate, and returns
// its last status and what it logged; looked waits for the first check too.
func runs(t *testing.T, text string, records int64, looked bool) (s connector.Status, log string) {
	t.Helper()
	doc, err := config.Load(document(t, text+"admin: {listen: 127.0.0.1:0}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	err = serve(t.Context(), doc, &stderr, func(ctx context.Context, c *connector.Connector) error {
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			s, err = c.Status(ctx)
			if err != nil || s.Records.Delivered+s.Records.Dead >= records && (!looked || !s.Account.At.IsZero()) {
				return err
			}
		}
	})
	if err != nil {
		t.Fatal(err, stderr.String())
	}
	return s, stderr.String()
}

const anOrder = `{"lead": {"id": "L1"}, "order": {"id": "A-1"}}`

func TestACodeThatTheAccountDoesNotKnowEndsTheStartWithExit2(t *testing.T) {
	_, host := serveFake(t, theAccount(t), nil)
	path := document(t, checked(embedded(t, "crm.events", "crm.orders", "crm.events.dead"), host, strings.Replace(fittingRule, "320", "999", 1))+"admin: {listen: 127.0.0.1:0}\n")
	code, _, stderr := command(t, "run", "-c", path)
	want := path + ":9:17: transform.rules[0].activity: the account has no activity type 999; there are 320 (Order), 321 (Shop visit), 322 (Secret)\n          activity: 999\n                    ^\n"
	if code != exitWrong || !strings.HasSuffix(stderr, want) {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestWhatDoesNotFitTheAccountIsToldAndDeliveryGoesOn(t *testing.T) {
	for name, row := range map[string]struct {
		between  func(w http.ResponseWriter, r *http.Request, next http.Handler)
		rule     string
		problems []string
		untold   string
		log      string
	}{
		"all fits": {nil, fittingRule, nil, "", ""},
		"an option is gone": {
			nil, strings.Replace(fittingRule, "'\"Gold\"'", "'event.order.old ? \"Bronze\" : nil'", 1),
			[]string{`transform.rules[0].fields.mx_Custom_5: "Bronze" is no option of field mx_Custom_5 (Tier); there are Gold, Silver, Sales  Lead`},
			"",
			"a rule does not fit the account: LeadSquared may refuse its activities",
		},
		"no rights to the types": {
			tellingNothing(http.StatusForbidden), fittingRule, nil, "LeadSquared does not tell the activity types: HTTP 403",
			"a part of the rules is not checked against the account; delivery goes on",
		},
		"the types cannot be asked for": {
			tellingNothing(http.StatusServiceUnavailable), fittingRule, nil, "", "the rules could not be checked against the account at the start",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, host := serveFake(t, theAccount(t), row.between)
			broker := embedded(t, "crm.events", "crm.orders", "crm.events.dead")
			produced(t, broker, anOrder)
			s, log := runs(t, checked(broker, host, row.rule), 1, name != "the types cannot be asked for")
			if s.Records.Delivered != 1 {
				t.Errorf("%+v\n%s", s.Records, log)
			}
			if diff := cmp.Diff(row.problems, s.Account.Problems); diff != "" || !strings.HasPrefix(strings.Join(s.Account.Untold, "\n"), row.untold) {
				t.Errorf("%s%v", diff, s.Account.Untold)
			}
			if warned := strings.Contains(log, "the account"); warned != (row.log != "") || !strings.Contains(log, row.log) {
				t.Errorf("the log is %s", log)
			}
		})
	}
}

func TestACheckOfARunningConnectorSeesDrift(t *testing.T) {
	fake, host := serveFake(t, theAccount(t), nil)
	doc, err := config.Load(document(t, checked("localhost:9092", host, fittingRule)))
	if err != nil {
		t.Fatal(err)
	}
	expected, problems := doc.Expects()
	client, err := lookingAt(doc)
	if err != nil || problems != nil {
		t.Fatal(err, problems)
	}
	defer client.Close()
	check := &accountCheck{expected: expected, client: client}
	whole := func() connector.CheckResult {
		first, second := check.Check(t.Context(), time.Time{}), check.Check(t.Context(), time.Time{})
		if first.Done || !second.Done || second.Outcome != connector.Judged {
			t.Fatalf("%+v, %+v", first, second)
		}
		return second.Result
	}
	if r := whole(); r.Problems != nil || r.At.IsZero() {
		t.Errorf("%+v", r)
	}
	drifted := theAccount(t)
	order := drifted.Type(320)
	order.Fields[4].Options = order.Fields[4].Options[1:]
	order.Fields[1].Mandatory = true
	fake.SetAccount(*drifted)
	want := []string{
		`transform.rules[0].fields.mx_Custom_5: "Gold" is no option of field mx_Custom_5 (Tier); there are Silver, Sales  Lead`,
		"transform.rules[0].fields: field mx_Custom_2 (Total) of activity type 320 (Order) is mandatory, and nothing is written to it; add it to fields",
	}
	if diff := cmp.Diff(want, whole().Problems); diff != "" {
		t.Error(diff)
	}
	drifted.Types[0].Inactive = true
	order.Fields = order.Fields[1:]
	fake.SetAccount(*drifted)
	if got := whole().Problems; len(got) != 4 || !strings.Contains(got[0], "is not active") || !strings.Contains(got[1], "has no field mx_Custom_1") {
		t.Errorf("%q", got)
	}
}

// silentAbout answers 503 for the setting of the code, and without one for the list.
func silentAbout(code string) func(w http.ResponseWriter, r *http.Request, next http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "ProspectActivity.svc") && r.Method == http.MethodGet && r.URL.Query().Get("code") == code {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	}
}

func TestACodeThatCannotBeAskedForKeepsNoOtherFromBeingChecked(t *testing.T) {
	const untold = "LeadSquared does not tell the fields of activity type 320: HTTP 503: down"
	_, host := serveFake(t, theAccount(t), silentAbout("320"))
	doc, err := config.Load(document(t, checked("localhost:9092", host, fittingRule+"    - {name: visit, lead: event.lead.id, activity: 321, fields: {mx_Custom_77: '1'}}\n")))
	if err != nil {
		t.Fatal(err)
	}
	expected, _ := doc.Expects()
	client, err := lookingAt(doc)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	a, told, err := readAccount(t.Context(), client.Look(expected.Codes()), doc.LeadSquared.Budget, 1)
	if err != nil || len(told) != 1 || told[0] != untold || len(expected.CheckRules(a)) == 0 || len(expected.Missing(a)) > 0 {
		t.Errorf("%v %q %v", err, told, expected.CheckRules(a))
	}
	check := &accountCheck{expected: expected, client: client}
	if k := check.Check(t.Context(), time.Time{}); k.Outcome != connector.Judged {
		t.Fatalf("%+v", k)
	}
	failed := check.Check(t.Context(), time.Time{})
	if k := check.Skip(failed.Answer); failed.Outcome != connector.Unknown || k.Outcome != connector.Judged || k.Done {
		t.Fatalf("%+v, %+v", failed, k)
	}
	last := check.Check(t.Context(), time.Time{})
	if !last.Done || len(last.Result.Problems) == 0 || len(last.Result.Untold) != 1 || last.Result.Untold[0] != untold {
		t.Errorf("%+v", last)
	}
	check.Check(t.Context(), time.Time{})
	throttled := connector.Answer{Outcome: connector.Throttled}
	if k := check.Skip(throttled); k.Outcome != connector.Throttled || check.look != nil {
		t.Errorf("who is throttled goes on: %+v", k)
	}
}

// The guide's section is run as it stands: its snapshot, its rules and its event give
// the messages that it shows.
func TestTheGuideSaysWhatDoesNotFitTheAccount(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "mapping.md"))
	if err != nil {
		t.Fatal(err)
	}
	before, section, found := strings.Cut(string(text), "\n## Checked against your account\n")
	if !found {
		t.Fatal("the guide has no such section")
	}
	fenced := regexp.MustCompile("(?s)```[a-z]*\n(.*?)```\n")
	event, blocks := fenced.FindAllStringSubmatch(before, -1)[1][1], fenced.FindAllStringSubmatch(section, -1)
	path := document(t, "kafka: {brokers: [\"localhost:9092\"], topics: [crm.events], group: g}\n"+
		"leadsquared: {host: \"https://api-in21.leadsquared.com\", access_key: a, secret_key: b}\n"+blocks[1][1])
	for name, content := range map[string]string{"event.json": event, "account.json": blocks[0][1]} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, _ := command(t, "validate", "-c", path, "--account", filepath.Join(filepath.Dir(path), "account.json"), "--json")
	var got validation
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitWrong {
		t.Fatalf("exit %d, %v", code, err)
	}
	var lines strings.Builder
	for _, e := range got.Errors {
		lines.WriteString(e.Key + ": " + e.Text + "\n")
	}
	if diff := cmp.Diff(blocks[2][1], lines.String()); diff != "" {
		t.Error(diff)
	}
}
