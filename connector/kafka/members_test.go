package kafka

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestEveryMemberKnowsTheGroup(t *testing.T) {
	for name, c := range map[string]struct {
		kind          func(*Settings)
		first, second int // partitions of each member
	}{
		"single": {in(), 4, 0}, "spread": {spread, 2, 2}, "kip848": {kip848, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(4, "events"))
				first := w.join(c.kind)
				if known := first.Members(); known != nil {
					t.Errorf("members %v before anybody was asked", known)
				}
				wait(10 * time.Second)
				second := w.join(c.kind)
				wait(time.Minute)
				for i, m := range []*member{first, second} {
					want := map[bool]int{i == 0: c.first, i != 0: c.second} // by whether it is the one that tells
					known := m.Members()
					if len(known) != 2 || known[0].ID == known[1].ID {
						t.Fatalf("member %d knows %+v, want both", i+1, known)
					}
					for _, k := range known {
						if k.Host == "" || k.Partitions != want[k.Self] {
							t.Errorf("member %d says %+v, want %d partitions", i+1, k, want[k.Self])
						}
					}
				}
				second.leave()
				wait(time.Minute)
				if known := first.Members(); len(known) != 1 || !known[0].Self || known[0].Partitions != 4 {
					t.Errorf("after the other left it knows %+v, want itself with all partitions", known)
				}
			})
		})
	}
}
