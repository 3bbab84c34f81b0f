package connector

import (
	"regexp"
	"strings"
)

// maxKinds bounds how many kinds of refusals are told apart.
const maxKinds = 1000

// kinds says of each kind of refusal what a call that is refused so has stored.
// One kind teaches nothing about another: values may be looked at before anything
// is stored, and leads row by row while it is.
type kinds map[string]kind

type kind struct {
	some    bool // once it had stored the rows before the bad one
	nothing bool // once it had not stored a good row before the bad one, and never any
}

func (k kinds) stores(name string) { k.note(name, kind{some: true}) }

func (k kinds) storesNothing(name string) {
	if !k[name].some {
		k.note(name, kind{nothing: true})
	}
}

// note keeps what is known of a kind. Of what has no room nothing is known, which
// is always safe: then LeadSquared is asked.
func (k kinds) note(name string, is kind) {
	if _, known := k[name]; known || len(k) < maxKinds {
		k[name] = is
	}
}

// itsOwn are the parts of a refusal's words that come from the row.
var itsOwn = regexp.MustCompile(`'[^']*'|"[^"]*"|\([^)]*\)|\S*[0-9@]\S*`)

// kind names the kind of the refusal: its type, and its words without what they
// quote of a row.
func (a *Answer) kind() string {
	return a.Type + "\x00" + strings.Join(strings.Fields(itsOwn.ReplaceAllString(a.Message, " ")), " ")
}

// said is the refusal to the letter.
func (a *Answer) said() string { return a.Type + "\x00" + a.Message }
