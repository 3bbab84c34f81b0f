package setting

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Secret is text that no log, error, page or dump may show. Only Reveal
// gives it away; every way of printing or marshalling writes "[redacted]".
// Secrets may be copied and are safe for concurrent use. The zero value is no
// secret at all.
type Secret struct {
	text string
	from *template // nil for fixed text
}

// A Part is a piece of a secret: fixed text, or the content of a file.
type Part struct {
	Text string
	File string // path; when it is set Text is not used
}

// MaxFile is the most bytes that the file of a secret may hold.
const MaxFile = 64 << 10

const redacted = "[redacted]"

// NewSecret returns a secret that holds the text.
func NewSecret(text string) Secret { return Secret{text: text} }

// SecretFrom returns a secret made of the parts, in order. Its files are read
// now, and again by Reveal whenever they have changed. It is an error when one
// cannot be read, is empty or larger than MaxFile.
func SecretFrom(parts ...Part) (Secret, error) {
	t := &template{}
	files := false
	for _, p := range parts {
		t.parts = append(t.parts, piece{Part: p})
		files = files || p.File != ""
	}
	text, err := t.reveal()
	if err != nil {
		return Secret{}, err
	}
	if !files {
		return NewSecret(text), nil
	}
	return Secret{from: t}, nil
}

// Reveal returns the secret's text now. Where it comes from files these are
// read again when their size or modification time has changed, so that keys can
// be rotated; the error then says which file cannot be read.
func (s Secret) Reveal() (string, error) {
	if s.from == nil {
		return s.text, nil
	}
	return s.from.reveal()
}

// RevealTogether returns the texts of secrets that belong together, such as a user and
// a password. It reads them again until nothing has changed meanwhile, so that where
// their files are replaced at one moment the texts are of one generation.
func RevealTogether(secrets ...Secret) ([]string, error) {
	const atMost = 5
	var before []string
	for range atMost {
		texts := make([]string, len(secrets))
		for i, s := range secrets {
			text, err := s.Reveal()
			if err != nil {
				return nil, err
			}
			texts[i] = text
		}
		if slices.Equal(texts, before) {
			break
		}
		before = texts
	}
	return before, nil
}

// IsZero reports whether no secret was given.
func (s Secret) IsZero() bool { return s.text == "" && s.from == nil }

// String returns "[redacted]", or "" for no secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString returns what String returns.
func (s Secret) GoString() string { return s.String() }

// Format writes what String returns, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns what String returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns what String returns; JSON and YAML use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns what String returns, as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML returns what String returns.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// A template is a secret of several parts, of which some are files.
type template struct {
	mu    sync.Mutex // guards the pieces' cached content
	parts []piece
}

type piece struct {
	Part
	content  string
	size     int64
	modified time.Time
}

func (t *template) reveal() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var text strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		if p.File == "" {
			text.WriteString(p.Text)
			continue
		}
		if err := p.refresh(); err != nil {
			return "", err
		}
		text.WriteString(p.content)
	}
	return text.String(), nil
}

// refresh reads the file if it is not the one that was read before.
func (p *piece) refresh() error {
	stat, err := os.Stat(p.File)
	if err != nil {
		return err
	}
	if stat.Size() == p.size && stat.ModTime().Equal(p.modified) {
		return nil
	}
	// The stat comes before the content: a file that changes in between is read
	// once too often rather than once too seldom.
	content, err := ReadFile(p.File)
	if err != nil {
		return err
	}
	p.content, p.size, p.modified = content, stat.Size(), stat.ModTime()
	return nil
}

// ReadFile returns the text of a file that holds one value, without the line
// break at its end. It is an error when the file is empty or larger than
// MaxFile.
func ReadFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	if stat, err := f.Stat(); err == nil && !stat.Mode().IsRegular() {
		return "", fmt.Errorf("read %s: not a regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return "", err
	}
	if len(content) > MaxFile {
		return "", fmt.Errorf("read %s: larger than %d bytes", path, MaxFile)
	}
	content = bytes.TrimSuffix(content, []byte("\n"))
	content = bytes.TrimSuffix(content, []byte("\r"))
	if len(content) == 0 {
		return "", fmt.Errorf("read %s: %w", path, errEmpty)
	}
	return string(content), nil
}

var errEmpty = errors.New("it is empty")
