package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/transform/decode"
)

const (
	registryTimeout = 10 * time.Second // of one question to the registry
	mostOfSchema    = 8 << 20          // bytes of one answer
)

// RegistrySettings are the parts that a Registry is made of.
type RegistrySettings struct {
	Config decode.RegistryConfig
	// Dial connects to the registry; nil is TCP. For tests over in-memory connections.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Registry asks a schema registry with Confluent's interface. It implements
// decode.Registry, keeps nothing and does not retry. Its methods are safe for
// concurrent use.
type Registry struct {
	client *sr.Client
	http   *http.Client
}

// NewRegistry returns a registry. It connects to nothing yet; the error is
// about files that cannot be read.
func NewRegistry(s RegistrySettings) (*Registry, error) {
	secured, err := registryTLS(s.Config)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: s.Dial, TLSClientConfig: secured, TLSHandshakeTimeout: registryTimeout,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}
	r := &Registry{http: &http.Client{
		Transport: bounded{transport}, Timeout: registryTimeout,
		// A redirect to a page for signing in would be read as an answer.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	r.client, err = sr.NewClient(
		sr.URLs(s.Config.URL), sr.HTTPClient(r.http), sr.UserAgent("leadsink"), sr.DefaultParams(sr.ShowDeleted),
		sr.PreReq(func(req *http.Request) error { return signed(req, s.Config) }),
	)
	return r, err
}

func registryTLS(c decode.RegistryConfig) (*tls.Config, error) {
	secured := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("decode.registry.ca_file: %w", err)
		}
		if secured.RootCAs, err = x509.SystemCertPool(); err != nil {
			secured.RootCAs = x509.NewCertPool()
		}
		if !secured.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("decode.registry.ca_file: %s holds no certificate in PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		// Read again for each connection, so that it can be rotated.
		secured.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			return &pair, err
		}
	}
	return secured, nil
}

// signed adds what proves who asks. Secrets are revealed at each question.
func signed(req *http.Request, c decode.RegistryConfig) error {
	if !c.Token.IsZero() {
		token, err := c.Token.Reveal()
		req.Header.Set("Authorization", "Bearer "+token)
		return reading("decode.registry.token", err)
	}
	if !c.Username.IsZero() {
		texts, err := setting.RevealTogether(c.Username, c.Password)
		if err != nil {
			return fmt.Errorf("read decode.registry.username and decode.registry.password: %w", err)
		}
		req.SetBasicAuth(texts[0], texts[1])
	}
	return nil
}

// WaitReady asks the registry until it answers, and returns nil then. When ctx
// ends its error is the last reason why the registry could not be used.
func (r *Registry) WaitReady(ctx context.Context) error {
	var last error
	for {
		err := r.ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		timer := time.NewTimer(probeEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return last
		case <-timer.C:
		}
	}
}

// ask finds out whether there is a registry that answers leadsink.
func (r *Registry) ask(ctx context.Context) error {
	_, err := r.client.SupportedTypes(ctx)
	if isNotFound(err) { // older ones know only Avro, and do not know the question
		_, err = r.client.Subjects(sr.WithParams(ctx, sr.Limit(1)))
	}
	switch {
	case err == nil:
		return nil
	case isNotFound(err):
		return fmt.Errorf("%w; is decode.registry.url the address of a schema registry?", inWords(err))
	}
	return inWords(err)
}

func isNotFound(err error) bool {
	refused, ok := errors.AsType[*sr.ResponseError](err)
	return ok && refused.StatusCode == http.StatusNotFound
}

// ByID implements decode.Registry.
func (r *Registry) ByID(ctx context.Context, id int) (decode.Schema, error) {
	found, err := r.client.SchemaByID(ctx, id)
	return r.schema(ctx, found, err)
}

// ByGUID implements decode.Registry.
func (r *Registry) ByGUID(ctx context.Context, guid string) (decode.Schema, error) {
	found, err := r.client.SchemaByGUID(ctx, guid)
	return r.schema(ctx, found.Schema, err)
}

// ByVersion implements decode.Registry.
func (r *Registry) ByVersion(ctx context.Context, subject string, version int) (decode.Schema, error) {
	found, err := r.client.SchemaByVersion(ctx, subject, version)
	return r.schema(ctx, found.Schema, err)
}

// Close lets go of connections.
func (r *Registry) Close() { r.http.CloseIdleConnections() }

func (r *Registry) schema(ctx context.Context, found sr.Schema, err error) (decode.Schema, error) {
	if err != nil {
		// A registry that answers other questions will not answer this one: waiting
		// for it would hold up every partition for one record.
		if why := refusal(err); why != "" && r.ask(ctx) == nil {
			return decode.Schema{}, fmt.Errorf("%w (%s)", decode.ErrNoSchema, why)
		}
		return decode.Schema{}, inWords(err)
	}
	s := decode.Schema{Format: formats[found.Type], Text: found.Schema}
	if s.Format == "" {
		s.Format = found.Type.String()
	}
	for _, to := range found.References {
		s.References = append(s.References, decode.Reference{Name: to.Name, Subject: to.Subject, Version: to.Version})
	}
	return s, nil
}

// formats are types of schemas in the words of decode.format.
var formats = map[sr.SchemaType]string{sr.TypeAvro: "avro", sr.TypeProtobuf: "protobuf", sr.TypeJSON: "json_schema"}

// Codes by which a registry says that there is no such schema. A 404 alone may
// come from a proxy in front of it.
const (
	noSubject = 40401
	noVersion = 40402
	noSchema  = 40403
)

// errTooLong says that an answer is longer than that about a schema may be.
var errTooLong = errors.New("its answer is longer than 8 MiB")

// refusal says what an error has against one question, "" if it is about the
// registry, who asks, or the time.
func refusal(err error) string {
	if errors.Is(err, errTooLong) {
		return errTooLong.Error()
	}
	refused, ok := errors.AsType[*sr.ResponseError](err)
	if !ok || inWords(err) == decode.ErrNoSchema { //nolint:errorlint // it stands for itself
		return ""
	}
	switch code := refused.StatusCode; {
	case code < 400, code > 499, code == http.StatusUnauthorized, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return ""
	}
	return fmt.Sprintf("it answers HTTP %d, code %d", refused.StatusCode, refused.ErrorCode)
}

// inWords says what an error of the client means, without the registry's words: a
// proxy's may be a page, and hold anything.
func inWords(err error) error {
	refused, ok := errors.AsType[*sr.ResponseError](err)
	if !ok {
		if broken, ok := errors.AsType[*url.Error](err); ok {
			err = broken.Err
		} else if errors.Is(err, errTooLong) {
			err = errTooLong
		}
		return fmt.Errorf("the registry does not answer: %w", err)
	}
	switch code := refused.ErrorCode; {
	case code == noSubject, code == noVersion, code == noSchema:
		return decode.ErrNoSchema
	case refused.StatusCode == http.StatusUnauthorized, refused.StatusCode == http.StatusForbidden:
		return fmt.Errorf("the registry refuses leadsink (HTTP %d); check the user, password or token of decode.registry", refused.StatusCode)
	}
	return fmt.Errorf("the registry answers HTTP %d (code %d)", refused.StatusCode, refused.ErrorCode)
}

// bounded reads no more of an answer than a schema may have.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	most := io.LimitReader(resp.Body, mostOfSchema)
	if resp.StatusCode == http.StatusOK { // of others the status says enough
		most = io.MultiReader(most, tooLong{resp.Body})
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{most, resp.Body}
	return resp, nil
}

// tooLong is what follows after as much as an answer may have.
type tooLong struct{ rest io.Reader }

// Read implements io.Reader.
func (t tooLong) Read(p []byte) (int, error) {
	n, err := t.rest.Read(p)
	if n > 0 {
		return 0, errTooLong
	}
	return 0, err
}
