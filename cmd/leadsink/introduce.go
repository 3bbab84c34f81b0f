package main

import (
	"cmp"
	"strings"
)

// introduce says what runs and what it was told.
func (r *runner) introduce() {
	topics := strings.Join(r.doc.Kafka.Topics, ", ")
	if topics == "" {
		topics = "those of " + r.doc.Kafka.TopicsRegex
	}
	limits := make([]string, 0, len(r.doc.LeadSquared.Budget.Limits))
	for _, l := range r.doc.LeadSquared.Budget.Limits {
		limits = append(limits, l.String())
	}
	r.log.Info("starting", "version", thisBuild().Version, "document", r.doc.File(), "name", r.doc.Name, "group", r.doc.Kafka.Group,
		"topics", topics, "host", r.doc.LeadSquared.Client.Host, "limits", cmp.Or(strings.Join(limits, ", "), "none"))
}
