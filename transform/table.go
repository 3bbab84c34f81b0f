package transform

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/types"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/leadsink/leadsink/config/setting"
)

// The bounds of a table's file. The YAML parser needs some hundred bytes for
// each byte of text.
const (
	maxCSV     = 8 << 20
	maxYAML    = 1 << 20
	maxColumns = 100
)

// refreshEvery is how often the files of tables are looked at.
const refreshEvery = 5 * time.Second

// A table is what lookup() searches. It belongs to the Rules that use it.
type table struct {
	name string
	cfg  Table
	as   content
	seen os.FileInfo // of the file when it was last read, also when that failed
	next os.FileInfo // of a changed file that was not read yet, when it was last looked at
}

// content is what a table's file holds. All of it is text.
type content struct {
	columns []string // of a row's object; nil where a row is one value
	rows    map[string][]string
}

// openTable reads a table for the first time.
func openTable(cfg Table) (*table, error) {
	t := &table{name: cfg.Name, cfg: cfg}
	as, err := t.read()
	if err == nil {
		t.as = as
	}
	return t, err
}

// read returns what the file holds now, if that can be used.
func (t *table) read() (content, error) {
	f, err := os.Open(t.cfg.File)
	if err != nil {
		return content{}, unreadable(err)
	}
	defer func() { _ = f.Close() }()
	if t.seen, err = f.Stat(); err != nil {
		return content{}, unreadable(err)
	}
	parse, most := parseCSV, maxCSV
	switch strings.ToLower(filepath.Ext(t.cfg.File)) {
	case ".csv":
	case ".yaml", ".yml":
		parse, most = parseYAML, maxYAML
	default:
		return content{}, errors.New("the file's name does not end in .csv, .yaml or .yml; name it after what it holds")
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	switch {
	case err != nil:
		return content{}, unreadable(err)
	case len(text) > most:
		return content{}, fmt.Errorf("the file is larger than %d MiB; leave out what is not looked up", most>>20)
	case !utf8.Valid(text):
		return content{}, errors.New("the file is not UTF-8 text; save it as UTF-8")
	}
	return parse(bytes.TrimPrefix(text, []byte("\ufeff")), t.cfg)
}

func unreadable(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("the file cannot be read: %w; see whether the path is right and may be read", err)
}

// refresh reads the file again if it is another one than before, and was left
// alone for as long as refreshEvery: one that is being written holds a part. Where
// that fails the old content stays, and it is said once.
func (t *table) refresh(log *slog.Logger) {
	now, err := os.Stat(t.cfg.File)
	next := t.next
	t.next = nil
	switch {
	case err != nil && t.seen == nil:
		return // said before
	case err != nil:
		t.seen, err = nil, unreadable(err)
	case unchanged(now, t.seen):
		return
	case !unchanged(now, next) && time.Since(now.ModTime()) < refreshEvery:
		t.next = now
		return
	default:
		var as content
		if as, err = t.read(); err == nil {
			err = as.fitsFor(t.as)
		}
		if err == nil {
			t.as = as
		}
	}
	if err != nil {
		log.Warn("a lookup table keeps its old content", "table", t.name, "file", t.cfg.File, "error", err)
		return
	}
	log.Info("a lookup table was read again", "table", t.name, "rows", len(t.as.rows))
}

// unchanged reports whether a file is as it was, which nil never is.
func unchanged(now, was os.FileInfo) bool {
	return was != nil && os.SameFile(now, was) && now.Size() == was.Size() && now.ModTime().Equal(was.ModTime())
}

// fitsFor returns an error if the rules, which were checked with other content,
// would miss something.
func (c content) fitsFor(other content) error {
	if (c.columns == nil) != (other.columns == nil) {
		return errors.New("rows are one value where they were several, or the other way round; restart leadsink, so that the rules are checked with it")
	}
	for _, column := range other.columns {
		if !slices.Contains(c.columns, column) {
			return fmt.Errorf("the column %s is gone; restart leadsink, so that the rules are checked without it", column)
		}
	}
	return nil
}

// find returns a row, nil if there is none: its value, or an object of them.
func (t *table) find(key string) any {
	row, ok := t.as.rows[key]
	switch {
	case !ok:
		return nil
	case t.as.columns == nil:
		return row[0]
	}
	object := make(map[string]any, len(row))
	for i, column := range t.as.columns {
		object[column] = row[i]
	}
	return object
}

// typ returns the type of the table as an object by key.
func (t *table) typ() types.Type {
	row := types.String
	switch {
	case t.as.rows == nil: // it could not be read
		row = types.Any
	case t.as.columns != nil:
		fields := make(types.Map)
		for _, column := range t.as.columns {
			fields[column] = types.String
		}
		row = fields
	}
	return types.Map{types.Extra: row}
}

// pick chooses what a row gives: of the column that cfg.Value names, or of the
// only one besides the key, the value; otherwise all of them.
func pick(cfg Table, columns []string) (key, value int, err error) {
	at := func(name string, otherwise int) int {
		if name == "" {
			return otherwise
		}
		i := slices.Index(columns, name)
		if i < 0 && err == nil {
			advice := "there are " + strings.Join(columns[:min(len(columns), 10)], ", ")
			if near := setting.Nearest(name, columns); near != "" {
				advice = fmt.Sprintf("did you mean %s?", near)
			}
			err = fmt.Errorf("there is no column %s; %s", name, advice)
		}
		return i
	}
	key = at(cfg.Key, 0)
	value = at(cfg.Value, -1)
	if err == nil && value < 0 && len(columns) == 2 {
		value = 1 - key
	}
	return key, value, err
}

// parseCSV reads a file whose first line names the columns.
func parseCSV(text []byte, cfg Table) (content, error) {
	var c content
	r := csv.NewReader(bytes.NewReader(text))
	r.ReuseRecord = true
	wrong := func(err error) error {
		if e, ok := errors.AsType[*csv.ParseError](err); ok {
			return fmt.Errorf("line %d, column %d: %w; every line has as many values as the first, and text with quotes or commas is in quotes", e.Line, e.Column, e.Err)
		}
		return err
	}
	first, err := r.Read()
	if errors.Is(err, io.EOF) {
		return c, errors.New("the file is empty; its first line names the columns")
	} else if err != nil {
		return c, wrong(err)
	}
	columns := slices.Clone(first)
	switch sorted := slices.Sorted(slices.Values(columns)); {
	case len(columns) < 2 || len(columns) > maxColumns:
		return c, fmt.Errorf("the first line has %d columns; name 2 to %d, separated by commas", len(columns), maxColumns)
	case sorted[0] == "" || len(slices.Compact(sorted)) < len(columns):
		return c, errors.New("the first line names a column twice, or not at all; give each its own name")
	}
	key, value, err := pick(cfg, columns)
	if err != nil {
		return c, err
	}
	if value < 0 {
		c.columns = columns
	}
	c.rows = make(map[string][]string)
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return c, nil
		} else if err != nil {
			return c, wrong(err)
		}
		row := record
		if value >= 0 {
			row = record[value : value+1]
		}
		if _, twice := c.rows[record[key]]; twice {
			line, _ := r.FieldPos(key)
			return c, fmt.Errorf("line %d: the key is there before; leave one of them out", line)
		}
		c.rows[record[key]] = slices.Clone(row)
	}
}

// parseYAML reads a mapping of keys to values, or to mappings that all have the
// same keys.
func parseYAML(text []byte, cfg Table) (c content, err error) {
	defer func() {
		if recover() != nil { // the YAML parser is not ours
			err = errors.New("the file is not YAML that can be read; write KEY: VALUE, one line for each")
		}
	}()
	tokens := lexer.Tokenize(string(text))
	if t := tooRich(tokens); t != nil {
		return c, fmt.Errorf("line %d: a table is two levels of keys with text; write KEY: VALUE, or KEY: {COLUMN: VALUE}", t.Position.Line)
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return c, fmt.Errorf("the file is not YAML: %s; write KEY: VALUE, one line for each", yamlMessage(err))
	}
	if len(file.Docs) != 1 || entries(file.Docs[0].Body) == nil {
		return c, errors.New("the file is no mapping; write KEY: VALUE, one line for each")
	}
	if cfg.Key != "" {
		return c, errors.New("a YAML file has its keys in front; leave key out")
	}
	c.rows = make(map[string][]string)
	for i, entry := range entries(file.Docs[0].Body) {
		key, columns, row, ok := yamlRow(entry)
		if i == 0 {
			c.columns = columns
		}
		_, twice := c.rows[key]
		switch line := entry.Key.GetToken().Position.Line; {
		case twice:
			return c, fmt.Errorf("line %d: the key is there before; leave one of them out", line)
		case !ok:
			return c, fmt.Errorf("line %d: a value is no text; write KEY: VALUE, or KEY: {COLUMN: VALUE}", line)
		case len(slices.Compact(slices.Clone(columns))) < len(columns):
			return c, fmt.Errorf("line %d: a key in this entry is there twice; leave one of them out", line)
		case !slices.Equal(columns, c.columns):
			return c, fmt.Errorf("line %d: the keys in this entry are others than in the first one; give every entry the same", line)
		}
		c.rows[key] = row
	}
	if cfg.Value == "" || c.columns == nil {
		return c, nil
	}
	_, value, err := pick(cfg, c.columns)
	if err != nil {
		return c, err
	}
	for key, row := range c.rows {
		c.rows[key] = row[value : value+1]
	}
	c.columns = nil
	return c, nil
}

// tooRich returns the token at which a file has more than a table needs, such
// as lists and aliases, or is too deep for the parser. Nil means nothing.
func tooRich(tokens token.Tokens) *token.Token {
	open := 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType:
			open++
		case token.MappingEndType:
			open--
		case token.SequenceStartType, token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType:
			return t
		}
		if open > 2 || t.Position.IndentLevel > 2 {
			return t
		}
	}
	return nil
}

// yamlRow returns an entry's key and its values in the order of their columns'
// names, which are nil where the entry is one value.
func yamlRow(entry *ast.MappingValueNode) (key string, columns, row []string, ok bool) {
	key, ok = scalar(entry.Key)
	inner := entries(entry.Value)
	if len(inner) == 0 {
		text, isText := scalar(entry.Value)
		return key, nil, []string{text}, ok && isText
	}
	slices.SortFunc(inner, func(a, b *ast.MappingValueNode) int {
		return strings.Compare(a.Key.GetToken().Value, b.Key.GetToken().Value)
	})
	for _, column := range inner {
		name, isName := scalar(column.Key)
		text, isText := scalar(column.Value)
		columns, row, ok = append(columns, name), append(row, text), ok && isName && isText
	}
	return key, columns, row, ok
}

// entries returns the entries of a mapping, nil if the node is something else.
func entries(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

// scalar returns a value as it is written: 007 keeps its zeros.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// yamlMessage returns what the YAML parser says, without the lines it quotes.
func yamlMessage(err error) string {
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil {
		return fmt.Sprintf("line %d: %s", e.GetToken().Position.Line, e.GetMessage())
	}
	return "it cannot be parsed"
}
