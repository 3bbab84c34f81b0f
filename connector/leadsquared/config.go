package leadsquared

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/leadsink/leadsink/config/setting"
)

// Values of Config.Auth and Config.Target.
const (
	AuthHeaders = "headers"
	AuthQuery   = "query"

	TargetLeadID    = "lead_id"
	TargetLeadField = "lead_field"
)

// A Config says how the API is reached. It is part of the document's
// leadsquared section.
type Config struct {
	// Host is the account's API address, for instance
	// https://api-in21.leadsquared.com. Calls to a host of another region are
	// refused. http:// is for a fake or a local proxy: keys travel unprotected.
	Host string `yaml:"host"`
	// AccessKey is the access key of a LeadSquared user, best an administrator.
	AccessKey setting.Secret `yaml:"access_key"`
	// SecretKey is the secret key that belongs to the access key.
	SecretKey setting.Secret `yaml:"secret_key"`
	// Auth says where the keys are sent: headers, or query for old gateways.
	// In a query they end up in the access logs of every proxy on the way.
	Auth string `yaml:"auth"`
	// Target says what a rule's lead is: lead_id, or lead_field for the value
	// of a unique field of the lead.
	Target string `yaml:"target"`
	// SearchBy is the schema name of the unique lead field, for target lead_field.
	SearchBy string `yaml:"search_by"`
	// Proxy is the URL of an http, https or socks5 proxy, with user and
	// password if it wants them. Empty: HTTPS_PROXY, HTTP_PROXY and NO_PROXY decide.
	Proxy setting.Secret `yaml:"proxy"`
	// CAFile is a PEM file of certificates to trust besides the system's. Like a proxy that
	// comes from a file it is read again for each connection.
	CAFile string `yaml:"ca_file"`
	// Timeout is how long one call may take, from connecting to the end of the
	// answer.
	Timeout time.Duration `yaml:"timeout"`
	// Marker is the schema name of a text field of every activity type in use,
	// for 200 characters, where each activity carries what identifies it. With it
	// leadsink can ask which activities LeadSquared holds: after a crash none is
	// created twice, and delivery.on_unknown may be reconcile.
	Marker string `yaml:"marker"`
	// CheckEvery is how often the rules are checked against the account's activity types
	// and fields, besides at the start: what LeadSquared would refuse is in the log, in
	// /status and in leadsink_account_problems before rows fail. 0s: never, nor at the start.
	CheckEvery time.Duration `yaml:"check_every"`
}

// Default returns the configuration that a document is laid over.
func Default() Config {
	return Config{Auth: AuthHeaders, Target: TargetLeadID, SearchBy: "EmailAddress", Timeout: 30 * time.Second, CheckEvery: time.Hour}
}

// maxTimeout bounds how long a call may keep its rows and its place in flight.
const maxTimeout = 10 * time.Minute

// Validate returns everything that is wrong with the configuration, in the
// order of its keys. It reads the secrets' files and ca_file.
func (c Config) Validate() []setting.Problem {
	var problems []setting.Problem
	add := func(key, format string, args ...any) {
		problems = append(problems, setting.Problem{Key: key, Text: fmt.Sprintf(format, args...)})
	}
	if _, text := parseHost(c.Host); text != "" {
		add("host", "%s", text)
	}
	for _, s := range []struct {
		key    string
		secret setting.Secret
	}{{"access_key", c.AccessKey}, {"secret_key", c.SecretKey}} {
		if _, text := key(s.secret); text != "" {
			add(s.key, "%s", text)
		}
	}
	if c.Auth != AuthHeaders && c.Auth != AuthQuery {
		add("auth", "%q is not a way to send the keys; write headers or query", c.Auth)
	}
	if c.Target != TargetLeadID && c.Target != TargetLeadField {
		add("target", "%q is not a target; write lead_id or lead_field", c.Target)
	}
	if c.Target == TargetLeadField && c.SearchBy == "" {
		add("search_by", "is missing; name the unique lead field that holds a rule's lead, for instance EmailAddress")
	}
	if _, text := parseProxy(c.Proxy); text != "" {
		add("proxy", "%s", text)
	}
	if _, err := trusted(c.CAFile); err != nil {
		add("ca_file", "%v", err)
	}
	if c.Timeout < time.Second || c.Timeout > maxTimeout {
		add("timeout", "%v is not between 1s and %v; 30s suits most accounts", c.Timeout, maxTimeout)
	}
	if c.CheckEvery != 0 && c.CheckEvery < time.Minute {
		add("check_every", "%v is too often, since every check is some calls; write at least 1m, for instance 1h, or 0s for never", c.CheckEvery)
	}
	if text := wantsMarker(c.Marker); text != "" {
		add("marker", "%s", text)
	}
	return problems
}

// parseHost returns the API's address, or what is wrong with it.
func parseHost(host string) (*url.URL, string) {
	const advice = "write the account's API address, for instance https://api-in21.leadsquared.com"
	if host == "" {
		return nil, "is missing; " + advice
	}
	u, err := url.Parse(host)
	switch {
	case err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "":
		return nil, "is not an address with https://; " + advice
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		// The text is not repeated: people have put keys there.
		return nil, "holds more than an address; keys belong into access_key and secret_key; " + advice
	case u.Path != "" && u.Path != "/":
		return nil, fmt.Sprintf("holds the path %q; leave it out, leadsink adds the API's own", u.Path)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, ""
}

// key returns the secret's text now, or what is wrong with it.
func key(s setting.Secret) (text, problem string) {
	if s.IsZero() {
		return "", "is missing; create it in LeadSquared under My Account, Settings, API and Webhooks"
	}
	text, err := s.Reveal()
	if err != nil {
		return "", fmt.Sprintf("cannot be read: %v; mount the file or correct its path", err)
	}
	if text == "" {
		return "", "is empty; check the variable or file that it comes from"
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return "", "holds a space, a line break or another character that no key has; copy it again"
		}
	}
	return text, ""
}

// parseProxy returns the proxy's URL, nil for none, or what is wrong with it.
// The text is never repeated, as it may hold a password.
func parseProxy(s setting.Secret) (*url.URL, string) {
	text, err := s.Reveal()
	if err != nil {
		return nil, fmt.Sprintf("cannot be read: %v; mount the file or correct its path", err)
	}
	if text == "" {
		return nil, ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, "is not an address; write it like http://proxy.example.com:3128"
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u, ""
	}
	return nil, "is not an http, https or socks5 address; write it like http://proxy.example.com:3128"
}

// trusted returns the system's certificates and those of the file; nil, which
// means the system's alone, without a file.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w; mount the file or correct its path", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate; give a PEM file", file)
	}
	return pool, nil
}
