package fakeapi

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// An Account is what the fake takes: its activity types, and which leads it does
// not know.
type Account struct {
	Types []ActivityType `json:"types"`
	// UnknownLead is the beginning of ids and field values that are no lead's.
	UnknownLead string `json:"unknown_lead"`
	// BusyLead is the beginning of those whose rows are to be tried again, always.
	BusyLead string `json:"busy_lead"`
}

// An ActivityType is a kind of activity.
type ActivityType struct {
	Code     int     `json:"code"`
	Name     string  `json:"name"`
	Inactive bool    `json:"inactive"`
	Fields   []Field `json:"fields"`
}

// A Field is a custom field of an activity type.
type Field struct {
	SchemaName string `json:"schema_name"`
	DataType   string `json:"data_type"` // String, Number, Boolean, DateTime
	Mandatory  bool   `json:"mandatory"`
	MaxLength  int    `json:"max_length"` // in characters; 0: no limit
}

// ReadAccount reads an account from its JSON. A key that it does not know is an
// error: a rule that is misspelt would refuse nothing.
func ReadAccount(r io.Reader) (*Account, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	a := new(Account)
	if err := d.Decode(a); err != nil {
		return nil, fmt.Errorf("read the account: %w", err)
	}
	return a, nil
}

// maxNote is how many characters a note may have.
const maxNote = 2000

// DefaultAccount knows the codes 320 and 321, with ten fields each of which
// the last four have types; it does not know leads that begin with "unknown", and
// wants rows of leads that begin with "busy" to be tried again.
func DefaultAccount() Account {
	var fields []Field
	for i := 1; i <= 6; i++ {
		fields = append(fields, Field{SchemaName: fmt.Sprintf("mx_Custom_%d", i), DataType: "String", MaxLength: 200})
	}
	fields = append(fields,
		Field{SchemaName: "mx_Custom_7", DataType: "Number"},
		Field{SchemaName: "mx_Custom_8", DataType: "DateTime"},
		Field{SchemaName: "mx_Custom_9", DataType: "Boolean"},
		Field{SchemaName: "mx_Custom_10", DataType: "Number"})
	return Account{
		UnknownLead: "unknown",
		BusyLead:    "busy",
		Types: []ActivityType{
			{Code: 320, Name: "Order", Fields: fields},
			{Code: 321, Name: "Visit", Fields: append([]Field{{SchemaName: "mx_Custom_0", DataType: "String", Mandatory: true}}, fields...)},
			{Code: 399, Name: "Retired", Inactive: true},
		},
	}
}

// A row is one activity as it is posted.
type row struct {
	RelatedProspectID  string     `json:"RelatedProspectId"`
	SearchByValue      string     `json:"SearchByValue"`
	ActivityEvent      int        `json:"ActivityEvent"`
	ActivityNote       string     `json:"ActivityNote"`
	ActivityOwnerEmail string     `json:"ActivityOwnerEmail"`
	ActivityDateTime   string     `json:"ActivityDateTime"`
	Fields             []rowField `json:"Fields"`
}

type rowField struct {
	SchemaName string `json:"SchemaName"`
	Value      string `json:"Value"`
}

func (r *row) field(name string) (string, bool) {
	for _, f := range r.Fields {
		if f.SchemaName == name {
			return f.Value, true
		}
	}
	return "", false
}

// A refusal is why a row is not created.
type refusal struct{ kind, words string }

// judge returns why the account refuses the row, or nil.
func (a *Account) judge(r *row, lead string) *refusal {
	var of *ActivityType
	for i := range a.Types {
		if a.Types[i].Code == r.ActivityEvent {
			of = &a.Types[i]
		}
	}
	switch {
	case of == nil || of.Inactive:
		return &refusal{"MXInvalidActivityException", "Event Code is invalid or empty"}
	case lead == "":
		return &refusal{"MXInvalidInputException", "Invalid Input! Parameter Name: RelatedProspectId"}
	case a.UnknownLead != "" && strings.HasPrefix(lead, a.UnknownLead):
		return &refusal{"MXInvalidInputException", fmt.Sprintf("Lead %s does not exist in the system or You do not have permission to update the lead", lead)}
	case a.BusyLead != "" && strings.HasPrefix(lead, a.BusyLead):
		return &refusal{"MXAPIRateLimitExceededException", "Too many requests for lead " + lead}
	case utf8.RuneCountInString(r.ActivityNote) > maxNote:
		return &refusal{"MXInvalidInputException", fmt.Sprintf("ActivityNote has %d characters, the maximum is %d", utf8.RuneCountInString(r.ActivityNote), maxNote)}
	case r.ActivityDateTime != "" && !isTime(r.ActivityDateTime):
		return &refusal{"MXInvalidInputException", "Invalid Input! Parameter Name: ActivityDateTime"}
	}
	return of.judge(r)
}

func (t *ActivityType) judge(r *row) *refusal {
	known := map[string]*Field{}
	for i := range t.Fields {
		f := &t.Fields[i]
		known[f.SchemaName] = f
		if v, given := r.field(f.SchemaName); f.Mandatory && (!given || v == "") {
			return &refusal{"MXInvalidActivityFieldsException", fmt.Sprintf("Field name : '%s' of datatype : '%s' is mandatory.", f.SchemaName, f.DataType)}
		}
	}
	for _, given := range r.Fields {
		f := known[given.SchemaName]
		switch {
		case f == nil:
			return &refusal{"MXInvalidActivityFieldsException", fmt.Sprintf("Field name : '%s' does not exist", given.SchemaName)}
		case !fits(f.DataType, given.Value):
			return &refusal{"MXInvalidDataTypeException", fmt.Sprintf("Error converting value of field '%s' to type '%s'", f.SchemaName, f.DataType)}
		case f.MaxLength > 0 && utf8.RuneCountInString(given.Value) > f.MaxLength:
			return &refusal{"MXInvalidActivityFieldsException", fmt.Sprintf("Value of field '%s' has more than %d characters", f.SchemaName, f.MaxLength)}
		}
	}
	return nil
}

func fits(dataType, value string) bool {
	switch dataType {
	case "Number":
		_, err := strconv.ParseFloat(value, 64)
		return err == nil
	case "Boolean":
		return value == "true" || value == "false" || value == "1" || value == "0"
	case "DateTime":
		return isTime(value)
	}
	return true
}

func isTime(s string) bool {
	_, err := time.Parse(time.DateTime, s)
	return err == nil
}

// unlucky reports whether the row is among the part that is refused for its
// content: the same row is refused whenever it comes.
func unlucky(r *row, lead string, part float64) bool {
	if part <= 0 {
		return false
	}
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, lead, "\x00", r.ActivityNote, "\x00", r.Fields)
	// FNV's high bits hardly change with the last bytes; a multiplication mixes them in.
	return float64((h.Sum64()*0x9e3779b97f4a7c15)>>11)/(1<<53) < part
}
