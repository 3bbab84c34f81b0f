package main

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestEveryTestThatTheGuaranteesNameIsThere(t *testing.T) {
	page, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	err = fs.WalkDir(os.DirFS("../.."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile("../../" + path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(page), -1)
	if len(named) < 30 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, name := range named {
		if name != "TestSystem" && !strings.Contains(code.String(), "\nfunc "+name+"(t *testing.T)") {
			t.Errorf("docs/guarantees.md names %s, which is not there", name)
		}
	}
}
