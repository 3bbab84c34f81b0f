package kafka

import (
	"context"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"
)

// kgoLog passes on what the client library warns about.
type kgoLog struct{ log *slog.Logger }

// Level keeps the library from preparing lines that nobody would see.
func (kgoLog) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log writes one line. The library's text is an attribute: our messages are constant.
// Lines are summed up by it.
func (l kgoLog) Log(level kgo.LogLevel, text string, pairs ...any) {
	at := slog.LevelWarn
	if level >= kgo.LogLevelInfo {
		at = slog.LevelDebug
	}
	l.log.Log(context.Background(), at, "kafka client", append([]any{"text", text}, pairs...)...) //nolint:forbidigo // the library gives no context
}
