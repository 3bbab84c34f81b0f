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
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process
		<-signals
		cancel() // the orderly way out
		<-signals
		os.Exit(exitFailed) // somebody is not willing to wait for it
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
