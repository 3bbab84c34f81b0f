package transform

import (
	"fmt"
	"time"

	"github.com/expr-lang/expr/ast"
)

// literals checks arguments that are wrong for every event, where they stand
// in the expression: layouts, zones, durations and codes.
func (w *refusal) literals(function string, args []ast.Node) {
	at := func(i int, check func(string) (wrong, advice string)) {
		if i >= len(args) {
			return
		}
		var value any
		switch n := args[i].(type) {
		case *ast.StringNode:
			value = n.Value
		case *ast.IntegerNode:
			value = n.Value
		default:
			return
		}
		if wrong, advice := check(fmt.Sprint(value)); wrong != "" {
			w.add(args[i], wrong, advice)
		}
	}
	switch function {
	case "time", "formatTime":
		at(1, wrongLayout)
		at(2, wrongZone)
	case "timeIn":
		at(1, wrongZone)
	case "duration":
		at(0, func(s string) (string, string) {
			if _, err := time.ParseDuration(s); err != nil {
				return fmt.Sprintf("%q is not a duration", s), "write it like 90s, 30m or 24h"
			}
			return "", ""
		})
	case "phone", "leadsquaredPhone":
		at(1, func(s string) (string, string) {
			if _, err := homeCode(s); err != nil {
				return fmt.Sprintf("%q is not the calling code of a country", s), `write it like "91"`
			}
			return "", ""
		})
	case "uuid5":
		at(0, func(s string) (string, string) {
			if _, err := namespace(s); err != nil {
				return fmt.Sprintf("%q is no UUID", s), `write one, or "url", "dns", "oid" or "x500"`
			}
			return "", ""
		})
	}
}

// wrongLayout finds layouts in which nothing stands for a part of a time.
func wrongLayout(s string) (wrong, advice string) {
	if time.Date(2011, 11, 11, 11, 11, 11, 0, time.UTC).Format(s) != time.Date(2022, 2, 2, 22, 22, 22, 0, time.UTC).Format(s) {
		return "", ""
	}
	return fmt.Sprintf("%q is not a layout", s), "write how 2 January 2006, 15:04:05 would be written, such as 2006-01-02"
}

func wrongZone(s string) (wrong, advice string) {
	if _, err := location(s); err == nil {
		return "", ""
	}
	return fmt.Sprintf("%q is not a zone", s), "write one of the IANA database, such as Asia/Kolkata, or UTC"
}
