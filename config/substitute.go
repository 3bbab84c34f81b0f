package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/leadsink/leadsink/config/setting"
)

var substitution = regexp.MustCompile(`^\$\{(?:env:([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?|file:([^}]+))\}`)

// substitute takes the value's text apart into fixed text and files; variables
// become fixed text. Relative files are beside the document. Variables that are
// not set, and what is wrong otherwise, come back as texts.
func (d *decoder) substitute(text string) (parts []setting.Part, unset, problems []string) {
	for {
		before, _, found := strings.Cut(text, "${")
		if before != "" {
			parts = append(parts, setting.Part{Text: before})
		}
		if !found {
			return parts, unset, problems
		}
		text = text[len(before):]
		m := substitution.FindStringSubmatch(text)
		if m == nil {
			return nil, unset, append(problems, "${ begins no substitution; write ${env:NAME}, ${env:NAME:-default} or ${file:PATH}")
		}
		text = text[len(m[0]):]
		switch name, otherwise, file := m[1], m[2], m[3]; {
		case file != "":
			parts = append(parts, setting.Part{File: d.beside(file)})
		default:
			value, set := d.lookup(name)
			if otherwise != "" && value == "" {
				value, set = otherwise[len(":-"):], true
			}
			if !set {
				unset = append(unset, fmt.Sprintf("the environment variable %s is not set; set it, or write ${env:%s:-default}", name, name))
			}
			parts = append(parts, setting.Part{Text: value})
		}
	}
}

// beside returns the path as seen from the program: relative ones are relative
// to the document.
func (d *decoder) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.folder, path)
}
