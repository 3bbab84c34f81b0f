package connector_test

import "github.com/leadsink/leadsink/connector/leadsquared/fakeapi"

// waiting are kinds of events that happen only if they are asked for, by -with or -waiting.
// Where nothing but rows that hang after they are stored is left, nobody can tell that from
// an outage: they go again until some other call is judged.
var waiting = poisonSteps(fakeapi.SpoilHangAfter)
