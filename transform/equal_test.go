package transform

import (
	"testing"

	"github.com/leadsink/leadsink/transform/decode"
)

func TestNumbersAreComparedWithEveryDigitHoweverDeepTheyAre(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{`9223372036854775807`, `9223372036854775808`, false},
		{`18446744073709551615`, `18446744073709551614`, false},
		{`18446744073709551615`, `18446744073709551615`, true},
		{`{"n": [1.5, 18446744073709551615]}`, `{"n": [1.50, 18446744073709551615]}`, true},
		{`{"n": [1.5, 18446744073709551615]}`, `{"n": [1.50, 18446744073709551614]}`, false},
		{`{"n": 1}`, `{"n": 1, "m": null}`, false},
		{`1`, `1.0`, true},
		{`[1]`, `[1, 2]`, false},
		{`[]`, `{}`, false},
		{`null`, `0`, false},
	} {
		a, err := decode.JSON([]byte(test.a), 8)
		if err != nil {
			t.Fatal(err)
		}
		b, err := decode.JSON([]byte(test.b), 8)
		if err != nil {
			t.Fatal(err)
		}
		if equal(a, b) != test.want || equal(b, a) != test.want {
			t.Errorf("%s == %s: want %v, both ways", test.a, test.b, test.want)
		}
	}
}

func TestWhatIsRoundedToNothingHasNoSign(t *testing.T) {
	for in, want := range map[string]string{"-0.001": "0.00", "-0.006": "-0.01", "0": "0.00", "-1": "-1.00"} {
		if got, err := fixed(in, 2); err != nil || got != want {
			t.Errorf("fixed(%s, 2): %v, %v; want %s", in, got, err, want)
		}
	}
}
