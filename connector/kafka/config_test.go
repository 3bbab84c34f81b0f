package kafka

import (
	"strings"
	"testing"
	"time"

	"github.com/leadsink/leadsink/config/setting"
)

func valid() Config {
	c := Default()
	c.Brokers, c.Topics, c.Group = []string{"kafka:9092"}, []string{"events"}, "leadsink"
	return c
}

func TestValidateNamesTheKeyThatIsWrong(t *testing.T) {
	t.Parallel()
	if p := valid().Validate(); len(p) > 0 {
		t.Fatalf("a valid section has problems: %v", p)
	}
	secret := setting.NewSecret("s")
	for key, change := range map[string]func(*Config){
		"brokers":           func(c *Config) { c.Brokers = nil },
		"brokers[1]":        func(c *Config) { c.Brokers = []string{"a:1", "kafka"} },
		"topics":            func(c *Config) { c.Topics = nil },
		"topics[0]":         func(c *Config) { c.Topics = []string{""} },
		"topics[1]":         func(c *Config) { c.Topics = []string{"a", "a"} },
		"topics_regex":      func(c *Config) { c.Topics, c.TopicsRegex = nil, "(" },
		"group":             func(c *Config) { c.Group = "" },
		"start":             func(c *Config) { c.Start = "yesterday" },
		"assignment":        func(c *Config) { c.Assignment = "all" },
		"protocol":          func(c *Config) { c.Protocol = "kip848" },
		"session_timeout":   func(c *Config) { c.SessionTimeout = 0 },
		"rebalance_timeout": func(c *Config) { c.RebalanceTimeout = -time.Second },
		"tls.ca_file":       func(c *Config) { c.TLS.CAFile = "ca.pem" },
		"tls.cert_file":     func(c *Config) { c.TLS = TLSConfig{Enabled: true, KeyFile: "key.pem"} },
		"sasl.mechanism":    func(c *Config) { c.SASL = SASLConfig{Mechanism: "plain"} },
		"sasl.username":     func(c *Config) { c.SASL = SASLConfig{Mechanism: "PLAIN", Password: secret} },
		"sasl.password":     func(c *Config) { c.SASL = SASLConfig{Mechanism: "AWS_MSK_IAM", Username: setting.NewSecret("u")} },
		"sasl.token_url":    func(c *Config) { c.SASL = SASLConfig{Mechanism: "OAUTHBEARER"} },
		"sasl.client_id": func(c *Config) {
			c.SASL = SASLConfig{Mechanism: "OAUTHBEARER", TokenURL: "https://a/b", ClientSecret: secret}
		},
		"sasl.client_secret": func(c *Config) {
			c.SASL = SASLConfig{Mechanism: "OAUTHBEARER", TokenURL: "https://a/b", ClientID: setting.NewSecret("c")}
		},
	} {
		c := valid()
		change(&c)
		problems := c.Validate()
		if len(problems) != 1 || problems[0].Key != key {
			t.Errorf("%s: problems are %v", key, problems)
			continue
		}
		if !strings.Contains(problems[0].Text, ";") {
			t.Errorf("%s: %q does not say what to do", key, problems[0].Text)
		}
	}
}

func TestASASLSectionWithoutMechanismIsAProblemUnlessItIsEmpty(t *testing.T) {
	t.Parallel()
	c := valid()
	c.SASL.Username = setting.NewSecret("u")
	if p := c.Validate(); len(p) != 1 || p[0].Key != "sasl.mechanism" {
		t.Errorf("problems are %v", p)
	}
}

func TestSectionsThatAreFine(t *testing.T) {
	t.Parallel()
	secret := setting.NewSecret("s")
	for name, change := range map[string]func(*Config){
		"a time":     func(c *Config) { c.Start = "2026-01-31T00:00:00+05:30" },
		"a regex":    func(c *Config) { c.Topics, c.TopicsRegex = nil, `crm\..*` },
		"KIP-848":    func(c *Config) { c.Protocol, c.Assignment = "kip848", "spread" },
		"mutual TLS": func(c *Config) { c.TLS = TLSConfig{Enabled: true, CAFile: "a", CertFile: "b", KeyFile: "c"} },
		"SCRAM": func(c *Config) {
			c.SASL = SASLConfig{Mechanism: "SCRAM-SHA-512", Username: setting.NewSecret("u"), Password: secret}
		},
		"static token": func(c *Config) { c.SASL = SASLConfig{Mechanism: "OAUTHBEARER", Token: secret} },
	} {
		c := valid()
		change(&c)
		if p := c.Validate(); len(p) > 0 {
			t.Errorf("%s: %v", name, p)
		}
	}
}
