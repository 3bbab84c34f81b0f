package kafka

import (
	"encoding/base64"
	"errors"
	"math"
	"math/rand/v2"
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

// merged joins ranges that touch.
func merged(ranges []connector.Range) (all []connector.Range) {
	for _, r := range ranges {
		if last := len(all) - 1; last >= 0 && all[last].Last+1 == r.First {
			all[last].Last = r.Last
			continue
		}
		all = append(all, r)
	}
	return all
}

func TestMetadataComesBackAsItWasWrittenAsFarAsItFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		next := rapid.Int64Range(0, 1<<50).Draw(t, "next")
		most := rapid.SampledFrom([]int{128, 500, 4096}).Draw(t, "most")
		epoch := rapid.Int32Range(-1, math.MaxInt32)
		m := Metadata{Finished: ranges(t, next), FinishedEpoch: epoch.Draw(t, "epoch")}
		m.Doubt.Held, m.Doubt.Epoch = ranges(t, next), epoch.Draw(t, "its epoch")
		if rapid.Bool().Draw(t, "in doubt") {
			m.Doubt.Since = time.UnixMilli(rapid.Int64Range(1, 1<<45).Draw(t, "since"))
			m.Doubt.Reach = next - 1 + rapid.Int64Range(0, 1<<50).Draw(t, "reach")
		}
		if rapid.Bool().Draw(t, "of a day") {
			m.Day = budget.Reservation{Day: time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "day"), 0), Calls: int(rapid.Int32Min(0).Draw(t, "calls"))}
		}
		if rapid.Bool().Draw(t, "with a start") {
			m.Start = time.UnixMilli(rapid.Int64Range(1, 1<<45).Draw(t, "start"))
		}
		text, left := m.Encode(topicID, next, most)
		if len(text) > most {
			t.Fatalf("%d bytes, %d are taken", len(text), most)
		}
		got, err := DecodeMetadata(text, topicID, next)
		if err != nil {
			t.Fatal(err)
		}
		if left > 0 {
			span := spanOf(most)
			if len(m.Doubt.Held) > 0 {
				span /= 2
			}
			m.Finished, _ = within(m.Finished, next+span)
			m.Doubt.Held, _ = within(m.Doubt.Held, next+span)
		}
		m.Finished, m.Doubt.Held = merged(m.Finished), merged(m.Doubt.Held)
		got.Finished, got.Doubt.Held = merged(got.Finished), merged(got.Doubt.Held)
		if text == "" {
			m.FinishedEpoch, m.Doubt.Epoch = -1, -1 // nothing is said of nothing
		}
		if d := cmp.Diff(m, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestAnyPatternWithinTheSpanFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int{128, 1024, 4096}).Draw(t, "most")
		span, held := spanOf(most), rapid.Bool().Draw(t, "held")
		if held {
			span /= 2
		}
		seed := rapid.Uint64().Draw(t, "seed")
		random := rand.New(rand.NewPCG(seed, 1))
		density := rapid.Float64Range(0, 1).Draw(t, "density")
		next := int64(1) << 40
		m := Metadata{
			FinishedEpoch: math.MaxInt32,
			Doubt:         connector.Doubt{Since: time.UnixMilli(1 << 44), Reach: 1 << 60, Epoch: math.MaxInt32},
			Day:           budget.Reservation{Day: time.Unix(1<<33, 0), Calls: math.MaxInt32},
			Start:         time.UnixMilli(1 << 44),
		}
		for o := next; o < next+span; o++ {
			switch one := (connector.Range{First: o, Last: o}); {
			case random.Float64() < density:
				m.Finished = append(m.Finished, one)
			case held && random.Float64() < 0.5:
				m.Doubt.Held = append(m.Doubt.Held, one)
			}
		}
		m.Finished, m.Doubt.Held = merged(m.Finished), merged(m.Doubt.Held)
		text, left := m.Encode(topicID, next, most)
		if left > 0 || len(text) > most {
			t.Fatalf("%d ranges do not fit, with %d bytes of %d", left, len(text), most)
		}
	})
	if span := spanOf(4096); span < 23_000 {
		t.Errorf("a span of %d offsets, want some 24,000", span)
	}
}

func TestTheFormatBeforeIsRead(t *testing.T) {
	t.Parallel()
	// As the version before wrote it: one range each, no time since when, so no epoch.
	old := append([]byte{}, topicID[:]...)
	old = append(old, 4, 0, 0, 1, 1, 0, 2, 2)
	got, err := DecodeMetadata(runsPrefix+base64.RawStdEncoding.EncodeToString(summed(old)), topicID, 5)
	want := Metadata{
		Finished: []connector.Range{{First: 7, Last: 9}}, FinishedEpoch: 3,
		Doubt: connector.Doubt{Held: []connector.Range{{First: 6, Last: 6}}, Epoch: math.MaxInt32},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}

func TestTheEpochOfHeldRecordsIsKeptWithoutATime(t *testing.T) {
	t.Parallel()
	m := Metadata{FinishedEpoch: -1, Doubt: connector.Doubt{Held: []connector.Range{{First: 6, Last: 6}}, Epoch: 4}}
	text, _ := m.Encode(topicID, 5, metadataMost)
	got, err := DecodeMetadata(text, topicID, 5)
	if err != nil || got.Doubt.Epoch != 4 {
		t.Errorf("epoch %d (%v), want 4: else the next owner takes held records for others, and sends them", got.Doubt.Epoch, err)
	}
}

func TestOtherMetadataIsToldApart(t *testing.T) {
	t.Parallel()
	full := Metadata{
		Finished: []connector.Range{{First: 7, Last: 9}, {First: 12, Last: 12}}, FinishedEpoch: 3,
		Doubt: connector.Doubt{Since: time.UnixMilli(1_800_000_000_000), Reach: 20, Epoch: 3, Held: []connector.Range{{First: 6, Last: 6}}},
	}
	good, _ := full.Encode(topicID, 5, metadataMost)
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
		"another version":       {strings.Replace(good, "4:", "5:", 1), topicID, errNewer},
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
	good, _ := m.Encode(topicID, 5, metadataMost)
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
