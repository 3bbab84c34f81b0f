package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/leadsink/leadsink/trial"
)

var examples = filepath.Join("..", "..", "deploy", "examples")

// The guide's commands are run where its reader runs them, beside the examples,
// and print what it shows.
func TestTheGuidesCommandsPrintWhatItShows(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "mapping.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(examples)
	shown := regexp.MustCompile("(?ms)^```console\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
	if len(shown) < 4 {
		t.Fatalf("the guide shows %d commands", len(shown))
	}
	for _, block := range shown {
		line, want, _ := strings.Cut(block[1], "\n")
		args := strings.Fields(strings.TrimPrefix(line, "$ leadsink "))
		if !strings.HasPrefix(line, "$ leadsink ") {
			t.Errorf("%s is no command of leadsink", line)
			continue
		}
		code, stdout, stderr := command(t, args...)
		if stdout != want || stderr != "" || code > exitFailed {
			t.Errorf("%s: exit %d, stdout\n%s\nstderr %s", line, code, stdout, stderr)
		}
	}
}

func TestTheGuideShowsTheBeginningOfTheExamplesCases(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "mapping.md"))
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile(filepath.Join(examples, "tests.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(guide), "```yaml\ncases:\n")
	shown, _, found := strings.Cut(shown, "```\n")
	if !found || !strings.Contains(string(cases), "\ncases:\n"+shown) {
		t.Errorf("the guide shows\n%s", shown)
	}
}

func TestTheExamplesCasesPass(t *testing.T) {
	report := filepath.Join(t.TempDir(), "report.xml")
	code, stdout, stderr := command(t, "test", "-c", filepath.Join(examples, "leadsink.yaml"), filepath.Join(examples, "tests.yaml"), "--junit", report, "--json")
	var all trial.Results
	if err := json.Unmarshal([]byte(stdout), &all); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if code != exitFine || stderr != "" || all.Failed > 0 || all.Passed != len(all.Cases) || all.Passed < 5 {
		t.Errorf("exit %d, stderr %q, %+v", code, stderr, all)
	}
	xml, err := os.ReadFile(report)
	if err != nil || strings.Count(string(xml), "<testcase ") != all.Passed || !strings.Contains(string(xml), `failures="0"`) {
		t.Errorf("the report says %s, %v", xml, err)
	}
}

// mapped is a document that knows neither brokers nor keys.
const mapped = `kafka:
  brokers: ["${env:LEADSINK_TEST_UNSET}"]
  topics: [crm.events]
  group: leadsink
transform:
  rules:
    - lead: event.lead
      activity: 320
leadsquared:
  host: ${env:LEADSINK_TEST_UNSET}
  access_key: ${env:LEADSINK_TEST_UNSET}
  secret_key: ${env:LEADSINK_TEST_UNSET}
`

func TestEventsOnStandardInputAreShownWithoutKeysAndBrokers(t *testing.T) {
	path := document(t, mapped)
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"preview", "-c", path, "--input", "-", "--json"}, strings.NewReader(`{"lead":"L1"}`), &stdout, &stderr)
	var shown struct {
		Address string
		Summary trial.Summary
	}
	if err := json.Unmarshal(stdout.Bytes(), &shown); err != nil {
		t.Fatalf("%v in %s", err, stdout.String())
	}
	if code != exitFine || shown.Summary.Sent != 1 || shown.Address != "/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId" {
		t.Errorf("exit %d, %+v", code, shown)
	}
	if want := "leadsink: " + path + ": leadsquared.host is not known here, so what is posted is shown as without it\n"; stderr.String() != want {
		t.Errorf("stderr %q, want %q", stderr.String(), want)
	}
}

func TestThePreviewOfARecordCanBePreviewedAgain(t *testing.T) {
	path := document(t, mapped)
	var first, second, discarded bytes.Buffer
	run(t.Context(), []string{"preview", "-c", path, "--input", "-", "--json", "--records"},
		strings.NewReader(`{"value":{"lead":12345678901234567890},"key":"k","headers":{"a":"b"},"offset":7,"timestamp":"2026-03-01T09:30:00Z"}`), &first, &discarded)
	var shown struct {
		Records []struct{ Record json.RawMessage }
	}
	if err := json.Unmarshal(first.Bytes(), &shown); err != nil || len(shown.Records) != 1 {
		t.Fatalf("%v in %s", err, first.String())
	}
	if code := run(t.Context(), []string{"preview", "-c", path, "--input", "-", "--json", "--records"}, bytes.NewReader(shown.Records[0].Record), &second, &discarded); code != exitFine {
		t.Fatal(discarded.String())
	}
	if first.String() != second.String() || !strings.Contains(first.String(), "12345678901234567890") {
		t.Errorf("first\n%s\nthen\n%s", first.String(), second.String())
	}
}

func TestPreviewExitsWith1IfAnotherDocumentMakesADifference(t *testing.T) {
	path := document(t, mapped)
	input := filepath.Join(t.TempDir(), "events.json")
	if err := os.WriteFile(input, []byte(`[{"lead":"L1"},{}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	other := document(t, strings.Replace(mapped, "320", "event.code ?? 321", 1))
	code, stdout, _ := command(t, "preview", "-c", path, "--input", input, "--diff", other)
	if code != exitFailed || !strings.Contains(stdout, "-     activity: 320\n  +     activity: 321\n") || !strings.HasSuffix(stdout, "1 of 2 records differs.\n") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	code, stdout, _ = command(t, "preview", "-c", path, "--input", input, "--diff", path)
	if code != exitFine || stdout != "0 of 2 records differ.\n" {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	code, stdout, _ = command(t, "preview", "-c", path, "--input", input, "--diff", other, "--json")
	var compared struct{ Summary struct{ Records, Differ int } }
	if err := json.Unmarshal([]byte(stdout), &compared); err != nil || code != exitFailed || compared.Summary.Differ != 1 {
		t.Errorf("exit %d, %v\n%s", code, err, stdout)
	}
}

func TestPreviewChecksActivitiesAgainstASnapshotOfTheAccount(t *testing.T) {
	path := document(t, strings.Replace(mapped, "320", "event.code", 1))
	folder := t.TempDir()
	input, snapshot := filepath.Join(folder, "events.jsonl"), filepath.Join(folder, "account.json")
	for name, text := range map[string]string{
		input:    "{\"lead\":\"L1\",\"code\":320}\n{\"lead\":\"L1\",\"code\":999}\n",
		snapshot: `{"version":1,"types":[{"code":320,"name":"order","fields":[]}]}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, _ := command(t, "preview", "-c", path, "--input", input, "--account", snapshot)
	if code != exitFine || strings.Count(stdout, "      refused: activity: ") != 1 || !strings.HasSuffix(stdout, "The account would refuse 1 activity.\n") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	code, _, stderr := command(t, "preview", "-c", path, "--input", input, "--account", input)
	if code != exitWrong || !strings.Contains(stderr, "no snapshot of an account") {
		t.Errorf("exit %d, stderr %s", code, stderr)
	}
}

// With the topic the records are read without a trace; package kafka looks at
// every request of it, and TestSystemPreviewLeavesNoTrace at a real Kafka.
func TestPreviewShowsTheLastRecordsOfTheTopic(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "crm.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, lead := range []string{"L1", "L2", "L3"} {
		r := &kgo.Record{Topic: "crm.events", Partition: int32(i % 2), Value: []byte(`{"lead":"` + lead + `"}`)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	path := document(t, strings.Replace(mapped, `["${env:LEADSINK_TEST_UNSET}"]`, `["`+cluster.ListenAddrs()[0]+`"]`, 1))
	code, stdout, stderr := command(t, "preview", "-c", path, "--from-topic", "--last", "5", "--partition", "0")
	if code != exitFine || !strings.Contains(stdout, "crm.events/0@1  ") || strings.Contains(stdout, "L2") || !strings.Contains(stdout, "\n2 records: 2 sent as 2 activities, 0 filtered, 0 dead.\n") {
		t.Errorf("exit %d, stderr %s\n%s", code, stderr, stdout)
	}
	groups, err := kadm.NewClient(client).ListGroups(t.Context())
	if err != nil || len(groups) > 0 {
		t.Errorf("groups %v, %v", groups, err)
	}
}

func TestTopicsThatCannotBeReadExitWith3(t *testing.T) {
	path := document(t, strings.Replace(mapped, `["${env:LEADSINK_TEST_UNSET}"]`, `["127.0.0.1:1"]`, 1))
	code, stdout, stderr := command(t, "preview", "-c", path, "--from-topic")
	if code != exitSurroundings || stdout != "" || !strings.Contains(stderr, "leadsink: the topics cannot be read: broker 127.0.0.1:1: ") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	// Of a document without brokers nothing else can be said.
	code, _, stderr = command(t, "preview", "-c", document(t, mapped), "--from-topic")
	if code != exitWrong || !strings.Contains(stderr, ":2:13: kafka.brokers[0]: the environment variable LEADSINK_TEST_UNSET is not set") || strings.Contains(stderr, "access_key") {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
}

func TestFlagsOfPreviewThatDoNotGoTogetherAreRefused(t *testing.T) {
	path := document(t, mapped)
	for _, row := range []struct {
		args []string
		want string
	}{
		{nil, "say what to show: give --input FILE or --from-topic"},
		{[]string{"--input", "a", "--from-topic"}, "say what to show: give --input FILE or --from-topic"},
		{[]string{"--input", "a", "--last", "3"}, "--last goes with --from-topic; leave it out"},
		{[]string{"--input", "a", "--partition", "0"}, "--partition goes with --from-topic; leave it out"},
		{[]string{"--from-topic", "--records"}, "--records goes with --input; leave it out"},
		{[]string{"--from-topic", "--last", "0"}, "--last: 0 is not a number from 1 to 10000"},
		{[]string{"--from-topic", "--partition", "-1"}, "--partition: -1 is not a partition; they count from 0"},
		{[]string{"--from-topic", "--timeout", "0s"}, "--timeout: 0s leaves no time; give a duration above 0s, for instance 30s"},
		{[]string{"--input", "a", "--account", "b", "--diff", "c"}, "--diff compares what is sent, and --account checks it; leave one of them out"},
		{[]string{"--input", "/none.jsonl"}, "--input: open /none.jsonl: no such file or directory; give a file of events"},
		{[]string{"--input", "/dev/null"}, "--input: /dev/null is empty; write one event per line, or a list of events"},
	} {
		code, stdout, stderr := command(t, append([]string{"preview", "-c", path}, row.args...)...)
		if code != exitWrong || stdout != "" || !strings.HasSuffix(stderr, "leadsink: "+row.want+"\n") {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want %q", row.args, code, stdout, stderr, row.want)
		}
	}
}

const failing = `cases:
  - name: a lead
    event: {lead: L1}
    activities:
      - {lead: L2, activity: 320}
`

func TestACaseThatFailsExitsWith1AndUpdatingMendsIt(t *testing.T) {
	path, cases := document(t, mapped), document(t, failing)
	code, stdout, stderr := command(t, "test", "-c", path, cases)
	if code != exitFailed || stderr != "" || !strings.Contains(stdout, "- lead: L2\n") || !strings.Contains(stdout, "+   - lead: L1\n") || !strings.HasSuffix(stdout, "0 passed, 1 failed\n") {
		t.Errorf("exit %d, stderr %q\n%s", code, stderr, stdout)
	}
	code, stdout, _ = command(t, "test", "-c", path, cases, "--update")
	if code != exitFine || !strings.HasSuffix(stdout, "0 passed, 0 failed, 1 rewritten\n") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	if code, stdout, _ = command(t, "test", "-c", path, cases); code != exitFine || !strings.HasSuffix(stdout, "1 passed, 0 failed\n") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
}

func TestCasesThatAreTestedWithoutAMarkerOrATopicSaySo(t *testing.T) {
	open := strings.NewReplacer("topics: [crm.events]", `topics: ["${env:LEADSINK_TEST_UNSET}"]`, "leadsquared:\n", "leadsquared:\n  marker: ${env:LEADSINK_TEST_UNSET}\n")
	path, cases := document(t, open.Replace(mapped)), document(t, strings.Replace(failing, "lead: L2", "lead: L1", 1))
	code, _, stderr := command(t, "test", "-c", path, cases)
	want := "leadsink: " + path + ": kafka.topics[0] is not known here, so cases are tested as without it\n" +
		"leadsink: " + path + ": leadsquared.marker is not known here, so cases are tested as without it\n"
	if code != exitFine || stderr != want {
		t.Errorf("exit %d, stderr %q, want %q", code, stderr, want)
	}
}

func TestWhatIsWrongWithDocumentAndCasesIsToldTogether(t *testing.T) {
	path := document(t, strings.Replace(mapped, "event.lead", "evnt.lead", 1))
	cases, more := document(t, "cases:\n  - nam: a\n"), document(t, failing)
	code, stdout, stderr := command(t, "test", "-c", path, cases, more)
	if code != exitWrong || stdout != "" || !strings.Contains(stderr, path+":7:13: transform.rules[0].lead: evnt is not known here") || !strings.Contains(stderr, cases+":2:5: cases[0].nam: there is no such key; did you mean name?") {
		t.Errorf("exit %d, stdout %q, stderr %s", code, stdout, stderr)
	}
	code, _, stderr = command(t, "test", "-c", path)
	if code != exitWrong || !strings.HasPrefix(stderr, "leadsink: say which cases: give a file of them") {
		t.Errorf("exit %d, stderr %s", code, stderr)
	}
	code, _, stderr = command(t, "test", "-c", document(t, mapped), filepath.Join(t.TempDir(), "none.yaml"))
	if code != exitWrong || !strings.Contains(stderr, "none.yaml: cannot be read: no such file or directory") {
		t.Errorf("exit %d, stderr %s", code, stderr)
	}
}

// Records with schemas are shown as a running connector would read them.
func TestPreviewFetchesTheSchemasOfRecords(t *testing.T) {
	registry := srfake.NewRegistry()
	server := httptest.NewServer(registry.Handler())
	defer server.Close()
	id, _, err := registry.RegisterSchema("crm.events-value", sr.Schema{
		Schema: `{"type":"record","name":"Event","fields":[{"name":"lead","type":"string"},{"name":"n","type":"long"}]}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	value := binary.BigEndian.AppendUint32([]byte{0}, uint32(id))
	value = append(value, 4, 'L', '7') // a text of two bytes, in zigzag
	value = binary.AppendVarint(value, 1234567890123456789)
	records := filepath.Join(t.TempDir(), "records.jsonl")
	line := `{"value_base64": "` + base64.StdEncoding.EncodeToString(value) + `"}`
	if err := os.WriteFile(records, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	path := document(t, `kafka: {brokers: ["localhost:9"], topics: [crm.events], group: g}
decode: {format: avro, registry: {url: "`+server.URL+`"}}
transform: {rules: [{name: any, lead: event.lead, activity: 320, note: event.n}]}
leadsquared: {host: "https://api.leadsquared.com", access_key: a, secret_key: b}
`)
	code, stdout, stderr := command(t, "preview", "-c", path, "--input", records, "--records")
	if code != exitFine || !strings.Contains(stdout, "lead: L7") || !strings.Contains(stdout, "note: 1234567890123456789") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	server.Close()
	code, _, stderr = command(t, "preview", "-c", path, "--input", records, "--records", "--timeout", "10ms")
	if code != exitSurroundings || !strings.Contains(stderr, "the schemas of the records cannot be fetched: "+records+":1: ") {
		t.Errorf("without the registry: exit %d\n%s", code, stderr)
	}
}
