package connector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

// kafkaSteps are what happens to the cluster and to what may be done with it.
var kafkaSteps = []step{
	{"an election", 2, func(w *world) {
		w.cluster.ShufflePartitionLeaders()
		w.produce(5)
		time.Sleep(time.Second)
	}},
	{"an election and a restart", 1, func(w *world) {
		w.cluster.ShufflePartitionLeaders()
		w.rates(fakeapi.ResetAfter, 0.5)
		w.produce(20)
		time.Sleep(10 * time.Second)
		w.heal()
		time.Sleep(5 * time.Second)
		w.restart()
		time.Sleep(5 * time.Second)
	}},
	{"a restart while nothing comes", 1, func(w *world) {
		w.heal()
		time.Sleep(20 * time.Second)
		if m := w.any(); m != nil {
			m.end()
			<-m.ended
		}
		w.produce(30)
		w.start()
		time.Sleep(5 * time.Second)
	}},
	{"rights withdrawn", 2, func(w *world) { w.withdraw() }},
	{"rights given back", 2, func(w *world) { w.giveBack() }},
	{"a bad record while letters are refused", 1, func(w *world) {
		w.refuse(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.ClusterAuthorizationFailed},
			kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: deadTopic, Err: kerr.TopicAuthorizationFailed})
		w.write([]kind{{value: `{"kind":`, to: toBury}})
		w.produce(20)
		time.Sleep(40 * time.Second)
		w.giveBack()
	}},
	{"small commits only", 1, func(w *world) {
		for p := range int32(partitions) {
			w.refuse(kfake.Fault{
				Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: topic, Partitions: []int32{p}, Err: kerr.OffsetMetadataTooLarge,
				When: func(r kmsg.Request) bool { return metadataOf(r, p) > 300 },
			})
		}
		w.produce(60)
		time.Sleep(10 * time.Second)
	}},
	{"retention", 2, func(w *world) {
		p := w.random.Int32N(partitions)
		end := w.end(p)
		if end < 2 {
			return
		}
		to := max(w.random.Int64N(end), w.cluster.PartitionInfo(topic, p).LogStartOffset)
		w.deleteBefore(p, to)
		w.must(w.cluster.DeleteRecords(topic, p, to))
		w.write(slices.Repeat([]kind{{value: `{"kind":"plain","lead":"lead-1"}`, to: toDeliver}}, 5))
	}},
	{"a topic deleted", 1, func(w *world) { w.deleteOther(); time.Sleep(10 * time.Second); w.produce(20) }},
	{"a topic made anew", 1, func(w *world) {
		if len(w.kafka.Topics) < 2 {
			return
		}
		w.deleteOther()
		time.Sleep(time.Duration(w.random.Int64N(int64(10 * time.Second))))
		w.must(w.cluster.CreateTopic(otherTopic, partitions, nil))
		w.hasOther = true
		w.others(20)
		w.produce(20)
		time.Sleep(20 * time.Second)
	}},
	{"records of the other topic", 3, func(w *world) { w.others(1 + w.random.IntN(30)) }},
	{"partitions added", 1, func(w *world) {
		if w.hasOther {
			_, err := w.admin.UpdatePartitions(context.Background(), w.othersOf()+1, otherTopic)
			w.must(err)
			w.others(20)
		}
		time.Sleep(10 * time.Second)
	}},
}

// restart stops a member in good order and starts another.
func (w *world) restart() {
	if m := w.any(); m != nil {
		m.end()
		<-m.ended
		w.start()
	}
}

// withdraw takes a right from everybody until it is given back.
func (w *world) withdraw() {
	topicFault := func(keys ...kmsg.Key) kfake.Fault {
		return kfake.Fault{Keys: keys, Topic: topic, Err: kerr.TopicAuthorizationFailed}
	}
	rights := [][]kfake.Fault{
		{topicFault(kmsg.Fetch)},
		{{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Partitions: []int32{w.random.Int32N(partitions)}, Err: kerr.TopicAuthorizationFailed}},
		{topicFault(kmsg.OffsetCommit)},
		{{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.GroupAuthorizationFailed}},
		{{Keys: []kmsg.Key{kmsg.Heartbeat, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.OffsetCommit}, Group: group, Err: kerr.GroupAuthorizationFailed}},
		{{Keys: []kmsg.Key{kmsg.Produce}, Topic: deadTopic, Err: kerr.TopicAuthorizationFailed}, {Keys: []kmsg.Key{kmsg.Produce}, Topic: doneTopic, Err: kerr.TopicAuthorizationFailed}},
		{{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.ClusterAuthorizationFailed}},
	}
	w.refuse(rights[w.random.IntN(len(rights))]...)
	time.Sleep(time.Duration(w.random.Int64N(int64(20 * time.Second))))
}

// refuse lets requests fail until rights are given back.
func (w *world) refuse(faults ...kfake.Fault) {
	for i := range faults {
		faults[i].Count = -1
	}
	w.refused = append(w.refused, w.cluster.Fault(faults...))
}

func (w *world) giveBack() {
	for _, h := range w.refused {
		h.Remove()
	}
	w.refused = nil
}

// metadataOf is how long the metadata is that a commit has for a partition.
func metadataOf(r kmsg.Request, partition int32) int {
	for _, t := range r.(*kmsg.OffsetCommitRequest).Topics {
		for _, p := range t.Partitions {
			if p.Partition == partition && p.Metadata != nil {
				return len(*p.Metadata)
			}
		}
	}
	return 0
}

// end is the end of a partition of the topic.
func (w *world) end(partition int32) (end int64) {
	for p := range w.produced {
		if p.partition == partition {
			end = max(end, p.offset+1)
		}
	}
	return end
}

// deleteOther deletes the other topic, with what was not read.
func (w *world) deleteOther() {
	if !w.hasOther {
		return
	}
	w.must(w.cluster.DeleteTopic(otherTopic))
	w.hasOther = false
	w.generation++
	for p := range w.produced {
		if p.partition >= partitions {
			w.produced[p] = toMiss
		}
	}
}

func (w *world) othersOf() int { return len(w.cluster.PartitionInfos(otherTopic)) }

// others writes records to the other topic, if there is one now. Their value
// says which topic of that name they are of.
func (w *world) others(n int) {
	if !w.hasOther {
		return
	}
	w.client.PurgeTopicsFromProducing(otherTopic) // it may be another one, or have grown
	for i := range n {
		r := &kgo.Record{
			Topic: otherTopic, Partition: w.random.Int32N(int32(w.othersOf())),
			Value: fmt.Appendf(nil, `{"kind":"plain","lead":"other-%d","generation":%d}`, i%7, w.generation),
		}
		w.must(w.client.ProduceSync(context.Background(), r).FirstErr())
		w.produced[position{number(otherTopic, r.Partition) + generationSize*w.generation, r.Offset}] = toDeliver
	}
}

// generationSize is by how much partitions of a topic made anew are counted on.
const generationSize = 100

// generationOf is which topic of its name the record is of.
func generationOf(value []byte) int32 {
	var v struct{ Generation int32 }
	_ = json.Unmarshal(value, &v) // what cannot be read is of the first
	return v.Generation
}
