package reference

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

const module = "github.com/leadsink/leadsink"

// comments are the comments of struct fields, read package by package.
type comments struct {
	root     string                       // folder of the module
	packages map[string]map[string]string // by import path, then Type.Field
}

// of returns the comment of a field, above it or behind it. That every key has
// one is a rule, so that its absence is an error.
func (c *comments) of(owner reflect.Type, field string) (string, error) {
	path := owner.PkgPath()
	if c.packages[path] == nil {
		read, err := readComments(filepath.Join(c.root, strings.TrimPrefix(path, module)))
		if err != nil {
			return "", fmt.Errorf("read the comments of %s: %w", path, err)
		}
		if c.packages == nil {
			c.packages = make(map[string]map[string]string)
		}
		c.packages[path] = read
	}
	text := c.packages[path][owner.Name()+"."+field]
	if text == "" {
		return "", fmt.Errorf("%s.%s.%s is a key of the document and has no comment; say what it means", path, owner.Name(), field)
	}
	return text, nil
}

// readComments returns the comments of all struct fields of the package in the folder.
func readComments(folder string) (map[string]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	all := make(map[string]string)
	files := token.NewFileSet()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, filepath.Join(folder, e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if t, ok := n.(*ast.TypeSpec); ok {
				if s, ok := t.Type.(*ast.StructType); ok {
					addComments(all, t.Name.Name, s)
				}
			}
			return true
		})
	}
	return all, nil
}

func addComments(all map[string]string, name string, s *ast.StructType) {
	for _, f := range s.Fields.List {
		text := f.Doc.Text()
		if text == "" {
			text = f.Comment.Text()
		}
		for _, ident := range f.Names {
			all[name+"."+ident.Name] = strings.TrimSpace(text)
		}
	}
}
