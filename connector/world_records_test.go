package connector_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// poison are the words by which a record spoils the calls that it is in. Their
// texts hold what a client could take for a limit.
var poison = map[string]fakeapi.Spoil{
	"poison of a failure":  fakeapi.SpoilFailed,
	"poison to leave out":  fakeapi.SpoilLeftOut,
	"poison of a hang":     fakeapi.SpoilHang,
	"poison after storing": fakeapi.SpoilHangAfter,
	"poison to a firewall": fakeapi.SpoilForbidden,
	"quota exceeded":       fakeapi.SpoilQuoted,
	"Daily limit reached":  fakeapi.SpoilQuoted,
}

// wordsOf are the texts that poison a row in this way.
func wordsOf(s fakeapi.Spoil) []string {
	switch s {
	case fakeapi.NoSpoil:
	case fakeapi.SpoilFailed:
		return []string{"a poison of a failure"}
	case fakeapi.SpoilLeftOut:
		return []string{"a poison to leave out"}
	case fakeapi.SpoilHang:
		return []string{"a poison of a hang"}
	case fakeapi.SpoilHangAfter:
		return []string{"a poison after storing"}
	case fakeapi.SpoilForbidden:
		return []string{"a poison to a firewall"}
	case fakeapi.SpoilQuoted:
		return []string{"API quota exceeded, says the customer", "Daily limit reached, call later", "exceeded the limit of 1 in 60 second(s)? quota exceeded"}
	}
	return nil
}

// A kind is what a record of the world is like, and what must become of it.
type kind struct {
	value  string
	to     fate
	double bool
}

// invent makes a record of a random kind and lead.
func (w *world) invent() kind {
	k := kind{to: toDeliver}
	name, lead := "plain", fmt.Sprintf("lead-%d", w.random.IntN(w.leads))
	if n := w.random.IntN(40); n < len(w.poisons) {
		return w.poisonous(w.poisons[n])
	}
	switch w.random.IntN(20) {
	case 0:
		name, k.to = "filtered", toFilter
	case 1:
		lead, k.to = fmt.Sprintf("unknown-%d", w.random.IntN(1000)), toBury
	case 2:
		if !w.holds() { // an operator decides over a record, not over one of its activities
			name, k.double = "double", true
		}
	case 3:
		return kind{value: `{"kind":`, to: toBury} // undecodable
	}
	k.value = fmt.Sprintf(`{"kind":%q,"lead":%q}`, name, lead)
	return k
}

// poisonous makes a record that spoils the calls that its activity is in. Such are of
// half of the leads: where every lane stands behind one, no call is judged, and nobody
// can tell that from an outage.
func (w *world) poisonous(s fakeapi.Spoil) kind {
	words := wordsOf(s)
	k := kind{to: toBury, value: fmt.Sprintf(`{"kind":"plain","lead":"lead-%d","word":%q}`, w.random.IntN(w.leads/2), words[w.random.IntN(len(words))])}
	if s == fakeapi.SpoilHangAfter {
		k.to = toSuffer
	}
	return k
}

// produce writes n records of random kinds and leads.
func (w *world) produce(n int) {
	kinds := make([]kind, n)
	for i := range kinds {
		kinds[i] = w.invent()
	}
	w.write(kinds)
}

// write writes records to random partitions.
func (w *world) write(kinds []kind) {
	w.writeWhere(kinds, func() int32 { return w.random.Int32N(partitions) })
}

// writeTo writes n records that are to be delivered to one partition.
func (w *world) writeTo(partition int32, n int) {
	kinds := make([]kind, n)
	for i := range kinds {
		kinds[i] = kind{value: fmt.Sprintf(`{"kind":"plain","lead":"lead-%d"}`, w.random.IntN(w.leads)), to: toDeliver}
	}
	w.writeWhere(kinds, func() int32 { return partition })
}

func (w *world) writeWhere(kinds []kind, where func() int32) {
	records := make([]*kgo.Record, len(kinds))
	for i, k := range kinds {
		records[i] = &kgo.Record{Topic: topic, Partition: where(), Value: []byte(k.value)}
	}
	w.must(w.client.ProduceSync(context.Background(), records...).FirstErr())
	for i, k := range kinds {
		p := position{records[i].Partition, records[i].Offset}
		w.produced[p] = k.to
		if k.double {
			w.doubles[p] = true
		}
		if strings.Contains(k.value, `"word"`) {
			w.poisoned[p] = true
		}
	}
}

func (w *world) put(partition int32, value string, to fate) position {
	r, err := w.client.ProduceSync(context.Background(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}).First()
	w.must(err)
	p := position{partition, r.Offset}
	w.produced[p] = to
	return p
}

// holds reports whether rows in doubt wait for an operator.
func (w *world) holds() bool { return w.config.OnUnknown == "hold" }

// took notes that a member took a partition up.
func (w *world) took(partition int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owned[partition]++
}
