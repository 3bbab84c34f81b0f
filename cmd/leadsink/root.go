package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
)

// The exit codes, which scripts and Kubernetes rely on.
const (
	exitFine         = 0
	exitFailed       = 1 // at run time
	exitWrong        = 2 // the document or the arguments
	exitSurroundings = 3 // broker, credentials, port
)

// An exitError is an error with the exit code that it means. Commands return
// it for every code but exitFailed. With a nil err all has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// run runs the command that the arguments name until it is done or ctx ends,
// and returns its exit code. Errors have been written to stderr by then. A log
// and a command write to stderr at the same time, as to an os.File they may.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	code := exitWrong // cobra's own errors are about the arguments
	if exit, ok := errors.AsType[*exitError](err); ok {
		code, err = exit.code, exit.err
	}
	var document *config.Errors
	switch {
	case err == nil:
	case errors.As(err, &document): // begins with the file's name, for editors
		fmt.Fprintln(stderr, err)
	default:
		fmt.Fprintln(stderr, "leadsink:", err)
	}
	return code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "leadsink",
		Short: "Delivers Kafka events to LeadSquared as activities",
		Long: "leadsink reads events from Kafka, maps each one to LeadSquared activities by your rules, posts them in\n" +
			"calls of up to 25 within the account's limits, and commits what has reached its final fate.\n\n" +
			"Exit codes: 0 fine, 1 failed at run time, 2 the document or the arguments are wrong, 3 the surroundings are.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		initCommand(),
		runCommand(),
		demoCommand(),
		validateCommand(),
		previewCommand(),
		testCommand(),
		activityTypesCommand(),
		fakeAPICommand(),
		fakeEventsCommand(),
		statusCommand(),
		pauseCommand(),
		resumeCommand(),
		heldCommand(),
		schemaCommand(),
		versionCommand(),
	)
	for _, cmd := range root.Commands() {
		coded(cmd)
	}
	return root
}

// coded gives the errors of a command and those below it their exit code, so
// that they differ from cobra's, which are all about the arguments.
func coded(cmd *cobra.Command) {
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := inner(cmd, args)
			var exit *exitError
			var document *config.Errors
			switch {
			case err == nil || errors.As(err, &exit):
				return err
			case errors.As(err, &document):
				return &exitError{exitWrong, err}
			}
			return &exitError{exitFailed, err}
		}
	}
	for _, inner := range cmd.Commands() {
		coded(inner)
	}
}

// knownCommand refuses what is no command.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, cmd := range root.Commands() {
		names = append(names, cmd.Name())
	}
	return fmt.Errorf("there is no command %q; %s", args[0], advice(args[0], names, "see leadsink --help"))
}

// flagError says what is wrong with a flag, and what was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	otherwise := fmt.Sprintf("see %s --help", cmd.CommandPath())
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w; %s", err, otherwise)
	}
	name := unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		return fmt.Errorf("%s has no flag -%s; %s", cmd.CommandPath(), name, otherwise)
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	near := setting.Nearest(name, names)
	if near != "" {
		otherwise = "did you mean --" + near + "?"
	}
	return fmt.Errorf("%s has no flag --%s; %s", cmd.CommandPath(), name, otherwise)
}

func advice(given string, names []string, otherwise string) string {
	if near := setting.Nearest(given, names); near != "" {
		return "did you mean " + near + "?"
	}
	return otherwise
}

// noArguments refuses arguments that are no flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no argument, %q is one; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// documentFlag adds the flag -c, the path of the document.
func documentFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "leadsink.yaml", "the configuration document")
}

// jsonFlag adds the flag --json.
func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print the result as one JSON document")
}

// printJSON prints a command's result as one JSON document.
func printJSON(cmd *cobra.Command, result any) error {
	return encodeJSON(cmd.OutOrStdout(), result)
}

func encodeJSON(w io.Writer, result any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(result)
}
