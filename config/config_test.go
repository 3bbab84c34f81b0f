package config

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/connector/budget"
)

var update = flag.Bool("update", false, "write the golden files")

// minimal is the least that is valid.
const minimal = `kafka:
  brokers: [localhost:9092]
  topics: [crm.events]
  group: leadsink
transform:
  rules:
    - lead: event.lead.id
      activity: 320
leadsquared:
  host: https://api-in21.leadsquared.com
  access_key: key
  secret_key: very-secret
`

// load loads a document with the given text.
func load(t *testing.T, text string) (*Document, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "leadsink.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestEveryErrorSaysWhereWhatAndWhatToDo(t *testing.T) {
	t.Setenv("LEADSINK_TEST_WORD", "hidden")
	t.Chdir(filepath.Join("testdata", "wrong"))
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d documents, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			_, err := Load(file)
			if _, ok := errors.AsType[*Errors](err); !ok {
				t.Fatalf("loaded with %v, want *Errors", err)
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
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
			for _, secret := range []string{"very-secret", "hunter2", "hidden"} {
				if strings.Contains(got, secret) {
					t.Errorf("%q is shown", secret)
				}
			}
		})
	}
}

// No mapping, however wrong, is let in or makes the process large.
func TestEveryWrongMappingIsRefusedWithinBounds(t *testing.T) {
	t.Chdir(filepath.Join("testdata", "wrong"))
	files, err := filepath.Glob("mapping_*.yaml")
	if err != nil || len(files) < 80 {
		t.Fatalf("%d documents, %v", len(files), err)
	}
	for _, file := range files {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Load(file)
		runtime.ReadMemStats(&after)
		all, ok := errors.AsType[*Errors](err)
		if !ok {
			t.Errorf("%s: loaded with %v", file, err)
			continue
		}
		for _, e := range all.List {
			if e.Line < 6 || e.Column < 1 || e.excerpt == "" || !strings.Contains(e.Text, "; ") {
				t.Errorf("%s: %v has no place or no advice", file, e)
			}
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 16<<20 {
			t.Errorf("%s: %d KiB are allocated", file, spent>>10)
		}
	}
}

func TestADocumentThatCannotBeReadSaysWhichAndWhy(t *testing.T) {
	_, err := Load("testdata/none.yaml")
	want := "testdata/none.yaml: cannot be read: no such file or directory; see whether the path is right and may be read"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestADocumentLargerThanOneMebibyteIsRefused(t *testing.T) {
	_, err := load(t, minimal+strings.Repeat("# filler\n", 1<<20/9))
	if err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestAliasesCannotMultiplyBeyondTheBound(t *testing.T) {
	var b strings.Builder
	b.WriteString(minimal)
	b.WriteString("delivery:\n  order: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	text := strings.Replace(b.String(), "brokers: [localhost:9092]", "brokers: [*n]", 1)
	if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), "nothing above is marked &n") {
		t.Errorf("got %v", err)
	}
	var rule strings.Builder
	rule.WriteString("{lead: &l event.lead.id, activity: 320, fields: &f {")
	for i := range 400 {
		rule.WriteString("a" + strings.Repeat("b", i%7) + string(rune('a'+i%26)) + strings.Repeat("c", i/26) + ": *l, ")
	}
	rules := "[" + rule.String() + "}}" + strings.Repeat(", {lead: *l, activity: 320, fields: *f}", 400) + "]"
	text = strings.Replace(minimal, "  rules:\n    - lead: event.lead.id\n      activity: 320\n", "  rules: "+rules+"\n", 1)
	if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), "more than 100000 values with its aliases") {
		t.Errorf("got %.300v", err)
	}
}

func TestTheDocumentIsLaidOverTheDefaults(t *testing.T) {
	t.Setenv("LEADSINK_TEST_BATCH", "7")
	doc, err := load(t, minimal+`  batch: ${env:LEADSINK_TEST_BATCH}
  linger: 0s
  limits: []
  timeout: ${env:LEADSINK_TEST_UNSET:-12s}
delivery:
  backoff: {max: 3m}
  window_bytes: 5MB
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.LeadSquared.Batch.Batch = 7
	want.LeadSquared.Batch.Linger = 0
	want.LeadSquared.Budget.Limits = []budget.Limit{}
	want.Delivery.Backoff.Max = 3 * time.Minute
	want.Delivery.WindowBytes = 5e6
	if diff := cmp.Diff(want.LeadSquared.Batch, doc.LeadSquared.Batch); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want.LeadSquared.Budget, doc.LeadSquared.Budget); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want.Delivery, doc.Delivery); diff != "" {
		t.Error(diff)
	}
	if got := doc.LeadSquared.Client.Timeout; got != 12*time.Second {
		t.Errorf("timeout %s, want the variable's default", got)
	}
	if got := doc.Engine(); got.Batch != 7 || got.Name != "leadsink" || got.HaltWhen.Of != 100 {
		t.Errorf("the engine is told %+v", got)
	}
}

func TestASectionWithoutKeysHasItsDefaults(t *testing.T) {
	doc, err := load(t, minimal+"delivery:\n  # attempts: 3\nlog: {}\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default().Delivery, doc.Delivery); diff != "" {
		t.Error(diff)
	}
}

func TestFieldsKeepTheOrderOfTheDocument(t *testing.T) {
	doc, err := load(t, strings.Replace(minimal, "activity: 320", "activity: 320\n      fields: {z: event.a, 1: 5, a: 'true', m: event.b}", 1))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range doc.Transform.Rules[0].Fields {
		got = append(got, e.Name+"="+e.Expression)
	}
	if diff := cmp.Diff([]string{"z=event.a", "1=5", "a=true", "m=event.b"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnAliasStandsForWhatIsMarked(t *testing.T) {
	doc, err := load(t, strings.Replace(minimal, "activity: 320", `activity: 320
      fields: &both {mx_Custom_1: event.a}
    - lead: event.lead.id
      activity: 321
      fields: *both`, 1))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(doc.Transform.Rules[0].Fields, doc.Transform.Rules[1].Fields); diff != "" {
		t.Error(diff)
	}
}

func TestNothingIsSubstitutedInExpressions(t *testing.T) {
	doc, err := load(t, strings.Replace(minimal, "activity: 320", `activity: 320
      note: '"${env:HOME}"'
      fields: {mx_Custom_1: '"${file:/etc/passwd}"'}`, 1))
	if err != nil {
		t.Fatal(err)
	}
	rule := doc.Transform.Rules[0]
	if rule.Note != `"${env:HOME}"` || rule.Fields[0].Expression != `"${file:/etc/passwd}"` {
		t.Errorf("got %+v", rule)
	}
}

func TestFilesAreLookedForBesideTheDocument(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"key":           "from a file\n",
		"event.json":    `{"lead": {"id": "L1"}}`,
		"leadsink.yaml": strings.Replace(strings.Replace(minimal, "very-secret", "${file:key}", 1), "rules:", "sample: event.json\n  tables: [{name: t, file: t.csv}]\n  rules:", 1),
		"t.csv":         "a,b\n1,2\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(filepath.Join(folder, "leadsink.yaml")); err == nil {
		t.Fatal("a key with spaces was accepted")
	}
	if err := os.WriteFile(filepath.Join(folder, "key"), []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	doc, err := Load(filepath.Join(folder, "leadsink.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := doc.LeadSquared.Client.SecretKey.Reveal(); got != "abc" || err != nil {
		t.Errorf("the secret is %q, %v", got, err)
	}
	if got := doc.Transform.Tables[0].File; got != filepath.Join(folder, "t.csv") {
		t.Errorf("the table is %s", got)
	}
	if got := doc.Transform.Sample; got != filepath.Join(folder, "event.json") {
		t.Errorf("the sample is %s", got)
	}
}

func TestWindowsLineEndsChangeNothing(t *testing.T) {
	_, err := load(t, strings.ReplaceAll("# A comment.\n"+minimal+"nam: x\n", "\n", "\r\n"))
	if err == nil || !strings.HasSuffix(err.Error(), ":14:1: nam: there is no such key; did you mean name?\n    nam: …\n    ^") {
		t.Errorf("got %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(minimal))
	files, err := filepath.Glob(filepath.Join("testdata", "wrong", "*.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add(bytes.Repeat([]byte("- "), 1000))
	f.Fuzz(func(t *testing.T, text []byte) {
		nothing := func(string) (string, bool) { return "", false }
		doc, _, err := parse("leadsink.yaml", text, nothing, nil)
		if (doc == nil) == (err == nil) {
			t.Fatalf("document %v, error %v", doc, err)
		}
		if err != nil {
			_ = err.Error()
		}
	})
}
