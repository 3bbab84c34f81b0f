package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/leadsink/leadsink/config/internal/fields"
)

// anyFile stands in for the files of secrets that examples name.
var anyFile = regexp.MustCompile(`\$\{file:[^}]+\}`)

// exampleVariable gives an example's variables values that are valid.
func exampleVariable(name string) (string, bool) {
	switch {
	case strings.Contains(name, "HOST") && strings.HasPrefix(name, "LSQ"), strings.HasSuffix(name, "URL"):
		return "https://api-in21.leadsquared.com", true
	case strings.Contains(name, "BROKER"):
		return "kafka:9092", true
	}
	return "x", true
}

// foreign are the folders and files with YAML that other programs read, and the
// cases of leadsink test, which a test of the command runs.
var foreign = regexp.MustCompile(`^deploy/(helm|observability|kafka-image|docker|kubernetes)/|(^|/)(docker-)?compose[^/]*\.ya?ml$|^deploy/examples/tests\.yaml$`)

// Whoever copies an example must get one that works, so every YAML file and
// every YAML block in docs, deploy and the README is read here. Whole documents
// must be valid; parts of documents must have right keys and types.
func TestEveryExampleLoads(t *testing.T) {
	root := ".."
	documents := 0
	for _, folder := range []string{"docs", "deploy", "README.md", "CONTRIBUTING.md"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if os.IsNotExist(err) || err == nil && entry.IsDir() {
				return nil
			}
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(root, path)
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			switch filepath.Ext(path) {
			case ".yaml", ".yml":
				if isPart(string(text)) {
					documents++
					t.Run(name, func(t *testing.T) { example(t, path, string(text)) })
				} else if !foreign.MatchString(filepath.ToSlash(name)) {
					t.Errorf("%s is neither a document of leadsink nor in a folder of another program's", name)
				}
			case ".md":
				for _, block := range blocks(string(text)) {
					if isPart(block) {
						documents++
						t.Run(name, func(t *testing.T) { example(t, path, block) })
					} else {
						t.Logf("%s: a block for another program: %.60q", name, block)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if documents < 2 {
		t.Errorf("only %d examples were found", documents)
	}
}

// example checks a whole document, or a part of one.
func example(t *testing.T, path, text string) {
	text = anyFile.ReplaceAllString(text, "x")
	var sections map[string]any
	if err := yaml.Unmarshal([]byte(text), &sections); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if sections["kafka"] != nil && sections["leadsquared"] != nil && sections["transform"] != nil {
		if _, _, err := parse(path, []byte(text), exampleVariable, nil); err != nil {
			t.Errorf("%v", err)
		}
		return
	}
	d := newDecoder(path, []byte(text))
	d.lookup = exampleVariable
	document := Default()
	if node := d.parse([]byte(text)); node != nil {
		d.decode(node, reflect.ValueOf(&document).Elem(), "", false)
	}
	if len(d.errs) > 0 {
		t.Errorf("%v", sorted(d.errs))
	}
}

// isPart reports whether YAML is a document or a part of one: one of its keys
// at the top is a section. (The name alone is a key of everybody's YAML.)
func isPart(text string) bool {
	for _, f := range fields.Of(reflect.TypeFor[Document]()) {
		if f.Key != "name" && regexp.MustCompile(`(?m)^`+f.Key+`:`).MatchString(text) {
			return true
		}
	}
	return false
}

// blocks returns the YAML blocks of a Markdown page.
func blocks(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^```ya?ml[^\n]*\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}
