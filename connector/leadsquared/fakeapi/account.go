package fakeapi

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leadsink/leadsink/transform/account"
)

// An Account is what the fake takes: its activity types, and which leads it does
// not know. A snapshot that leadsink activity-types --save wrote is one, so that the
// fake can stand in for that account.
type Account struct {
	account.Account
	Version int `json:"version"` // of a snapshot
	// UnknownLead is the beginning of ids and field values that are no lead's.
	UnknownLead string `json:"unknown_lead"`
	// BusyLead is the beginning of those whose rows are to be tried again, always.
	BusyLead string `json:"busy_lead"`
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
	var fields []account.Field
	for i := 1; i <= 6; i++ {
		fields = append(fields, account.Field{SchemaName: fmt.Sprintf("mx_Custom_%d", i), DataType: "String", MaxLength: 200})
	}
	fields = append(fields,
		account.Field{SchemaName: "mx_Custom_7", DataType: "Number"},
		account.Field{SchemaName: "mx_Custom_8", DataType: "DateTime"},
		account.Field{SchemaName: "mx_Custom_9", DataType: "Boolean"},
		account.Field{SchemaName: "mx_Custom_10", DataType: "Number"})
	return Account{
		UnknownLead: "unknown",
		BusyLead:    "busy",
		Account: account.Account{Types: []account.Type{
			{Code: 320, Name: "Order", Fields: fields},
			{Code: 321, Name: "Visit", Fields: append([]account.Field{{SchemaName: "mx_Custom_0", DataType: "String", Mandatory: true}}, fields...)},
			{Code: 399, Name: "Retired", Inactive: true},
		}},
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

	ValidateDropDownOptions any `json:"ValidateDropDownOptions"` // true, as truth or as text, skips the validation
}

type rowField struct {
	SchemaName string `json:"SchemaName"`
	Value      string `json:"Value"`
}

// field returns what the row writes to the field. The note and the owner are fields of a
// type too, which a row writes by other names.
func (r *row) field(name string) (string, bool) {
	switch {
	case name == "ActivityEvent_Note" && r.ActivityNote != "":
		return r.ActivityNote, true
	case name == "Owner" && r.ActivityOwnerEmail != "":
		return r.ActivityOwnerEmail, true
	}
	for _, f := range r.Fields {
		if f.SchemaName == name {
			return f.Value, true
		}
	}
	return "", false
}

// A refusal is why a row is not created.
type refusal struct{ kind, words string }

// inputException is the type of a refusal for a lead or for an input of the API
// itself, not for a field of the activity.
const inputException = "MXInvalidInputException"

// judge returns why the account refuses the row, or nil.
func (a *Account) judge(r *row, lead string) *refusal {
	of := a.Type(r.ActivityEvent)
	switch {
	case of == nil || of.Inactive:
		return &refusal{"MXInvalidActivityException", "Event Code is invalid or empty"}
	case lead == "":
		return &refusal{inputException, "Invalid Input! Parameter Name: RelatedProspectId"}
	case a.UnknownLead != "" && strings.HasPrefix(lead, a.UnknownLead):
		return &refusal{inputException, fmt.Sprintf("Lead %s does not exist in the system or You do not have permission to update the lead", lead)}
	case a.BusyLead != "" && strings.HasPrefix(lead, a.BusyLead):
		return &refusal{"MXAPIRateLimitExceededException", "Too many requests for lead " + lead}
	case utf8.RuneCountInString(r.ActivityNote) > maxNote:
		return &refusal{inputException, fmt.Sprintf("ActivityNote has %d characters, the maximum is %d", utf8.RuneCountInString(r.ActivityNote), maxNote)}
	case r.ActivityDateTime != "" && !isTime(r.ActivityDateTime):
		return &refusal{inputException, "Invalid Input! Parameter Name: ActivityDateTime"}
	}
	return judgeFields(of, r)
}

// judgeFields returns why the type refuses the row for its fields, or nil.
func judgeFields(t *account.Type, r *row) *refusal {
	for i := range t.Fields {
		f := &t.Fields[i]
		if v, given := r.field(f.SchemaName); f.Mandatory && (!given || v == "") {
			return &refusal{"MXInvalidActivityFieldsException", fmt.Sprintf("Field name : '%s' of datatype : '%s' is mandatory.", f.SchemaName, f.DataType)}
		}
	}
	for _, given := range r.Fields {
		f := t.Field(given.SchemaName)
		switch {
		case f == nil && t.Fields == nil:
			continue // of a snapshot that does not know the fields
		case f == nil:
			return &refusal{"MXInvalidActivityFieldsException", fmt.Sprintf("Field name : '%s' does not exist", given.SchemaName)}
		case !fits(f.DataType, given.Value):
			return &refusal{"MXInvalidDataTypeException", fmt.Sprintf("Error converting value of field '%s' to type '%s'", f.SchemaName, f.DataType)}
		case f.MaxLength > 0 && utf8.RuneCountInString(given.Value) > f.MaxLength:
			return &refusal{"MXInvalidActivityFieldsException", fmt.Sprintf("Value of field '%s' has more than %d characters", f.SchemaName, f.MaxLength)}
		case fmt.Sprint(r.ValidateDropDownOptions) != "true" && !offers(f, given.Value):
			return &refusal{"MXInvalidActivityFieldsException", fmt.Sprintf("Value of field '%s' is not among its options", f.SchemaName)}
		}
	}
	return nil
}

// offers reports whether the value is among the field's options, if it has any.
func offers(f *account.Field, value string) bool {
	if len(f.Options) == 0 || f.Others || value == "" {
		return true
	}
	chosen := []string{value}
	if f.Multiple {
		chosen = strings.Split(value, ";")
	}
	return !slices.ContainsFunc(chosen, func(one string) bool { return !slices.Contains(f.Options, one) })
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
