package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"
	"time"
)

// The image has neither certificates nor time zones, so the program brings its own.
func TestTheProgramBringsCertificatesAndTimeZones(t *testing.T) {
	if os.Getenv("LEADSINK_TEST_EMBEDDED") == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = []string{"LEADSINK_TEST_EMBEDDED=yes", "SSL_CERT_FILE=/nowhere", "SSL_CERT_DIR=/nowhere", "ZONEINFO=/nowhere"}
		if said, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		return
	}
	pool, err := x509.SystemCertPool()
	if err != nil || pool.Equal(x509.NewCertPool()) {
		t.Errorf("without the system's there are no certificates: %v", err)
	}
	if _, err := time.LoadLocation("Asia/Kolkata"); err != nil {
		t.Error(err)
	}
}
