package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/admin"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show what a running connector is doing",
		Long:    "Shows what a running connector is doing: in words, then in numbers. It asks one member, at its admin address.",
		Example: "  leadsink status\n  leadsink status --admin http://10.0.0.7:8080 --json",
		Args:    noArguments,
	}
	running, asJSON := runningFlags(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := running.client()
		if err != nil {
			return err
		}
		status, err := client.Status(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd, status)
		}
		return printStatus(cmd.OutOrStdout(), status)
	}
	return cmd
}

// A told is what pause and resume print with --json.
type told struct {
	Result string `json:"result"`
	Note   string `json:"note"`
}

func pauseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Hold one running member",
		Long: "Holds one running member: it sends nothing until leadsink resume or a restart, and keeps its partitions,\n" +
			"its place in the group and what it has taken in. Other members of the group are not held.",
		Example: "  leadsink pause\n  leadsink pause --admin http://10.0.0.7:8080 --token-file /run/secrets/admin",
		Args:    noArguments,
	}
	return tell(cmd, (*admin.Client).Pause, told{
		Result: "paused",
		Note:   "This one member sends nothing until leadsink resume; it keeps its partitions. Other members of the group are not held.",
	})
}

func resumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End the pause or the halt of one running member",
		Long: "Ends the pause of one running member, and its halt: what halted it is tried again. What its status says\n" +
			"of records that Kafka deleted before they were read is taken as seen.",
		Example: "  leadsink resume",
		Args:    noArguments,
	}
	return tell(cmd, (*admin.Client).Resume, told{
		Result: "resumed",
		Note:   "This one member goes on; see leadsink status.",
	})
}

// tell makes the command tell a running connector something, and then say it.
func tell(cmd *cobra.Command, what func(*admin.Client, context.Context) error, done told) *cobra.Command {
	running, asJSON := runningFlags(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := running.client()
		if err != nil {
			return err
		}
		if err := what(client, cmd.Context()); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd, done)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s. %s\n", done.Result, done.Note)
		return err
	}
	return cmd
}

// A running says where a running connector is asked.
type running struct{ address, tokenFile, document *string }

func runningFlags(cmd *cobra.Command) running {
	return running{
		address:   cmd.Flags().String("admin", "", "the admin address, as http://HOST:PORT (default: admin.listen of the document given with -c, else "+admin.Default().URL()+")"),
		tokenFile: cmd.Flags().String("token-file", "", "a file with the admin token (default: admin.token of the document given with -c)"),
		document:  cmd.Flags().StringP("config", "c", "", "the configuration document, to find the admin address in"),
	}
}

func (r running) client() (*admin.Client, error) {
	told := admin.Default()
	if *r.document != "" {
		document, err := config.Load(*r.document)
		if err != nil {
			return nil, err
		}
		told = document.Admin
	}
	address, token := told.URL(), told.Token
	if *r.address != "" {
		address = *r.address
	}
	if *r.tokenFile != "" {
		var err error
		if token, err = setting.SecretFrom(setting.Part{File: *r.tokenFile}); err != nil {
			return nil, &exitError{exitWrong, fmt.Errorf("--token-file: %w", err)}
		}
	}
	client, err := admin.NewClient(address, token, nil)
	if err != nil {
		return nil, &exitError{exitWrong, fmt.Errorf("--admin: %w", err)}
	}
	return client, nil
}

// printStatus writes the status for people: words first, then numbers.
func printStatus(w io.Writer, s connector.Status) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s\n", plain(s.Name), plain(s.Words))
	if s.Fault != "" {
		fmt.Fprintln(&text, plain(s.Fault))
	}
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	up := ""
	if !s.Started.IsZero() {
		up = ", up " + s.At.Sub(s.Started).Round(time.Second).String()
	}
	fmt.Fprintf(table, "\nstate\t%s%s\n", plain(string(s.State)), up)
	if len(s.Waiting) > 0 {
		fmt.Fprintf(table, "waiting\t%s\n", plain(strings.Join(s.Waiting, ", ")))
	}
	if s.State != connector.Starting {
		printProgress(table, &s)
	}
	for _, w := range s.Budget.Windows {
		fmt.Fprintf(table, "window\t%s: %d calls of this member\n", plain(w.Limit), w.Spent)
	}
	if s.Budget.LearnedLimit != "" {
		fmt.Fprintf(table, "learned\t%s, from throttling answers\n", plain(s.Budget.LearnedLimit))
	}
	if d := s.Budget.Day; d != nil {
		fmt.Fprintf(table, "day\t%s\n", dayText(d))
	}
	if s.Breaker != "" {
		since := ""
		if !s.BreakerSince.IsZero() {
			since = " since " + s.BreakerSince.UTC().Format("2006-01-02 15:04:05Z")
		}
		fmt.Fprintf(table, "breaker\t%s%s\n", plain(s.Breaker), since)
	}
	if !s.Account.At.IsZero() {
		fmt.Fprintf(table, "account\t%s\n", accountText(s.Account))
	}
	if s.Doubtful+s.Held > 0 {
		fmt.Fprintf(table, "in doubt\t%d activities asked for, %d held\n", s.Doubtful, s.Held)
	}
	for _, p := range s.Account.Problems {
		fmt.Fprintf(table, "misfit\t%s\n", plain(p))
	}
	printPartitions(table, s.Partitions)
	printDeadLetters(table, s.DeadLetters)
	_ = table.Flush() // into memory
	_, err := io.WriteString(w, text.String())
	return err
}

// printProgress writes what is known once the connector runs.
func printProgress(table io.Writer, s *connector.Status) {
	if len(s.Partitions) > 0 {
		fmt.Fprintf(table, "lag\t%d records, time to drain %s\n", s.Lag, admin.ETA(s.DrainETA))
		arrivals := fmt.Sprintf("%.1f records/s", s.Arrivals)
		if s.Capacity > 0 {
			arrivals += fmt.Sprintf("; the call budget is enough for %.1f", s.Capacity)
		}
		fmt.Fprintf(table, "arrivals\t%s\n", arrivals)
	}
	fmt.Fprintf(table, "unsettled\t%d records, %d activities waiting, %d calls in flight\n", s.Unsettled, s.Waits, s.InFlight)
	fmt.Fprintf(table, "records\t%d delivered, %d filtered, %d dead\n", s.Records.Delivered, s.Records.Filtered, s.Records.Dead)
	fmt.Fprintf(table, "calls\t%d, filled %.0f %%\n", s.Calls.Total, 100*s.Fill)
	fmt.Fprintf(table, "pace\t%s; configured %s, learned %s\n", admin.Share(*s), admin.Pace(s.Budget.Configured), admin.Pace(s.Budget.Learned))
}

func accountText(c connector.CheckResult) string {
	text := "the rules fit it"
	if n := len(c.Problems); n > 0 {
		text = fmt.Sprintf("the rules do not fit it in %d places", n)
	}
	if n := len(c.Untold); n > 0 {
		text += fmt.Sprintf("; it does not tell %d things", n)
	}
	return fmt.Sprintf("%s, as of %s", text, c.At.UTC().Format("2006-01-02 15:04:05Z"))
}

func dayText(d *connector.DayStatus) string {
	text := fmt.Sprintf("%d of %d calls spent", d.Spent, d.Part)
	switch {
	case d.Calls == 0:
		text = "no limit in the document"
	case d.Part < d.Calls:
		text += fmt.Sprintf(", this member's part of %d", d.Calls)
	}
	if d.Refused {
		text += "; LeadSquared says that the day is spent"
	}
	return text + "; the next day begins at " + d.Ends.UTC().Format("2006-01-02 15:04Z")
}

func printPartitions(w *tabwriter.Writer, partitions []connector.PartitionStatus) {
	if len(partitions) == 0 {
		return
	}
	fmt.Fprint(w, "\nPARTITION\tCOMMITTED\tEND\tLAG\tTO DRAIN\tUNSETTLED\t\n")
	for _, p := range partitions {
		committed, note := fmt.Sprint(p.Committed), ""
		if p.Committed < 0 {
			committed = "-"
		}
		if p.Draining {
			note = "draining"
		}
		fmt.Fprintf(w, "%s/%d\t%s\t%d\t%d\t%s\t%d\t%s\n", plain(p.Topic), p.Partition, committed, p.End, p.Lag, admin.ETA(p.DrainETA), p.Unsettled, note)
	}
}

// lettersShown is how many of the last dead letters people see; --json has all.
const lettersShown = 5

func printDeadLetters(w *tabwriter.Writer, letters []connector.DeadLetterStatus) {
	if len(letters) == 0 {
		return
	}
	fmt.Fprint(w, "\nLAST DEAD LETTERS\tRECORD\tCLASS\tREASON\n")
	for _, d := range letters[:min(len(letters), lettersShown)] {
		fmt.Fprintf(w, "%s\t%s/%d@%d\t%s\t%s\n", d.At.UTC().Format("2006-01-02 15:04:05Z"),
			plain(d.Topic), d.Partition, d.Offset, plain(d.Class), plain(d.Message))
	}
}

// plain returns the text on one line, without what would steer a terminal:
// reasons of dead letters quote what others wrote.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return unicode.ReplacementChar
	}, text)
}
