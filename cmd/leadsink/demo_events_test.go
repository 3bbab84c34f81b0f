package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestFakeEventsAreWrittenAndRepeatable(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "one", "two"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	written := func(topic string) map[string]string {
		code, _, stderr := command(t, "fake-events", "--brokers", cluster.ListenAddrs()[0], "--topic", topic, "--events", "300", "--rate", "10000")
		if code != exitFine || !strings.Contains(stderr, "events=300") {
			t.Fatalf("exit %d, stderr %q", code, stderr)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		all := map[string]string{}
		for len(all) < 300 {
			fetches := client.PollFetches(t.Context())
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) { all[string(r.Key)] = string(r.Value) })
		}
		return all
	}
	one, two := written("one"), written("two")
	kinds := map[string]int{}
	for id, value := range one {
		if two[id] != value {
			t.Errorf("%s is %q, then %q", id, value, two[id])
		}
		var event struct{ Type string }
		_ = json.Unmarshal([]byte(value), &event) // some are no JSON, on purpose
		kinds[event.Type]++
	}
	for _, kind := range []string{"order.placed", "demo.requested", "page.visited", ""} {
		if kinds[kind] == 0 {
			t.Errorf("there is no event of type %q among %v", kind, kinds)
		}
	}
}

func TestFakeEventsSayWhyTheyCannotBeWritten(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--rate", "0"}, exitWrong, "--rate: 0 is not a number above 0"},
		{[]string{"--rate", "NaN"}, exitWrong, "--rate: NaN is not a number above 0"},
		{[]string{"--events", "-1"}, exitWrong, "--events: -1 is below 0"},
		{[]string{"--brokers", cluster.ListenAddrs()[0], "--topic", "nowhere", "--rate", "1000"}, exitSurroundings, "create the topic"},
	} {
		if code, _, stderr := command(t, append([]string{"fake-events"}, row.args...)...); code != row.code || !strings.Contains(stderr, row.want) {
			t.Errorf("%v: exit %d, stderr %q; want exit %d and %q", row.args, code, stderr, row.code, row.want)
		}
	}
}
