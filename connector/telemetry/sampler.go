package telemetry

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// linked samples a span that links to a sampled one of this program, and leaves
// every other to the sampler that the environment names. So the batch of a record
// that is followed is followed too, however rare that is.
type linked struct{ sdktrace.Sampler }

// ShouldSample decides about a span that begins.
func (l linked) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := l.Sampler.ShouldSample(p)
	if slices.ContainsFunc(p.Links, func(to trace.Link) bool { return to.SpanContext.IsSampled() && !to.SpanContext.IsRemote() }) {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

const parentbased = "parentbased_"

// parentBased reports whether spans with a parent are sampled as that is, which is
// what an environment without a sampler means.
func parentBased() bool {
	name := named()
	return name == "" || strings.HasPrefix(name, parentbased)
}

func named() string { return strings.ToLower(strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER"))) }

// sampler reads OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG. The SDK reads
// them too, but takes what it does not understand for a wish to sample everything,
// and gives its sampler to nobody.
func sampler() (sdktrace.Sampler, error) {
	name := named()
	ratio := 1.0
	if text := strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER_ARG")); text != "" && strings.HasSuffix(name, "traceidratio") {
		var err error
		if ratio, err = strconv.ParseFloat(text, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG is %q; write a number from 0 to 1, for instance 0.01", text)
		}
	}
	samplers := map[string]sdktrace.Sampler{
		"always_on":    sdktrace.AlwaysSample(),
		"always_off":   sdktrace.NeverSample(),
		"traceidratio": sdktrace.TraceIDRatioBased(ratio),
	}
	s, known := samplers[cmp.Or(strings.TrimPrefix(name, parentbased), "always_on")]
	switch {
	case !known:
		return nil, fmt.Errorf("OTEL_TRACES_SAMPLER is %q; write always_on, always_off, traceidratio, or one of them after parentbased_", name)
	case parentBased():
		s = sdktrace.ParentBased(s)
	}
	return linked{s}, nil
}
