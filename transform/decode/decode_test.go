package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/config/setting"
)

func TestNumbersKeepTheirDigits(t *testing.T) {
	for in, want := range map[string]string{
		"0":                       "0",
		"-0":                      "0",
		"9223372036854775807":     "9223372036854775807",
		"-9223372036854775808":    "-9223372036854775808",
		"9223372036854775808":     "9223372036854775808",
		"12345678901234567890123": "12345678901234567890123",
		"1299.50":                 "1299.50",
		"-0.0":                    "-0.0",
		"1e3":                     "1000",
		"1.5E+3":                  "1500",
		"1.2345e2":                "123.45",
		"-12e-1":                  "-1.2",
		"1.5e-7":                  "0.00000015",
		"0.5e1":                   "5",
		"0e9":                     "0",
		"1e-400":                  "0." + strings.Repeat("0", 399) + "1",
	} {
		v, err := JSON([]byte(in), 1)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		var got string
		switch v := v.(type) {
		case int:
			b, _ := json.Marshal(v)
			got = string(b)
		case Number:
			got = v.String()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestANumberIsWrittenAsItCameIn(t *testing.T) {
	v, err := JSON([]byte(`[1.50e+3]`), 1)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := json.Marshal(v); err != nil || string(out) != `[1.50e+3]` {
		t.Errorf("%s, %v", out, err)
	}
}

func TestWhatIsNoEventIsExplainedWithItsPlace(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "byte 0: the value is empty; a JSON document was expected",
		" \n":                           "byte 2: the value is empty; a JSON document was expected",
		`{"a":1} {"a":2}`:               "byte 8: more follows after the JSON document; send one document per record",
		`{"a":1`:                        "byte 6: the document ends too early: a comma or } was expected",
		`{"a" 1}`:                       "byte 5: a colon was expected; is this JSON?",
		`{a:1}`:                         "byte 1: a name in double quotes was expected; is this JSON?",
		`{"a":1,}`:                      "byte 7: a name in double quotes was expected; is this JSON?",
		`[1 2]`:                         "byte 3: a comma or ] was expected; is this JSON?",
		`[1,]`:                          "byte 3: a value was expected; is this JSON?",
		`nul`:                           "byte 0: null was expected; is this JSON?",
		`NaN`:                           "byte 0: a value was expected; is this JSON?",
		`01`:                            "byte 1: more follows after the JSON document; send one document per record",
		`1.`:                            "byte 2: the document ends too early: a digit was expected",
		`-a`:                            "byte 1: a digit was expected; is this JSON?",
		`1e999`:                         "byte 0: the number is too large or has too many digits; send it as text",
		`1e-1001`:                       "byte 0: the number is too large or has too many digits; send it as text",
		"0." + strings.Repeat("1", 999): "byte 0: the number is too large or has too many digits; send it as text",
		`"abc`:                          "byte 4: the document ends too early: a closing double quote was expected",
		"\"a\nb\"":                      "byte 2: a control character in a string must be escaped",
		`"\x"`:                          "byte 1: an escape sequence was expected; is this JSON?",
		`"\u12g4"`:                      "byte 1: four hexadecimal digits after \\u was expected; is this JSON?",
		"\"ab\xc3\"":                    "byte 3: the value is not valid UTF-8; encode it as UTF-8",
		"{\"\\n\xed\xa0\x80\":1}":       "byte 4: the value is not valid UTF-8; encode it as UTF-8",
		"\x00\x00\x00\x00\x01test":      "byte 0: a value was expected; is this JSON?",
		"[[[[[1]]]]]":                   "byte 4: the document is nested too deep; flatten it or raise decode.max_depth",
		`{"a":[{"b":[{}]}]}`:            "byte 12: the document is nested too deep; flatten it or raise decode.max_depth",
	} {
		if _, err := JSON([]byte(in), 4); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", in, err, want)
		}
	}
}

func TestDeepNestingIsRefusedWithoutRecursion(t *testing.T) {
	deep := []byte(strings.Repeat(`[`, 1<<20))
	if _, err := JSON(deep, 64); err == nil || !strings.HasPrefix(err.Error(), "byte 64: ") {
		t.Error(err)
	}
}

func TestALargerValueThanTheLimitIsNotDecoded(t *testing.T) {
	c := Default()
	c.MaxBytes = 4
	d := NewDecoder(c)
	if v, err := d.Decode([]byte(`1234`), none); v != 1234 || err != nil {
		t.Error(v, err)
	}
	want := &Error{TooLarge: true, Text: "the value has 5 bytes, the limit is 4; raise decode.max_bytes or send less"}
	_, err := d.Decode([]byte(`12345`), none)
	if diff := cmp.Diff(want, err); diff != "" {
		t.Error(diff)
	}
}

// none are no headers.
func none(func(string, []byte) bool) {}

func TestTheSectionIsValidated(t *testing.T) {
	if problems := Default().Validate(); problems != nil {
		t.Error(problems)
	}
	var got []string
	for _, c := range []Config{
		{Format: "avro", MaxBytes: 64<<20 + 1, MaxDepth: 1001},
		{Format: "xml", Envelope: "soap", MaxBytes: 1, MaxDepth: 1},
		{Format: "json", Registry: RegistryConfig{URL: "http://registry"}, MaxBytes: 1, MaxDepth: 1},
		{Format: "protobuf", Registry: RegistryConfig{URL: "registry:8081", Username: setting.NewSecret("u"), CertFile: "c"}, MaxBytes: 1, MaxDepth: 1},
		{Format: "protobuf", Registry: RegistryConfig{URL: "http://u:p@registry", Username: setting.NewSecret("u"), Password: setting.NewSecret("p"), Token: setting.NewSecret("t")}, MaxBytes: 1, MaxDepth: 1},
		{Format: "json_schema", Registry: RegistryConfig{URL: "https://registry", Token: setting.NewSecret("t")}, MaxBytes: 1, MaxDepth: 1},
	} {
		for _, p := range c.Validate() {
			got = append(got, p.Error())
		}
	}
	want := []string{
		`registry.url: is missing; write the registry's address, for instance https://registry.example.com:8081`,
		`max_bytes: 67108865 bytes is out of range; write a size from 1B to 64MiB`,
		`max_depth: 1001 is out of range; write a whole number from 1 to 1000`,
		`format: "xml" is not a format; write json, avro, protobuf, json_schema or cloudevents`,
		`envelope: "soap" is not an envelope; write debezium, or leave it out`,
		`registry: has no effect, for json has no schemas; remove it, or write format: avro, protobuf or json_schema`,
		`registry.url: is not a web address; write the registry's address, for instance https://registry.example.com:8081`,
		`registry.username: needs registry.password beside it, and the other way round; write both or none`,
		`registry.cert_file: needs registry.key_file beside it, and the other way round; write both or none`,
		`registry.url: holds a user; write it in registry.username and registry.password`,
		`registry.token: stands beside registry.username; write one of the two`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// JSON accepts what encoding/json accepts and reads it alike, apart from what
// its comment names.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00\n",true,false,null],"a":{}}`, `"\ud800"`, `"\ud800\ud800\udc00"`, ` [ ] `, `12345678901234567890`,
		`{"a":{"a":{"a":[[[]]]}}}`, "\"\xff\"", `1e400`, `"\`, `-`, "\ufeff1", "\"\x7f\"", "1 ", "[1,]",
	} {
		f.Add([]byte(seed))
	}
	const depth = 8
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := JSON(in, depth)
		d := json.NewDecoder(bytes.NewReader(in))
		d.UseNumber()
		var want any
		wantErr := d.Decode(&want)
		if wantErr == nil && !json.Valid(in) {
			return // a second document
		}
		if err == nil {
			if wantErr != nil {
				t.Fatalf("accepted what encoding/json refuses: %v", wantErr)
			}
			if !alike(got, want) {
				t.Fatalf("got %#v, want %#v", got, want)
			}
			return
		}
		at, ok := errors.AsType[*Error](err)
		if !ok || at.Offset < 0 || at.Offset > len(in) {
			t.Fatalf("%v: %d bytes", err, len(in))
		}
		if wantErr == nil && utf8.Valid(in) && deep(want) <= depth && !strings.Contains(err.Error(), "the number is") {
			t.Fatalf("refused what encoding/json accepts: %v", err)
		}
	})
}

// alike reports whether an event is what encoding/json made of it.
func alike(got, want any) bool {
	switch want := want.(type) {
	case json.Number:
		switch got := got.(type) {
		case int:
			n, err := want.Int64()
			return err == nil && int64(got) == n
		case Number:
			f, err := want.Float64()
			return err == nil && got.Float() == f && got.text == string(want)
		}
		return false
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for i := range list {
			if !alike(list[i], want[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok || len(object) != len(want) {
			return false
		}
		for name := range want {
			if !alike(object[name], want[name]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(got, want)
}

func deep(v any) int {
	most := 0
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			most = max(most, deep(element))
		}
	case map[string]any:
		for _, field := range v {
			most = max(most, deep(field))
		}
	default:
		return 0
	}
	return most + 1
}
