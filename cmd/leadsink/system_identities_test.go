//go:build system

package main_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// audience is whom tokens are made for.
const audience = "kafka-brokers"

// identities are the certificates and the token issuer of one broker's world, made afresh for each run.
type identities struct {
	ca, broker, client identity
	tokens             *issuer
}

// An identity is a certificate and its key, as PEM.
type identity struct {
	certificate, key string
	parsed           *x509.Certificate
	signer           crypto.Signer
}

func newIdentities() (*identities, error) {
	ca, err := newIdentity("leadsink tests' authority", nil)
	if err != nil {
		return nil, err
	}
	broker, err := newIdentity("broker", ca)
	if err != nil {
		return nil, err
	}
	client, err := newIdentity(user, ca)
	if err != nil {
		return nil, err
	}
	tokens, err := newIssuer()
	if err != nil {
		return nil, err
	}
	return &identities{ca: *ca, broker: *broker, client: *client, tokens: tokens}, nil
}

// newIdentity makes a certificate signed by the authority, or by itself when there is none.
func newIdentity(name string, authority *identity) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	certificate := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:     []string{"localhost"},
	}
	parent, signer := certificate, crypto.Signer(key)
	if authority != nil {
		parent, signer = authority.parsed, authority.signer
	} else {
		certificate.IsCA, certificate.BasicConstraintsValid = true, true
		certificate.KeyUsage = x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key) // the only form that Kafka reads
	if err != nil {
		return nil, err
	}
	return &identity{
		certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
		parsed:      parsed,
		signer:      key,
	}, nil
}

// An issuer signs tokens (RFC 7519) that brokers verify with its key set (RFC 7517).
type issuer struct {
	key    *rsa.PrivateKey
	keySet string
}

func newIssuer() (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	text := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
		"n": text(key.N.Bytes()), "e": text(big.NewInt(int64(key.E)).Bytes()),
	}}})
	return &issuer{key: key, keySet: string(set)}, err
}

// token is one that says who bears it and is good for the given time.
func (i *issuer) token(subject string, life time.Duration) (string, error) {
	text := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(map[string]any{
		"sub": subject, "aud": audience, "iat": time.Now().Unix(), "exp": time.Now().Add(life).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed := text([]byte(`{"alg":"RS256","typ":"JWT","kid":"1"}`)) + "." + text(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	return signed + "." + text(signature), err
}

// serve answers requests for tokens (RFC 6749, client credentials) until the test ends, and returns the address.
func (i *issuer) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, ok := r.BasicAuth()
		if !ok {
			id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		w.Header().Set("Content-Type", "application/json")
		if r.PostFormValue("grant_type") != "client_credentials" || id != user || secret != clientSecret {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		token, err := i.token(user, 5*time.Minute)
		if err != nil {
			t.Errorf("sign a token: %v", err)
		}
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":300}`, token)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/token"
}

const clientSecret = "oauth-client-secret"
