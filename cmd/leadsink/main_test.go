package main

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

func TestAClosedTerminalStopsTheProgramInGoodOrder(t *testing.T) {
	signals := stopSignals()
	if !signal.Ignored(syscall.SIGHUP) { // nohup wants it ignored, and so it is
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if s := <-signals; s != syscall.SIGHUP {
			t.Fatalf("%v came, want the hang-up", s)
		}
	}
	told := make(chan os.Signal, 3)
	stopped, ended := false, 0
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGHUP, syscall.SIGTERM} {
		told <- s
	}
	obey(told, func() { stopped = true }, func() { ended = len(told) })
	if !stopped || ended != 0 {
		t.Errorf("stopped %t, ended with %d signals left; want a stop, and an end at SIGTERM only", stopped, ended)
	}
}
