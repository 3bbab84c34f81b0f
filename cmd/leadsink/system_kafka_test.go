//go:build system

package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A listener is one way of reaching the broker.
type listener string

const (
	overPlaintext listener = "PLAINTEXT"
	overTLS       listener = "TLS"   // the broker shows a certificate
	overMutualTLS listener = "MTLS"  // both sides show one
	overPlain     listener = "PLAIN" // SASL PLAIN without TLS
	overSCRAM     listener = "SCRAM" // SASL SCRAM-SHA-512 over TLS
	overOAuth     listener = "OAUTH" // SASL OAUTHBEARER without TLS, signed tokens that the broker verifies
)

var everyListener = []listener{overPlaintext, overTLS, overMutualTLS, overPlain, overSCRAM, overOAuth}

const (
	user     = "leadsink"
	password = "correct horse, battery staple" // has what a careless quoting would break on
	shared   = "/mnt/shared/config"            // where the image looks for files
)

// A broker is one Apache Kafka node with every listener, or the brokers of KAFKA_SEEDS.
type broker struct {
	seeds     map[listener][]string
	version   string // as the broker says it
	container string // its id; empty for KAFKA_SEEDS
	ids       *identities
}

// theBroker is started by the first test that needs it and serves all of them; it ends with the process.
var theBroker = sync.OnceValues(func() (*broker, error) {
	if seeds := os.Getenv("KAFKA_SEEDS"); seeds != "" {
		b := &broker{seeds: map[listener][]string{overPlaintext: strings.Split(seeds, ",")}}
		return b, b.guessVersion()
	}
	return newBroker()
})

// newBroker starts a container and makes sure that it ends with this process, however that ends.
func newBroker() (*broker, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // outlives the test that starts it
	defer cancel()
	image := os.Getenv("LEADSINK_KAFKA_IMAGE")
	if image == "" {
		image = "apache/kafka:4.3.1"
	}
	ids, err := newIdentities()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(everyListener)
	if err != nil {
		return nil, err
	}
	bindings := network.PortMap{}
	var exposed []string
	for _, port := range ports {
		number := strconv.Itoa(port)
		exposed = append(exposed, number+"/tcp")
		bindings[network.MustParsePort(number+"/tcp")] = []network.PortBinding{{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: number}}
	}
	file := func(name, content string) testcontainers.ContainerFile {
		return testcontainers.ContainerFile{Reader: strings.NewReader(content), ContainerFilePath: shared + "/" + name, FileMode: 0o644}
	}
	node, err := testcontainers.Run(
		ctx, image,
		testcontainers.WithEnv(map[string]string{
			"CLUSTER_ID":      "4L6g3nShT-eMCtK--X86sw",
			"KAFKA_HEAP_OPTS": "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1", // starts fast, for few records
			"KAFKA_OPTS":      "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://" + shared + "/jwks.json",
		}),
		testcontainers.WithFiles(
			file("server.properties", serverProperties(ports)),
			file("broker.pem", ids.broker.key+ids.broker.certificate),
			file("ca.pem", ids.ca.certificate),
			file("jwks.json", ids.tokens.keySet),
		),
		testcontainers.WithExposedPorts(exposed...),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) { host.PortBindings = bindings }),
		testcontainers.WithWaitStrategyAndDeadline(2*time.Minute, wait.ForLog("Kafka Server started")),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w (no image registry in reach? `make kafka-image` builds it)", image, err), remains(ctx, node))
	}
	b := &broker{seeds: map[listener][]string{}, version: "of no known version", container: node.GetContainerID(), ids: ids}
	if found := regexp.MustCompile(`Kafka version: ([\w.-]+)`).FindStringSubmatch(words(ctx, node)); found != nil {
		b.version = found[1]
	}
	for l, port := range ports {
		b.seeds[l] = []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	}
	if err := endWithProcess("docker", "rm", "--force", "--volumes", b.container); err != nil {
		return nil, errors.Join(err, remains(ctx, node))
	}
	return b, b.prepare(ctx)
}

// remains removes a container that is of no use, and tells its last words.
func remains(ctx context.Context, node *testcontainers.DockerContainer) error {
	if node == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(words(ctx, node)), "\n")
	return errors.Join(node.Terminate(ctx), fmt.Errorf("the broker said:\n%s", strings.Join(lines[max(0, len(lines)-30):], "\n")))
}

// words is everything that a container has logged so far.
func words(ctx context.Context, node *testcontainers.DockerContainer) string {
	logs, err := node.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer logs.Close()
	text, err := io.ReadAll(logs)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// serverProperties is the configuration of one node that is broker and controller, with a listener of every kind.
// What tests wait for comes soon: members are given up, old records are deleted, and who he is a client of SCRAM has to
// prove again and again. Whoever comes over the plain listener may do anything, others what no rule forbids.
func serverProperties(ports map[listener]int) string {
	var listeners, advertised, protocols []string
	for _, l := range everyListener {
		protocol := map[listener]string{
			overPlaintext: "PLAINTEXT", overTLS: "SSL", overMutualTLS: "SSL",
			overPlain: "SASL_PLAINTEXT", overSCRAM: "SASL_SSL", overOAuth: "SASL_PLAINTEXT",
		}[l]
		listeners = append(listeners, fmt.Sprintf("%s://:%d", l, ports[l]))
		advertised = append(advertised, fmt.Sprintf("%s://127.0.0.1:%d", l, ports[l]))
		protocols = append(protocols, fmt.Sprintf("%s:%s", l, protocol))
	}
	return "listeners=CONTROLLER://:9093," + strings.Join(listeners, ",") +
		"\nadvertised.listeners=" + strings.Join(advertised, ",") +
		"\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT," + strings.Join(protocols, ",") + `
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=/tmp/kraft-combined-logs
auto.create.topics.enable=false
offsets.topic.num.partitions=5
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=1000
log.initial.task.delay.ms=1000
log.retention.check.interval.ms=2000
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
ssl.keystore.type=PEM
ssl.keystore.location=` + shared + `/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=` + shared + `/ca.pem
listener.name.mtls.ssl.client.auth=required
listener.name.plain.sasl.enabled.mechanisms=PLAIN
listener.name.plain.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_` + user + `="` + password + `";
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.scram.scram-sha-512.connections.max.reauth.ms=4000
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.oauth.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.oauth.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=file://` + shared + `/jwks.json
listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.audience=` + audience + `
`
}

// guessVersion tells the version of brokers whose log cannot be read from the requests that they know.
func (b *broker) guessVersion() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // outlives the test that starts it
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.seeds[overPlaintext]...))
	if err != nil {
		return err
	}
	defer client.Close()
	versions, err := kadm.NewClient(client).ApiVersions(ctx)
	if err != nil {
		return fmt.Errorf("ask %v for its version: %w", b.seeds[overPlaintext], err)
	}
	for answer := range maps.Values(versions) {
		b.version = strings.TrimPrefix(answer.VersionGuess(), "v")
	}
	return nil
}

// prepare adds the user that SCRAM asks for, and waits until groups can commit: the first request for a coordinator
// makes the broker create the topic of the offsets.
func (b *broker) prepare(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.seeds[overPlaintext]...))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{
		{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password},
	})
	if err := errors.Join(err, altered.Error()); err != nil {
		return fmt.Errorf("add the SCRAM user: %w", err)
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		_, err := admin.FetchOffsets(ctx, "the first group")
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the coordinator of groups: %w", err)
		}
	}
}

// freePorts finds a port of this machine for each listener. Inside and outside of the container they have the same
// number, because a broker tells its clients the address to come back to.
func freePorts(listeners []listener) (map[listener]int, error) {
	ports := map[listener]int{}
	for _, l := range listeners {
		taken, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a local port is taken at once or not at all
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer taken.Close() // only now, so that all differ
		ports[l] = taken.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// lifeline is open as long as this process lives. Nobody writes into it.
var lifeline = sync.OnceValues(func() (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// The write end stays open, and away from the garbage collector, until the process ends.
	keptOpen = write
	return read, nil
})

var keptOpen *os.File

// endWithProcess runs a command when this process has ended: also after a panic, a timeout or a SIGKILL, which no
// deferred call survives. A shell waits for the end of the lifeline, in a session of its own that Ctrl-C does not reach.
func endWithProcess(command ...string) error {
	end, err := lifeline()
	if err != nil {
		return err
	}
	//nolint:noctx // has to outlive everything here
	waiting := exec.Command("/bin/sh", append([]string{"-c", `cat >/dev/null; exec "$@"`, "sh"}, command...)...)
	waiting.Stdin = end
	waiting.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return waiting.Start()
}

// writeFile puts content into a folder that lives as long as the test.
func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
