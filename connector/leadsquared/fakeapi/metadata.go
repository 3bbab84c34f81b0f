package fakeapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/leadsink/leadsink/transform/account"
)

// SetAccount changes what the fake takes from now on.
func (s *Server) SetAccount(a Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account = a
}

// lookUp counts a question about the account, and returns the account.
func (s *Server) lookUp() account.Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Lookups++
	return s.account.Account
}

// types lists the active activity types, as far as the shape is known: what
// belongs to a form stands in text.
func (s *Server) types(w http.ResponseWriter, _ *http.Request) {
	list := []map[string]any{}
	for _, t := range s.lookUp().Types {
		if t.Inactive {
			continue
		}
		form := []map[string]any{}
		for i := range t.Fields {
			form = append(form, map[string]any{"SchemaName": t.Fields[i].SchemaName, "OptionSet": optionSet(&t.Fields[i])})
		}
		list = append(list, map[string]any{
			"ActivityEvent": t.Code, "ActivityEventName": t.Name, "DisplayName": cmp.Or(t.DisplayName, t.Name), "EventType": 2,
			"ActivityProperties": text(map[string]any{"FormMetaData": form}),
		})
	}
	answer(w, http.StatusOK, list)
}

// setting describes one activity type, active or not.
func (s *Server) setting(w http.ResponseWriter, r *http.Request) {
	code, _ := strconv.Atoi(r.URL.Query().Get("code"))
	known := s.lookUp()
	t := known.Type(code)
	if t == nil {
		answer(w, http.StatusInternalServerError, envelope{"Error", "MXInvalidActivityException", "Event Code is invalid or empty"})
		return
	}
	fields := []map[string]any{}
	for i := range t.Fields {
		f := &t.Fields[i]
		fields = append(fields, map[string]any{
			"SchemaName": f.SchemaName, "DisplayName": cmp.Or(f.DisplayName, f.SchemaName), "DataType": f.DataType,
			"IsMandatory": f.Mandatory, "ShowInForm": true, "Sequence": i + 1, "OptionSet": optionSet(f),
			"MaxFieldLength": f.MaxLength, "IsMultiSelectDropdown": f.Multiple, "IncludeOthersOption": f.Others,
			"ParentField": nil, "DependentOptionSet": nil, "IsReadOnly": false,
		})
	}
	answer(w, http.StatusOK, map[string]any{"ID": fmt.Sprint(t.Code), "Name": t.Name, "DisplayName": cmp.Or(t.DisplayName, t.Name), "Fields": fields})
}

// optionSet is how a field's options are told: as text that holds a list.
func optionSet(f *account.Field) any {
	if len(f.Options) == 0 {
		return nil
	}
	list := []map[string]string{}
	for _, option := range f.Options {
		list = append(list, map[string]string{"Value": option, "Label": option})
	}
	return text(list)
}

// text is JSON in text, as LeadSquared nests it.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	return string(b)
}
