// Package config is the configuration document: what it holds, its defaults, how it is read and what is wrong with it.
package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
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
	// What leadsink tells about itself by OpenTelemetry.
	Telemetry telemetry.Config `yaml:"telemetry"`
	// What leadsink writes to its log.
	Log telemetry.LogConfig `yaml:"log"`
}

// LeadSquared is the section about the account: its API, how much it may be
// called, and how activities are put together into calls.
type LeadSquared struct {
	Budget budget.Config         `yaml:",inline"`
	Batch  connector.BatchConfig `yaml:",inline"`
}

// DeadLetters is the section about records that LeadSquared will never take.
type DeadLetters struct {
	// The topic where they are stored, with the reason. Without one a dead
	// record halts the connector.
	Topic string `yaml:"topic"`
	// Halt when so many of the last so many records were dead, written as
	// DEAD/RECORDS, for instance 50/100. Something larger than a few bad records
	// is wrong then.
	HaltWhen Quota `yaml:"halt_when"`
}

// Receipts is the section about messages for created activities.
type Receipts struct {
	// The topic for one message per created activity. It comes with a later version.
	Topic string `yaml:"topic"`
}

// A Quota is a number of dead records among the last ones, written as 50/100.
// The zero value is no quota.
type Quota struct{ Dead, Of int }

// UnmarshalText reads DEAD/RECORDS.
func (q *Quota) UnmarshalText(text []byte) error {
	dead, of, _ := strings.Cut(string(text), "/")
	n, err1 := strconv.Atoi(dead)
	m, err2 := strconv.Atoi(of)
	if err1 != nil || err2 != nil || n < 1 || m < n || m > maxQuota {
		return fmt.Errorf("%q is not DEAD/RECORDS; write how many dead of how many records, up to %d, for instance 50/100", text, maxQuota)
	}
	*q = Quota{Dead: n, Of: m}
	return nil
}

const maxQuota = 100_000

// MarshalText writes the quota as it is written in the document.
func (q Quota) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// String returns the quota as it is written in the document, "" for none.
func (q Quota) String() string {
	if q == (Quota{}) {
		return ""
	}
	return fmt.Sprintf("%d/%d", q.Dead, q.Of)
}

// Default returns the document that an empty one stands for. It is not valid:
// some keys must be given.
func Default() Document {
	return Document{
		Name:         "leadsink",
		StartTimeout: 2 * time.Minute,
		Decode:       decode.Default(),
		Transform:    transform.Default(),
		LeadSquared: LeadSquared{
			Budget: budget.Default(),
			Batch:  connector.DefaultBatch(),
		},
		Delivery:    connector.DefaultDelivery(),
		DeadLetters: DeadLetters{HaltWhen: Quota{Dead: 50, Of: 100}},
		Telemetry:   telemetry.Default(),
		Log:         telemetry.DefaultLog(),
	}
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

// Parse does what Load does with text that is already there. The file's name
// is used in errors, and its folder for relative paths.
func Parse(file string, text []byte) (*Document, error) {
	d := &decoder{
		source:  newSource(file, text),
		folder:  filepath.Dir(file),
		lookup:  os.LookupEnv,
		anchors: make(map[string]ast.Node),
		places:  make(map[string]place),
	}
	document := Default()
	if root := d.parse(text); root != nil {
		d.decode(root, reflect.ValueOf(&document).Elem(), "", false)
		d.validate(&document)
	}
	if len(d.errs) > 0 {
		return nil, sorted(d.errs)
	}
	return &document, nil
}
