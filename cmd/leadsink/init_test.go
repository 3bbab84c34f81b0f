package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// begun is what init is given: a sample and a snapshot, in a folder of their own.
func begun(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, name := range []string{"event.json", "account.json"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "config", "starter", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("LSQ_ACCESS_KEY", "key")
	t.Setenv("LSQ_SECRET_KEY", "very-secret")
	return folder
}

func TestInitWritesADocumentThatIsValidWhateverItIsGiven(t *testing.T) {
	folder := begun(t)
	sample, snapshot := filepath.Join(folder, "event.json"), filepath.Join(folder, "account.json")
	_, host := serveFake(t, theAccount(t), nil)
	for i, args := range [][]string{nil, {"--sample", sample}, {"--account", snapshot}, {"--sample", sample, "--account", snapshot}, {"--sample", sample, "--host", host}} {
		path := filepath.Join(folder, strings.Repeat("x", i+1)+".yaml")
		code, stdout, stderr := command(t, append([]string{"init", "-c", path}, args...)...)
		if code != exitFine || !strings.HasPrefix(stdout, path+" is written; ") || stderr != "" {
			t.Errorf("init %q: exit %d, %s%s", args, code, stdout, stderr)
		}
		check := []string{"validate", "-c", path}
		if i >= 3 {
			check = append(check, "--account", snapshot)
		}
		if code, _, stderr := command(t, check...); code != exitFine {
			t.Errorf("init %q, then %q: exit %d, %s", args, check, code, stderr)
		}
	}
}

func TestInitWritesOverNothingWithoutForce(t *testing.T) {
	folder := begun(t)
	path := filepath.Join(folder, "leadsink.yaml")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitWrong, path + " is there already; give another name with -c, or --force to write over it"},
		{[]string{"--force", "--sample", path}, exitWrong, "--sample " + path + ": the file is not JSON: "},
		{[]string{"--force", "--sample", path + ".none"}, exitWrong, "cannot be read: no such file or directory"},
		{[]string{"--force", "--account", path}, exitWrong, "it is no snapshot of an account"},
		{[]string{"--force", "--account", path, "--host", "http://127.0.0.1:1"}, exitWrong, "--host asks the account itself; leave --account out"},
		{[]string{"--force", "--host", "nowhere"}, exitWrong, "--host is not an address with https://"},
		{[]string{"--force", "--host", "http://127.0.0.1:1"}, exitSurroundings, "LeadSquared cannot be asked for its activity types"},
	} {
		code, stdout, stderr := command(t, append([]string{"init", "-c", path}, row.args...)...)
		if text, _ := os.ReadFile(path); code != row.code || stdout != "" || !strings.Contains(stderr, row.says) || string(text) != "mine" {
			t.Errorf("%q: exit %d, %s%s; the file holds %.20q", row.args, code, stdout, stderr, text)
		}
	}
	if code, _, stderr := command(t, "init", "-c", path, "--force"); code != exitFine {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if text, _ := os.ReadFile(path); !strings.HasPrefix(string(text), "# A first document") {
		t.Errorf("--force wrote %.40q", text)
	}
	if code, _, stderr := command(t, "init", "-c", filepath.Join(folder, "none", "x.yaml")); code != exitSurroundings || !strings.Contains(stderr, "choose a folder that can be written to") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// What init writes delivers as it is, once it says where Kafka and the account are.
func TestWhatInitWritesDelivers(t *testing.T) {
	folder := begun(t)
	fake, host := serveFake(t, theAccount(t), nil)
	broker := embedded(t, "crm.events", "crm.events.dead")
	path := filepath.Join(folder, "leadsink.yaml")
	if code, _, stderr := command(t, "init", "-c", path, "--sample", filepath.Join(folder, "event.json"), "--host", host); code != exitFine {
		t.Fatal(stderr)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	produced(t, broker,
		`{"type":"order.placed","occurred_at":"2026-11-23T15:00:00+05:30","lead":{"id":"L1"},"owner":"a@example.com","order":{"id":"A-7","total":12.50,"paid":false,"tier":"Gold"}}`,
		`{"type":"shop.visited","lead":{"id":"L2"}}`)
	document := strings.Replace(string(text), "localhost:9092", broker, 1)
	document = strings.Replace(document, "sample: event.json", "sample: "+filepath.Join(folder, "event.json"), 1)
	document = strings.Replace(document, "[25/5s]", "[]", 1)
	s, log := runs(t, document, 2, false)
	if s.Records.Delivered != 2 {
		t.Fatalf("%+v\n%s", s.Records, log)
	}
	got := map[int]map[string]string{}
	for _, a := range fake.Activities(0, 0) {
		got[a.Code] = a.Fields
		if a.Code == 320 && (a.Lead != "L1" || a.Time != "2026-11-23 09:30:00" || a.Owner != "a@example.com" || a.Note != "order placed") {
			t.Errorf("created %+v", a)
		}
	}
	if f := got[320]; f["mx_Custom_1"] != "A-7" || f["mx_Custom_2"] != "12.50" || f["mx_Custom_4"] != "false" || f["mx_Custom_5"] != "Gold" || len(got) != 2 {
		t.Errorf("created %v", got)
	}
}

// In users' own CI neither keys nor brokers are known.
func TestASnapshotIsCheckedAgainstWithoutKeys(t *testing.T) {
	folder := begun(t)
	path, snapshot := filepath.Join(folder, "leadsink.yaml"), filepath.Join(folder, "account.json")
	if code, _, stderr := command(t, "init", "-c", path, "--sample", filepath.Join(folder, "event.json"), "--account", snapshot); code != exitFine {
		t.Fatal(stderr)
	}
	for _, name := range []string{"LSQ_ACCESS_KEY", "LSQ_SECRET_KEY"} {
		if err := os.Unsetenv(name); err != nil { // begun puts it back
			t.Fatal(err)
		}
	}
	code, _, stderr := command(t, "validate", "-c", path, "--account", snapshot)
	want := "not checked: leadsquared.access_key: what it names is not known here\nnot checked: leadsquared.secret_key: what it names is not known here\n"
	if code != exitFine || stderr != want {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if code, _, stderr := command(t, "validate", "-c", path); code != exitWrong || !strings.Contains(stderr, "LSQ_ACCESS_KEY") {
		t.Errorf("without a snapshot: exit %d, %s", code, stderr)
	}
}

// The README's way to a first document, line by line, with a Kafka and an account
// that are there.
func TestTheReadmesWayToAFirstDocumentWorks(t *testing.T) {
	readme := read(t, filepath.Join("..", "..", "README.md"))
	folder := begun(t)
	_, host := serveFake(t, theAccount(t), nil)
	broker := embedded(t, "crm.events", "crm.events.dead")
	t.Chdir(folder)
	const address = "https://api-in21.leadsquared.com"
	ran := 0
	for line := range strings.Lines(readme) {
		args, ok := strings.CutPrefix(strings.TrimSpace(line), "$ bin/leadsink ")
		if !ok {
			continue
		}
		ran++
		code, stdout, stderr := command(t, strings.Fields(strings.ReplaceAll(args, address, host))...)
		if code != exitFine {
			t.Errorf("%s: exit %d, %s%s", args, code, stdout, stderr)
		}
		if document, err := os.ReadFile("leadsink.yaml"); err == nil {
			text := strings.NewReplacer("localhost:9092", broker, address, host).Replace(string(document))
			if err := os.WriteFile("leadsink.yaml", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if ran != 4 {
		t.Errorf("the README shows %d commands, want 4", ran)
	}
}
