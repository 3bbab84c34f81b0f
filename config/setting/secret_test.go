package setting_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/leadsink/leadsink/config/setting"
)

const canary = "s3cr3t-canary"

func TestASecretIsShownByNothingButReveal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, canary+"\n")
	fromFile, err := setting.SecretFrom(setting.Part{File: file})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []setting.Secret{setting.NewSecret(canary), fromFile} {
		holder := struct{ Secret setting.Secret }{s}
		asJSON, err := json.Marshal(holder)
		if err != nil {
			t.Fatal(err)
		}
		asYAML, err := yaml.Marshal(holder)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "holder", holder)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "holder", holder, "pointer", &s)
		shown := strings.Join([]string{
			string(asJSON), string(asYAML), log.String(), s.String(), s.GoString(),
			fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s),
			fmt.Sprintf("%v %+v %#v %s %x", holder, holder, holder, holder, holder),
			fmt.Sprint(&s), fmt.Sprintf("%#v", &s), fmt.Errorf("x: %v", s).Error(),
		}, "\n")
		if strings.Contains(shown, canary) || strings.Contains(shown, fmt.Sprintf("%x", canary)) {
			t.Errorf("shown in\n%s", shown)
		}
		if n := strings.Count(shown, "[redacted]"); n < 20 {
			t.Errorf("[redacted] is there only %d times in\n%s", n, shown)
		}
		if got, err := s.Reveal(); got != canary || err != nil {
			t.Errorf("revealed as %q, %v", got, err)
		}
	}
}

func TestNoSecretIsShownAsNothing(t *testing.T) {
	var s setting.Secret
	if !s.IsZero() || s.String() != "" || fmt.Sprint(s) != "" {
		t.Errorf("zero %v, %q", s.IsZero(), s)
	}
	if setting.NewSecret(canary).IsZero() {
		t.Error("a secret counts as none")
	}
}

func TestASecretFollowsItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, "first\n")
	s, err := setting.SecretFrom(setting.Part{Text: "Bearer "}, setting.Part{File: file})
	if err != nil {
		t.Fatal(err)
	}
	reveal(t, s, "Bearer first")

	write(t, file, "longer than before\r\n")
	reveal(t, s, "Bearer longer than before")

	// Of the same length: the modification time tells.
	write(t, file, "LONGER THAN BEFORE\r\n")
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	reveal(t, s, "Bearer LONGER THAN BEFORE")

	// A rotation in the making: the file is away for a moment.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Reveal(); err == nil || got != "" || !strings.Contains(err.Error(), file) {
		t.Errorf("without its file it is %q, %v", got, err)
	}
	write(t, file, "third")
	reveal(t, s, "Bearer third")
}

func TestAFileThatHoldsNoSecretIsAnError(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "empty"), "\n")
	write(t, filepath.Join(folder, "large"), strings.Repeat("x", setting.MaxFile+1))
	for _, name := range []string{"empty", "large", "missing", "."} {
		if s, err := setting.SecretFrom(setting.Part{File: filepath.Join(folder, name)}); err == nil || !s.IsZero() {
			t.Errorf("%s: got %v, %v", name, s, err)
		}
	}
}

// Kubernetes replaces the files of a Secret together, by a link to their folder.
func TestSecretsThatBelongTogetherAreOfOneGeneration(t *testing.T) {
	folder := t.TempDir()
	link := filepath.Join(folder, "data")
	generation := func(n int) {
		inner := filepath.Join(folder, fmt.Sprint(n))
		if err := os.Mkdir(inner, 0o700); err != nil {
			t.Error(err)
		}
		text := fmt.Sprint(n) + strings.Repeat(".", n%10) // the size tells generations apart
		write(t, filepath.Join(inner, "id"), text)
		write(t, filepath.Join(inner, "secret"), text)
		next := link + "-next"
		if err := errors.Join(os.Symlink(inner, next), os.Rename(next, link)); err != nil {
			t.Error(err)
		}
	}
	generation(0)
	id, err := setting.SecretFrom(setting.Part{File: filepath.Join(link, "id")})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := setting.SecretFrom(setting.Part{File: filepath.Join(link, "secret")})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		for n := range 100 {
			generation(n + 1)
		}
	}()
	for rotating := true; rotating; {
		select {
		case <-done:
			rotating = false
		default:
		}
		texts, err := setting.RevealTogether(id, secret)
		if err != nil || texts[0] != texts[1] {
			t.Fatalf("revealed as %q, %v", texts, err)
		}
	}
	if got, _ := id.Reveal(); !strings.HasPrefix(got, "100") {
		t.Errorf("in the end it is %q", got)
	}
}

func TestSecretsThatBelongTogetherFailTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, canary)
	s, err := setting.SecretFrom(setting.Part{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if texts, err := setting.RevealTogether(setting.NewSecret("id"), s); texts != nil || err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("revealed as %q, %v", texts, err)
	}
	if texts, err := setting.RevealTogether(); len(texts) != 0 || err != nil {
		t.Errorf("nothing is revealed as %q, %v", texts, err)
	}
}

func reveal(t *testing.T, s setting.Secret, want string) {
	t.Helper()
	if got, err := s.Reveal(); got != want || err != nil {
		t.Errorf("revealed as %q, %v; want %q", got, err, want)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
