package kafka

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/config/setting"
)

// Inspect tries once what a member needs: a broker that answers, the credentials,
// the topics, and the dead-letter topic if it is not "". It joins no group and
// changes nothing. Keys are those of the document.
func Inspect(ctx context.Context, s Settings, deadLetters string) []setting.Problem {
	cfg := s.Config
	wanted := slices.Clone(cfg.Topics)
	if deadLetters != "" {
		wanted = append(wanted, deadLetters)
	}
	if cfg.TopicsRegex != "" {
		wanted = nil
	}
	answer, err := probe(ctx, s, wanted)
	if err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", ", ")
		return []setting.Problem{{Key: "kafka.brokers", Text: "no broker can be used: " + text + "; see whether Kafka runs, and whether kafka.brokers, kafka.tls and kafka.sasl are right"}}
	}
	found := map[string]kmsg.MetadataResponseTopic{}
	for _, t := range answer.Topics {
		found[nameOf(t)] = t
	}
	var problems []setting.Problem
	add := func(key string, err error) {
		if err != nil {
			problems = append(problems, setting.Problem{Key: key, Text: err.Error()})
		}
	}
	for i, name := range cfg.Topics {
		add(fmt.Sprintf("kafka.topics[%d]", i), topicError(found[name], "correct kafka.topics"))
	}
	if cfg.TopicsRegex != "" {
		add("kafka.topics_regex", matchError(cfg.TopicsRegex, found))
	}
	if deadLetters == "" {
		return problems
	}
	t, there := found[deadLetters]
	if !there {
		t.Topic, t.ErrorCode = &deadLetters, kerr.UnknownTopicOrPartition.Code
	}
	add("dead_letters.topic", topicError(t, "let leadsink run do it with the brokers' defaults"))
	return problems
}

// matchError says why no topic is read by the pattern, nil if there is one.
func matchError(pattern string, topics map[string]kmsg.MetadataResponseTopic) error {
	whole, err := regexp.Compile("^(?:" + pattern + ")$")
	if err != nil {
		return err
	}
	for name := range topics {
		if whole.MatchString(name) {
			return nil
		}
	}
	return errors.New("no topic matches that may be described; create one, correct the pattern, or allow Describe on the topics")
}
