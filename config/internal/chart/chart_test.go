package chart_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/internal/chart"
)

func TestTheChartIsUpToDate(t *testing.T) {
	made, err := chart.Generate("../../../deploy", config.Schema())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range made {
		if got, err := os.ReadFile(path); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what it is made of (%v); run go generate ./config", path, err)
		}
	}
}

func TestValuesAreReadWithTheirCommentsTypesAndDefaults(t *testing.T) {
	values, err := chart.Values([]byte(`# About the file.

# How many.
replicas: 2
image:
  # When it is pulled: Always or Never.
  pull: Never
  # Names.
  secrets: [a]
# Anything.
free: {a: {b: 1.5}}
# (whole number) Seconds.
grace:
# Whether.
on: true
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var collect func([]chart.Value)
	collect = func(all []chart.Value) {
		for _, v := range all {
			got = append(got, strings.Join([]string{v.Path, v.Meaning, strings.Join(v.Types, "|"), strings.Join(v.Words, "|")}, "; "))
			collect(v.Values)
		}
	}
	collect(values)
	want := []string{
		"replicas; How many.; integer; ",
		"image; ; ; ",
		"image.pull; When it is pulled: Always or Never.; string; Always|Never",
		"image.secrets; Names.; array; ",
		"free; Anything.; object; ",
		"grace; Seconds.; integer|null; ",
		"on; Whether.; boolean; ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAValueThatIsNotExplainedIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\n":                   "a has no comment",
		"# Meaning.\na:\n":         "a has no default",
		"# A.\na: 1\n---\nb: 1\n":  "2 documents",
		"# A.\na: 1\nb:\n  c: x\n": "b.c has no comment",
	} {
		if _, err := chart.Values([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
