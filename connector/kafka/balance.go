package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// single gives every partition to one member, the one that holds most of them
// now; the others stand by, so a member that joins moves nothing. What members
// tell about themselves, and that a partition is given only after its owner has
// let it go, is kgo's cooperative-sticky.
type single struct {
	kgo.GroupBalancer // cooperative-sticky
}

func newSingle() single { return single{kgo.CooperativeStickyBalancer()} }

// ProtocolName keeps members that assign otherwise out of the group.
func (single) ProtocolName() string { return "leadsink-single" }

func (s single) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	b, err := kgo.NewConsumerBalancer(s, members)
	if err != nil {
		return nil, nil, err
	}
	return b, b.MemberTopics(), nil
}

// Balance assigns the partitions of all topics. Topics that only a standby
// reads, as while a new document is rolled out, wait until it becomes active:
// two members at work would share neither the budget nor the order of a lead.
func (single) Balance(b *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	plan := b.NewPlan()
	if active, reads := activeMember(b); active != nil {
		for topic, partitions := range topics {
			if !slices.Contains(reads, topic) {
				continue
			}
			for p := range partitions {
				plan.AddPartition(active, topic, p)
			}
		}
	}
	plan.AdjustCooperative(b)
	return plan
}

// activeMember returns the member that holds most partitions, with the topics
// that it reads; of equals the one with the lowest member id.
func activeMember(b *kgo.ConsumerBalancer) (active *kmsg.JoinGroupResponseMember, reads []string) {
	// A member that missed a rebalance still claims what has been given to
	// another since: of two claims the one of the later generation counts.
	type partition struct {
		topic string
		index int32
	}
	claimed := map[partition]int32{}
	claims := func(meta *kmsg.ConsumerMemberMetadata, visit func(partition)) {
		for _, t := range meta.OwnedPartitions {
			for _, p := range t.Partitions {
				visit(partition{t.Topic, p})
			}
		}
	}
	b.EachMember(func(_ *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		claims(meta, func(p partition) {
			if g, ok := claimed[p]; !ok || meta.Generation > g {
				claimed[p] = meta.Generation
			}
		})
	})
	most := -1
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		held := 0
		claims(meta, func(p partition) {
			if meta.Generation == claimed[p] {
				held++
			}
		})
		if held > most || held == most && m.MemberID < active.MemberID {
			active, reads, most = m, meta.Topics, held
		}
	})
	return active, reads
}
