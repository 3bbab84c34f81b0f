//go:build system

package main_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// A cluster is what a test has of the suite's broker: one listener for the program under test, and the plain one for
// looking at what the program did.
type cluster struct {
	section string    // lines for the document's kafka section, two spaces deep: where the brokers are, tls, sasl
	options []kgo.Opt // the same, for a client of the test
	client  *kgo.Client
	admin   *kadm.Client
	broker  *broker
}

// startKafka gives a test the suite's broker, which the first such call starts.
func startKafka(t *testing.T, l listener) *cluster {
	t.Helper()
	b, err := theBroker()
	if err != nil {
		t.Fatal(err)
	}
	seeds, ok := b.seeds[l]
	if !ok {
		t.Skipf("KAFKA_SEEDS names brokers without a listener for %s", l)
	}
	t.Logf("over %s to Apache Kafka %s", l, b.version)
	c := &cluster{broker: b}
	c.reach(t, l, seeds)
	c.client, err = kgo.NewClient(
		kgo.SeedBrokers(b.seeds[overPlaintext]...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MetadataMinAge(100*time.Millisecond), // topics are made and used at once
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	c.admin = kadm.NewClient(c.client)
	return c
}

// reach says how a listener is reached, as the document's text and as a client's options.
func (c *cluster) reach(t *testing.T, l listener, seeds []string) {
	t.Helper()
	dir := t.TempDir()
	c.section = "  brokers: [" + strings.Join(seeds, ", ") + "]\n"
	c.options = []kgo.Opt{kgo.SeedBrokers(seeds...)}
	ids := c.broker.ids
	if l == overTLS || l == overMutualTLS || l == overSCRAM {
		config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		config.RootCAs.AddCert(ids.ca.parsed)
		c.section += "  tls:\n    enabled: true\n    ca_file: " + writeFile(t, dir, "ca.pem", ids.ca.certificate) + "\n"
		if l == overMutualTLS {
			pair, err := tls.X509KeyPair([]byte(ids.client.certificate), []byte(ids.client.key))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
			c.section += "    cert_file: " + writeFile(t, dir, "client.pem", ids.client.certificate) + "\n" +
				"    key_file: " + writeFile(t, dir, "client.key", ids.client.key) + "\n"
		}
		c.options = append(c.options, kgo.DialTLSConfig(config))
	}
	secret := "${file:" + writeFile(t, dir, "password", password) + "}"
	switch l {
	case overPlain:
		c.section += fmt.Sprintf("  sasl: {mechanism: PLAIN, username: %s, password: %q}\n", user, secret)
		c.options = append(c.options, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
	case overSCRAM:
		c.section += fmt.Sprintf("  sasl: {mechanism: SCRAM-SHA-512, username: %s, password: %q}\n", user, secret)
		c.options = append(c.options, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
	case overOAuth:
		c.section += fmt.Sprintf("  sasl: {mechanism: OAUTHBEARER, token_url: %q, client_id: %s, client_secret: %q}\n",
			ids.tokens.serve(t), user, clientSecret)
		c.options = append(c.options, kgo.SASL(oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := ids.tokens.token(user, time.Minute)
			return oauth.Auth{Token: token}, err
		})))
	default: // nobody is asked who he is, or the certificate says it
	}
}

// createTopic makes a topic with a name of its own.
func (c *cluster) createTopic(t *testing.T, partitions int32) string {
	t.Helper()
	name := fmt.Sprintf("%s.%08x", regexp.MustCompile(`[^\w.-]`).ReplaceAllString(t.Name(), "_"), rand.Uint32())
	if _, err := c.admin.CreateTopic(t.Context(), partitions, -1, nil, name); err != nil {
		t.Fatalf("create the topic %s: %v", name, err)
	}
	return name
}

// produce stores n records and returns when the broker has all of them. Records with one key share a partition, in order.
func (c *cluster) produce(t *testing.T, topic string, n int, record func(i int) *kgo.Record) {
	t.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = record(i)
		records[i].Topic = topic
	}
	if err := c.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

// readAll returns what a topic holds at this moment, in order within each partition.
func (c *cluster) readAll(t *testing.T, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ends, err := c.admin.ListEndOffsets(ctx, topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		t.Fatalf("ask for the end of %s: %v", topic, err)
	}
	starts, err := c.admin.ListStartOffsets(ctx, topic)
	if err := errors.Join(err, starts.Error()); err != nil {
		t.Fatalf("ask for the start of %s: %v", topic, err)
	}
	from, missing := map[int32]kgo.Offset{}, map[int32]int64{}
	for partition, end := range ends[topic] {
		if start := starts[topic][partition].Offset; start < end.Offset {
			from[partition], missing[partition] = kgo.NewOffset().At(start), end.Offset
		}
	}
	if len(missing) == 0 {
		return nil
	}
	// Control records are asked for, because one of them may be the last before the end.
	reader, err := kgo.NewClient(
		kgo.SeedBrokers(c.broker.seeds[overPlaintext]...), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var records []*kgo.Record
	for len(missing) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		for r := range fetches.RecordsAll() {
			end, wanted := missing[r.Partition]
			if wanted && !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if r.Offset >= end-1 {
				delete(missing, r.Partition)
			}
		}
	}
	return records
}

// committed returns what a group has committed, offsets and metadata by topic and partition.
func (c *cluster) committed(t *testing.T, group string) kadm.OffsetResponses {
	t.Helper()
	offsets, err := c.admin.FetchOffsets(t.Context(), group)
	if err := errors.Join(err, offsets.Error()); err != nil {
		t.Fatalf("ask for the offsets of %s: %v", group, err)
	}
	return offsets
}

// behind is how many records of a topic lie after what a group has committed.
func (c *cluster) behind(t *testing.T, group, topic string) int64 {
	t.Helper()
	ends, err := c.admin.ListEndOffsets(t.Context(), topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		t.Fatalf("ask for the end of %s: %v", topic, err)
	}
	committed, sum := c.committed(t, group), int64(0)
	for partition, end := range ends[topic] {
		offset, _ := committed.Lookup(topic, partition)
		sum += end.Offset - max(offset.At, 0)
	}
	return sum
}

// freezeBroker stops the broker's clock: connections stay open and nothing is answered, until the returned function
// or the end of the test thaws it. All tests share the broker, so no other may run at the same time.
func (c *cluster) freezeBroker(t *testing.T) (thaw func()) {
	t.Helper()
	if c.broker.container == "" {
		t.Skip("the brokers of KAFKA_SEEDS are not this test's to freeze")
	}
	docker := func(command string) error {
		output, err := exec.CommandContext(context.WithoutCancel(t.Context()), "docker", command, c.broker.container).CombinedOutput()
		if err != nil {
			return fmt.Errorf("docker %s: %w: %s", command, err, output)
		}
		return nil
	}
	if err := docker("pause"); err != nil {
		t.Fatal(err)
	}
	thaw = sync.OnceFunc(func() {
		if err := docker("unpause"); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(thaw)
	return thaw
}

// eventually asks every 100 ms until the answer is yes. Other processes cannot be asked in any better way.
func eventually(t *testing.T, within time.Duration, what string, yes func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(within), time.NewTicker(100*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", within, what)
		case <-t.Context().Done():
			t.Fatalf("the test ended before: %s", what)
		}
	}
}
