package connector

import (
	"context"
	"testing"

	"github.com/leadsink/leadsink/transform"
)

// A fan makes a thousand activities of every record.
type fan struct{}

func (fan) Prepare(context.Context, *transform.Record) error { return nil }

func (fan) Map(*transform.Record) transform.Mapping {
	return transform.Mapping{Decision: transform.Send, Activities: make([]transform.Activity, 1000)}
}

// A flood is a source of small records.
type flood struct{ Source }

func (flood) Poll(_ context.Context, limit int) ([]Record, error) { return make([]Record, limit), nil }

// The window bounds what activities take, too: a record of a few bytes may make a
// thousand.
func TestTheActivitiesOfARecordAreChargedToTheWindow(t *testing.T) {
	in := &intake{source: flood{}, mapper: fan{}}
	one := mapped{mapping: fan{}.Map(nil)}
	got := in.use(t.Context(), grant{records: 10_000, bytes: 3*one.size() + 1000})
	if len(got.records) != 3 || got.next != one.size() {
		t.Errorf("%d records were taken in, and the next needs %d bytes; want the 3 that have room, and %d", len(got.records), got.next, one.size())
	}
	if len(in.polled) != mostPolled-3 {
		t.Errorf("%d records wait, want the other %d", len(in.polled), mostPolled-3)
	}
	if got := in.use(t.Context(), grant{records: 10_000, bytes: 100}); len(got.records) > 0 || got.next != int64(one.record.Size()) {
		t.Errorf("%d records were taken in without room, next %d", len(got.records), got.next)
	}
	if got := in.use(t.Context(), grant{records: 10_000, bytes: 100, alone: true}); len(got.records) != 1 {
		t.Errorf("%d records were taken in while nothing else is there, want the one that is larger than the window", len(got.records))
	}
	if one.size() < 500_000 {
		t.Errorf("a thousand activities are charged with %d bytes", one.size())
	}
}
