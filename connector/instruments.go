package connector

import (
	"context"
	"errors"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// waits are the reasons that hold rows back, as Status.Waiting names them.
var waits = []string{"slot", "breaker", "backoff", "credits", "drain", "paused", "halted", "in_flight", "commit", "receipts", "doubt", "held", "day", "schema", "position"}

var states = []State{Starting, StandBy, Active, Paused, Halted, Stopping}

var breakerStates = map[string]int64{"closed": 0, "half_open": 1, "open": 2}

// instruments makes instruments and keeps what went wrong.
type instruments struct {
	meter metric.Meter
	err   error
}

func (i *instruments) keep(err error) { i.err = errors.Join(i.err, err) }

func (i *instruments) rows(name, text string) func(context.Context, int) {
	h, err := i.meter.Int64Histogram(name, metric.WithDescription(text), metric.WithUnit("{row}"),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 15, 20, 24, 25))
	i.keep(err)
	return func(ctx context.Context, rows int) { h.Record(ctx, int64(rows)) }
}

func (i *instruments) seconds(name, text string, bounds ...float64) func(context.Context, float64) {
	h, err := i.meter.Float64Histogram(name, metric.WithDescription(text), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(bounds...))
	i.keep(err)
	return func(ctx context.Context, seconds float64) { h.Record(ctx, seconds) }
}

func (i *instruments) tally(t *tally, name, text string) {
	_, err := i.meter.Int64ObservableCounter(name, metric.WithDescription(text),
		metric.WithInt64Callback(func(_ context.Context, to metric.Int64Observer) error {
			t.observe(to)
			return nil
		}))
	i.keep(err)
}

func (i *instruments) gauge(name, text string) metric.Int64ObservableGauge {
	g, err := i.meter.Int64ObservableGauge(name, metric.WithDescription(text))
	i.keep(err)
	return g
}

func (i *instruments) counter(name, text string) metric.Int64ObservableCounter {
	c, err := i.meter.Int64ObservableCounter(name, metric.WithDescription(text))
	i.keep(err)
	return c
}

func (i *instruments) measure(name, text, unit string) metric.Float64ObservableGauge {
	g, err := i.meter.Float64ObservableGauge(name, metric.WithDescription(text), metric.WithUnit(unit))
	i.keep(err)
	return g
}

// gauges makes the gauges, which one callback fills from one snapshot, so that
// they belong together.
func (i *instruments) gauges(version string, snapshot func() (Status, bool)) {
	g := &gauges{
		lag:       i.gauge("leadsink.lag.records", "Records from the committed position to the end of the partition."),
		todo:      i.gauge("leadsink.todo.records", "Records of the partition that have no fate yet: the lag less what is finished beyond the position."),
		unsettled: i.gauge("leadsink.unsettled.records", "Records taken in without a fate."),
		unknown:   i.gauge("leadsink.unknown.rows", "Activities that may have been created: asked for, or held for an operator."),
		state:     i.gauge("leadsink.state", "1 for what the connector does as a whole, 0 for the other states."),
		waiting:   i.gauge("leadsink.waiting", "1 while the reason holds rows back."),
		breaker:   i.gauge("leadsink.breaker.state", "0 closed, 1 half open, 2 open."),
		config:    i.gauge("leadsink.config.info", "Always 1; the labels say which connector this is."),
		budget:    i.measure("leadsink.budget.calls_per_second", "Calls per second: as configured, as learned, and what this member may use; 0 is no limit.", ""),
		spent:     i.gauge("leadsink.budget.spent_calls", "Calls spent: of this member within the last window, and of the day's calls that are this member's."),
		account:   i.gauge("leadsink.account.problems", "Places in which the rules do not fit the account, as of the last check."),
		day:       i.gauge("leadsink.budget.day_calls", "Calls of the day that are this member's; 0 without a limit for a day."),
		behind:    i.gauge("leadsink.will_not_catch_up", "1 if more records arrive than the call budget is enough for."),
		stalls:    i.counter("leadsink.stalls", "Times that nothing went on although there was work: always 0, else a fault of leadsink."),
		arrivals:  i.measure("leadsink.arrivals.records_per_second", "Records written to the partitions.", ""),
		partETA:   i.measure("leadsink.partition.drain.eta", "How long a partition's lag takes if partitions share the calls evenly; absent while that is unknown.", "s"),
		kafka:     i.gauge("leadsink.kafka.trouble", "1 while something keeps this member from its work with Kafka."),
		eta:       i.measure("leadsink.drain.eta", "How long the lag takes at the present pace; absent while that is unknown.", "s"),
	}
	if i.err != nil {
		return
	}
	_, err := i.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if s, ok := snapshot(); ok {
			g.observe(o, &s, version)
		}
		return nil
	}, g.lag, g.todo, g.unsettled, g.unknown, g.state, g.waiting, g.breaker, g.config, g.budget, g.eta, g.spent, g.day, g.behind, g.account, g.kafka, g.stalls, g.arrivals, g.partETA)
	i.keep(err)
}

type gauges struct {
	lag, todo, unsettled, unknown, state, waiting, breaker, config, spent, day, behind, account, kafka metric.Int64ObservableGauge

	budget, eta, arrivals, partETA metric.Float64ObservableGauge

	stalls metric.Int64ObservableCounter
}

func (g *gauges) observe(o metric.Observer, s *Status, version string) {
	for i := range s.Partitions {
		p := &s.Partitions[i]
		of := metric.WithAttributes(attribute.String("topic", p.Topic), attribute.Int("partition", int(p.Partition)))
		o.ObserveInt64(g.lag, p.Lag, of)
		o.ObserveInt64(g.todo, p.Todo, of)
		if p.DrainETA >= 0 {
			o.ObserveFloat64(g.partETA, p.DrainETA, of)
		}
	}
	o.ObserveInt64(g.unsettled, int64(s.Unsettled))
	o.ObserveInt64(g.unknown, int64(s.Doubtful), labelled("state", "asked"))
	o.ObserveInt64(g.unknown, int64(s.Held), labelled("state", "held"))
	for _, state := range states {
		o.ObserveInt64(g.state, one(s.State == state), labelled("state", string(state)))
	}
	for _, reason := range waits {
		o.ObserveInt64(g.waiting, one(slices.Contains(s.Waiting, reason)), labelled("reason", reason))
	}
	if state, ok := breakerStates[s.Breaker]; ok {
		o.ObserveInt64(g.breaker, state)
	}
	o.ObserveInt64(g.config, 1, metric.WithAttributes(
		attribute.String("name", s.Name), attribute.String("version", version)))
	o.ObserveFloat64(g.budget, s.Budget.Configured, labelled("kind", "configured"))
	o.ObserveFloat64(g.budget, s.Budget.Learned, labelled("kind", "learned"))
	o.ObserveFloat64(g.budget, s.Budget.Share, labelled("kind", "share"))
	for _, w := range s.Budget.Windows {
		_, window, _ := strings.Cut(w.Limit, "/")
		o.ObserveInt64(g.spent, int64(w.Spent), labelled("window", window))
	}
	part := 0
	if d := s.Budget.Day; d != nil && d.Calls > 0 {
		o.ObserveInt64(g.spent, int64(d.Spent), labelled("window", "day"))
		part = d.Part
	}
	o.ObserveInt64(g.account, int64(len(s.Account.Problems)))
	o.ObserveInt64(g.kafka, one(s.KafkaTrouble != ""))
	o.ObserveInt64(g.day, int64(part))
	o.ObserveInt64(g.behind, one(s.Behind))
	o.ObserveInt64(g.stalls, s.Stalls)
	o.ObserveFloat64(g.arrivals, s.Arrivals)
	if s.DrainETA >= 0 {
		o.ObserveFloat64(g.eta, s.DrainETA)
	}
}

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

func labelled(key, value string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String(key, value))
}
