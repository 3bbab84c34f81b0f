package connector_test

import "github.com/leadsink/leadsink/connector/leadsquared/fakeapi"

// waiting are kinds of events that happen only if they are asked for, by -with or -waiting.
// Where nothing but rows that hang after they are stored is left, nobody can tell that from an
// outage: they go again until some other call is judged.
// With rows that are left out of answers, each lead in a small window may come to stand behind
// one of them. No call is judged then, which looks like an outage, and the breaker stays open.
// What a member sends of a topic that was made anew is not counted for each of its owners.
var waiting = append(poisonSteps(fakeapi.SpoilLeftOut, fakeapi.SpoilHangAfter), remade)
