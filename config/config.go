// Package config is the configuration document: what it holds, its defaults, how it is read and what is wrong with it.
package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/admin"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/connector/leadsquared"
	"github.com/leadsink/leadsink/connector/telemetry"
	"github.com/leadsink/leadsink/transform"
	"github.com/leadsink/leadsink/transform/decode"
)

// A Document is everything that leadsink is told. Each section is the Config
// of the package that acts on it.
type Document struct {
	// The connector's name in metrics, traces and its REST interface.
	Name string `yaml:"name"`
	// How long run tries to reach Kafka and LeadSquared at the start before it
	// gives up with exit code 3.
	StartTimeout time.Duration `yaml:"start_timeout"`

	// Where records come from.
	Kafka kafka.Config `yaml:"kafka"`
	// How the bytes of a record become an event.
	Decode decode.Config `yaml:"decode"`
	// How an event becomes activities.
	Transform transform.Config `yaml:"transform"`
	// The account: its API, how much it may be called, and how activities are
	// put together into calls.
	LeadSquared LeadSquared `yaml:"leadsquared"`
	// How activities are delivered, and what happens when they are not.
	Delivery connector.DeliveryConfig `yaml:"delivery"`
	// What becomes of records that LeadSquared will never take.
	DeadLetters DeadLetters `yaml:"dead_letters"`
	// A message per created activity.
	Receipts Receipts `yaml:"receipts"`
	// The HTTP surface for people and probes.
	Admin admin.Config `yaml:"admin"`
	// What leadsink tells about itself by OpenTelemetry.
	Telemetry telemetry.Config `yaml:"telemetry"`
	// What leadsink writes to its log.
	Log telemetry.LogConfig `yaml:"log"`

	read *decoder // with the places of keys
}

// LeadSquared is the section about the account: its API, how much it may be
// called, and how activities are put together into calls.
type LeadSquared struct {
	Client leadsquared.Config    `yaml:",inline"`
	Budget budget.Config         `yaml:",inline"`
	Batch  connector.BatchConfig `yaml:",inline"`
}

// DeadLetters is the section about records that LeadSquared will never take.
type DeadLetters struct {
	// The topic where they are stored, with the reason. Without one a dead
	// record halts the connector.
	Topic string `yaml:"topic"`
	// Halt when so many of so many records in a row were dead, written as
	// DEAD/RECORDS, for instance 50/100. Something larger than a few bad records
	// is wrong then.
	HaltWhen connector.Proportion `yaml:"halt_when"`
}

// Receipts is the section about messages for created activities.
type Receipts struct {
	// The topic for one message per created activity: record position, lead,
	// activity code, ProspectActivityId and time. Empty: none. What was created is
	// committed only once its receipts are stored.
	Topic string `yaml:"topic"`
}

// Default returns the document that an empty one stands for. It is not valid:
// some keys must be given.
func Default() Document {
	return Document{
		Name:         "leadsink",
		StartTimeout: 2 * time.Minute,
		Kafka:        kafka.Default(),
		Decode:       decode.Default(),
		Transform:    transform.Default(),
		LeadSquared: LeadSquared{
			Client: leadsquared.Default(),
			Budget: budget.Default(),
			Batch:  connector.DefaultBatch(),
		},
		Delivery:    connector.DefaultDelivery(),
		DeadLetters: DeadLetters{HaltWhen: connector.Proportion{Part: 50, Of: 100}},
		Admin:       admin.Default(),
		Telemetry:   telemetry.Default(),
		Log:         telemetry.DefaultLog(),
	}
}

// Engine returns what the engine takes from the document.
func (doc *Document) Engine() connector.Config {
	return connector.Config{
		Name:           doc.Name,
		Group:          doc.Kafka.Group,
		BatchConfig:    doc.LeadSquared.Batch,
		DeliveryConfig: doc.Delivery,
		HaltWhen:       doc.DeadLetters.HaltWhen,
		Timeout:        doc.LeadSquared.Client.Timeout,
		CheckEvery:     doc.LeadSquared.Client.CheckEvery,
		Payloads:       doc.Log.Payloads,
	}
}

// Rules compiles the document's rules, checking them against the sample or the
// schema. There are rules if and only if there are no problems.
func (doc *Document) Rules() (*transform.Rules, []setting.Problem) {
	against, all := doc.events()
	rules, problems := transform.Compile(doc.Transform, doc.Decode, against)
	for _, p := range problems {
		all = append(all, setting.Problem{Key: p.Key, Text: p.Text + "; " + p.Advice, Line: p.Line, Column: p.Column})
	}
	if len(all) > 0 {
		return nil, setting.Under("transform", all)
	}
	return rules, nil
}

// events returns what the rules are checked against, nil where the document
// names nothing.
func (doc *Document) events() (any, []setting.Problem) {
	switch {
	case doc.Transform.Sample != "":
		events, err := Sample(doc.Transform.Sample, doc.Decode.MaxDepth)
		if err != nil {
			return nil, []setting.Problem{{Key: "sample", Text: err.Error()}}
		}
		return events, nil
	case doc.Transform.Schema != "":
		schema, err := readSchema(doc.Transform.Schema)
		if err != nil {
			return nil, []setting.Problem{{Key: "schema", Text: err.Error()}}
		}
		return schema, nil
	}
	return nil, nil
}

func readSchema(path string) (*transform.Schema, error) {
	text, err := small(path)
	if err != nil {
		return nil, err
	}
	return transform.ParseSchema(text)
}

// Sample reads the file of a sample, an event or a list of events in JSON, nested at
// most so deep. The error does not name the file.
func Sample(path string, maxDepth int) (any, error) {
	text, err := small(path)
	if err != nil {
		return nil, err
	}
	event, err := decode.JSON(text, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("the file is not JSON: %w; write one event, or a list of events", err)
	}
	return event, nil
}

// small reads a file that is no larger than a document may be.
func small(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New(unreadable(err))
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return nil, errors.New(unreadable(err))
	case len(text) > maxBytes:
		return nil, errors.New("the file is larger than 1 MiB; keep what the rules need")
	}
	return text, nil
}

// Unchecked says what the document leaves unchecked, and how to have it
// checked; "" if it leaves nothing.
func (doc *Document) Unchecked() string {
	if doc.Transform.Sample != "" || doc.Transform.Schema != "" {
		return ""
	}
	return "the names in expressions, so a mistyped field is null; give an event in transform.sample, or a JSON Schema in transform.schema"
}

// File is the name of the file that the document was read from.
func (doc *Document) File() string { return doc.read.file }

// Load reads, substitutes and validates the document in the file. When the
// document is wrong the error is an *Errors with everything that is wrong.
func Load(path string) (*Document, error) {
	doc, _, err := loadFor(path, nil)
	return doc, err
}

// LoadFor does what Load does for whoever needs only the named sections: what a
// document makes of events can be tried where neither brokers nor keys are known.
// Variables and files that other sections name may be missing. Their keys are
// returned as open and have their defaults; all else of them is checked.
func LoadFor(path string, sections ...string) (doc *Document, open []string, err error) {
	return loadFor(path, sections)
}

func loadFor(path string, needed []string) (*Document, []string, error) {
	text, err := ReadText(path)
	if err != nil {
		return nil, nil, err
	}
	return parse(path, text, os.LookupEnv, needed)
}

// ReadText returns the text of a document, or of a file beside it, and no more
// than tells that it is too large. The error is an *Errors.
func ReadText(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &Errors{List: []*Error{{File: path, Text: unreadable(err)}}}
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, &Errors{List: []*Error{{File: path, Text: unreadable(err)}}}
	}
	return text, nil
}

// unreadable says why a document cannot be read; its name is said elsewhere.
func unreadable(err error) string {
	if e, ok := err.(*os.PathError); ok { //nolint:errorlint // os returns it unwrapped
		err = e.Err
	}
	return fmt.Sprintf("cannot be read: %v; see whether the path is right and may be read", err)
}

// Parse does what Load does with text that is already there. The file's name is
// used in errors, and its folder for relative paths.
func Parse(file string, text []byte) (*Document, error) {
	doc, _, err := parse(file, text, os.LookupEnv, nil)
	return doc, err
}

// parse is Parse with another environment, for the needed sections.
func parse(file string, text []byte, lookup func(string) (string, bool), needed []string) (*Document, []string, error) {
	d := newDecoder(file, text)
	d.lookup, d.needed = lookup, needed
	document := Default()
	if root := d.parse(text); root != nil {
		d.decode(root, reflect.ValueOf(&document).Elem(), "", false)
		if d.nodes < maxNodes {
			d.validate(&document)
		}
	}
	if len(d.errs) > 0 {
		return nil, nil, sorted(d.errs)
	}
	document.read = d
	return &document, slices.Sorted(maps.Keys(d.open)), nil
}

// Place gives problems that were found elsewhere, by asking Kafka or LeadSquared,
// their places in a document that Load or Parse returned. Nil is no problem.
func (doc *Document) Place(problems []setting.Problem) *Errors {
	if len(problems) == 0 {
		return nil
	}
	text := *doc.read.source
	d := decoder{source: &text, places: doc.read.places}
	for _, p := range problems {
		d.problem(p, p.Key)
	}
	return sorted(d.errs)
}
