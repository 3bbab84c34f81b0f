// Package account is what a LeadSquared account takes, its activity types and
// their fields, and what of rules and activities does not fit that.
//
// It asks nobody: an account is read by package leadsquared, or from a snapshot.
package account

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Version is that of the snapshots that Write makes.
const Version = 1

// An Account is what a LeadSquared account takes. It is not changed by its
// methods, which are safe for concurrent use.
type Account struct {
	Types []Type `json:"types"`
}

// A Type is a kind of activity.
type Type struct {
	Code        int     `json:"code"`
	Name        string  `json:"name"`
	DisplayName string  `json:"display_name,omitempty"`
	Inactive    bool    `json:"inactive,omitempty"` // it takes no activities: it was deactivated
	Fields      []Field `json:"fields"`             // nil: not known, so nothing is said about them
}

// A Field is a custom field of a type.
type Field struct {
	SchemaName  string   `json:"schema_name"`
	DisplayName string   `json:"display_name,omitempty"`
	DataType    string   `json:"data_type"` // in LeadSquared's words: String, Number, Boolean, DateTime, Dropdown, …
	Mandatory   bool     `json:"mandatory,omitempty"`
	MaxLength   int      `json:"max_length,omitempty"` // in characters; 0: not known
	Options     []string `json:"options,omitempty"`    // of a drop-down; none: not known
	Multiple    bool     `json:"multiple,omitempty"`   // several options may be chosen, with ; between them
	Others      bool     `json:"others,omitempty"`     // of a drop-down: other values are taken too
}

// String returns the type as people know it: its code, and its name.
func (t *Type) String() string { return named(fmt.Sprint(t.Code), cmp.Or(t.DisplayName, t.Name)) }

// String returns the field as people know it: its schema name, and its name.
func (f *Field) String() string { return named(f.SchemaName, f.DisplayName) }

func named(id, name string) string {
	if name == "" || name == id {
		return plain(id)
	}
	return plain(id + " (" + name + ")")
}

// plain is text that can be printed: names are whatever people of the account wrote.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// Type returns the type of the code, nil if there is none.
func (a *Account) Type(code int) *Type {
	for i := range a.Types {
		if a.Types[i].Code == code {
			return &a.Types[i]
		}
	}
	return nil
}

// Field returns the field of the schema name, nil if there is none.
func (t *Type) Field(schemaName string) *Field {
	for i := range t.Fields {
		if t.Fields[i].SchemaName == schemaName {
			return &t.Fields[i]
		}
	}
	return nil
}

// A snapshot is an account in a file.
type snapshot struct {
	Version int `json:"version"`
	Account
}

// maxSnapshot is the most that is read of a snapshot, in bytes.
const maxSnapshot = 64 << 20

// Read reads a snapshot that Write wrote. The error says what to do.
func Read(r io.Reader) (*Account, error) {
	const advice = "write one with leadsink activity-types --save"
	d := json.NewDecoder(io.LimitReader(r, maxSnapshot))
	d.DisallowUnknownFields()
	var s snapshot
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("it is no snapshot of an account: %w; %s", err, advice)
	}
	if s.Version != Version {
		return nil, fmt.Errorf("it is a snapshot of version %d, and this leadsink reads version %d; %s", s.Version, Version, advice)
	}
	return &s.Account, nil
}

// Write writes the account as a snapshot. The order is always the same: types
// by their codes, fields by their schema names, options as the account has them.
func (a *Account) Write(w io.Writer) error {
	s := snapshot{Version, a.sorted()}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return fmt.Errorf("write the snapshot: %w", err)
	}
	return nil
}

func (a *Account) sorted() Account {
	types := append([]Type{}, a.Types...)
	slices.SortStableFunc(types, func(a, b Type) int { return cmp.Compare(a.Code, b.Code) })
	for i := range types {
		types[i].Fields = slices.Clone(types[i].Fields)
		slices.SortStableFunc(types[i].Fields, func(a, b Field) int { return bySchemaName(a.SchemaName, b.SchemaName) })
	}
	return Account{types}
}

// bySchemaName puts mx_Custom_2 before mx_Custom_10.
func bySchemaName(a, b string) int {
	if x, y := strings.TrimRight(a, digits), strings.TrimRight(b, digits); x == y {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}

const digits = "0123456789"
