package decode

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/leadsink/leadsink/config/setting"
)

// A RegistryConfig says where schemas are kept. Its interface is Confluent's,
// which Apicurio, Karapace and Redpanda have too.
type RegistryConfig struct {
	// The registry's address, such as https://registry.example.com:8081.
	URL string `yaml:"url"`
	// The user, if the registry wants one; with Confluent Cloud the API key. From a file
	// it is read again together with the password, for each question.
	Username setting.Secret `yaml:"username"`
	// The user's password; with Confluent Cloud the API key's secret.
	Password setting.Secret `yaml:"password"`
	// Instead of a user: a bearer token, usually a file that something else renews.
	Token setting.Secret `yaml:"token"`
	// A PEM file with authorities that may have signed the registry's
	// certificate, besides those of the system. Read once, when leadsink starts.
	CAFile string `yaml:"ca_file"`
	// A PEM file with leadsink's own certificate, for a registry that asks for one.
	// Read again for each connection.
	CertFile string `yaml:"cert_file"`
	// A PEM file with the key of that certificate.
	KeyFile string `yaml:"key_file"`
}

func (c RegistryConfig) validate() []Problem {
	var problems []Problem
	add := func(key, text, advice string) {
		problems = append(problems, Problem{"registry." + key, text, advice})
	}
	const example = "write the registry's address, for instance https://registry.example.com:8081"
	if c.URL == "" {
		add("url", "is missing", example)
	} else if u, err := url.Parse(c.URL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		add("url", "is not a web address", example) // not repeated: it may hold a password
	} else if u.User != nil {
		add("url", "holds a user", "write it in registry.username and registry.password")
	}
	switch {
	case c.Username.IsZero() != c.Password.IsZero():
		add("username", "needs registry.password beside it, and the other way round", "write both or none")
	case !c.Username.IsZero() && !c.Token.IsZero():
		add("token", "stands beside registry.username", "write one of the two")
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		add("cert_file", "needs registry.key_file beside it, and the other way round", "write both or none")
	}
	return problems
}

// A Registry knows the schemas that records were written with. Its errors wrap
// ErrNoSchema where the registry says that there is none; any other means
// that nobody can tell now. It does not retry.
type Registry interface {
	// ByID returns the schema with the number that a record names.
	ByID(ctx context.Context, id int) (Schema, error)
	// ByGUID returns the schema with the globally unique id that a record names.
	ByGUID(ctx context.Context, guid string) (Schema, error)
	// ByVersion returns the schema that another one refers to.
	ByVersion(ctx context.Context, subject string, version int) (Schema, error)
}

// ErrNoSchema says that a registry has no such schema.
var ErrNoSchema = errors.New("the registry has no such schema")

// A Schema is what a registry keeps.
type Schema struct {
	Format     string // as decode.format has it: avro, protobuf or json_schema
	Text       string
	References []Reference
}

// A Reference is a schema that another one uses.
type Reference struct {
	Name    string // by which it is used
	Subject string
	Version int
}

// A schemaID is how a record names its schema: by a number, or by a globally
// unique id.
type schemaID struct {
	number uint32
	guid   [16]byte
	global bool
}

// String returns the id as people and registries write it.
func (id schemaID) String() string {
	if !id.global {
		return fmt.Sprint(id.number)
	}
	h := hex.EncodeToString(id.guid[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// guidHeader is where a serializer puts the schema's id when it leaves the
// value alone.
const guidHeader = "__value_schema_id"

// frame returns the id of a record's schema, and its payload. Protobuf's
// message indexes, which follow the id, stand in front of the payload.
func (d *Decoder) frame(value []byte, headers Headers) (schemaID, []byte, error) {
	var id []byte
	for name, value := range headers {
		if name == guidHeader {
			id = value // of several the last counts, and null is none
		}
	}
	if id != nil {
		if len(id) < 17 || id[0] != 1 {
			return schemaID{}, nil, &Error{Offset: -1, Text: "the header " + guidHeader + " holds no schema id; a 1 and 16 bytes were expected"}
		}
		// The indexes of a message are part of the header.
		payload := value
		if indexes := id[17:]; d.config.Format == "protobuf" {
			payload = append(slices.Clip(indexes), value...)
		}
		return schemaID{guid: [16]byte(id[1:]), global: true}, payload, nil
	}
	if len(value) < 5 || value[0] != 0 {
		return schemaID{}, nil, &Error{Text: fmt.Sprintf("a 0 and the four bytes of a schema id were expected; is it written by a serializer of a schema registry? see decode.format (%s)", d.config.Format)}
	}
	number := binary.BigEndian.Uint32(value[1:])
	if number > math.MaxInt32 {
		return schemaID{}, nil, &Error{Offset: 1, Text: fmt.Sprintf("no registry gives a schema the id %d; is it written by a serializer of a schema registry? see decode.format (%s)", number, d.config.Format)}
	}
	return schemaID{number: number}, value[5:], nil
}

// A schema makes events of payloads.
type schema interface {
	event(payload []byte, room room) (any, error)
}

const (
	// mostSchemas is how many schemas are kept. A topic has a few at a time.
	mostSchemas = 1000
	// mostReferences is how many schemas one may refer to, and mostText how
	// long they may be together.
	mostReferences = 200
	mostText       = 4 << 20
	// unknownTries is how often the registry is asked for a schema that it does
	// not know. A registry of several nodes may learn of a schema after the first
	// record with it was written.
	unknownTries = 5
	// unknownFor is how long it is not asked again after that.
	unknownFor = time.Minute
	// mostPatience is for how many new ids within unknownFor it is asked so often;
	// for others once. What is no id of a schema is another one in each record.
	mostPatience = 3
)

// schemas are those that records named lately.
type schemas struct {
	format   string
	registry Registry
	kept     map[schemaID]*keptSchema
	patience []time.Time // when an id became one that is asked for several times
}

// A keptSchema is what is known about an id.
type keptSchema struct {
	schema schema
	wrong  *Error    // why there is no schema, for good
	tries  int       // of asking for an unknown one
	until  time.Time // not to be asked for again before, if it is unknown
}

func newSchemas(format string) *schemas {
	return &schemas{format: format, kept: make(map[schemaID]*keptSchema)}
}

// known returns what get has found out.
func (s *schemas) known(id schemaID) (schema, error) {
	switch k := s.kept[id]; {
	case k == nil || k.schema == nil && k.wrong == nil:
		return nil, &Error{Offset: -1, Text: fmt.Sprintf("schema %s was not asked for; is there a registry?", id)}
	case k.wrong != nil:
		wrong := *k.wrong
		return nil, &wrong
	default:
		return k.schema, nil
	}
}

// get asks the registry for a schema that is not known. Its error means that
// nobody can tell now whether there is one.
func (s *schemas) get(ctx context.Context, id schemaID) error {
	k := s.kept[id]
	switch {
	case k == nil:
		k = new(keptSchema)
	case k.schema != nil, k.wrong != nil && k.until.IsZero(), time.Now().Before(k.until):
		return nil
	}
	if s.registry == nil {
		return nil
	}
	found, err := s.fetch(ctx, id)
	switch {
	case errors.Is(err, ErrNoSchema):
		defer s.keep(id, k)
		if k.tries == 0 && !s.patient() {
			k.tries = unknownTries
		}
		if k.tries++; k.tries < unknownTries {
			return fmt.Errorf("schema %s: %w yet", id, err)
		}
		k.until = time.Now().Add(unknownFor)
		k.wrong = wrongSchema(id, "%v; look for the producer's registry and contexts, or register the schema again", err)
		return nil
	case err != nil:
		return fmt.Errorf("schema %s: %w", id, err)
	}
	k.until = time.Time{}
	k.schema, k.wrong = s.compile(ctx, id, found)
	s.keep(id, k)
	return nil
}

// patient reports whether a new id may be asked for several times.
func (s *schemas) patient() bool {
	now := time.Now()
	s.patience = slices.DeleteFunc(s.patience, func(since time.Time) bool { return now.Sub(since) >= unknownFor })
	if len(s.patience) == mostPatience {
		return false
	}
	s.patience = append(s.patience, now)
	return true
}

// keep keeps what is known about an id. If there are many it drops others, which
// are asked for again: those without a schema first, and one with a schema only
// for another.
func (s *schemas) keep(id schemaID, k *keptSchema) {
	if s.kept[id] == nil {
		s.makeRoom(false)
		if k.schema != nil {
			s.makeRoom(true)
		}
	}
	s.kept[id] = k
}

// makeRoom drops entries with a schema, or without one.
func (s *schemas) makeRoom(usable bool) {
	for id, k := range s.kept {
		if len(s.kept) < mostSchemas {
			return
		}
		if (k.schema != nil) == usable {
			delete(s.kept, id)
		}
	}
}

func wrongSchema(id schemaID, format string, args ...any) *Error {
	return &Error{Offset: -1, Text: fmt.Sprintf("schema %s: ", id) + fmt.Sprintf(format, args...)}
}

// A resolved schema is one that was referred to.
type resolved struct{ name, text string }

// fetched is a schema with all that it refers to, each after what it needs itself.
type fetched struct {
	Schema
	references []resolved
	tooMuch    bool
}

func (s *schemas) fetch(ctx context.Context, id schemaID) (*fetched, error) {
	var found Schema
	var err error
	if id.global {
		found, err = s.registry.ByGUID(ctx, id.String())
	} else {
		found, err = s.registry.ByID(ctx, int(id.number))
	}
	if err != nil {
		return nil, err
	}
	f := &fetched{Schema: found}
	seen := make(map[Reference]bool)
	length := len(found.Text)
	var follow func([]Reference) error
	follow = func(references []Reference) error {
		for _, r := range references {
			if seen[r] {
				continue
			}
			if seen[r] = true; len(seen) > mostReferences || length > mostText {
				f.tooMuch = true
				return nil
			}
			to, err := s.registry.ByVersion(ctx, r.Subject, r.Version)
			if err != nil {
				return fmt.Errorf("its reference %s, version %d of subject %s: %w", r.Name, r.Version, r.Subject, err)
			}
			length += len(to.Text)
			if err := follow(to.References); err != nil {
				return err
			}
			f.references = append(f.references, resolved{r.Name, to.Text})
		}
		return nil
	}
	return f, follow(found.References)
}

// compile makes a schema of its text, or says why that cannot be done.
func (s *schemas) compile(ctx context.Context, id schemaID, f *fetched) (made schema, wrong *Error) {
	defer func() {
		if p := recover(); p != nil {
			made, wrong = nil, wrongSchema(id, "leadsink has a fault of its own with it, please report it: %v", p)
		}
	}()
	if f.Format != s.format {
		return nil, wrongSchema(id, "it is a schema of %s; decode.format is %s", f.Format, s.format)
	}
	if f.tooMuch || len(f.Text) > mostText {
		return nil, wrongSchema(id, "it has more than %d references, or is longer than 4 MiB with them; make it smaller", mostReferences)
	}
	var err error
	switch s.format {
	case "avro":
		made, err = avroSchema(f.Text, f.references)
	case "protobuf":
		made, err = protobufSchema(ctx, f.Text, f.references)
	case "json_schema":
		made, err = jsonSchema(f.Text, f.references)
	}
	if err != nil {
		return nil, wrongSchema(id, "it cannot be used: %v; correct it in the registry", err)
	}
	return made, nil
}
