package transform

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// A Config is the document's transform section.
type Config struct {
	// Sample is the path of a JSON file with an event, or a list of events:
	// expressions are checked against the names and types in it.
	Sample string `yaml:"sample"`
	// Schema is the path of a JSON Schema of the events, instead of a sample.
	Schema string `yaml:"schema"`
	// Tables are files in which expressions look values up with lookup().
	Tables []Table `yaml:"tables"`
	// Rules make activities of events. Every rule that matches makes one.
	Rules []Rule `yaml:"rules"`
	// Otherwise says what becomes of an event that no rule matched: skip, dead_letter or halt.
	Otherwise string `yaml:"otherwise"`
	// OnError says what becomes of a record that cannot be decoded, or that a
	// rule failed on: dead_letter or halt.
	OnError string `yaml:"on_error"`
	// Tombstones says what becomes of a record whose value is null: skip, dead_letter or halt.
	Tombstones string `yaml:"tombstones"`
}

// A Rule makes an activity of an event. All but its name are expressions.
type Rule struct {
	Name       string  `yaml:"name"`       // in metrics and dead letters; unique; default: "rule N", counted from 1
	Each       string  `yaml:"each"`       // a list: the rule makes an activity for each element, which is item in its other expressions; null is an empty list
	When       string  `yaml:"when"`       // true: the rule matches; null counts as false; empty: it matches always
	Lead       string  `yaml:"lead"`       // the lead's id, or the value of the unique field
	Activity   string  `yaml:"activity"`   // the code of the activity type: a whole number above 0
	Note       string  `yaml:"note"`       // ActivityNote; null or "" leaves it out
	Owner      string  `yaml:"owner"`      // ActivityOwnerEmail; null or "" leaves it out
	At         string  `yaml:"at"`         // ActivityDateTime: a time, or text that time() reads; null: the record's timestamp
	Fields     Entries `yaml:"fields"`     // custom fields by schema name; null leaves one out
	Marker     string  `yaml:"marker"`     // what identifies the activity in the field that leadsquared.marker names; default: TOPIC-PARTITION-OFFSET:RULE
	Attributes Entries `yaml:"attributes"` // further attributes of the row by name; null leaves one out
}

// name is what the rule, the ith of the document, is called.
func (r *Rule) name(i int) string {
	if r.Name == "" {
		return fmt.Sprintf("rule %d", i+1)
	}
	return r.Name
}

// A Table is a file in which values are looked up. It is read again when it
// changes.
type Table struct {
	Name  string `yaml:"name"`  // what lookup() calls it
	File  string `yaml:"file"`  // CSV with the columns' names in its first line, or YAML with a value, or values by name, for each key
	Key   string `yaml:"key"`   // the column that is searched; default: the first
	Value string `yaml:"value"` // the column that is given; default: the only one besides the key, or all as an object
}

// Entries are named expressions in the order of the document.
type Entries []Entry

// An Entry is an expression with the name of what it makes.
type Entry struct {
	Name       string
	Expression string
}

// Default returns the section as it is when the document does not mention it.
func Default() Config {
	return Config{Otherwise: "skip", OnError: "dead_letter", Tombstones: "skip"}
}

// UnmarshalYAML reads a mapping of names to expressions, keeping its order. A
// number or a boolean is the expression of that value.
func (e *Entries) UnmarshalYAML(unmarshal func(any) error) error {
	var items yaml.MapSlice
	if err := unmarshal(&items); err != nil {
		return err
	}
	*e = make(Entries, 0, len(items))
	for _, item := range items {
		name, ok := item.Key.(string)
		if !ok {
			return fmt.Errorf("%v is not a name; write it in quotes", item.Key)
		}
		var expression string
		switch v := item.Value.(type) {
		case string:
			expression = v
		case bool, int, int64, uint64:
			expression = fmt.Sprint(v)
		case float64:
			expression = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			return fmt.Errorf("%s is not an expression; write one in quotes", name)
		}
		*e = append(*e, Entry{name, expression})
	}
	return nil
}

// MarshalYAML writes the entries as a mapping in their order.
func (e Entries) MarshalYAML() (any, error) {
	items := make(yaml.MapSlice, len(e))
	for i, entry := range e {
		items[i] = yaml.MapItem{Key: entry.Name, Value: entry.Expression}
	}
	return items, nil
}

// Validate returns what is wrong with the section apart from its expressions.
// Compile does this too.
func (c Config) Validate() []Problem {
	var problems []Problem
	add := func(key, text, advice string) {
		problems = append(problems, Problem{Key: key, Text: text, Advice: advice})
	}
	if c.Schema != "" && c.Sample != "" {
		add("schema", "there is a sample too", "leave one of them out")
	}
	tables := make(map[string]bool)
	for i, table := range c.Tables {
		key := fmt.Sprintf("tables[%d].", i)
		switch {
		case table.Name == "":
			add(key+"name", "it is missing", "write the name that lookup() has for the table")
		case tables[table.Name]:
			add(key+"name", fmt.Sprintf("%q names an earlier table too", table.Name), "give each table its own name")
		}
		tables[table.Name] = true
		if table.File == "" {
			add(key+"file", "it is missing", "write the path of a CSV or YAML file")
		}
	}
	policy := func(key, value string, words ...string) {
		if !slices.Contains(words, value) {
			add(key, fmt.Sprintf("%q is not one of the choices", value), "write "+strings.Join(words, " or "))
		}
	}
	policy("otherwise", c.Otherwise, "skip", "dead_letter", "halt")
	policy("on_error", c.OnError, "dead_letter", "halt")
	policy("tombstones", c.Tombstones, "skip", "dead_letter", "halt")
	if len(c.Rules) == 0 {
		add("rules", "there is no rule, so no activity would ever be made", "write at least one rule with lead and activity")
	}
	names := make(map[string]bool)
	for i, rule := range c.Rules {
		key := fmt.Sprintf("rules[%d].", i)
		if names[rule.name(i)] {
			add(key+"name", fmt.Sprintf("%q names an earlier rule too", rule.name(i)), "give each rule its own name")
		}
		names[rule.name(i)] = true
		if rule.Lead == "" {
			add(key+"lead", "it is missing", "write an expression for the lead's id, such as event.lead.id")
		}
		if rule.Activity == "" {
			add(key+"activity", "it is missing", "write the code of the activity type, such as 320")
		}
		problems = append(problems, rule.Fields.validate(key+"fields")...)
		problems = append(problems, rule.Attributes.validate(key+"attributes")...)
	}
	return problems
}

func (e Entries) validate(key string) []Problem {
	var problems []Problem
	seen := make(map[string]bool)
	for _, entry := range e {
		if entry.Name == "" {
			problems = append(problems, Problem{Key: key, Text: "a name is empty", Advice: "write the schema name as the account shows it"})
		}
		if seen[entry.Name] {
			problems = append(problems, Problem{Key: key + "." + entry.Name, Text: "it is there twice", Advice: "leave one of them out"})
		}
		seen[entry.Name] = true
	}
	return problems
}
