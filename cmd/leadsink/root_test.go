package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/config"
)

const wrongDocument = "kafka:\n  brokers: [localhost:9092]\n  topic: [crm.events]\n"

// command runs the program in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func document(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "leadsink.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestArgumentsThatAreWrongExitWith2AndSayWhatWasMeant(t *testing.T) {
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"validat"}, "leadsink: there is no command \"validat\"; did you mean validate?\n"},
		{[]string{"frobnicate"}, "leadsink: there is no command \"frobnicate\"; see leadsink --help\n"},
		{[]string{"validate", "--confg", "x"}, "leadsink: leadsink validate has no flag --confg; did you mean --config?\n"},
		{[]string{"validate", "--frobnicate"}, "leadsink: leadsink validate has no flag --frobnicate; see leadsink validate --help\n"},
		{[]string{"validate", "-x"}, "leadsink: leadsink validate has no flag -x; see leadsink validate --help\n"},
		{[]string{"validate", "-c"}, "leadsink: flag needs an argument: 'c' in -c; see leadsink validate --help\n"},
		{[]string{"validate", "leadsink.yaml"}, "leadsink: leadsink validate takes no argument, \"leadsink.yaml\" is one; see leadsink validate --help\n"},
		{[]string{"--verbose"}, "leadsink: leadsink has no flag --verbose; see leadsink --help\n"},
	} {
		code, stdout, stderr := command(t, row.args...)
		if code != exitWrong || stdout != "" || stderr != row.want {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want exit 2 and %q", row.args, code, stdout, stderr, row.want)
		}
	}
}

func TestTheExitCodeOfAnErrorIsItsOwn(t *testing.T) {
	for _, row := range []struct {
		err  error
		code int
	}{
		{errors.New("x"), exitFailed},
		{&exitError{exitSurroundings, errors.New("x")}, exitSurroundings},
		{errors.Join(&exitError{exitSurroundings, errors.New("x")}, errors.New("y")), exitSurroundings},
		{&config.Errors{List: []*config.Error{{File: "f", Text: "x"}}}, exitWrong},
	} {
		cmd := &cobra.Command{RunE: func(*cobra.Command, []string) error { return row.err }}
		coded(cmd)
		var exit *exitError
		if err := cmd.RunE(cmd, nil); !errors.As(err, &exit) || exit.code != row.code {
			t.Errorf("%v: got %v, want exit code %d", row.err, err, row.code)
		}
	}
}

func TestHelpAndCompletionAreThere(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"help", "validate"}, {"completion", "bash"}} {
		code, stdout, stderr := command(t, args...)
		if code != exitFine || stdout == "" || stderr != "" {
			t.Errorf("%q: exit %d, stdout %.40q, stderr %q", args, code, stdout, stderr)
		}
	}
}

func TestValidateSaysThatADocumentIsValid(t *testing.T) {
	t.Setenv("LSQ_ACCESS_KEY", "key")
	t.Setenv("LSQ_SECRET_KEY", "secret")
	path := filepath.Join("..", "..", "deploy", "examples", "minimal.yaml")
	code, stdout, stderr := command(t, "validate", "-c", path)
	if code != exitFine || stdout != path+" is valid\n" || !strings.HasPrefix(stderr, "not checked: the names in expressions") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	var result validation
	_, stdout, _ = command(t, "validate", "--json", "-c", path)
	if err := json.Unmarshal([]byte(stdout), &result); err != nil || !result.Valid || len(result.Unchecked) != 1 {
		t.Errorf("%v in %s", err, stdout)
	}
}

func TestValidateHasNoNoticeWhereTheSampleChecksTheNames(t *testing.T) {
	t.Setenv("LSQ_ACCESS_KEY", "key")
	t.Setenv("LSQ_SECRET_KEY", "secret")
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "examples", "minimal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	path := document(t, strings.Replace(string(text), "transform:\n", "transform:\n  schema: schema.json\n", 1))
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "schema.json"), []byte("true"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := command(t, "validate", "-c", path); code != exitFine || stdout != path+" is valid\n" || stderr != "" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestValidateListsEveryErrorAndExitsWith2(t *testing.T) {
	path := document(t, wrongDocument)
	code, stdout, stderr := command(t, "validate", "-c", path)
	if code != exitWrong || stdout != "" {
		t.Errorf("exit %d, stdout %q", code, stdout)
	}
	if want := path + ":3:3: kafka.topic: there is no such key; did you mean topics?\n    " + "  topic: …\n      ^\n"; !strings.Contains(stderr, want) {
		t.Errorf("stderr\n%s\nlacks\n%s", stderr, want)
	}
	if !strings.Contains(stderr, "kafka.group: is missing") {
		t.Errorf("stderr %s", stderr)
	}
}

func TestValidatePrintsOneJSONDocumentWhenAsked(t *testing.T) {
	path := document(t, wrongDocument)
	code, stdout, stderr := command(t, "validate", "--json", "-c", path)
	var result validation
	if err := json.Unmarshal([]byte(stdout), &result); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	if code != exitWrong || stderr != "" || result.Valid || result.File != path {
		t.Errorf("exit %d, stderr %q, %+v", code, stderr, result)
	}
	var topic *config.Error
	for _, e := range result.Errors {
		if e.Key == "kafka.topic" {
			topic = e
		}
	}
	if topic == nil || topic.Line != 3 || topic.Column != 3 {
		t.Errorf("errors %+v", result.Errors)
	}
}

func TestTheSchemaIsPrintedAsItIs(t *testing.T) {
	code, stdout, _ := command(t, "schema")
	if code != exitFine || stdout != string(config.Schema()) {
		t.Errorf("exit %d, %.80q", code, stdout)
	}
}

func TestTheVersionIsPrintedForPeopleAndPrograms(t *testing.T) {
	code, stdout, _ := command(t, "version")
	if code != exitFine || !strings.HasPrefix(stdout, "leadsink ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit %d, %q", code, stdout)
	}
	code, stdout, _ = command(t, "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(stdout), &b); err != nil || code != exitFine || b.Go == "" || b.Platform == "" {
		t.Errorf("exit %d, %q, %v", code, stdout, err)
	}
}
