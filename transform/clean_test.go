package transform

import (
	"strings"
	"testing"
	"time"

	"github.com/leadsink/leadsink/transform/decode"
)

func TestPhoneNumbersGetOneForm(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"98450 12345", "91"}:              "+91-9845012345",
		{"098450-12345", "91"}:             "+91-9845012345",
		{"+91-9845012345", "1"}:            "+91-9845012345",
		{"0091 98450 12345", "1"}:          "+91-9845012345",
		{"919845012345", "91"}:             "+91-9845012345",
		{"9198450123", "91"}:               "+91-9198450123", // ten digits: a number that begins like the code
		{"+91 098450 12345", "91"}:         "+91-9845012345",
		{" tel:+44 (0)20 7946 0958", "91"}: "+44-2079460958",
		{"(415) 555-0132", "1"}:            "+1-4155550132",
		{"1 415 555 0132", "+1"}:           "+1-4155550132",
		{"8 (912) 345-67-89", "7"}:         "+7-9123456789",
		{"07 07 12 34 56", "225"}:          "+225-0707123456",
		{"+242 06 123 4567", "91"}:         "+242-061234567",
		{"06 1234 5678", "39"}:             "+39-0612345678", // Italy keeps its zero
		{"+39 06 1234 5678", "91"}:         "+39-0612345678",
		{"030/123456", "49"}:               "+49-30123456",
		{"+353 1 234 5678", "91"}:          "+353-12345678",
		{"98450\u00a012345", "91"}:         "+91-9845012345",
		{"98450\u201112345", "91"}:         "+91-9845012345",
		{"n/a", "91"}:                      "",
		{"", "91"}:                         "",
		{"12", "91"}:                       "",
		{"98450 12345 ext 7", "91"}:        "",
		{"+0 98450 12345", "91"}:           "",
		{"+28 98450 12345", "91"}:          "",
		{"98450+12345", "91"}:              "",
		{strings.Repeat("9", 40), "91"}:    "",
		{"+1234567890123456", "91"}:        "",
	} {
		got, err := phone("-")(in[0], in[1])
		if got == nil {
			got = ""
		}
		if err != nil || got != want {
			t.Errorf("%q in %s: got %v, %v, want %q", in[0], in[1], got, err, want)
		}
	}
	for _, code := range []any{"", "0", "IN", "9", "911", 28, "+", nil, "91 "} {
		_, err := phone("")("98450 12345", code)
		if (err == nil) != (code == "91 ") {
			t.Errorf("the code %v: %v", code, err)
		}
	}
}

func TestAddressesGetOneForm(t *testing.T) {
	for in, want := range map[string]any{
		"asha.rao@example.com":                     "asha.rao@example.com",
		" Asha Rao <Asha.Rao@Example.COM> ":        "asha.rao@example.com",
		"mailto:a+b@example.co.in":                 "a+b@example.co.in",
		"a@example.com, b@example.com":             nil,
		"a@localhost":                              nil,
		"none":                                     nil,
		"a b@example.com":                          nil,
		`"a b"@example.com`:                        nil,
		strings.Repeat("a", 300) + "@example.com":  nil,
		strings.Repeat("a", 2000) + "@example.com": nil,
	} {
		if got, err := email(in); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
}

func TestTheUsualFormsOfTimesAreRead(t *testing.T) {
	india, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	for form, want := range map[string]time.Time{
		"2026-11-23T09:30:00Z":                    at,
		"2026-11-23T15:00:00+05:30":               at,
		"2026-11-23T15:00:00+05:30[Asia/Kolkata]": at,
		"2026-11-23T15:00:00.250+0530":            at.Add(250 * time.Millisecond),
		"2026-11-23 15:00:00 +0530":               at,
		"2026-11-23 15:00:00+05:30":               at,
		"2026-11-23 09:30:00 UTC":                 at,
		"2026-11-23T09:30Z":                       at,
		"20261123T093000Z":                        at,
		"Mon, 23 Nov 2026 09:30:00 GMT":           at,
		"Mon, 23 Nov 2026 15:00:00 +0530":         at,
		"/Date(1795426200000)/":                   at,
		"/Date(1795426200000+0530)/":              at,
		// without a zone: in the one given
		"2026-11-23 15:00:00":      at,
		"2026-11-23T15:00:00.000":  at,
		"2026-11-23 15:00":         at,
		"2026-11-23T15:00":         at,
		" 2026/11/23 15:00:00 ":    at,
		"20261123T150000":          at,
		"23 Nov 2026 15:00:00":     at,
		"Mon Nov 23 15:00:00 2026": at,
		"2026-11-23":               at.Add(-15 * time.Hour),
		"2026/11/23":               at.Add(-15 * time.Hour),
		"20261123":                 at.Add(-15 * time.Hour),
		"23 Nov 2026":              at.Add(-15 * time.Hour),
		"23 November 2026":         at.Add(-15 * time.Hour),
		"Nov 23, 2026":             at.Add(-15 * time.Hour),
		"November 23, 2026":        at.Add(-15 * time.Hour),
	} {
		if got, err := parseTime(form, india); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", form, got, err, want)
		}
	}
	for _, form := range []string{"", "02/01/2006", "2026-02-30", "1795426200", "tomorrow", "/Date(x)/", strings.Repeat("2", 1000), "Mon, 23 Nov 2026 15:00:00 IST", "/Date(999999999999999)/", "/Date(-99999999999999)/", "0000-01-01", "9999-12-31T23:00:00-05:00"} {
		if got, err := parseTime(form, india); err == nil {
			t.Errorf("%q is read as %v", form, got)
		}
	}
}

func TestFunctionsKeepDigitsAndRefuseWhatIsNone(t *testing.T) {
	for source, want := range map[string]string{
		`fixed(event.long, 2)`:                                        "123456789012345678901234567890.00",
		`fixed(event.total, 0)`:                                       "1300",
		`fixed(-2.5, 0)`:                                              "-3",
		`fixed("0.125", 2)`:                                           "0.13",
		`fixed(event.note, 2) ?? "none"`:                              "none",
		`fixed("x", 2)`:                                               "the text is not a number",
		`fixed("1/3", 2)`:                                             "the text is not a number",
		`fixed(1, event.count * 10)`:                                  "not a whole number from 0 to 20",
		`sum([event.id, event.id, event.id])`:                         "3703703670370370367",
		`sum(map(event.items, event.id * 4))`:                         "digits would be lost",
		`sum([event.type, 1])`:                                        "sum: element 0 is text, not a number",
		`sum(event.note)`:                                             "0",
		`unixMicro(1795426200000000)`:                                 "2026-11-23 09:30:00",
		`unixMicro(split("1795426200000000", ",")[0])`:                "2026-11-23 09:30:00",
		`timeIn(event.at, "Asia/Kolkata")`:                            "2026-11-23 04:00:00",
		`timeIn(timestamp, "Asia/Kolkata")`:                           "2026-11-23 09:30:15",
		`timeIn(event.note, "Asia/Kolkata") ?? "none"`:                "none",
		`timeIn(event.at, event.type)`:                                "the zone is not known",
		`timeIn(event.count, "UTC")`:                                  "it is a number, not a time",
		`"at " + leadsquaredTime("2026-11-23")`:                       "at 2026-11-23 00:00:00",
		`leadsquaredTime(event.type)`:                                 "the text is not a time",
		`uuid5("dns", "python.org")`:                                  "886313e1-3b8a-5372-9b90-0c9aee199e5d", // of RFC 4122's errata
		`uuid5(event.type, "x")`:                                      "the namespace is no UUID",
		`uuid5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "python.org")`: "886313e1-3b8a-5372-9b90-0c9aee199e5d",
		`event.type matches "^ord"`:                                   "true",
		`event.note matches "x"`:                                      "false",
		`event.count matches "x"`:                                     "matches takes text, it is a number",
	} {
		cfg := Default()
		cfg.Rules = []Rule{{Lead: `"L"`, Activity: "1", Note: source}}
		m := compile(t, cfg, "").Map(record(typical))
		got := m.Reason.Message
		if m.Decision == Send {
			got = m.Activities[0].Note
		}
		if m.Decision == Send && got != want || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}

func TestLiteralsThatAreWrongForEveryEventAreProblems(t *testing.T) {
	for source, want := range map[string]string{
		`time(key, "DD/MM/YYYY")`:                `1:11: "DD/MM/YYYY" is not a layout; write how 2 January 2006, 15:04:05 would be written, such as 2006-01-02`,
		`time(key, "02/01/2006", "IST+5")`:       `1:25: "IST+5" is not a zone; write one of the IANA database, such as Asia/Kolkata, or UTC`,
		`key | timeIn("Local")`:                  `1:14: "Local" is not a zone; write one of the IANA database, such as Asia/Kolkata, or UTC`,
		`timestamp + duration("1 h")`:            `1:22: "1 h" is not a duration; write it like 90s, 30m or 24h`,
		`leadsquaredPhone(key, 910)`:             `1:23: "910" is not the calling code of a country; write it like "91"`,
		`uuid5("shop", key)`:                     `1:7: "shop" is no UUID; write one, or "url", "dns", "oid" or "x500"`,
		`sort(split(key, ","), key)[0]`:          `1:23: the order of sort is neither "asc" nor "desc"; write one of them, in quotes; for an order that depends on the event, choose between two lists with ? :`,
		`split(key, ",") | sort("up") | first()`: `1:24: the order of sort is neither "asc" nor "desc"; write one of them, in quotes; for an order that depends on the event, choose between two lists with ? :`,
		`sortBy(event.x, #.a, topic)[0].a`:       `1:22: the order of sortBy is neither "asc" nor "desc"; write one of them, in quotes; for an order that depends on the event, choose between two lists with ? :`,
		`sort(split(key, ","), "desc")[0]`:       "",
		`sortBy(event.x, .a, "asc")[0].a`:        "",
		`time(key, key)`:                         "",
		`formatTime(timestamp, "15:04", "UTC")`:  "",
		`formatTime(timestamp, "3 PM")`:          "",
		`phone(key, 91)`:                         "",
	} {
		_, problems := Compile(Config{
			Otherwise: "skip", OnError: "halt", Tombstones: "skip", Rules: []Rule{{Lead: `"L"`, Activity: "1", Note: source}},
		}, decode.Default(), nil)
		got := ""
		if len(problems) > 0 {
			got = strings.TrimPrefix(problems[0].Error(), "rules[0].note: ")
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", source, got, want)
		}
	}
}
