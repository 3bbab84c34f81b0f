package leadsquared

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leadsink/leadsink/config/setting"
)

func TestAConfigurationSaysWhatIsWrongAtWhichKey(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*Config)
		key    string // "" where nothing is wrong
		says   string
	}{
		{"the usual", func(*Config) {}, "", ""},
		{"a slash at the end", func(c *Config) { c.Host = "https://h/" }, "", ""},
		{"http for a fake", func(c *Config) { c.Host = "http://127.0.0.1:8085" }, "", ""},
		{"no host", func(c *Config) { c.Host = "" }, "host", "is missing"},
		{"a host without scheme", func(c *Config) { c.Host = "api.leadsquared.com" }, "host", "https://"},
		{"a host and port without scheme", func(c *Config) { c.Host = "api.leadsquared.com:443" }, "host", "https://"},
		{"another scheme", func(c *Config) { c.Host = "ftp://h" }, "host", "https://"},
		{"the API's path", func(c *Config) { c.Host = "https://h/v2/" }, "host", "/v2/"},
		{"keys in the host's query", func(c *Config) { c.Host = "https://h?accessKey=CANARY" }, "host", "access_key"},
		{"keys as user and password", func(c *Config) { c.Host = "https://a:CANARY@h" }, "host", "access_key"},
		{"no access key", func(c *Config) { c.AccessKey = setting.Secret{} }, "access_key", "is missing"},
		{"no secret key", func(c *Config) { c.SecretKey = setting.Secret{} }, "secret_key", "is missing"},
		{"a key with a line break", func(c *Config) { c.SecretKey = setting.NewSecret("CANARY\n1") }, "secret_key", "line break"},
		{"another way for the keys", func(c *Config) { c.Auth = "basic" }, "auth", "headers or query"},
		{"another target", func(c *Config) { c.Target = "lead" }, "target", "lead_field"},
		{"a lead field without name", func(c *Config) { c.Target, c.SearchBy = TargetLeadField, "" }, "search_by", "EmailAddress"},
		{"a lead id needs no field", func(c *Config) { c.SearchBy = "" }, "", ""},
		{"a proxy", func(c *Config) { c.Proxy = setting.NewSecret("http://u:p@proxy:3128") }, "", ""},
		{"a proxy without scheme", func(c *Config) { c.Proxy = setting.NewSecret("proxy:CANARY") }, "proxy", "http://proxy"},
		{"a proxy that is no address", func(c *Config) { c.Proxy = setting.NewSecret("http://u:CANARY%@h") }, "proxy", "http://proxy"},
		{"a proxy of another kind", func(c *Config) { c.Proxy = setting.NewSecret("ftp://u:CANARY@h") }, "proxy", "socks5"},
		{"no such file", func(c *Config) { c.CAFile = "/no/such" }, "ca_file", "/no/such"},
		{"a file without certificate", func(c *Config) { c.CAFile = notPEM }, "ca_file", "no certificate"},
		{"no timeout", func(c *Config) { c.Timeout = 0 }, "timeout", "30s"},
		{"a timeout of hours", func(c *Config) { c.Timeout = time.Hour }, "timeout", "10m"},
		{"a marker that is no schema name", func(c *Config) { c.Marker = "mx Custom" }, "marker", "no schema name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := configFor("https://api-in21.leadsquared.com")
			test.change(&c)
			problems := c.Validate()
			if test.key == "" {
				if len(problems) > 0 {
					t.Errorf("%+v", problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Key != test.key || !strings.Contains(problems[0].Text, test.says) || !strings.Contains(problems[0].Text, ";") {
				t.Fatalf("%+v; want %s: … %s …; what to do", problems, test.key, test.says)
			}
			if strings.Contains(problems[0].Text, "CANARY") {
				t.Errorf("shows a secret: %s", problems[0].Text)
			}
			if _, err := New(c, Settings{}); err == nil || !strings.Contains(err.Error(), "leadsquared."+test.key) {
				t.Errorf("New: %v", err)
			}
		})
	}
}

func TestAllProblemsAreNamedAtOnce(t *testing.T) {
	var keys []string
	for _, p := range (Config{Marker: "mx Custom"}).Validate() {
		keys = append(keys, p.Key)
	}
	if got := strings.Join(keys, " "); got != "host access_key secret_key auth target timeout marker" {
		t.Error(got)
	}
}
