package connector

import (
	"context"
	"fmt"
	"slices"
)

// obituaries is how many of the last dead letters the status shows.
const obituaries = 20

// die marks a record as dead. It is settled when its letter is stored.
func (e *engine) die(en *entry, letter *DeadLetter) {
	if e.letters == nil {
		e.halt(halt{from: en.place, restart: true, words: fmt.Sprintf("a record is dead and there is no dead-letter topic: %s (topic %s, partition %d, offset %d); records that came before it are still delivered; set dead_letters.topic or correct the document, and restart",
			letter.Reason.Message, letter.Record.Topic, letter.Record.Partition, letter.Record.Offset)})
		return
	}
	letter.Trace = e.carryOn(en)
	en.death = letter
	en.ledger.burying++
	e.graves = append(e.graves, en)
	if dead, tooMany := e.deaths.add(en.place); tooMany {
		e.halt(halt{words: fmt.Sprintf("%d of %d records in a row were dead (dead_letters.halt_when %s), the last one because %s; correct the rules or the account and restart, or resume to bury them",
			dead, e.cfg.HaltWhen.Of, e.cfg.HaltWhen, letter.Reason.Message)})
	}
}

// bury stores the letters of dead records, all that wait at once.
func (e *engine) bury() {
	if len(e.graves) == 0 || len(e.burying) > 0 || e.halts.bar() || e.now.Before(e.buryAt) {
		return
	}
	letters := make([]DeadLetter, len(e.graves))
	for i, en := range e.graves {
		letters[i] = *en.death
	}
	e.burying, e.graves = e.graves, nil
	// Ends within the time limit; join waits.
	go func() {
		ctx, cancel := context.WithTimeout(e.calling, commitTimeout)
		defer cancel()
		e.buried <- e.letters.Bury(ctx, letters)
	}()
}

// buriedAcknowledged settles the records whose letters are stored.
func (e *engine) buriedAcknowledged(errs []error) {
	entries := e.burying
	e.burying = nil
	var failed error
	var stored []*DeadLetter
	for i, en := range entries {
		if en.ledger.gone {
			continue
		}
		// Invariant 2: a record is dead only once its letter is safe.
		if i >= len(errs) || errs[i] != nil {
			if i < len(errs) {
				failed = errs[i]
			}
			e.graves = append(e.graves, en)
			continue
		}
		stored = append(stored, en.death)
		e.remember(en.death)
		e.metrics.DeadLetter(en.death.Reason.Class)
		en.ledger.burying--
		e.fate(en, "dead")
	}
	e.announce(stored)
	if len(e.graves) > 0 && failed != nil {
		e.buryAt = e.now.Add(tryAgain)
		e.log.Warn("dead letters could not be stored; trying again", "letters", len(e.graves), "error", failed)
	}
}

// announce says which letters were stored, in one line for each class and rule. Why
// is in the letter and in the status: LeadSquared's words may quote what a row holds.
func (e *engine) announce(letters []*DeadLetter) {
	type kind struct{ class, rule string }
	count := map[kind]int{}
	for _, d := range letters {
		count[kind{d.Reason.Class, d.Reason.Rule}]++
	}
	for _, d := range letters {
		of := kind{d.Reason.Class, d.Reason.Rule}
		if count[of] == 0 {
			continue // said
		}
		e.log.Warn("records became dead letters; the first of them is named", "class", of.class, "rule", of.rule, "letters", count[of],
			"topic", d.Record.Topic, "partition", d.Record.Partition, "offset", d.Record.Offset)
		delete(count, of)
	}
}

// remember keeps the last dead letters for the status, newest first.
func (e *engine) remember(d *DeadLetter) {
	e.obituary = slices.Insert(e.obituary, 0, DeadLetterStatus{
		At: e.now, Topic: d.Record.Topic, Partition: d.Record.Partition, Offset: d.Record.Offset,
		Class: d.Reason.Class, Rule: d.Reason.Rule, Message: d.Reason.Message,
	})
	e.obituary = e.obituary[:min(len(e.obituary), obituaries)]
}
