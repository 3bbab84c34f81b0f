// Package config is the configuration document: what it holds, its defaults, how it is read and what is wrong with it.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/goccy/go-yaml/ast"

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
		Payloads:       doc.Log.Payloads,
	}
}

// Rules compiles the document's rules, checking them against the sample. There
// are rules if and only if there are no problems.
func (doc *Document) Rules() (*transform.Rules, []setting.Problem) {
	sample, err := doc.sample()
	var all []setting.Problem
	if err != nil {
		all = append(all, setting.Problem{Key: "sample", Text: err.Error()})
	}
	rules, problems := transform.Compile(doc.Transform, doc.Decode, sample)
	for _, p := range problems {
		all = append(all, setting.Problem{Key: p.Key, Text: p.Text + "; " + p.Advice, Line: p.Line, Column: p.Column})
	}
	if len(all) > 0 {
		return nil, setting.Under("transform", all)
	}
	return rules, nil
}

// sample reads the sample of the rules, nil where there is none.
func (doc *Document) sample() (any, error) {
	path := doc.Transform.Sample
	if path == "" {
		return nil, nil
	}
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
		return nil, errors.New("the file is larger than 1 MiB; a few events are enough")
	}
	event, err := decode.JSON(text, doc.Decode.MaxDepth)
	if err != nil {
		return nil, fmt.Errorf("the file is not JSON: %w; write one event, or a list of events", err)
	}
	return event, nil
}

// Load reads, substitutes and validates the document in the file. When the
// document is wrong the error is an *Errors with everything that is wrong.
func Load(path string) (*Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &Errors{List: []*Error{{File: path, Text: unreadable(err)}}}
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, &Errors{List: []*Error{{File: path, Text: unreadable(err)}}}
	}
	return Parse(path, text)
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
	return parse(file, text, os.LookupEnv)
}

// parse is Parse with another environment.
func parse(file string, text []byte, lookup func(string) (string, bool)) (*Document, error) {
	d := &decoder{
		source:  newSource(file, text),
		folder:  filepath.Dir(file),
		lookup:  lookup,
		anchors: make(map[string]ast.Node),
		places:  make(map[string]place),
	}
	document := Default()
	if root := d.parse(text); root != nil {
		d.decode(root, reflect.ValueOf(&document).Elem(), "", false)
		if d.nodes < maxNodes {
			d.validate(&document)
		}
	}
	if len(d.errs) > 0 {
		return nil, sorted(d.errs)
	}
	return &document, nil
}
