//go:build system

package main_test

import (
	"context"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func TestSystemBrokerIsReachedOverEveryListener(t *testing.T) {
	for _, l := range everyListener {
		t.Run(string(l), func(t *testing.T) {
			c := startKafka(t, l)
			topic := c.createTopic(t, 3)
			client, err := kgo.NewClient(append(c.options, kgo.DefaultProduceTopic(topic), kgo.MetadataMinAge(100*time.Millisecond))...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.ProduceSync(t.Context(), kgo.StringRecord("over "+string(l))).FirstErr(); err != nil {
				t.Fatal(err)
			}
			records := c.readAll(t, topic)
			if len(records) != 1 || string(records[0].Value) != "over "+string(l) {
				t.Errorf("the topic holds %v, want the one record", records)
			}
			if !strings.HasPrefix(c.section, "  brokers: [127.0.0.1:") {
				t.Errorf("the document's section begins otherwise:\n%s", c.section)
			}
		})
	}
}

func TestSystemBrokerRefusesStrangers(t *testing.T) {
	withoutCertificate := startKafka(t, overTLS).options
	plaintext := startKafka(t, overPlaintext)
	forger, err := newIssuer()
	if err != nil {
		t.Fatal(err)
	}
	forged, err := forger.token(user, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for l, options := range map[listener][]kgo.Opt{
		overTLS:       plaintext.options,
		overMutualTLS: withoutCertificate,
		overPlain:     {kgo.SASL(plain.Auth{User: user, Pass: "guessed"}.AsMechanism())},
		overSCRAM:     append(withoutCertificate, kgo.SASL(scram.Auth{User: user, Pass: "guessed"}.AsSha512Mechanism())),
		overOAuth:     {kgo.SASL(oauth.Auth{Token: forged}.AsMechanism())},
	} {
		t.Run(string(l), func(t *testing.T) {
			client, err := kgo.NewClient(append(options, kgo.SeedBrokers(plaintext.broker.seeds[l]...), kgo.RequestRetries(0))...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			err = client.Ping(t.Context())
			if err == nil {
				t.Fatal("the broker talks to a client that has proven nothing")
			}
			t.Log(err)
		})
	}
}

func TestSystemGroupsAreBehindByWhatTheyHaveNotCommitted(t *testing.T) {
	c := startKafka(t, overPlaintext)
	topic := c.createTopic(t, 2)
	c.produce(t, topic, 100, func(i int) *kgo.Record {
		return kgo.KeyStringRecord("lead-"+strconv.Itoa(i%7), strconv.Itoa(i))
	})
	seen := map[string]int{}
	for _, r := range c.readAll(t, topic) {
		i, err := strconv.Atoi(string(r.Value))
		if err != nil {
			t.Fatal(err)
		}
		if last, ok := seen[string(r.Key)]; ok && i <= last {
			t.Errorf("%s: %d comes after %d", r.Key, i, last)
		}
		seen[string(r.Key)] = i
	}
	if len(seen) != 7 {
		t.Errorf("%d keys were read, want 7", len(seen))
	}
	group := topic + ".group"
	if behind := c.behind(t, group, topic); behind != 100 {
		t.Errorf("a group that has committed nothing is %d behind, want 100", behind)
	}
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 5, Metadata: "words"})
	if err := c.admin.CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
	if behind := c.behind(t, group, topic); behind != 95 {
		t.Errorf("a group that has committed 5 is %d behind, want 95", behind)
	}
	if offset, _ := c.committed(t, group).Lookup(topic, 0); offset.Metadata != "words" {
		t.Errorf("the metadata reads %q", offset.Metadata)
	}
}

func TestSystemBrokerIsSilentWhileItIsFrozen(t *testing.T) {
	c := startKafka(t, overPlaintext)
	answers := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return c.client.Ping(ctx) == nil
	}
	if !answers() {
		t.Fatal("the broker does not answer")
	}
	thaw := c.freezeBroker(t)
	if answers() {
		t.Error("the broker answers though it is frozen")
	}
	thaw()
	eventually(t, 30*time.Second, "the broker answers again", answers)
}

func TestSystemProcessesAreHeardAndSignalled(t *testing.T) {
	shell := startProcess(t, "/bin/sh", "-c", `echo out; trap 'echo bye >&2; exit 7' TERM; echo ready >&2; while :; do sleep 0.05; done`)
	if line := shell.waitForLine(t, "rea", 10*time.Second); line != "ready" {
		t.Errorf("said %q, want ready", line)
	}
	shell.freeze(t)
	shell.terminate(t)
	shell.thaw(t)
	if code := shell.wait(t, 10*time.Second); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	shell.waitForLine(t, "bye", time.Second)
	if out := shell.stdout.String(); out != "out\n" {
		t.Errorf("stdout is %q", out)
	}
	sleep := startProcess(t, "/bin/sleep", "60")
	sleep.kill(t)
	if code := sleep.wait(t, 10*time.Second); code != -1 || sleep.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended as %v, want killed", sleep.cmd.ProcessState)
	}
}

func TestSystemBinarySaysItsVersion(t *testing.T) {
	p := startProcess(t, buildBinary(t), "version")
	if code := p.wait(t, 10*time.Second); code != 0 {
		t.Fatalf("exit code %d, want 0", code)
	}
	if out := p.stdout.String(); !strings.HasPrefix(out, "leadsink ") {
		t.Errorf("stdout is %q", out)
	}
}
