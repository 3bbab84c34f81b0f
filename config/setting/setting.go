// Package setting holds the kinds of values that a configuration document has
// and Go lacks: secrets and sizes.
package setting

// A Secret is text that no log, error, page or dump may show.
type Secret struct{ text string }

// NewSecret returns a secret that holds the text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the secret's text now.
func (s Secret) Reveal() (string, error) { return s.text, nil }

// IsZero reports whether no secret was given.
func (s Secret) IsZero() bool { return s.text == "" }

// String returns "[redacted]", or "" for no secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return "[redacted]"
}

// A Size is a number of bytes, written as 32MiB, 1KiB, 5MB or 512.
type Size int64
