package telemetry

import (
	"strconv"

	"github.com/leadsink/leadsink/config/setting"
)

// A Config is the document's telemetry section. Where metrics and traces are
// sent is said by the standard OTEL_* environment variables alone, so that one
// setting serves every program beside a collector.
type Config struct {
	// The name of the service in metrics and traces. OTEL_SERVICE_NAME and
	// OTEL_RESOURCE_ATTRIBUTES win.
	ServiceName string `yaml:"service_name"`
}

// Default returns the section of an empty document.
func Default() Config { return Config{ServiceName: "leadsink"} }

// Validate returns what is wrong with the section.
func (c Config) Validate() []setting.Problem {
	if c.ServiceName == "" {
		return []setting.Problem{{Key: "service_name", Text: "is empty; write a name such as leadsink"}}
	}
	return nil
}

// A LogConfig is the document's log section.
type LogConfig struct {
	// The least level of the lines that are written: debug, info, warn or error.
	Level string `yaml:"level"`
	// How a line is written: json or text.
	Format string `yaml:"format"`
	// Whether lines of level debug may show what records and activities hold.
	Payloads bool `yaml:"payloads"`
}

// DefaultLog returns the section of an empty document.
func DefaultLog() LogConfig { return LogConfig{Level: "info", Format: "json"} }

// Validate returns what is wrong with the section.
func (c LogConfig) Validate() []setting.Problem {
	var problems []setting.Problem
	if _, ok := levels[c.Level]; !ok {
		problems = append(problems, setting.Problem{
			Key: "level", Text: strconv.Quote(c.Level) + " is no level; write debug, info, warn or error",
		})
	}
	if c.Format != "json" && c.Format != "text" {
		problems = append(problems, setting.Problem{
			Key: "format", Text: strconv.Quote(c.Format) + " is no format; write json or text",
		})
	}
	return problems
}
