// Package transform turns records into activities by the rules of the document.
//
// It is pure: the same record always gives the same activities. Expressions are
// compiled and checked once; what they may do is bounded (see compile.go).
package transform
