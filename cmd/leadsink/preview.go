package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/transform"
	"github.com/leadsink/leadsink/trial"
)

func previewCommand() *cobra.Command {
	var p preview
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Show what would become of records, without sending anything",
		Long: "Shows what the document makes of records: the rules that match, the activities, what is filtered or dead and why,\n" +
			"and the exact body that would be posted. Nothing is sent, and nothing of the account's keys is needed.\n\n" +
			"--input reads events from a file: one on each line, or one JSON document that is an event or a list of them. With\n" +
			"--records they are records: objects with value, key, headers, topic, partition, offset and timestamp.\n" +
			"--from-topic reads the last records of the document's topics. It joins no group, commits nothing and creates no\n" +
			"topic.\n\n" +
			"--account checks each activity against a snapshot of the account that leadsink activity-types --save wrote.\n\n" +
			"--diff shows what another document would make of the same records, and nothing of those that stay the same. The\n" +
			"exit code is 1 then if a record differs.",
		Example: "  leadsink preview -c leadsink.yaml --input events.jsonl\n" +
			"  leadsink preview -c leadsink.yaml --from-topic --last 5 --json\n" +
			"  leadsink preview -c leadsink.yaml --from-topic --diff changed.yaml",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd) },
	}
	flags := cmd.Flags()
	p.document, p.json = documentFlag(cmd), jsonFlag(cmd)
	flags.StringVar(&p.input, "input", "", "a file of events, - for standard input")
	flags.BoolVar(&p.records, "records", false, "the file holds records, not events alone")
	flags.BoolVar(&p.fromTopic, "from-topic", false, "read the last records of the document's topics")
	flags.IntVar(&p.last, "last", 20, fmt.Sprintf("how many records of the topics, by time, 1 to %d", kafka.MaxTail))
	flags.Int32Var(&p.partition, "partition", 0, "of this partition alone")
	flags.DurationVar(&p.timeout, "timeout", 30*time.Second, "how long to try to read the topics, and to fetch schemas")
	flags.StringVar(&p.account, "account", "", "check the activities against this snapshot of the account")
	flags.StringVar(&p.other, "diff", "", "another document, to show what it would change")
	return cmd
}

// A preview is what the flags ask for.
type preview struct {
	document           *string
	other              string
	account            string
	input              string
	records, fromTopic bool
	last               int
	partition          int32
	timeout            time.Duration
	json               *bool
}

func (p *preview) run(cmd *cobra.Command) error {
	if err := p.check(cmd); err != nil {
		return &exitError{exitWrong, err}
	}
	sections := []string{"decode", "transform"}
	if p.fromTopic {
		sections = append(sections, "kafka")
	}
	doc, mapping, err := try(cmd, *p.document, sections...)
	if err != nil {
		return err
	}
	inputs, err := p.inputs(cmd, doc)
	if err != nil {
		return err
	}
	if err := learn(cmd.Context(), mapping, doc, inputs, p.timeout); err != nil {
		return err
	}
	paper := paperFor(cmd.OutOrStdout())
	if p.account != "" {
		known, err := readSnapshot(p.account)
		if err != nil {
			return err
		}
		mapping.Check = func(a *transform.Activity) []setting.Problem { return known.Check(a, doc.LeadSquared.Client.Marker) }
	}
	if p.other == "" {
		shown := mapping.Preview(*p.document, inputs)
		if *p.json {
			return printJSON(cmd, shown)
		}
		return shown.Print(cmd.OutOrStdout(), paper)
	}
	otherDoc, other, err := try(cmd, p.other, "decode", "transform")
	if err != nil {
		return err
	}
	if err := learn(cmd.Context(), other, otherDoc, inputs, p.timeout); err != nil {
		return err
	}
	compared := mapping.Compare(*p.document, other, p.other, inputs)
	if *p.json {
		err = printJSON(cmd, compared)
	} else {
		err = compared.Print(cmd.OutOrStdout(), paper)
	}
	if err == nil && compared.Summary.Differ > 0 {
		err = &exitError{code: exitFailed}
	}
	return err
}

// check refuses flags that do not go together.
func (p *preview) check(cmd *cobra.Command) error {
	if (p.input == "") == !p.fromTopic {
		return errors.New("say what to show: give --input FILE or --from-topic")
	}
	given := cmd.Flags().Changed
	for _, name := range []string{"last", "partition"} {
		if given(name) && !p.fromTopic {
			return fmt.Errorf("--%s goes with --from-topic; leave it out", name)
		}
	}
	switch {
	case p.account != "" && p.other != "":
		return errors.New("--diff compares what is sent, and --account checks it; leave one of them out")
	case p.records && p.fromTopic:
		return errors.New("--records goes with --input; leave it out")
	case p.last < 1 || p.last > kafka.MaxTail:
		return fmt.Errorf("--last: %d is not a number from 1 to %d", p.last, kafka.MaxTail)
	case p.partition < 0:
		return fmt.Errorf("--partition: %d is not a partition; they count from 0", p.partition)
	case p.timeout <= 0:
		return fmt.Errorf("--timeout: %s leaves no time; give a duration above 0s, for instance 30s", p.timeout)
	}
	if !given("partition") {
		p.partition = -1
	}
	return nil
}

// try makes a document ready to be tried. What only its other sections need may
// be missing.
func try(cmd *cobra.Command, path string, sections ...string) (*config.Document, *trial.Trial, error) {
	doc, open, err := config.LoadFor(path, sections...)
	if err != nil {
		return nil, nil, err
	}
	for _, key := range []string{"leadsquared.host", "leadsquared.target", "leadsquared.search_by", "leadsquared.marker", "leadsquared.batch"} {
		hint(cmd, path, open, key, "what is posted is shown as without it")
	}
	mapping, err := trial.New(doc)
	if err != nil {
		return nil, nil, &exitError{exitWrong, fmt.Errorf("%s: %w", path, err)}
	}
	return doc, mapping, nil
}

// hint says what follows where the key is open.
func hint(cmd *cobra.Command, path string, open []string, key, so string) {
	if slices.Contains(open, key) {
		fmt.Fprintf(cmd.ErrOrStderr(), "leadsink: %s: %s is not known here, so %s\n", path, key, so)
	}
}

// learn fetches the schemas of the records from the document's registry.
func learn(ctx context.Context, mapping *trial.Trial, doc *config.Document, inputs []trial.Input, within time.Duration) error {
	if !doc.Decode.Schemas() {
		return nil
	}
	registry, err := kafka.NewRegistry(kafka.RegistrySettings{Config: doc.Decode.Registry})
	if err != nil {
		return &exitError{exitWrong, err}
	}
	defer registry.Close()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := mapping.Learn(ctx, registry, inputs); err != nil {
		return &exitError{exitSurroundings, fmt.Errorf("the schemas of the records cannot be fetched: %w", err)}
	}
	return nil
}

// inputs reads the records.
func (p *preview) inputs(cmd *cobra.Command, doc *config.Document) ([]trial.Input, error) {
	if p.fromTopic {
		ctx, cancel := context.WithTimeoutCause(cmd.Context(), p.timeout, fmt.Errorf("not within --timeout %s", p.timeout))
		defer cancel()
		records, err := kafka.Tail(ctx, kafka.Settings{Config: doc.Kafka}, p.last, p.partition)
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		if err != nil {
			return nil, &exitError{exitSurroundings, fmt.Errorf("the topics cannot be read: %w", err)}
		}
		return trial.FromTopic(records), nil
	}
	in := cmd.InOrStdin()
	name := "stdin"
	if p.input != "-" {
		name = p.input
		f, err := os.Open(p.input)
		if err != nil {
			return nil, &exitError{exitWrong, fmt.Errorf("--input: %w; give a file of events", err)}
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	like := transform.Record{LeaderEpoch: -1, Timestamp: trial.Timestamp}
	if len(doc.Kafka.Topics) > 0 {
		like.Topic = doc.Kafka.Topics[0]
	}
	read := trial.ReadEvents
	if p.records {
		read = trial.ReadRecords
	}
	inputs, err := read(name, in, like)
	if err != nil {
		return nil, &exitError{exitWrong, fmt.Errorf("--input: %w", err)}
	}
	return inputs, nil
}

// paperFor is how a person sees what is written: with the width of a terminal, and
// colours there unless NO_COLOR is set.
func paperFor(w io.Writer) trial.Paper {
	paper := trial.Paper{Width: 120}
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return paper
	}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
		paper.Width = width
	}
	paper.Colour = os.Getenv("NO_COLOR") == ""
	return paper
}
