package kafka

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/config/setting"
)

// A Config is the document's kafka section.
type Config struct {
	// Addresses of brokers to begin with, as HOST:PORT. One that answers is enough.
	Brokers []string `yaml:"brokers"`
	// The topics to read.
	Topics []string `yaml:"topics"`
	// Instead of topics: read every topic whose whole name matches this regular expression.
	TopicsRegex string `yaml:"topics_regex"`
	// The consumer group. Members of one group share the work and the call budget.
	Group string `yaml:"group"`
	// Where a group without offsets begins, once and for all: earliest, latest, or a time such as
	// 2026-01-31T00:00:00Z.
	Start string `yaml:"start"`
	// Encryption of the connections to the brokers.
	TLS TLSConfig `yaml:"tls"`
	// How leadsink proves to the brokers who it is.
	SASL SASLConfig `yaml:"sasl"`
	// A name for static membership, different for each member and kept over its
	// restarts. A member that comes back within session_timeout then keeps its
	// partitions without a rebalance. Empty: dynamic membership.
	InstanceID string `yaml:"instance_id"`
	// single: one member reads every partition and the others stand by. spread:
	// the members share the partitions.
	Assignment string `yaml:"assignment"`
	// How long a member may be silent before the group gives its partitions
	// away. With protocol kip848 the broker decides, and leadsink asks it.
	SessionTimeout time.Duration `yaml:"session_timeout"`
	// How long a member may take to let go of its partitions when the group asks for them.
	RebalanceTimeout time.Duration `yaml:"rebalance_timeout"`
	// The group protocol: classic, or kip848 for the one of Kafka 4 (with assignment spread only).
	Protocol string `yaml:"protocol"`
}

// A TLSConfig says how connections to the brokers are encrypted.
type TLSConfig struct {
	// Encrypt the connections.
	Enabled bool `yaml:"enabled"`
	// A PEM file with the authorities that may have signed the brokers'
	// certificates. Empty: those of the system. Read again for each connection.
	CAFile string `yaml:"ca_file"`
	// A PEM file with leadsink's own certificate, for brokers that ask for one.
	// Read again for each connection.
	CertFile string `yaml:"cert_file"`
	// A PEM file with the key of that certificate.
	KeyFile string `yaml:"key_file"`
}

// A SASLConfig says how leadsink proves to the brokers who it is.
type SASLConfig struct {
	// PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM. Empty: no authentication.
	Mechanism string `yaml:"mechanism"`
	// The user, for PLAIN and SCRAM; for AWS_MSK_IAM the access key id. From a file it
	// is read again together with the password, for each connection.
	Username setting.Secret `yaml:"username"`
	// The user's password; for AWS_MSK_IAM the secret access key.
	Password setting.Secret `yaml:"password"`
	// For OAUTHBEARER a token that something else renews, usually a file; for
	// AWS_MSK_IAM the session token, if the credentials are temporary.
	Token setting.Secret `yaml:"token"`
	// For OAUTHBEARER, instead of token: where to fetch tokens by client credentials.
	TokenURL string `yaml:"token_url"`
	// The client that token_url knows.
	ClientID setting.Secret `yaml:"client_id"`
	// The client's secret.
	ClientSecret setting.Secret `yaml:"client_secret"`
	// The scope to ask for at token_url, if it wants one.
	Scope string `yaml:"scope"`
}

// Default returns the section of an empty document. It is not valid: brokers,
// topics and a group must be given.
func Default() Config {
	return Config{
		Start:            "earliest",
		Assignment:       "single",
		SessionTimeout:   45 * time.Second,
		RebalanceTimeout: time.Minute,
		Protocol:         "classic",
	}
}

// Single reports whether one member at a time owns every partition.
func (c Config) Single() bool { return c.Assignment == "single" }

// wholeRegex matches whole names: kgo and the brokers match differently without anchors.
func (c Config) wholeRegex() string { return "^(?:" + c.TopicsRegex + ")$" }

// Validate returns what is wrong with the values.
func (c Config) Validate() []setting.Problem {
	var p problems
	if len(c.Brokers) == 0 {
		p.add("brokers", "is missing; write the addresses of the brokers, for instance [kafka:9092]")
	}
	for i, b := range c.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			p.add(fmt.Sprintf("brokers[%d]", i), "%q is not HOST:PORT; write for instance kafka:9092", b)
		}
	}
	c.validateTopics(&p)
	if c.Group == "" {
		p.add("group", "is missing; write the name of the consumer group, for instance leadsink")
	}
	if _, err := c.startOffset(); err != nil {
		p.add("start", "%q is neither earliest nor latest nor a time; write a time as 2026-01-31T00:00:00Z", c.Start)
	}
	p.oneOf("assignment", c.Assignment, "single", "spread")
	p.oneOf("protocol", c.Protocol, "classic", "kip848")
	if c.Protocol == "kip848" && c.Assignment == "single" {
		p.add("protocol", "kip848 leaves the assignment to the brokers, so it cannot be single; write assignment: spread or protocol: classic")
	}
	if c.SessionTimeout < time.Second {
		p.add("session_timeout", "%s is too short for heartbeats; write at least 1s, for instance 45s", c.SessionTimeout)
	}
	if c.RebalanceTimeout < time.Second {
		p.add("rebalance_timeout", "%s is too short to let go of partitions; write at least 1s, for instance 60s", c.RebalanceTimeout)
	}
	c.TLS.validate(&p)
	c.SASL.validate(&p)
	return p
}

func (c Config) validateTopics(p *problems) {
	switch {
	case len(c.Topics) == 0 && c.TopicsRegex == "":
		p.add("topics", "is missing; write the topics to read, or topics_regex")
	case len(c.Topics) > 0 && c.TopicsRegex != "":
		p.add("topics_regex", "stands beside topics; write one of the two")
	case c.TopicsRegex != "":
		if _, err := regexp.Compile(c.TopicsRegex); err != nil {
			p.add("topics_regex", "is not a regular expression: %v; correct it", err)
		}
	}
	for i, t := range c.Topics {
		if t == "" {
			p.add(fmt.Sprintf("topics[%d]", i), "is empty; write a topic's name")
		} else if slices.Contains(c.Topics[:i], t) {
			p.add(fmt.Sprintf("topics[%d]", i), "%q is there twice; remove one", t)
		}
	}
}

func (c TLSConfig) validate(p *problems) {
	if !c.Enabled {
		for _, f := range []struct{ key, path string }{{"ca_file", c.CAFile}, {"cert_file", c.CertFile}, {"key_file", c.KeyFile}} {
			if f.path != "" {
				p.add("tls."+f.key, "has no effect without TLS; write tls.enabled: true, or remove it")
			}
		}
		return
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		p.add("tls.cert_file", "needs tls.key_file beside it, and the other way round; write both or none")
	}
}

func (c SASLConfig) validate(p *problems) {
	switch c.Mechanism {
	case "":
		if c != (SASLConfig{}) {
			p.add("sasl.mechanism", "is missing, so the other keys have no effect; write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM")
		}
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "AWS_MSK_IAM":
		if c.Username.IsZero() {
			p.add("sasl.username", "is missing; %s needs it", c.Mechanism)
		}
		if c.Password.IsZero() {
			p.add("sasl.password", "is missing; %s needs it, for instance \"${file:/run/secrets/kafka}\"", c.Mechanism)
		}
	case "OAUTHBEARER":
		c.validateOAuth(p)
	default:
		p.add("sasl.mechanism", "%q is unknown; write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM", c.Mechanism)
	}
}

func (c SASLConfig) validateOAuth(p *problems) {
	switch {
	case c.Token.IsZero() && c.TokenURL == "":
		p.add("sasl.token_url", "is missing; write where tokens are fetched, or sasl.token")
	case !c.Token.IsZero() && c.TokenURL != "":
		p.add("sasl.token_url", "stands beside sasl.token; write one of the two")
	case c.TokenURL != "":
		if u, err := url.Parse(c.TokenURL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
			p.add("sasl.token_url", "is not a web address; write for instance https://login.example.com/oauth2/token")
		}
		if c.ClientID.IsZero() {
			p.add("sasl.client_id", "is missing; sasl.token_url needs it")
		}
		if c.ClientSecret.IsZero() {
			p.add("sasl.client_secret", "is missing; sasl.token_url needs it, for instance \"${file:/run/secrets/oauth}\"")
		}
	}
}

// startOffset is where a group without offsets begins.
func (c Config) startOffset() (kgo.Offset, error) {
	switch c.Start {
	case "earliest":
		return kgo.NewOffset().AtStart(), nil
	case "latest":
		return kgo.NewOffset().AtEnd(), nil
	}
	at, err := time.Parse(time.RFC3339, c.Start)
	if err != nil {
		return kgo.Offset{}, err
	}
	return kgo.NewOffset().AfterMilli(at.UnixMilli()), nil
}

// problems collects what is wrong with the section.
type problems []setting.Problem

func (p *problems) add(key, format string, args ...any) {
	*p = append(*p, setting.Problem{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (p *problems) oneOf(key, value string, words ...string) {
	if !slices.Contains(words, value) {
		p.add(key, "%q is unknown; write %s", value, strings.Join(words, " or "))
	}
}
