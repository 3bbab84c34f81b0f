// Leadsink delivers Kafka events to LeadSquared as activities.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the image has no time zones, and the document may name one

	_ "golang.org/x/crypto/x509roots/fallback" // nor certificates; the system's go first where there are any
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	go obey(stopSignals(), cancel, func() { os.Exit(exitFailed) }) // lives as long as the process
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// stopSignals delivers what asks the program to end. A terminal that is closed
// sends SIGHUP, unless nohup has made it ignored.
func stopSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals
}

// obey stops in good order at the first signal, and ends at once when somebody is
// not willing to wait for it. Of a closed terminal SIGHUP may come twice.
func obey(signals <-chan os.Signal, stop, end func()) {
	<-signals
	stop()
	for s := range signals {
		if s != syscall.SIGHUP {
			end()
			return
		}
	}
}
