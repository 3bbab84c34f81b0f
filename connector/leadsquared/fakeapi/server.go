package fakeapi

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
)

// A Reading is how a call with a bad row is answered: LeadSquared does not
// document it, so a client must survive all of them.
type Reading string

// The readings.
const (
	H1       Reading = "h1"        // 200, good rows created, bad ones refused one by one
	H2       Reading = "h2"        // 500 for the whole call, nothing applied
	H2Before Reading = "h2-before" // 500 for the whole call, the rows before the bad one applied
	H2Mixed  Reading = "h2-mixed"  // 500 for the whole call: with the types of leads and inputs as H2Before, with all others as H2
)

// ParseReading returns the reading of the name.
func ParseReading(name string) (Reading, error) {
	if r := Reading(name); slices.Contains([]Reading{H1, H2, H2Before, H2Mixed}, r) {
		return r, nil
	}
	return "", fmt.Errorf("there is no reading %q; choose among h1, h2, h2-before, h2-mixed", name)
}

// A Config is what the fake is like. Its zero value takes any keys, has no
// limits and no faults, and answers at once.
type Config struct {
	AccessKey, SecretKey string          // "" takes anything
	Limits               []budget.Limit  // of bulk calls
	DayStarts            budget.DayStart // when a limit for a day counts anew
	CountThrottled       bool            // calls that are over a limit use it up too: whether LeadSquared's do is unknown
	Account              *Account        // nil: DefaultAccount
	Reading              Reading         // "": H1
	Refuse               float64         // part of rows that are refused for their content, always the same ones
	Rates                map[Fault]float64
	Poison               map[string]Spoil // what rows that hold a word do to their calls
	Seed                 uint64           // of faults by rate
	Latency              time.Duration    // of every answer but those about the fake
	Slow                 time.Duration    // of the fault slow, default 10 s
	LateBy               time.Duration    // of the fault late: from when the client has given up until the call is applied
	ReadLag              time.Duration    // from storing an activity until reads show it
	Way                  time.Duration    // to here and back: half of it each
	CloseIdle            time.Duration    // connections that nobody uses are closed after it; 0: never
	CountOnly            bool             // remember numbers only, for benchmarks
}

// A Server is the fake. Its methods are safe for concurrent use.
type Server struct {
	mux     *http.ServeMux
	serving sync.WaitGroup // requests, late calls among them

	mu         sync.Mutex // guards what follows
	config     Config
	account    Account
	random     *rand.Rand
	windows    []*window
	rates      map[Fault]float64
	poison     map[string]Spoil
	script     []Fault
	reads      Fault // of every read
	activities []Activity
	calls      []Call
	counts     Summary
}

// New returns a fake. The error says what is wrong with the configuration.
func New(c Config) (*Server, error) {
	if !(c.Refuse >= 0 && c.Refuse <= 1) {
		return nil, fmt.Errorf("%v is not a part of rows to refuse; write a number from 0 to 1", c.Refuse)
	}
	s := &Server{config: c, account: DefaultAccount(), random: rand.New(rand.NewPCG(c.Seed, 0)), counts: Summary{Outcomes: map[string]int{}}}
	if c.Account != nil {
		s.account = *c.Account
	}
	if s.config.Reading == "" {
		s.config.Reading = H1
	}
	if s.config.Slow == 0 {
		s.config.Slow = 10 * time.Second
	}
	s.SetLimits(c.Limits)
	if err := s.SetRates(c.Rates); err != nil {
		return nil, err
	}
	if err := s.SetPoison(c.Poison); err != nil {
		return nil, err
	}
	s.routes()
	return s, nil
}

const api = "/v2/ProspectActivity.svc/"

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("POST "+api+"Bulk/CustomActivity/Add/ByLeadId", func(w http.ResponseWriter, r *http.Request) { s.bulk(w, r, false) })
	s.mux.HandleFunc("POST "+api+"Bulk/CustomActivity/Add/ByLeadField", func(w http.ResponseWriter, r *http.Request) { s.bulk(w, r, true) })
	s.mux.HandleFunc("GET /v2/Authentication.svc/UserByAccessKey.Get", s.keyed(s.user))
	s.mux.HandleFunc("POST "+api+"CustomActivity/RetrieveByActivityEvent", s.keyed(s.retrieve))
	s.mux.HandleFunc("GET "+api+"ActivityTypes.Get", s.keyed(s.types))
	s.mux.HandleFunc("GET "+api+"CustomActivity/GetActivitySetting", s.keyed(s.setting))
	s.inspection()
}

// ServeHTTP answers as LeadSquared, and below /_fake/ about itself.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.serving.Add(1)
	defer s.serving.Done()
	if strings.HasPrefix(r.URL.Path, "/_fake/") {
		s.mux.ServeHTTP(w, r)
		return
	}
	if !wait(r, s.config.Way/2) {
		reset(w)
		return
	}
	if d := s.config.Latency + s.config.Way/2; d > 0 {
		w = &wayBack{ResponseWriter: w, request: r, takes: d}
	}
	s.mux.ServeHTTP(w, r)
}

// wait waits, and reports whether the client is still there.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// accepts reports whether the request carries the right keys.
func (s *Server) accepts(r *http.Request) bool {
	q := r.URL.Query()
	access, secret := q.Get("accessKey"), q.Get("secretKey")
	if access == "" && secret == "" {
		access, secret = r.Header.Get("x-LSQ-AccessKey"), r.Header.Get("x-LSQ-SecretKey")
	}
	return (s.config.AccessKey == "" || access == s.config.AccessKey) && (s.config.SecretKey == "" || secret == s.config.SecretKey)
}

func (s *Server) keyed(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.accepts(r) {
			denied(w)
			return
		}
		h(w, r)
	}
}

func denied(w http.ResponseWriter) {
	answer(w, http.StatusUnauthorized, envelope{"Error", "MXInvalidAccessDetailsException", "Invalid Access Details provided."})
}

// maxRows is how many rows a bulk call may have.
const maxRows = 25

// bulk is both bulk calls: it arrives, is counted, goes wrong or is applied, and
// is answered.
func (s *Server) bulk(w http.ResponseWriter, r *http.Request, byField bool) {
	call, over, fault := s.begin()
	switch {
	case !s.accepts(r):
		s.end(call, "denied")
		denied(w)
		return
	case over != nil:
		s.end(call, "throttled")
		answer(w, http.StatusTooManyRequests, envelope{"Error", "MXAPIRateLimitExceededException", overLimit(*over)})
		return
	}
	if byField && r.URL.Query().Get("searchBy") == "" {
		s.end(call, "bad_request")
		answer(w, http.StatusInternalServerError, envelope{"Error", "MXMandatoryAttributeMissingException", "'searchBy' is mandatory"})
		return
	}
	rows, wrong := read(r)
	if wrong != "" {
		s.end(call, "bad_request")
		answer(w, http.StatusBadRequest, envelope{"Error", "MXInvalidInputException", wrong})
		return
	}
	s.note(call, func(c *Call) { c.Rows = len(rows) })
	if fault == TooLarge && len(rows) == 1 {
		fault = NoFault // a call cannot be made smaller, so it would say that the row is bad
	}
	if !fault.applies() {
		s.end(call, string(fault))
		s.answerFault(w, r, fault)
		return
	}
	if fault == Late {
		<-r.Context().Done()
		wait(r.WithContext(context.WithoutCancel(r.Context())), s.config.LateBy)
	}
	if at, spoil := s.spoiler(rows); spoil != NoSpoil {
		s.spoiled(w, r, call, rows, at, spoil, byField)
		return
	}
	results, whole := s.apply(call, rows, byField)
	name := string(fault)
	switch {
	case whole != nil:
		name = "refused"
	case fault == NoFault:
		name = "created"
	}
	s.end(call, name)
	s.answerApplied(w, r, fault, results, whole)
	if r.Context().Err() != nil {
		s.note(call, func(c *Call) { c.Left = true })
	}
}

// begin takes in a call that arrives now.
func (s *Server) begin() (call int, over *budget.Limit, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now() // under the lock: a window's times are in order
	over, alone := s.arrive(now)
	s.counts.Calls++
	if s.counts.First.IsZero() {
		s.counts.First = now
	}
	s.counts.Last = now
	if !s.config.CountOnly {
		s.calls = append(s.calls, Call{At: now})
	}
	if alone {
		s.counts.Violations++
	}
	if over != nil {
		return s.counts.Calls, over, NoFault
	}
	return s.counts.Calls, nil, s.draw()
}

// draw is what happens to the next call. The caller holds mu.
func (s *Server) draw() Fault {
	if len(s.script) > 0 {
		f := s.script[0]
		s.script = s.script[1:]
		return f
	}
	return s.drawByRate()
}

// drawByRate is draw without a script. The caller holds mu.
func (s *Server) drawByRate() Fault {
	if len(s.rates) == 0 {
		return NoFault
	}
	at := s.random.Float64()
	for _, f := range Faults() { // in their order, so that a seed repeats them
		if at -= s.rates[f]; at < 0 {
			return f
		}
	}
	return NoFault
}

func (s *Server) note(call int, change func(*Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if call <= len(s.calls) {
		change(&s.calls[call-1])
	}
}

func (s *Server) end(call int, outcome string) {
	s.note(call, func(c *Call) { c.Outcome = outcome })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Outcomes[outcome]++
}

// read reads the rows of a call, or says what is wrong with it.
func read(r *http.Request) (rows []row, wrong string) {
	const most = 16 << 20
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, "Content-Type must be application/json"
	}
	var plain io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, "the body is not gzip"
		}
		plain = unzipped
	}
	body, err := io.ReadAll(io.LimitReader(plain, most+1))
	if err != nil || len(body) > most {
		return nil, "the body cannot be read"
	}
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, "Unexpected character encountered while parsing value: " + err.Error()
	}
	if len(rows) == 0 || len(rows) > maxRows {
		return nil, fmt.Sprintf("%d activities; a call takes 1 to %d", len(rows), maxRows)
	}
	return rows, ""
}

// A result is what became of a row.
type result struct {
	id     string
	reason *refusal
}

// apply creates what the account takes, as the reading says. whole is why the
// call is refused as a whole, or nil.
func (s *Server) apply(call int, rows []row, byField bool) (results []result, whole *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, arrived := time.Now(), time.Now()
	if call <= len(s.calls) {
		arrived = s.calls[call-1].At
	}
	results = make([]result, len(rows))
	for i := range rows {
		results[i].reason = s.judge(&rows[i], byField)
	}
	bad, applied := s.config.Reading.ends(results)
	created, refused := 0, 0
	for i := range rows[:applied] {
		if results[i].reason != nil {
			refused++
			continue
		}
		created++
		results[i].id = s.create(Activity{Call: call, Row: i + 1, At: arrived, Stored: stored}, &rows[i], byField)
	}
	if bad >= 0 {
		refused++
		whole = results[bad].reason
	}
	s.counts.Rows += len(rows)
	s.counts.Created += created
	s.counts.Refused += refused
	if call <= len(s.calls) {
		c := &s.calls[call-1]
		c.Created, c.Refused = created, refused
	}
	return results, whole
}

// judge returns why the row is refused, or nil. The caller holds mu.
func (s *Server) judge(r *row, byField bool) *refusal {
	lead := r.RelatedProspectID
	if byField {
		lead = r.SearchByValue
	}
	if why := s.account.judge(r, lead); why != nil {
		return why
	}
	if why := s.quoted(r); why != nil {
		return why
	}
	if unlucky(r, lead, s.config.Refuse) {
		return &refusal{inputException, "Invalid Input! Parameter Name: " + lead}
	}
	return nil
}

// ends is which row ends its whole call, -1 if none does, and how many rows from
// the first are applied.
func (reading Reading) ends(results []result) (bad, applied int) {
	first := func(is func(*refusal) bool) int {
		return slices.IndexFunc(results, func(r result) bool { return r.reason != nil && is(r.reason) })
	}
	bad = first(func(*refusal) bool { return true })
	switch {
	case bad < 0 || reading == H1:
		return -1, len(results)
	case reading == H2:
		return bad, 0
	case reading == H2Mixed:
		if early := first(func(why *refusal) bool { return why.kind != inputException }); early >= 0 {
			return early, 0
		}
	}
	return bad, bad
}

// create remembers an activity and returns its id. The caller holds mu.
func (s *Server) create(a Activity, r *row, byField bool) string {
	// Like LeadSquared's, ids come in no order: the multiplier is odd, so no two are the same.
	a.ID = fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(a.Call)*0x9e3779b1, a.Row)
	if s.config.CountOnly {
		return a.ID
	}
	a.Lead, a.Code, a.Note, a.Owner, a.Time = r.RelatedProspectID, r.ActivityEvent, r.ActivityNote, r.ActivityOwnerEmail, r.ActivityDateTime
	if byField {
		a.Lead = r.SearchByValue
	}
	if len(r.Fields) > 0 {
		a.Fields = make(map[string]string, len(r.Fields))
		for _, f := range r.Fields {
			a.Fields[f.SchemaName] = f.Value
		}
	}
	s.activities = append(s.activities, a)
	return a.ID
}
