package reference_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/internal/reference"
)

const root = "../../.."

func keys(t *testing.T) []reference.Key {
	t.Helper()
	all, err := reference.Keys(root)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheSchemaIsUpToDate(t *testing.T) {
	want, err := reference.Schema(keys(t))
	if err != nil {
		t.Fatal(err)
	}
	if string(config.Schema()) != string(want) {
		t.Error("config/schema.json is not what the structs say; run go generate ./config")
	}
	if !json.Valid(want) {
		t.Error("the schema is not JSON")
	}
}

func TestTheReferenceIsUpToDate(t *testing.T) {
	got, err := os.ReadFile(root + "/docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(reference.Markdown(keys(t))) {
		t.Error("docs/reference.md is not what the structs say; run go generate ./config")
	}
}

// The keys that people and other programs rely on.
var fixed = []string{
	"name", "start_timeout",
	"kafka.brokers", "kafka.topics", "kafka.topics_regex", "kafka.group", "kafka.start", "kafka.tls.enabled", "kafka.tls.ca_file",
	"kafka.tls.cert_file", "kafka.tls.key_file", "kafka.sasl.mechanism", "kafka.sasl.username", "kafka.sasl.password", "kafka.instance_id",
	"kafka.assignment", "kafka.session_timeout", "kafka.rebalance_timeout", "kafka.protocol",
	"decode.format", "decode.registry.url", "decode.registry.username", "decode.registry.password",
	"transform.sample", "transform.schema", "transform.rules[].name", "transform.rules[].when", "transform.rules[].lead",
	"transform.rules[].activity", "transform.rules[].note", "transform.rules[].owner", "transform.rules[].at", "transform.rules[].fields",
	"transform.rules[].attributes", "transform.rules[].each", "transform.tables[].name", "transform.tables[].file", "transform.tables[].key",
	"transform.tables[].value", "transform.otherwise", "transform.on_error", "transform.tombstones",
	"leadsquared.host", "leadsquared.access_key", "leadsquared.secret_key", "leadsquared.auth", "leadsquared.target",
	"leadsquared.search_by", "leadsquared.limits", "leadsquared.guard", "leadsquared.limits_share", "leadsquared.proxy",
	"leadsquared.ca_file", "leadsquared.batch", "leadsquared.linger", "leadsquared.timeout", "leadsquared.in_flight", "leadsquared.marker",
	"delivery.order", "delivery.attempts", "delivery.backoff.initial", "delivery.backoff.max", "delivery.on_unknown",
	"delivery.reconcile_after", "delivery.unproven_after", "delivery.on_unproven", "delivery.on_refused", "delivery.window", "delivery.window_bytes", "delivery.drain_timeout",
	"delivery.breaker.failures", "delivery.breaker.ratio", "delivery.breaker.window", "delivery.breaker.open_for",
	"dead_letters.topic", "dead_letters.halt_when", "receipts.topic", "admin.listen", "admin.token", "telemetry.service_name",
	"log.level", "log.format", "log.payloads",
}

func TestNoKeyIsEverRenamed(t *testing.T) {
	var paths []string
	var collect func([]reference.Key)
	collect = func(all []reference.Key) {
		for _, k := range all {
			paths = append(paths, k.Path)
			collect(k.Keys)
		}
	}
	collect(keys(t))
	for i, p := range paths {
		if slices.Contains(paths[:i], p) {
			t.Errorf("%s is two keys", p)
		}
	}
	for _, p := range fixed {
		if !slices.Contains(paths, p) {
			t.Errorf("there is no key %s", p)
		}
	}
}
