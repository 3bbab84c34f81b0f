// Package transform turns records into activities by the rules of the document.
//
// The same record always gives the same activities, unless the file of a lookup
// table changes: tables are the only thing outside the record that rules see.
// Expressions are compiled and checked once (check.go); what they may do for a
// record is bounded (operators.go).
package transform
