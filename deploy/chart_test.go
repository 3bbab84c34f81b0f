//go:build deploy

package deploy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const chart = "helm/leadsink"

// valueSets are the names of the files in the chart's folder ci.
func valueSets(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		all = append(all, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	for _, name := range []string{"minimal", "full", "mtls", "msk-iam", "static-membership", "keda", "external-secrets", "air-gapped"} {
		if !slices.Contains(all, name) {
			t.Fatalf("there are no values %s among %v", name, all)
		}
	}
	return all
}

func valuesOf(set string) string { return chart + "/ci/" + set + ".yaml" }

// rendered is the chart with a set of values and further flags.
func rendered(t *testing.T, set string, flags ...string) string {
	t.Helper()
	return command{}.output(t, tool(t, "HELM"), append([]string{"template", "crm", chart, "-f", valuesOf(set)}, flags...)...)
}

func TestChartRendersADocumentThatLeadsinkTakes(t *testing.T) {
	for _, set := range valueSets(t) {
		t.Run(set, func(t *testing.T) {
			command{}.output(t, tool(t, "HELM"), "lint", "--strict", chart, "-f", valuesOf(set))
			all := objects(t, rendered(t, set))
			folder, env := installed(t, all)
			said := command{env: env}.output(t, leadsink(t), "validate", "-c", filepath.Join(folder, "leadsink.yaml"))
			t.Logf("%d objects; %s", len(all), strings.TrimSpace(said))
		})
	}
}

var (
	secretFile  = regexp.MustCompile(`/run/secrets/([\w.-]+)`)
	environment = regexp.MustCompile(`\$\{env:(\w+)`)
)

// installed puts the document and the files beside it into a folder as a pod has them, and makes the secrets that it
// names. It returns the folder, and the pod's environment.
func installed(t *testing.T, all []object) (folder string, env []string) {
	t.Helper()
	folder = t.TempDir()
	var text string
	for _, o := range all {
		if o.text("kind") == "ConfigMap" && o.text("data", "leadsink.yaml") != "" {
			for name, content := range o.at("data").(map[string]any) {
				write(t, filepath.Join(folder, name), content.(string))
			}
			text = o.text("data", "leadsink.yaml")
		}
	}
	p := pod(t, all)
	container := object(p.at("spec", "containers").([]any)[0].(map[string]any))
	given := []string{}
	for _, v := range container.at("env").([]any) {
		name := object(v.(map[string]any)).text("name")
		given, env = append(given, name), append(env, name+"=x")
	}
	for _, m := range environment.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(given, m[1]) {
			t.Errorf("the document wants the variable %s, and the pod has %v", m[1], given)
		}
	}
	known, others := filesOf(p, all)
	certificate, key := pair(t)
	for _, m := range secretFile.FindAllStringSubmatch(text, -1) {
		if !others && !slices.Contains(known, m[1]) {
			t.Errorf("the document wants the file %s, and the secrets have %v", m[1], known)
		}
		content := "secret"
		switch filepath.Ext(m[1]) {
		case ".crt":
			content = certificate
		case ".key":
			content = key
		}
		write(t, filepath.Join(folder, "secrets", m[1]), content)
	}
	write(t, filepath.Join(folder, "leadsink.yaml"), strings.ReplaceAll(text, "/run/secrets", filepath.Join(folder, "secrets")))
	return folder, env
}

// filesOf returns the names of the secrets' files, and whether there are Secrets outside the release, of which only
// their owner knows the keys.
func filesOf(p object, all []object) (names []string, others bool) {
	made := map[string][]string{}
	for _, o := range all {
		switch o.text("kind") {
		case "Secret":
			for key := range o.at("stringData").(map[string]any) {
				made[o.text("metadata", "name")] = append(made[o.text("metadata", "name")], key)
			}
		case "ExternalSecret":
			for _, d := range o.at("spec", "data").([]any) {
				target := o.text("spec", "target", "name")
				made[target] = append(made[target], object(d.(map[string]any)).text("secretKey"))
			}
		}
	}
	for _, v := range p.at("spec", "volumes").([]any) {
		sources, _ := object(v.(map[string]any)).at("projected", "sources").([]any)
		for _, s := range sources {
			name := object(s.(map[string]any)).text("secret", "name")
			if keys, ok := made[name]; ok {
				names = append(names, keys...)
			} else {
				others = true
			}
		}
	}
	return names, others
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pair is a certificate and its key.
func pair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "leadsink"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", bytes)
}

func TestChartRestartsPodsWhenTheDocumentOrAFileBesideItChanges(t *testing.T) {
	checksum := func(flags ...string) string {
		return pod(t, objects(t, rendered(t, "minimal", flags...))).text("metadata", "annotations", "checksum/config")
	}
	first := checksum()
	if len(first) != 64 || checksum("--set", "replicas=3") != first {
		t.Errorf("the checksum %q is none of the document alone", first)
	}
	for _, change := range []string{"config.log.level=debug", "files.sample=text"} {
		if checksum("--set-literal", change) == first {
			t.Errorf("%s does not restart the pods", change)
		}
	}
}

func TestChartWithAnotherNameNamesEverythingAfterIt(t *testing.T) {
	for _, o := range objects(t, rendered(t, "full", "--set", "fullnameOverride=elsewhere")) {
		if name := o.text("metadata", "name"); !strings.HasPrefix(name, "elsewhere") {
			t.Errorf("%v is not named after the release", o)
		}
	}
}

func TestChartNotesSayWhatToDoNext(t *testing.T) {
	for set, want := range map[string][]string{
		"minimal":           {"rollout status deployment/crm-leadsink", "port-forward deployment/crm-leadsink 8080:8080", "halts the connector", "metrics.podMonitor.enabled=true"},
		"static-membership": {"rollout status statefulset/crm-leadsink"},
		"trial":             {"secrets.inline is for trials"},
		"full":              {"8080:9090"},
	} {
		said := command{}.output(t, tool(t, "HELM"), "install", "crm", chart, "--dry-run=client", "-f", valuesOf(set))
		_, notes, _ := strings.Cut(said, "NOTES:")
		for _, words := range want {
			if !strings.Contains(notes, words) {
				t.Errorf("%s: the notes do not say %q:\n%s", set, words, notes)
			}
		}
	}
}
