package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a document. The YAML parser is recursive and takes quadratic
// time in the depth, and an alias may stand for more text than it has.
const (
	maxBytes = 1 << 20
	maxDepth = 50
	maxNodes = 100_000
)

// A source is the text of a document, for quoting it in errors.
type source struct {
	file  string
	lines []string
	errs  []*Error

	guide   string // where the keys are explained
	example string // a file to begin with; "" for none
}

func newSource(file string, text []byte) *source {
	plain := strings.ReplaceAll(string(text), "\r\n", "\n")
	return &source{file: file, lines: strings.Split(plain, "\n"), guide: "leadsink schema", example: "deploy/examples/minimal.yaml"}
}

// whole reports what is wrong with the document as a whole.
func (s *source) whole(text string) {
	s.errs = append(s.errs, &Error{File: s.file, Text: text})
}

// at reports what is wrong at a place of the document.
func (s *source) at(line, column int, key, text string) {
	line = max(1, min(line, len(s.lines)))
	s.errs = append(s.errs, &Error{
		File: s.file, Line: line, Column: max(1, column), Key: short(key), Text: text,
		excerpt: mask(s.lines[line-1]),
	})
}

// parse returns the root of the document, or nil after reporting why there is
// none.
func (s *source) parse(text []byte) (root ast.Node) {
	defer func() {
		// The YAML parser is not ours, and no document may end the program.
		if recover() != nil {
			s.whole("not YAML that can be read; see whether quotes, brackets and indentation are right")
			root = nil
		}
	}()
	switch {
	case len(text) > maxBytes:
		s.whole("the document is larger than 1 MiB; leave out what is not configuration")
		return nil
	case !utf8.Valid(text):
		s.whole("the document is not UTF-8 text; save it as UTF-8")
		return nil
	}
	// The lexer counts the lines of comments twice where they end in \r\n.
	tokens := lexer.Tokenize(strings.ReplaceAll(string(text), "\r\n", "\n"))
	if t := tooDeep(tokens); t != nil {
		s.at(t.Position.Line, t.Position.Column, "", fmt.Sprintf("nested more than %d deep; the document needs no such depth", maxDepth))
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		s.syntax(err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if body != nil {
			p := position(doc.Body)
			s.at(p.Line, p.Column, "", "a second document begins here; keep one document in a file")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		advice := "see " + s.guide
		if s.example != "" {
			advice += ", or " + s.example + " for a beginning"
		}
		s.whole("the document is empty; " + advice)
	}
	return body
}

// syntax reports an error of the YAML parser.
func (s *source) syntax(err error) {
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil {
		p := e.GetToken().Position
		s.at(p.Line, p.Column, "", "not YAML: "+e.GetMessage()+"; see whether quotes, brackets and indentation are right")
		return
	}
	s.whole("not YAML; see whether quotes, brackets and indentation are right")
}

// tooDeep returns the token at which the document becomes too deep for the
// parser, or nil. What it counts is an upper bound: brackets that are open,
// and on one line all that can nest without brackets or indentation.
func tooDeep(tokens token.Tokens) *token.Token {
	open, line, onLine := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, onLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			open++
		case token.MappingEndType, token.SequenceEndType:
			open--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			onLine++
		}
		if open > maxDepth || onLine > maxDepth || t.Position.IndentLevel > maxDepth {
			return t
		}
	}
	return nil
}

// position returns where a node begins. A mapping's own token is the colon
// after its first key.
func position(n ast.Node) token.Position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return position(n.Values[0])
		}
	case *ast.MappingValueNode:
		return position(n.Key)
	}
	return *n.GetToken().Position
}

// secretKeys are the keys whose values no error may quote, wherever in the
// document they stand, also where it cannot be parsed.
var secretKeys = regexp.MustCompile(`(?i)((?:^|[\s{,"'])[a-z_]*(?:password|passwd|secret|token|access_key|proxy)[a-z_]*["']?\s*:\s*)(.+)`)

// mask returns the line with the values of secrets replaced, in the same
// length so that a caret stays where it belongs.
func mask(line string) string {
	line = strings.ReplaceAll(strings.TrimSuffix(line, "\r"), "\t", " ")
	m := secretKeys.FindStringSubmatchIndex(line)
	if m == nil {
		return line
	}
	value := line[m[4]:m[5]]
	if strings.HasPrefix(strings.TrimLeft(value, `"'`), "${") && !strings.Contains(value, ":-") {
		return line
	}
	return line[:m[4]] + strings.Repeat("*", utf8.RuneCountInString(value))
}
