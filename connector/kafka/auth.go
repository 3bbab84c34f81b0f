package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/leadsink/leadsink/config/setting"
)

const (
	dialTimeout  = 10 * time.Second // of a connection to a broker, with TLS
	tokenTimeout = 10 * time.Second // of fetching a token
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer returns how to connect to a broker: by dial (nil: TCP), with TLS where
// it is wanted. Its errors name the address.
func (c TLSConfig) dialer(dial dialFunc) dialFunc {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", address, err)
		}
		if !c.Enabled {
			return conn, nil
		}
		secured, err := c.secure(ctx, conn, address)
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("set up TLS with %s: %w", address, err)
		}
		return secured, nil
	}
}

func (c TLSConfig) secure(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
		return nil, err
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secured, nil
}

// config reads the files anew, so that certificates can be rotated.
func (c TLSConfig) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", c.CertFile, c.KeyFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// mechanism returns the way to authenticate, nil for none. Secrets are revealed
// at each authentication.
func (c SASLConfig) mechanism() sasl.Mechanism {
	switch c.Mechanism {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			user, password, err := c.user()
			return plain.Auth{User: user, Pass: password}, err
		})
	case "SCRAM-SHA-256":
		return scram.Sha256(c.scram)
	case "SCRAM-SHA-512":
		return scram.Sha512(c.scram)
	case "OAUTHBEARER":
		return oauth.Oauth(c.bearer)
	case "AWS_MSK_IAM":
		return aws.ManagedStreamingIAM(c.iam)
	}
	return nil
}

func (c SASLConfig) user() (name, password string, err error) {
	texts, err := setting.RevealTogether(c.Username, c.Password)
	if err != nil {
		return "", "", fmt.Errorf("read sasl.username and sasl.password: %w", err)
	}
	return texts[0], texts[1], nil
}

func (c SASLConfig) scram(context.Context) (scram.Auth, error) {
	user, password, err := c.user()
	return scram.Auth{User: user, Pass: password}, err
}

func (c SASLConfig) iam(context.Context) (aws.Auth, error) {
	texts, err := setting.RevealTogether(c.Username, c.Password, c.Token)
	if err != nil {
		return aws.Auth{}, fmt.Errorf("read sasl.username, sasl.password and sasl.token: %w", err)
	}
	return aws.Auth{AccessKey: texts[0], SecretKey: texts[1], SessionToken: texts[2]}, nil
}

func (c SASLConfig) bearer(ctx context.Context) (oauth.Auth, error) {
	if c.TokenURL == "" {
		token, err := c.Token.Reveal()
		return oauth.Auth{Token: token}, reading("sasl.token", err)
	}
	texts, err := setting.RevealTogether(c.ClientID, c.ClientSecret)
	if err != nil {
		return oauth.Auth{}, fmt.Errorf("read sasl.client_id and sasl.client_secret: %w", err)
	}
	config := clientcredentials.Config{ClientID: texts[0], ClientSecret: texts[1], TokenURL: c.TokenURL}
	if c.Scope != "" {
		config.Scopes = []string{c.Scope}
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: tokenTimeout})
	token, err := config.Token(ctx)
	if err != nil {
		return oauth.Auth{}, fmt.Errorf("fetch a token from sasl.token_url: %w", withoutBody(err))
	}
	return oauth.Auth{Token: token.AccessToken}, nil
}

// withoutBody leaves out what may hold secrets: the address with its query,
// and the answer.
func withoutBody(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		status := 0
		if refused.Response != nil {
			status = refused.Response.StatusCode
		}
		return fmt.Errorf("refused with status %d %s", status, refused.ErrorCode)
	}
	if broken, ok := errors.AsType[*url.Error](err); ok {
		return broken.Err
	}
	return errors.New("the answer holds no token")
}

func reading(key string, err error) error {
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}
