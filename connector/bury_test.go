package connector_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestDeadLettersAreSaidByClassAndRuleWithTheFirstPosition(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.Window = 100 // all are read, and most are buried, together
		var log bytes.Buffer
		w.log = slog.NewTextHandler(&log, nil)
		refused := w.put(0, `{"kind":"plain","lead":"unknown-1"}`, toBury)
		undecodable := w.put(1, `{"lead-canary`, toBury)
		for range 8 {
			w.put(1, `{"lead-canary`, toBury)
		}
		for i := range 50 {
			w.event(2, fmt.Sprintf("lead-%d", i))
		}
		w.start()
		time.Sleep(time.Minute)
		w.account()
		lines := 0
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "dead letters") {
				lines++
			}
		}
		if lines < 2 || lines > 5 {
			t.Errorf("%d lines about 10 dead letters of two kinds, want a few", lines)
		}
		for _, want := range []string{
			fmt.Sprintf("class=refused rule=all letters=1 topic=%s partition=0 offset=%d", topic, refused.offset),
			fmt.Sprintf("partition=1 offset=%d", undecodable.offset),
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no line says %q:\n%s", want, log.String())
			}
		}
		if strings.Contains(log.String(), "canary") {
			t.Error("a payload is in the log")
		}
	})
}
