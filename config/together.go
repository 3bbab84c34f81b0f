package config

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/leadsink/leadsink/config/setting"
)

// A relation is a problem between two values. Where the document does not
// mention the first, the place is that of the other.
type relation struct {
	setting.Problem
	other string // key
}

// together returns what is wrong between values of different sections.
func (doc *Document) together() []relation {
	var all relations
	doc.times(&all)
	doc.topics(&all)
	doc.marker(&all)
	if batch, window := doc.LeadSquared.Batch.Batch, doc.Delivery.Window; window < batch {
		all.add("delivery.window", "leadsquared.batch", "%d records never fill a batch of %d; write at least leadsquared.batch", window, batch)
	}
	return all
}

// times checks that a call ends before the drain that waits for it, and the
// drain before the group gives the partitions away:
// timeout <= drain_timeout < session_timeout and rebalance_timeout.
func (doc *Document) times(all *relations) {
	timeout, drain := doc.LeadSquared.Client.Timeout, doc.Delivery.DrainTimeout
	if drain < timeout {
		all.add("delivery.drain_timeout", "leadsquared.timeout", "%s ends before a call in flight does; write at least leadsquared.timeout, %s",
			setting.Written(drain), setting.Written(timeout))
	}
	if drain >= doc.Kafka.RebalanceTimeout {
		all.add("delivery.drain_timeout", "kafka.rebalance_timeout", "%s is too long, the group expels the member first; write less than kafka.rebalance_timeout, %s",
			setting.Written(drain), setting.Written(doc.Kafka.RebalanceTimeout))
	}
	// With kip848 the brokers decide how long a session is.
	if doc.Kafka.Protocol == "classic" && drain >= doc.Kafka.SessionTimeout {
		all.add("delivery.drain_timeout", "kafka.session_timeout", "%s is too long, the session may end first; write less than kafka.session_timeout, %s",
			setting.Written(drain), setting.Written(doc.Kafka.SessionTimeout))
	}
	// An outcome counts under the time of its request, so that a shorter window
	// has forgotten a call that hangs before it fails.
	if window := doc.Delivery.Breaker.Window; window < 2*timeout {
		all.add("delivery.breaker.window", "leadsquared.timeout", "%s would miss calls that hang; write at least twice leadsquared.timeout, %s",
			setting.Written(window), setting.Written(2*timeout))
	}
}

// marker checks that what is to be asked for can be asked for, and that no rule
// writes over it.
func (doc *Document) marker(all *relations) {
	field := doc.LeadSquared.Client.Marker
	if field == "" {
		if doc.Delivery.OnUnknown == "reconcile" {
			all.add("delivery.on_unknown", "leadsquared.marker", "reconcile asks LeadSquared for activities by their marker; name a text field for it in leadsquared.marker, or write resend or hold")
		}
		return
	}
	for i, rule := range doc.Transform.Rules {
		for _, entry := range rule.Fields {
			if entry.Name == field {
				all.add(fmt.Sprintf("transform.rules[%d].fields.%s", i, field), "leadsquared.marker",
					"is the field that leadsquared.marker names; leave it out here, or give its expression as the rule's marker")
			}
		}
	}
}

// topics checks that what is written is not read again, and that a topic has one use.
func (doc *Document) topics(all *relations) {
	doc.notRead(all, "dead_letters.topic", doc.DeadLetters.Topic, "dead letters")
	doc.notRead(all, "receipts.topic", doc.Receipts.Topic, "receipts")
	if topic := doc.Receipts.Topic; topic != "" && topic == doc.DeadLetters.Topic {
		all.add("receipts.topic", "dead_letters.topic", "%s is the topic of dead letters too; write another topic", topic)
	}
}

func (doc *Document) notRead(all *relations, key, topic, what string) {
	if topic == "" {
		return
	}
	const text = "%s is read by %s too, so %s would go round for ever; write another topic"
	if slices.Contains(doc.Kafka.Topics, topic) {
		all.add(key, "kafka.topics", text, topic, "kafka.topics", what)
	}
	if doc.Kafka.TopicsRegex == "" {
		return
	}
	if pattern, err := regexp.Compile("^(?:" + doc.Kafka.TopicsRegex + ")$"); err == nil && pattern.MatchString(topic) {
		all.add(key, "kafka.topics_regex", text, topic, "kafka.topics_regex", what)
	}
}

// relations collects what is wrong between values.
type relations []relation

func (r *relations) add(key, other, format string, args ...any) {
	*r = append(*r, relation{setting.Problem{Key: key, Text: fmt.Sprintf(format, args...)}, other})
}
