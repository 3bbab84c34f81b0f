package kafka

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A claim is what a member tells about itself when it joins.
type claim struct {
	id         string
	instance   string
	topics     []string
	holds      map[string][]int32
	generation int32
}

// balance returns what each member is given, without those that stand by.
func balance(t *testing.T, topics map[string]int32, claims ...claim) map[string]map[string][]int32 {
	t.Helper()
	s := newSingle()
	var members []kmsg.JoinGroupResponseMember
	for _, c := range claims {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID = c.id
		if c.instance != "" {
			m.InstanceID = new(c.instance)
		}
		m.ProtocolMetadata = s.JoinGroupMetadata(c.topics, c.holds, c.generation)
		members = append(members, m)
	}
	b, _, err := s.MemberBalancer(members)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := b.(kgo.GroupMemberBalancerOrError).BalanceOrError(topics)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]map[string][]int32{}
	for _, a := range plan.IntoSyncAssignment() {
		parsed, err := s.ParseSyncAssignment(a.MemberAssignment)
		if err != nil {
			t.Fatal(err)
		}
		if len(parsed) > 0 {
			given[a.MemberID] = parsed
		}
	}
	return given
}

func TestEveryPartitionGoesToTheMemberThatHoldsMost(t *testing.T) {
	t.Parallel()
	ab := []string{"a", "b"}
	type partitions = map[string][]int32
	for name, c := range map[string]struct {
		topics map[string]int32
		claims []claim
		want   map[string]partitions
	}{
		"nobody holds anything: the lowest member id": {
			map[string]int32{"a": 2, "b": 1},
			[]claim{{id: "y", topics: ab}, {id: "x", topics: ab}},
			map[string]partitions{"x": {"a": {0, 1}, "b": {0}}},
		},
		"the one that holds all keeps all": {
			map[string]int32{"a": 2, "b": 1},
			[]claim{{id: "x", topics: ab}, {id: "y", topics: ab, holds: partitions{"a": {0, 1}, "b": {0}}, generation: 3}},
			map[string]partitions{"y": {"a": {0, 1}, "b": {0}}},
		},
		"new partitions go to it at once": {
			map[string]int32{"a": 4, "b": 1},
			[]claim{{id: "x", topics: ab}, {id: "y", topics: ab, holds: partitions{"a": {0, 1}, "b": {0}}, generation: 3}},
			map[string]partitions{"y": {"a": {0, 1, 2, 3}, "b": {0}}},
		},
		"what another holds is first let go": {
			map[string]int32{"a": 3},
			[]claim{
				{id: "x", topics: ab, holds: partitions{"a": {2}}, generation: 3},
				{id: "y", topics: ab, holds: partitions{"a": {0, 1}}, generation: 3},
			},
			map[string]partitions{"y": {"a": {0, 1}}},
		},
		"claims of an older generation do not count": {
			map[string]int32{"a": 3},
			[]claim{
				{id: "x", topics: ab, holds: partitions{"a": {0, 1, 2}}, generation: 3},
				{id: "y", topics: ab, holds: partitions{"a": {0, 1}}, generation: 4},
			},
			// x lets go of the third first: it may be at work on it still.
			map[string]partitions{"y": {"a": {0, 1}}},
		},
		"instance ids change nothing": {
			map[string]int32{"a": 2},
			[]claim{
				{id: "x", instance: "1", topics: ab},
				{id: "y", instance: "2", topics: ab, holds: partitions{"a": {0, 1}}, generation: 1},
			},
			map[string]partitions{"y": {"a": {0, 1}}},
		},
		"a topic that only a standby reads waits": {
			map[string]int32{"a": 1, "b": 1},
			[]claim{
				{id: "x", topics: ab},
				{id: "y", topics: []string{"a"}, holds: partitions{"a": {0}}, generation: 1},
			},
			map[string]partitions{"y": {"a": {0}}},
		},
	} {
		if d := cmp.Diff(c.want, balance(t, c.topics, c.claims...)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
