package setting_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/leadsink/leadsink/config/setting"
)

func TestSizesAreWrittenWithUnits(t *testing.T) {
	for text, want := range map[string]setting.Size{
		"32MiB": 32 << 20, "1KiB": 1024, "2GiB": 2 << 30, "5MB": 5_000_000, "3KB": 3000, "1GB": 1e9, "512": 512, "7B": 7, "0": 0,
	} {
		if got, err := setting.ParseSize(text); got != want || err != nil {
			t.Errorf("%s is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "1.5MiB", "-1", "5 MB", "5mb", "9999999999GiB", "99999999999999999999", "0x10"} {
		if got, err := setting.ParseSize(text); err == nil {
			t.Errorf("%q is accepted as %d", text, got)
		}
	}
}

func TestAWrittenSizeIsReadAsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := setting.Size(rapid.Int64Min(0).Draw(t, "size"))
		text, err := size.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back setting.Size
		if err := back.UnmarshalText(text); err != nil || back != size {
			t.Fatalf("%d is written as %s and read as %d, %v", size, text, back, err)
		}
	})
}

func TestDurationsAreWrittenWithoutZeros(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "500ms": 500 * time.Millisecond, "10s": 10 * time.Second, "2m": 2 * time.Minute, "1m30s": 90 * time.Second,
		"10m": 10 * time.Minute, "1h": time.Hour, "20h": 20 * time.Hour, "1h0m1s": time.Hour + time.Second, "1h10m": 70 * time.Minute,
	} {
		if got := setting.Written(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestKeysOfProblemsArePlacedBelowTheirSection(t *testing.T) {
	got := setting.Under("kafka", []setting.Problem{{Key: "sasl.username", Text: "a"}, {Key: "[0]", Text: "b"}, {Text: "c", Line: 2}})
	want := []setting.Problem{{Key: "kafka.sasl.username", Text: "a"}, {Key: "kafka[0]", Text: "b"}, {Key: "kafka", Text: "c", Line: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheNearestNameIsSuggestedOnlyWhenItIsNear(t *testing.T) {
	names := []string{"batch", "linger", "limits", "limits_share", "timeout"}
	for given, want := range map[string]string{
		"bach": "batch", "batches": "batch", "ligner": "linger", "limit": "limits", "limitshare": "limits_share", "tiemout": "timeout",
		"frobnicate": "", "": "", "x": "",
	} {
		if got := setting.Nearest(given, names); got != want {
			t.Errorf("%q: suggested %q, want %q", given, got, want)
		}
	}
}

func TestForeignTextStaysOnOneLine(t *testing.T) {
	if got := setting.Printable("Zürich\n\x1b[31m\u202e!"); got != "Zürich  [31m !" {
		t.Errorf("%q", got)
	}
}
