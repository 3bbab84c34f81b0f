package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var (
	consoleLine = regexp.MustCompile(`(?m)^\$ (.+?)(?:\s+#.*)?$`)                                            // a line of a console
	codeSpan    = regexp.MustCompile("`((?:bin/)?leadsink [a-z][^`\n]*)`")                                   // a command in the text
	makeTarget  = regexp.MustCompile("(?m)(?:`|^\\$ |; )make ([a-z-]+)")                                     // of the Makefile
	othersRun   = regexp.MustCompile(`^(git clone|cd|bash \.ci/run$|[A-Z_]+=|make |kubectl |helm |docker )`) // run by the suites of deploy, or by whoever reads
)

// Whoever copies a command of a page must get one that there is: leadsink's commands and flags are parsed here, the
// targets of make are looked up, and what the chart's README says is run by the suite of the chart.
func TestEveryCommandOfThePagesIsThere(t *testing.T) {
	root := "../.."
	makefile := read(t, root+"/Makefile")
	pages, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, root+"/README.md", root+"/CONTRIBUTING.md", root+"/deploy/helm/leadsink/README.md") {
		text := read(t, page)
		for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
			found++
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s: the Makefile has no target %s", page, m[1])
			}
		}
		lines := consoleLine.FindAllStringSubmatch(text, -1)
		for _, m := range append(lines, codeSpan.FindAllStringSubmatch(text, -1)...) {
			args, ok := leadsinkArgs(m[1])
			if !ok {
				if !othersRun.MatchString(m[1]) {
					t.Errorf("%s: nobody knows whether %q works", page, m[1])
				}
				continue
			}
			found++
			cmd, rest, err := rootCommand().Find(args)
			if err == nil && cmd.HasParent() {
				err = cmd.ParseFlags(rest)
			}
			if err != nil && !errors.Is(err, pflag.ErrHelp) || !cmd.HasParent() {
				t.Errorf("%s: %q is no command: %v", page, m[1], err)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}

// leadsinkArgs returns the arguments of a line that runs leadsink.
func leadsinkArgs(line string) ([]string, bool) {
	for _, program := range []string{"go run ./cmd/leadsink ", "bin/leadsink ", "leadsink "} {
		if rest, ok := strings.CutPrefix(line, program); ok {
			args := strings.Fields(rest)
			// An ellipsis stands for more of the same kind.
			return slices.DeleteFunc(args, func(a string) bool { return a == "…" }), true
		}
	}
	return nil, false
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
