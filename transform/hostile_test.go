package transform

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/leadsink/leadsink/transform/decode"
)

// allocated returns the bytes that f allocates, whatever it gives back meanwhile.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// hostileEvent has a list of 20,000 elements beside a text of half a MiB.
func hostileEvent() string {
	text := strings.Repeat("t", 500_000)
	return `{"lead":"L","x":[1` + strings.Repeat(",1", 19_999) + `],"t":"` + text + `","u":"` + text[:90] + `"}`
}

// Every expression that passes the check ends within the budget of steps and
// without making more text than allowed, whatever it is given: what it allocates
// and the steps that it takes are what its time and memory are made of.
func TestNoExpressionHangsOrEatsTheProcess(t *testing.T) {
	big := hostileEvent()
	nested := `{"lead":"L","x":[1` + strings.Repeat(",1", 1000) + `],"y":[[[1` + strings.Repeat(",1", 100_000) + `]]],"z":[[[1` + strings.Repeat(",1", 100_000) + `]]]}`
	for name, c := range map[string]struct{ source, value, says string }{
		"loops in loops":           {`count(event.x, any(event.x, any(event.x, # == 2)))`, big, "a million steps"},
		"a list of lists":          {`map(event.x, map(event.x, #)) | len()`, big, "a million steps"},
		"lists in loops":           {`first(map(event.x, [` + strings.Repeat("#, ", 99) + `#]))[0]`, big, "memory budget"},
		"objects in loops":         {`first(map(event.x, ({` + strings.Repeat(`"a": #, `, 99) + `"b": #}))).a`, big, "memory budget"},
		"texts in loops":           {`map(event.x, event.t + "a") | len()`, big, "16 MiB of text"},
		"texts doubled":            {`let a = event.t + event.t; let b = a + a; len(b)`, big, "longer than 1 MiB"},
		"texts from positions":     {`map(event.x, event.t[1:]) | len()`, big, "16 MiB of text"},
		"texts in upper case":      {`map(event.x, upper(event.t)) | len()`, big, "16 MiB of text"},
		"texts replaced":           {`map(event.x, replace(event.t, "t", "uu")) | len()`, big, "16 MiB of text"},
		"texts split":              {`map(event.x, split(event.t, "")) | len()`, big, "a million steps"},
		"texts joined":             {`map(event.x, join([event.t, event.t], "")) | len()`, big, "16 MiB of text"},
		"texts with long glue":     {`join(event.x, event.t)`, big, "longer than 1 MiB"},
		"hashes of texts":          {`count(event.x, sha256(event.t) == "")`, big, "a million steps"},
		"lengths of texts":         {`count(event.x, len(event.t) == 1)`, big, "a million steps"},
		"texts searched":           {`count(event.x, event.t contains "tu")`, big, "a million steps"},
		"texts searched, indexOf":  {`count(event.x, indexOf(event.t, "tu") > 1)`, big, "a million steps"},
		"texts compared":           {`count(event.x, event.t < event.t + "a")`, big, "16 MiB of text"},
		"a list of long texts":     {`sort(map(event.x, event.t)) | len()`, big, "a million steps"},
		"sorted by long texts":     {`sortBy(event.x, event.t) | len()`, big, "a million steps"},
		"sorted in loops":          {`count(event.x, len(sort(event.x)) == 1)`, big, "a million steps"},
		"patterns":                 {`count(event.x, event.t matches "(t|u)*v")`, big, "a million steps"},
		"a large pattern":          {`event.t matches "[tu]{400}v"`, big, "a million steps"},
		"keys in loops":            {`first(map(event.x, key))[0:1]`, big, ""},
		"headers in loops":         {`first(map(event.x, headers)).h7[0:1]`, big, ""},
		"deep lists compared":      {`count(event.x, event.y == event.z)`, nested, "a million steps"},
		"deep lists on the right":  {`count(event.x, # == event.y)`, nested, "a million steps"},
		"lists that differ":        {`count(event.x, # != event.y)`, nested, "a million steps"},
		"deep lists searched":      {`count(event.x, event.y in [event.z])`, nested, "a million steps"},
		"deep lists on both sides": {`count(event.x, event.z != event.y)`, nested, "a million steps"},
		"a deep list in few":       {`count(event.x, event.z in [1])`, nested, "a million steps"},
		"few in a deep list":       {`count(event.x, # in event.y)`, nested, "a million steps"},
		"few in deep lists":        {`count(event.x, 1 in [event.z])`, nested, "a million steps"},
		"texts on the right":       {`count(event.x, # == event.t)`, big, "a million steps"},
		"texts that differ":        {`count(event.x, # != event.t)`, big, "a million steps"},
		"texts on the left":        {`count(event.x, event.t == #)`, big, "a million steps"},
		"texts that are greater":   {`count(event.x, event.t + "a" > event.t)`, big, "16 MiB of text"},
		"texts in lists":           {`count(event.x, event.t in ["a"])`, big, "a million steps"},
		"texts in objects":         {`count(event.x, event.t in event)`, big, "a million steps"},
		"texts that hold texts":    {`count(event.x, "tu" contains event.t)`, big, "a million steps"},
		"texts that begin":         {`count(event.x, event.t startsWith event.t)`, big, "a million steps"},
		"names of fields":          {`count(event.x, event[event.t] == nil)`, big, "a million steps"},
		"names in objects":         {`count(event.x, ({(event.t): 1}) != nil)`, big, "a million steps"},
		"deep lists, their most":   {`count(event.x, max(event.y) == 2)`, nested, "a million steps"},
		"times in loops":           {`count(event.x, timeIn(event.u, "Asia/Kolkata") == nil)`, big, "not a time"},
		"numbers with decimals":    {`map(event.x, fixed(event.u, 20)) | len()`, big, "not a number"},
		"whole text as a field":    {`event.t`, big, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Default()
			cfg.Rules = []Rule{{Lead: "event.lead", Activity: "1", Note: c.source}}
			rules := compile(t, cfg, "")
			r := record(c.value)
			r.Key = []byte(strings.Repeat("k", 1<<20))
			for i := range 1000 {
				r.Headers = append(r.Headers, Header{fmt.Sprint("h", i), r.Key[:1000]})
			}
			steps, made := 0, 0
			var m Mapping
			spent := allocated(func() { m = mapCounting(rules, r, &steps, &made) })
			if (m.Decision == Send) != (c.says == "") || !strings.Contains(m.Reason.Message, c.says) {
				t.Errorf("it ends with %+v, want %q", m.Reason, c.says)
			}
			// The step that goes beyond is taken: it is that of one list or text.
			if steps > 2*maxSteps || made > maxMade+2<<20 {
				t.Errorf("%d steps, %d bytes of text", steps, made)
			}
			// Most of it is garbage at once; what is held is text, within maxMade, and
			// elements, of which there are no more than steps.
			if spent > 1<<30 {
				t.Errorf("%d MiB are allocated", spent>>20)
			}
		})
	}
}

// mapCounting maps a record and tells what was spent.
func mapCounting(rules *Rules, r *Record, steps, made *int) Mapping {
	event, err := rules.decode.Decode(r.Value, nil)
	if err != nil {
		panic(err)
	}
	*rules.scope = scope{record: r, event: event}
	m := rules.apply()
	*steps, *made = rules.scope.steps, rules.scope.made
	return m
}

// What is refused before the start is refused without first becoming large.
func TestNoExpressionIsLargeWhileItIsChecked(t *testing.T) {
	for name, c := range map[string]struct{ source, says string }{
		"brackets":              {strings.Repeat("(", 15_000), "brackets are nested more than 100 deep"},
		"lists":                 {strings.Repeat("[", 101) + strings.Repeat("]", 101), "brackets are nested more than 100 deep"},
		"objects":               {strings.Repeat("{a:", 5000), "brackets are nested more than 100 deep"},
		"calls":                 {strings.Repeat("len(", 4000), "brackets are nested more than 100 deep"},
		"signs":                 {strings.Repeat("-", 16_000) + "1", "more than 1000 parts"},
		"negations":             {strings.Repeat("not ", 4000) + "true", "more than 1000 parts"},
		"conditions":            {strings.Repeat("true ? 1 : ", 1400) + "1", "more than 1000 parts"},
		"defaults":              {strings.Repeat("1 ?? ", 3000) + "1", "more than 1000 parts"},
		"powers":                {strings.Repeat("2**", 5000) + "2", "more than 1000 parts"},
		"variables":             {strings.Repeat("let a = 1; ", 1400) + "1", ""},
		"pipes":                 {"1" + strings.Repeat("|abs()", 2500), "more than 1000 parts"},
		"fields":                {"event" + strings.Repeat(".a", 8000), "more than 1000 parts"},
		"loops in loops":        {`count(event.x, any(event.x, any(event.x, any(event.x, # == 2))))`, "loops are nested more than 3 deep"},
		"a loop under a pipe":   {`event.x | map(event.x | map(event.x | map(event.x | map(#))))`, "loops are nested more than 3 deep"},
		"a large pattern":       {`key matches "` + strings.Repeat("([a-z]{1000})", 5) + `"`, "the pattern is too large"},
		"a pattern of patterns": {`key matches "((a{30}){30}){30}"`, "the pattern"},
		"a deep pattern":        {`key matches "` + strings.Repeat("(", 5000) + strings.Repeat(")", 5000) + `"`, "the pattern"},
		"a text that is long":   {`"` + strings.Repeat("x", maxSource) + `"`, "longer than 16 KiB"},
		"a number that is long": {strings.Repeat("9", 16_000), "integer literal"},
		"brackets in a text":    {`"` + strings.Repeat("(", 5000) + `"`, ""},
		"brackets in quotes":    {`'\'' + "\"" + ` + "`" + strings.Repeat("(", 200) + "`", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Default()
			cfg.Rules = []Rule{{Lead: `"L"`, Activity: "1", Note: c.source}}
			var problems []Problem
			spent := allocated(func() { _, problems = Compile(cfg, decode.Default(), nil) })
			got := ""
			if len(problems) > 0 {
				got = problems[0].Error()
			}
			if !strings.Contains(got, c.says) || c.says != "" && len(problems) != 1 {
				t.Errorf("got %v, want %q", problems, c.says)
			}
			if spent > 16<<20 {
				t.Errorf("%d KiB are allocated", spent>>10)
			}
		})
	}
}
