package decode

import (
	"encoding/json"
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"github.com/leadsink/leadsink/config/setting"
)

func TestTheGuideToFormatsIsTrue(t *testing.T) {
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)\n```[a-z]+\n(.*?)```\n").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != 9 {
		t.Fatalf("the guide has %d blocks", len(blocks))
	}
	same := func(what, want string, event any, err error) {
		t.Helper()
		got, _ := json.Marshal(event)
		if err != nil {
			got = []byte(err.Error())
		}
		wanted, err := JSON([]byte(want), 64)
		if err != nil {
			t.Fatal(err)
		}
		canonical, _ := json.Marshal(wanted)
		if diff := cmp.Diff(string(canonical), string(got)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}

	placed := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	payload, err := avro.MustParse(blocks[0]).Encode(map[string]any{
		"id": int64(1234567890123456789), "total": big.NewRat(129950, 100), "coupon": nil, "placed": placed,
	})
	if err != nil {
		t.Fatal(err)
	}
	event, err := mustAvro(t, blocks[0]).event(payload, roomy)
	same("avro", blocks[1], event, err)

	proto, err := protobufSchema(t.Context(), blocks[2], nil)
	if err != nil {
		t.Fatal(err)
	}
	event, err = proto.event([]byte("\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x2a\x06\x08\x98\x8f\x90\xd8\x06"), roomy)
	same("protobuf", blocks[3], event, err)

	var document struct {
		Decode struct {
			Format   string
			Registry map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(blocks[4]), &document); err != nil {
		t.Fatal(err)
	}
	r := document.Decode.Registry
	c := Config{Format: document.Decode.Format, MaxBytes: 1, MaxDepth: 1}
	c.Registry = RegistryConfig{URL: r["url"], Username: setting.NewSecret(r["username"]), Password: setting.NewSecret(r["password"])}
	if problems := c.Validate(); problems != nil || len(r) != 3 {
		t.Error(problems)
	}

	same("cloudevents", blocks[6], mustJSON(t, as(t, "cloudevents", "", blocks[5], none)), nil)
	same("debezium", blocks[8], mustJSON(t, as(t, "json", "debezium", blocks[7], none)), nil)

	for _, number := range []string{"five times", "After a minute", "three new ids", "every 15 s", "200 schemas", "4 MiB", "counts as eight"} {
		if !strings.Contains(string(text), number) {
			t.Errorf("the guide does not say %q", number)
		}
	}
	if unknownTries != 5 || unknownFor != time.Minute || mostPatience != 3 || mostReferences != 200 || mostText != 4<<20 || container != 8 {
		t.Error("the guide gives other numbers")
	}
}

func mustJSON(t *testing.T, text string) any {
	t.Helper()
	v, err := JSON([]byte(text), 64)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}
