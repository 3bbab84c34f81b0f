//go:build system

package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	dockernetwork "github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	seats = 3 // members of leadsink, each with a listener of its own on every broker
	nodes = 3 // brokers
)

// A trio is three brokers with three replicas of everything, of which one may be
// dead at any time. Its client and admin reach them directly; a member does so
// over the links of its seat.
type trio struct {
	*cluster
	containers [nodes]string
	links      [seats][nodes]*link
}

// startTrio starts the brokers. They end with the process.
func startTrio(t *testing.T) *trio {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	ports := quietPorts(t, nodes*(1+seats))
	k := &trio{}
	for seat := range seats {
		for node := range nodes {
			k.links[seat][node] = newLink(t, loopback(ports[node*(1+seats)+1+seat]))
		}
	}
	net, err := dockernetwork.New(ctx)
	if err != nil {
		t.Fatalf("make a network of containers: %v", err)
	}
	// By the network, so that a broker that failed to start is removed too.
	if err := endWithProcess("/bin/sh", "-c",
		"docker ps -aq --filter network=$0 | xargs -r docker rm --force --volumes; docker network rm $0", net.Name); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, nodes)
	for node := range nodes { // at once: one alone waits for a majority
		go func() {
			var err error
			k.containers[node], err = k.startNode(ctx, net, node, ports[node*(1+seats):][:1+seats])
			failed <- err
		}()
	}
	var all []error
	for range nodes {
		all = append(all, <-failed)
	}
	if err := errors.Join(all...); err != nil {
		t.Fatal(err)
	}
	k.connect(t, ctx, ports)
	return k
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// startNode starts a broker whose ports of this machine are, in this order, the
// test's and those that the seats' links lead to.
func (k *trio) startNode(ctx context.Context, of *testcontainers.DockerNetwork, node int, ports []int) (id string, err error) {
	image := os.Getenv("LEADSINK_KAFKA_IMAGE")
	if image == "" {
		image = "apache/kafka:4.3.1"
	}
	bindings := network.PortMap{}
	var exposed []string
	for i, port := range ports {
		inside := strconv.Itoa(firstPort+i) + "/tcp"
		exposed = append(exposed, inside)
		bindings[network.MustParsePort(inside)] = []network.PortBinding{{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: strconv.Itoa(port)}}
	}
	c, err := testcontainers.Run(
		ctx, image,
		testcontainers.WithEnv(map[string]string{
			"CLUSTER_ID":      "4L6g3nShT-eMCtK--X86sw",
			"KAFKA_HEAP_OPTS": "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1", // starts fast, for few records
		}),
		testcontainers.WithFiles(testcontainers.ContainerFile{
			Reader: strings.NewReader(k.properties(node, ports[0])), ContainerFilePath: shared + "/server.properties", FileMode: 0o644,
		}),
		testcontainers.WithExposedPorts(exposed...),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) { host.PortBindings = bindings }),
		dockernetwork.WithNetwork([]string{nodeName(node)}, of),
		testcontainers.WithWaitStrategyAndDeadline(3*time.Minute, wait.ForLog("Kafka Server started")),
	)
	if err != nil {
		return "", errors.Join(fmt.Errorf("start %s: %w (no image registry in reach? `make kafka-image` builds it)", image, err), remains(ctx, c))
	}
	return c.GetContainerID(), nil
}

func nodeName(node int) string { return fmt.Sprintf("kafka-%d", node+1) }

// firstPort is the test's listener inside of the container; the seats' follow.
const firstPort = 9094

// properties is the configuration of one of three nodes, each broker and
// controller. Whatever notices a death does so within seconds, since the members'
// sessions are short too, and leaders go home soon, which disturbs once more.
func (k *trio) properties(node, port int) string {
	listeners := fmt.Sprintf("CONTROLLER://:9093,INTERNAL://:9092,TEST://:%d", firstPort)
	advertised := fmt.Sprintf("INTERNAL://%s:9092,TEST://%s", nodeName(node), loopback(port))
	protocols := "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,TEST:PLAINTEXT"
	for seat := range seats {
		listeners += fmt.Sprintf(",SEAT%d://:%d", seat, firstPort+1+seat)
		advertised += fmt.Sprintf(",SEAT%d://%s", seat, k.links[seat][node].address)
		protocols += fmt.Sprintf(",SEAT%d:PLAINTEXT", seat)
	}
	var voters []string
	for n := range nodes {
		voters = append(voters, fmt.Sprintf("%d@%s:9093", n+1, nodeName(n)))
	}
	return "listeners=" + listeners + "\nadvertised.listeners=" + advertised + "\nlistener.security.protocol.map=" + protocols +
		"\nnode.id=" + strconv.Itoa(node+1) + "\ncontroller.quorum.voters=" + strings.Join(voters, ",") + `
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
log.dirs=/tmp/kraft-combined-logs
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.num.partitions=5
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=4000
leader.imbalance.check.interval.seconds=5
leader.imbalance.per.broker.percentage=0
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
`
}

// connect makes the test's own client, and waits until groups can commit and
// everything has its three replicas.
func (k *trio) connect(t *testing.T, ctx context.Context, ports []int) {
	t.Helper()
	var seeds []string
	for node := range nodes {
		seeds = append(seeds, loopback(ports[node*(1+seats)]))
	}
	b := &broker{seeds: map[listener][]string{overPlaintext: seeds}}
	if err := errors.Join(b.guessVersion(), b.prepare(ctx)); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(seeds...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MetadataMinAge(100*time.Millisecond), // topics are made and used at once, and leaders change
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	k.cluster = &cluster{client: client, admin: kadm.NewClient(client), broker: b}
	t.Logf("three brokers of Apache Kafka %s", b.version)
	k.whole(t)
}

// section is where a seat's member finds the brokers, as the document's text.
func (k *trio) section(seat int) string {
	var addresses []string
	for node := range nodes {
		addresses = append(addresses, k.links[seat][node].address)
	}
	return "  brokers: [" + strings.Join(addresses, ", ") + "]\n"
}

// whole waits until every partition has all of its replicas in sync: until then
// the death of another broker would take away more than one.
func (k *trio) whole(t *testing.T) {
	t.Helper()
	eventually(t, 3*time.Minute, "every replica is in sync", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		topics, err := k.admin.ListTopicsWithInternal(ctx)
		whole := err == nil && topics.Error() == nil
		topics.EachPartition(func(p kadm.PartitionDetail) {
			whole = whole && p.Err == nil && len(p.Replicas) == nodes && len(p.ISR) == nodes
		})
		return whole
	})
}

// coordinatorOf is the node that coordinates the group; ok is false if nobody says so.
func (k *trio) coordinatorOf(t *testing.T, group string) (node int, ok bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	found := k.admin.FindGroupCoordinators(ctx, group)[group]
	return int(found.NodeID) - 1, found.Err == nil && found.NodeID > 0
}

// docker runs a command about a node's container.
func (k *trio) docker(t *testing.T, command string, node int) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "docker", command, k.containers[node]).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v: %s", command, err, output)
	}
}

// quietPorts finds free ports below those that the system gives to outgoing
// connections, one of which would be taken while its broker is dead.
func quietPorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for at := 20_000 + rand.IntN(5000); len(ports) < n && at < 32_000; at++ {
		if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", loopback(at)); err == nil {
			_ = l.Close()
			ports = append(ports, at)
		}
	}
	if len(ports) < n {
		t.Fatal("there are too few free ports between 20000 and 32000")
	}
	return ports
}

// A way is what a link does with what it is to carry.
type way int

const (
	carried way = iota
	reset       // connections end, new ones too
	silent      // nothing arrives; what was sent meanwhile does once the link carries again
)

// A link is the way from one member to one broker.
type link struct {
	address string // where the member connects
	to      string // where the broker listens

	mu    sync.Mutex // guards what follows: connections come and go while the test cuts
	way   way
	clear chan struct{}         // closed while nothing is silent
	open  map[net.Conn]struct{} // both ends of what is carried
}

// newLink opens a link that lives as long as the test.
func newLink(t *testing.T, to string) *link {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{address: l.Addr().String(), to: to, clear: make(chan struct{}), open: map[net.Conn]struct{}{}}
	close(k.clear)
	t.Cleanup(func() {
		_ = l.Close()
		k.set(reset)
	})
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go k.carry(c) // ends with the connection, or with the link
		}
	}()
	return k
}

// set changes what happens to bytes and connections from now on.
func (k *link) set(w way) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.way == silent && w != silent {
		close(k.clear)
	}
	if w == silent && k.way != silent {
		k.clear = make(chan struct{})
	}
	if k.way = w; w == reset {
		for c := range k.open {
			abort(c)
		}
		clear(k.open)
	}
}

// abort ends a connection by a reset, unlike one that was left.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

var errCut = errors.New("the link is cut")

// pass waits while the link is silent.
func (k *link) pass() error {
	for {
		k.mu.Lock()
		w, clear := k.way, k.clear
		k.mu.Unlock()
		switch w {
		case carried:
			return nil
		case reset:
			return errCut
		case silent:
			<-clear
		}
	}
}

// keep notes a connection, for a reset; it is ended if the link is cut already.
func (k *link) keep(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.way == reset {
		abort(c)
		return false
	}
	k.open[c] = struct{}{}
	return true
}

func (k *link) drop(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, c)
	_ = c.Close()
}

func (k *link) carry(member net.Conn) {
	if !k.keep(member) {
		return
	}
	defer k.drop(member)
	if k.pass() != nil {
		return
	}
	broker, err := net.DialTimeout("tcp", k.to, 5*time.Second) //nolint:noctx // bounded, and of nobody's context
	if err != nil || !k.keep(broker) {
		abort(member)
		return
	}
	defer k.drop(broker)
	back := make(chan struct{})
	go func() { // ends with either connection
		defer close(back)
		k.copy(member, broker)
		k.drop(member)
	}()
	k.copy(broker, member)
	k.drop(broker)
	<-back
}

// copy carries bytes until either end is over.
func (k *link) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if k.pass() != nil {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
