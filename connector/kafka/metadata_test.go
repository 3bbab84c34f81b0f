package kafka

import (
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leadsink/leadsink/connector"
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
		epoch := rapid.Int32Range(-1, math.MaxInt32).Draw(t, "epoch")
		all := ranges(t, next)
		text, kept := EncodeMetadata(topicID, next, all, epoch)
		if len(text) > 4096 {
			t.Fatalf("%d bytes", len(text))
		}
		if kept < len(all) && len(text) < 4096-12 {
			t.Fatalf("%d of %d ranges in only %d bytes", kept, len(all), len(text))
		}
		got, gotEpoch, err := DecodeMetadata(text, topicID, next)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(all[:kept], got, cmp.Comparer(func(a, b []connector.Range) bool { return slices.Equal(a, b) })); d != "" {
			t.Fatal(d)
		}
		if kept > 0 && gotEpoch != epoch {
			t.Fatalf("epoch %d, want %d", gotEpoch, epoch)
		}
	})
}

func TestAThousandSingleRangesFit(t *testing.T) {
	t.Parallel()
	var all []connector.Range
	for i := range int64(1500) {
		all = append(all, connector.Range{First: 1_000_000 + 3*i, Last: 1_000_001 + 3*i})
	}
	if _, kept := EncodeMetadata(topicID, 999_000, all, 7); kept < 1400 {
		t.Errorf("only %d ranges fit", kept)
	}
}

func TestOtherMetadataIsToldApart(t *testing.T) {
	t.Parallel()
	good, _ := EncodeMetadata(topicID, 5, []connector.Range{{First: 7, Last: 9}, {First: 12, Last: 12}}, 3)
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
		"another version":       {strings.Replace(good, "1:", "2:", 1), topicID, errForeign},
		"a deleted topic":       {good, [16]byte{9}, errTopic},
		"a character is wrong":  {string(flipped), topicID, errDamaged},
		"cut off":               {good[:len(good)-4], topicID, errDamaged},
		"nothing behind prefix": {metadataPrefix, topicID, errDamaged},
		"no base64":             {metadataPrefix + "!!", topicID, errDamaged},
	} {
		ranges, _, err := DecodeMetadata(c.text, c.topic, 5)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil && ranges != nil {
			t.Errorf("%s: ranges in spite of the error", name)
		}
	}
}

func FuzzDecodeMetadata(f *testing.F) {
	good, _ := EncodeMetadata(topicID, 5, []connector.Range{{First: 7, Last: 9}}, 3)
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
		ranges, epoch, err := DecodeMetadata(text, topicID, next)
		if err != nil {
			return
		}
		if epoch < -1 {
			t.Fatalf("epoch %d", epoch)
		}
		at := next
		for _, r := range ranges {
			if r.First < at || r.Last < r.First || r.Last == math.MaxInt64 {
				t.Fatalf("range %v behind %d", r, at)
			}
			at = r.Last + 1
		}
	})
}
