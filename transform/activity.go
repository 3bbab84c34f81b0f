package transform

import "time"

// An Activity is what LeadSquared is told: one row of a call. All text is
// valid UTF-8 and already in the form LeadSquared wants.
type Activity struct {
	Rule       string      // name of the rule that made it
	Marker     string      // identifies the activity; sent only where leadsquared.marker names a field for it
	Lead       string      // the lead's id, or the value of the unique field; never empty
	Code       int         // ActivityEvent: the code of the activity type, > 0
	Note       string      // ActivityNote; "" leaves it out
	Owner      string      // ActivityOwnerEmail; "" leaves it out
	At         time.Time   // ActivityDateTime, sent as UTC in whole seconds
	Fields     []Field     // custom fields, in the order of the document
	Attributes []Attribute // further attributes of the row, in the order of the document
}

// A Field is a custom field of an activity.
type Field struct {
	SchemaName string
	Value      string
}

// An Attribute is a further attribute of a row, such as
// ValidateDropDownOptions. Its value is sent as a JSON string.
type Attribute struct {
	Name  string
	Value string
}

// A Decision says what becomes of a record after mapping.
type Decision int

const (
	Send   Decision = iota // its activities go to LeadSquared; there is at least one
	Filter                 // a rule of the document leaves it out
	Bury                   // it is a dead letter, for the reason given
	Halt                   // the connector halts at it, for the reason given
)

// A Mapping is what the rules made of one record.
type Mapping struct {
	Decision   Decision
	Activities []Activity // for Send
	Reason     Reason     // for all but Send
}

// Size is about how many bytes the activities take in memory, on their way too.
func (m *Mapping) Size() int {
	const overhead, perText = 512, 32
	n := 0
	for i := range m.Activities {
		a := &m.Activities[i]
		n += overhead + len(a.Marker) + len(a.Lead) + len(a.Note) + len(a.Owner)
		for _, f := range a.Fields {
			n += perText + len(f.Value)
		}
		for _, f := range a.Attributes {
			n += perText + len(f.Value)
		}
	}
	return n
}

// A Reason says why a record is filtered or dead, or why the connector halts at
// it. It becomes headers of the dead letter.
type Reason struct {
	Stage   string // "decode", "transform" or "deliver"
	Class   string // bounded: undecodable, rule_error, no_rule, tombstone, ...
	Message string // for people: where, what, what to do; no secrets
	Rule    string // "" where no rule was involved
}
