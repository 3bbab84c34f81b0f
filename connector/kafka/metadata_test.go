package kafka

import (
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/budget"
)

var topicID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// ranges draws what a ledger may give: ascending and disjoint, from next on.
func ranges(t *rapid.T, next int64) []connector.Range {
	var all []connector.Range
	for range rapid.IntRange(0, 3000).Draw(t, "ranges") {
		first := next + rapid.Int64Range(0, 1000).Draw(t, "distance")
		r := connector.Range{First: first, Last: first + rapid.Int64Range(0, 1000).Draw(t, "length")}
		all, next = append(all, r), r.Last+1
	}
	return all
}

func TestMetadataComesBackAsItWasWrittenAsFarAsItFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		next := rapid.Int64Range(0, 1<<50).Draw(t, "next")
		epoch := rapid.Int32Range(-1, math.MaxInt32)
		m := Metadata{Finished: ranges(t, next), FinishedEpoch: epoch.Draw(t, "epoch")}
		m.Doubt.Held = ranges(t, next)
		if rapid.Bool().Draw(t, "in doubt") {
			m.Doubt.Since = time.UnixMilli(rapid.Int64Range(1, 1<<45).Draw(t, "since"))
			m.Doubt.Reach = next - 1 + rapid.Int64Range(0, 1<<50).Draw(t, "reach")
			m.Doubt.Epoch = epoch.Draw(t, "its epoch")
		}
		if rapid.Bool().Draw(t, "of a day") {
			m.Day = budget.Reservation{Day: time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "day"), 0), Calls: int(rapid.Int32Min(0).Draw(t, "calls"))}
		}
		text, left := m.Encode(topicID, next)
		if len(text) > 4096 {
			t.Fatalf("%d bytes", len(text))
		}
		if left > 0 && len(text) < 4096-18 {
			t.Fatalf("%d ranges are left out of only %d bytes", left, len(text))
		}
		got, err := DecodeMetadata(text, topicID, next)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(m.Finished) - len(got.Finished) + len(m.Doubt.Held) - len(got.Doubt.Held); n != left {
			t.Fatalf("%d ranges are lost, %d were said to be left out", n, left)
		}
		m.Finished, m.Doubt.Held = m.Finished[:len(got.Finished)], m.Doubt.Held[:len(got.Doubt.Held)]
		if text == "" {
			m.FinishedEpoch = -1 // nothing is said of nothing
		}
		if d := cmp.Diff(m, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestAThousandSingleRangesFit(t *testing.T) {
	t.Parallel()
	var all []connector.Range
	for i := range int64(1500) {
		all = append(all, connector.Range{First: 1_000_000 + 3*i, Last: 1_000_001 + 3*i})
	}
	m := Metadata{Finished: all, FinishedEpoch: 7}
	if _, left := m.Encode(topicID, 999_000); left > 100 {
		t.Errorf("only %d ranges fit", len(all)-left)
	}
}

func TestOtherMetadataIsToldApart(t *testing.T) {
	t.Parallel()
	full := Metadata{
		Finished: []connector.Range{{First: 7, Last: 9}, {First: 12, Last: 12}}, FinishedEpoch: 3,
		Doubt: connector.Doubt{Since: time.UnixMilli(1_800_000_000_000), Reach: 20, Epoch: 3, Held: []connector.Range{{First: 6, Last: 6}}},
	}
	good, _ := full.Encode(topicID, 5)
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		text  string
		topic [16]byte
		want  error
	}{
		"none":                  {"", topicID, nil},
		"ours":                  {good, topicID, nil},
		"a member id":           {"kgo-5f2d", topicID, errForeign},
		"another version":       {strings.Replace(good, "3:", "2:", 1), topicID, errForeign},
		"a deleted topic":       {good, [16]byte{9}, errTopic},
		"a character is wrong":  {string(flipped), topicID, errDamaged},
		"cut off":               {good[:len(good)-4], topicID, errDamaged},
		"nothing behind prefix": {metadataPrefix, topicID, errDamaged},
		"no base64":             {metadataPrefix + "!!", topicID, errDamaged},
	} {
		m, err := DecodeMetadata(c.text, c.topic, 5)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil && (m.Finished != nil || m.Doubt.Held != nil || !m.Doubt.Since.IsZero()) {
			t.Errorf("%s: it says something in spite of the error", name)
		}
	}
}

func FuzzDecodeMetadata(f *testing.F) {
	m := Metadata{
		Finished: []connector.Range{{First: 7, Last: 9}}, FinishedEpoch: 3,
		Doubt: connector.Doubt{Since: time.UnixMilli(1_800_000_000_000), Reach: 20, Epoch: 3, Held: []connector.Range{{First: 6, Last: 6}}},
	}
	good, _ := m.Encode(topicID, 5)
	f.Add(good, int64(5))
	f.Add(metadataPrefix, int64(0))
	f.Add("consumer-1", int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, text string, next int64) {
		if next < 0 {
			return
		}
		// The content with a right checksum, so that the fuzzer comes past it.
		if raw, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(text, metadataPrefix)); err == nil && len(raw) > 16 {
			text = metadataPrefix + base64.RawStdEncoding.EncodeToString(summed(append(topicID[:], raw[16:]...)))
		}
		m, err := DecodeMetadata(text, topicID, next)
		if err != nil {
			return
		}
		if m.FinishedEpoch < -1 || m.Doubt.Epoch < -1 || !m.Doubt.Since.IsZero() && m.Doubt.Reach < next-1 {
			t.Fatalf("%+v after offset %d", m, next)
		}
		for _, ranges := range [][]connector.Range{m.Finished, m.Doubt.Held} {
			at := next
			for _, r := range ranges {
				if r.First < at || r.Last < r.First || r.Last == math.MaxInt64 {
					t.Fatalf("range %v behind %d", r, at)
				}
				at = r.Last + 1
			}
		}
	})
}
