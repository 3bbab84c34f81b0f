//go:build deploy

package deploy_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// definitions are the custom resource definitions of the operators that the chart makes objects for, as their modules
// have them.
var definitions = map[string][]string{
	"github.com/prometheus-operator/prometheus-operator@v0.94.0": {
		"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	},
	"github.com/kedacore/keda/v2@v2.21.0":                  {"config/crd/bases/keda.sh_scaledobjects.yaml"},
	"github.com/external-secrets/external-secrets@v0.20.4": {"config/crds/bases/external-secrets.io_externalsecrets.yaml"},
}

func TestKubernetesTakesTheChart(t *testing.T) {
	c := startCluster(t)
	for _, set := range valueSets(t) {
		t.Run(set, func(t *testing.T) {
			namespace := c.restricted(t, set)
			manifest := rendered(t, set, "--namespace", namespace)
			c.takes(t, namespace, manifest)
			c.takes(t, namespace, barePod(t, pod(t, objects(t, manifest))))

			c.helm(t, namespace, "install", "crm", chart, "-f", valuesOf(set))
			first := c.live(t, namespace)
			c.helm(t, namespace, "upgrade", "crm", chart, "-f", valuesOf(set), "--set", "config.log.level=warn")
			second := c.live(t, namespace)
			if a, b := checksum(first), checksum(second); a == "" || a == b {
				t.Errorf("an upgrade of the document changed the pods' checksum from %q to %q", a, b)
			}
			c.helm(t, namespace, "rollback", "crm", "1")
			if a, b := checksum(first), checksum(c.live(t, namespace)); a != b {
				t.Errorf("a rollback left the checksum %q, want %q", b, a)
			}
			c.helm(t, namespace, "uninstall", "crm")
			if left := c.live(t, namespace); len(left) > 0 {
				t.Errorf("after the uninstallation there are %v", left)
			}
			t.Logf("%d objects installed, upgraded, rolled back and uninstalled", len(first))
		})
	}
}

// The gate has to hold: what is wrong in a chart must not get through it.
func TestKubernetesRefusesAChartThatIsWrong(t *testing.T) {
	c := startCluster(t)
	namespace := c.restricted(t, "wrong")
	deployment := rendered(t, "minimal", "--show-only", "templates/deployment.yaml")
	for old, replacement := range map[string]string{
		"replicas: 2":                       "replica: 2",
		"containerPort: 8080":               "containerPort: 80800",
		"memory: 512Mi":                     "memory: lots",
		"path: /readyz":                     "paht: /readyz",
		"terminationGracePeriodSeconds: 68": `terminationGracePeriodSeconds: "68"`,
	} {
		if _, err := c.apply(t, namespace, replaced(t, deployment, old, replacement)); err == nil {
			t.Errorf("%s is taken", replacement)
		}
	}
	bare := barePod(t, pod(t, objects(t, deployment)))
	for old, replacement := range map[string]string{
		`"runAsNonRoot":true`:              `"runAsNonRoot":false`,
		`"allowPrivilegeEscalation":false`: `"allowPrivilegeEscalation":true`,
		`"drop":["ALL"]`:                   `"drop":[]`,
		`"type":"RuntimeDefault"`:          `"type":"Unconfined"`,
	} {
		said, err := c.apply(t, namespace, replaced(t, bare, old, replacement))
		if err == nil || !strings.Contains(said, `violates PodSecurity "restricted`) {
			t.Errorf("%s is taken: %v %s", replacement, err, said)
		}
	}
}

// console are the lines of a page that a reader types in.
var console = regexp.MustCompile(`(?m)^\$ (.+)$`)

func TestKubernetesDoesWhatTheChartsReadmeSays(t *testing.T) {
	c := startCluster(t)
	namespace := c.restricted(t, "readme")
	readme, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	values := regexp.MustCompile("(?s)```yaml\n(# values.yaml\n.*?)```").FindSubmatch(readme)
	if values == nil {
		t.Fatal("the README has no values.yaml")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "values.yaml"), string(values[1]))
	if err := os.Symlink(filepath.Join(root, "deploy"), filepath.Join(folder, "deploy")); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, line := range console.FindAllStringSubmatch(string(readme), -1) {
		name, rest, _ := strings.Cut(line[1], " ")
		path := map[string]string{"helm": tool(t, "HELM"), "kubectl": tool(t, "KUBECTL")}[name]
		if path == "" {
			t.Errorf("nobody runs %q; the README has commands of helm and kubectl alone", line[1])
			continue
		}
		args := append(strings.Fields(rest), "--namespace", namespace)
		command{folder: folder, env: c.env}.output(t, path, args...)
		ran++
	}
	t.Logf("%d commands of the README ran", ran)
	if ran < 5 {
		t.Errorf("only %d commands were found in the README", ran)
	}
}

func replaced(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("there is no %s in\n%s", old, text)
	}
	return strings.Replace(text, old, replacement, 1)
}

// barePod makes a Pod of a template: Pod Security judges Pods alone, and of what makes them it only warns.
func barePod(t *testing.T, template object) string {
	t.Helper()
	metadata := template.at("metadata").(map[string]any)
	metadata["name"] = "bare"
	text, err := json.Marshal(object{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func checksum(all []object) string {
	for _, o := range all {
		if sum := o.text("spec", "template", "metadata", "annotations", "checksum/config"); sum != "" {
			return sum
		}
	}
	return ""
}

// A cluster is a Kubernetes API server with its etcd. Nothing runs its pods.
type cluster struct {
	kubectl string
	env     []string
}

var theCluster *cluster

// startCluster starts the API server that the whole suite shares; both processes end with this one.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	if theCluster != nil {
		return theCluster
	}
	began := time.Now()
	apiserver, kubectl := tool(t, "KUBE_APISERVER"), tool(t, "KUBECTL")
	folder, err := os.MkdirTemp("", "leadsink-kubernetes-") //nolint:usetesting // outlives the test that starts it
	if err != nil {
		t.Fatal(err)
	}
	atEnd = append(atEnd, func() { _ = os.RemoveAll(folder) })
	ports := freePorts(t, 3)
	client, peer, secure := ports[0], ports[1], ports[2]
	etcd := fmt.Sprintf("http://127.0.0.1:%d", client)
	between := fmt.Sprintf("http://127.0.0.1:%d", peer)
	serve(t, folder, "etcd", "--data-dir", folder+"/etcd", "--unsafe-no-fsync",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", between,
		"--initial-advertise-peer-urls", between, "--initial-cluster", "default="+between)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder+"/sa.key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	write(t, folder+"/tokens.csv", "of-the-test,test,test,system:masters\n")
	serve(t, folder, apiserver, "--etcd-servers", etcd, "--cert-dir", folder+"/certs",
		"--secure-port", fmt.Sprint(secure), "--bind-address", "127.0.0.1",
		"--service-account-key-file", folder+"/sa.key", "--service-account-signing-key-file", folder+"/sa.key",
		"--service-account-issuer", "https://kubernetes.default.svc", "--authorization-mode", "RBAC",
		"--token-auth-file", folder+"/tokens.csv", "--service-cluster-ip-range", "10.96.0.0/16",
		"--disable-admission-plugins", "ServiceAccount") // without a controller manager no namespace has one
	write(t, folder+"/kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: "https://127.0.0.1:%d", certificate-authority: %s/certs/apiserver.crt}}]
users: [{name: test, user: {token: of-the-test}}]
`, secure, folder))
	c := &cluster{kubectl: kubectl, env: []string{
		"KUBECONFIG=" + folder + "/kubeconfig", "HELM_CACHE_HOME=" + folder, "HELM_CONFIG_HOME=" + folder, "HELM_DATA_HOME=" + folder, "HOME=" + folder,
	}}
	eventually(t, 2*time.Minute, "the API server is ready (its log is in "+folder+")", func() bool {
		_, _, err := command{env: c.env}.run(t, kubectl, "get", "--raw", "/readyz")
		return err == nil
	})
	t.Logf("the API server is ready after %s: %s", time.Since(began).Round(time.Millisecond), c.run(t, "version"))
	for module, files := range definitions {
		for _, file := range files {
			c.run(t, "apply", "--server-side", "-f", filepath.Join(source(t, module), file))
		}
	}
	c.run(t, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
	theCluster = c
	return c
}

// source is the folder of a module's source.
func source(t *testing.T, module string) string {
	t.Helper()
	var m struct{ Dir string }
	// Outside any module, so that none has to require it.
	said := command{folder: os.TempDir(), env: []string{"GO111MODULE=on", "GOFLAGS=-mod=mod"}}.output(t, "go", "mod", "download", "-json", module)
	if err := json.Unmarshal([]byte(said), &m); err != nil {
		t.Fatal(err)
	}
	return m.Dir
}

// serve starts a program that runs until this process ends. Its words are in the folder.
func serve(t *testing.T, folder, name string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(folder, filepath.Base(name)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...) //nolint:noctx // ended with the process
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	atEnd = append(atEnd, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
}

// freePorts are ports of which nobody listens on any now.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // only now, so that all differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func (c *cluster) run(t *testing.T, args ...string) string {
	t.Helper()
	return command{env: c.env}.output(t, c.kubectl, args...)
}

func (c *cluster) helm(t *testing.T, namespace string, args ...string) {
	t.Helper()
	command{env: c.env}.output(t, tool(t, "HELM"), append(args, "--namespace", namespace)...)
}

// restricted makes a namespace in which only pods of the restricted profile may run.
func (c *cluster) restricted(t *testing.T, name string) string {
	t.Helper()
	c.run(t, "create", "namespace", name)
	c.run(t, "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/enforce-version=latest")
	return name
}

// apply lets the server judge a manifest, and stores nothing.
func (c *cluster) apply(t *testing.T, namespace, manifest string) (said string, err error) {
	t.Helper()
	_, said, err = command{env: c.env, stdin: manifest}.run(t, c.kubectl, "apply", "--namespace", namespace, "--dry-run=server", "--validate=strict", "-f", "-")
	return said, err
}

// takes lets the server judge a manifest that has to be right, without even a warning.
func (c *cluster) takes(t *testing.T, namespace, manifest string) {
	t.Helper()
	if said, err := c.apply(t, namespace, manifest); err != nil || said != "" {
		t.Errorf("the server says: %v\n%s", err, said)
	}
}

// live are the objects of the release crm that the server holds.
func (c *cluster) live(t *testing.T, namespace string) []object {
	t.Helper()
	kinds := "deployments,statefulsets,configmaps,secrets,services,serviceaccounts,poddisruptionbudgets,networkpolicies," +
		"podmonitors,servicemonitors,prometheusrules,externalsecrets,scaledobjects"
	var list struct{ Items []object }
	said := c.run(t, "get", kinds, "--namespace", namespace, "-l", "app.kubernetes.io/instance=crm", "-o", "json")
	if err := json.Unmarshal([]byte(said), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}
