package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
)

func TestChartsShowWhatTheLastMinutesBrought(t *testing.T) {
	var h history
	begun := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	now := begun
	for i := range 1000 { // more than half an hour: 4 a second, and 8 in the last minute
		now = begun.Add(time.Duration(i) * sampleEvery)
		created := int64(8 * i)
		if i > 970 {
			created += int64(8 * (i - 970))
		}
		h.add(&connector.Status{At: now, Activities: connector.ActivityCounts{Created: created}, Lag: int64(2000 - i)})
	}
	created, lag := h.charts(now)
	if created.Now != 8 || created.Most != 8 {
		t.Errorf("%v created per second, at most %v; want 8 and 8", created.Now, created.Most)
	}
	if lag.Now != 1001 || lag.Most != 1151 {
		t.Errorf("lag %v, at most %v; want 1001 and what it was five minutes ago", lag.Now, lag.Most)
	}
	points := strings.Fields(created.Line)
	if len(points) != 150 || points[0] != "4.0,50.0" || points[149] != "600.0,2.0" {
		t.Errorf("%d points from %s to %s", len(points), points[0], points[149])
	}
	if n := len(h.samples); n > int(remembered/sampleEvery)+1 {
		t.Errorf("%d samples are kept", n)
	}
}

func TestAChartWithoutSamplesIsEmpty(t *testing.T) {
	var h history
	h.add(&connector.Status{At: time.Unix(1, 0), Lag: 7})
	created, lag := h.charts(time.Unix(1, 0))
	if created != (chart{}) || lag.Line != "" {
		t.Errorf("charts %+v and %+v", created, lag)
	}
}
