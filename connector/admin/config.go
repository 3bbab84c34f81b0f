package admin

import (
	"net"
	"strconv"

	"github.com/leadsink/leadsink/config/setting"
)

// A Config is the document's admin section.
type Config struct {
	// The address to listen on, as HOST:PORT. Elsewhere than on loopback it is
	// read-only, unless there is a token.
	Listen string `yaml:"listen"`
	// What a client has to show, as "Authorization: Bearer TOKEN", to pause and
	// resume from elsewhere than the machine itself.
	Token setting.Secret `yaml:"token"`
}

// Default returns the section of an empty document.
func Default() Config { return Config{Listen: "127.0.0.1:8080"} }

// Validate returns what is wrong with the section.
func (c Config) Validate() []setting.Problem {
	var problems []setting.Problem
	if _, port, err := net.SplitHostPort(c.Listen); err != nil {
		problems = append(problems, setting.Problem{
			Key: "listen", Text: strconv.Quote(c.Listen) + " is no address; write HOST:PORT, for instance 127.0.0.1:8080",
		})
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		problems = append(problems, setting.Problem{
			Key: "listen", Text: strconv.Quote(port) + " is no port; write a number up to 65535, or 0 for any that is free",
		})
	}
	if token, err := c.Token.Reveal(); err != nil {
		problems = append(problems, setting.Problem{Key: "token", Text: "cannot be read: " + err.Error() + "; see whether the file is there and may be read"})
	} else if !visible(token) {
		problems = append(problems, setting.Problem{
			Key: "token", Text: "has characters that an HTTP header cannot carry; use letters, digits and punctuation without blanks",
		})
	}
	return problems
}

// visible reports whether the text is of ASCII characters with ink alone.
func visible(text string) bool {
	for _, r := range text {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}

// URL returns where a program of this machine reaches the address.
func (c Config) URL() string {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "http://" + c.Listen // Validate has its say about it
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // it listens on every address; this one finds IPv4 and IPv6
	}
	return "http://" + net.JoinHostPort(host, port)
}
