package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector/kafka"
	"github.com/leadsink/leadsink/transform/account"
)

func validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the document: by itself, against the account, and against all that it names",
		Long: "Checks the whole document without touching Kafka or LeadSquared: keys, values, how they fit together, and\n" +
			"the expressions against the sample or schema. Prints every error with its place; the exit code is 2 if there is one.\n\n" +
			"With --account it checks the rules against a snapshot that leadsink activity-types --save wrote: activity types,\n" +
			"fields, kinds of values, mandatory fields, lengths and drop-down values, those of the sample's events among them.\n" +
			"Keys and addresses that come from the environment or from files need not be known then.\n\n" +
			"With --online it asks the account instead, and tries the brokers, the topics and the keys; the exit code is 3 if\n" +
			"only these are wrong. It joins no group, reads no record and sends no activity.",
		Example: "  leadsink validate -c leadsink.yaml\n  leadsink validate -c leadsink.yaml --account account.json\n  leadsink validate -c leadsink.yaml --online",
		Args:    noArguments,
	}
	path, asJSON := documentFlag(cmd), jsonFlag(cmd)
	online := cmd.Flags().Bool("online", false, "check against Kafka and the account too")
	snapshot := cmd.Flags().String("account", "", "check against this snapshot of the account too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *online && *snapshot != "" {
			return &exitError{exitWrong, errors.New("--online asks the account itself; leave --account out")}
		}
		result := validation{File: *path, Errors: []*config.Error{}}
		load := func(path string) (*config.Document, []string, error) {
			doc, err := config.Load(path)
			return doc, nil, err
		}
		if *snapshot != "" { // in CI, where neither keys nor brokers are known
			load = func(path string) (*config.Document, []string, error) {
				return config.LoadFor(path, "decode", "transform")
			}
		}
		doc, open, err := load(*path)
		for _, key := range open {
			result.Unchecked = append(result.Unchecked, key+": what it names is not known here")
		}
		var known *account.Account
		if err == nil && *snapshot != "" {
			known, err = readSnapshot(*snapshot)
		}
		if document, ok := errors.AsType[*config.Errors](err); ok {
			result.Errors = document.List
		} else if err != nil {
			return err
		}
		if doc != nil {
			result.check(cmd.Context(), doc, known, *online)
		}
		if *asJSON {
			return result.print(cmd)
		}
		return result.say(cmd)
	}
	return cmd
}

// A validation is what validate found, as --json prints it.
type validation struct {
	File   string          `json:"file"`
	Valid  bool            `json:"valid"`
	Errors []*config.Error `json:"errors"` // in the document
	// Surroundings are what the document names and cannot be used.
	Surroundings []*config.Error `json:"surroundings,omitempty"`
	Unchecked    []string        `json:"unchecked,omitempty"` // what may be wrong without anyone having looked
}

// check checks a document that is valid by itself against the account, if there is
// one, or against all that it names.
func (v *validation) check(ctx context.Context, doc *config.Document, a *account.Account, online bool) {
	if unchecked := doc.Unchecked(); unchecked != "" {
		v.Unchecked = append(v.Unchecked, unchecked)
	}
	expected, problems := doc.Expects()
	var outside []setting.Problem
	if expected != nil && online {
		a, outside = tryOut(ctx, doc, expected)
	}
	if expected != nil && a != nil {
		var unchecked []string
		problems, unchecked = expected.Check(a)
		v.Unchecked = append(v.Unchecked, unchecked...)
	}
	if wrong := doc.Place(problems); wrong != nil {
		v.Errors = wrong.List
	}
	if wrong := doc.Place(outside); wrong != nil {
		v.Surroundings = wrong.List
	}
}

// failure is nil if nothing is wrong.
func (v *validation) failure() error {
	switch {
	case len(v.Errors) > 0:
		return &exitError{code: exitWrong}
	case len(v.Surroundings) > 0:
		return &exitError{code: exitSurroundings}
	}
	return nil
}

func (v *validation) print(cmd *cobra.Command) error {
	failure := v.failure()
	v.Valid = failure == nil
	if err := printJSON(cmd, v); err != nil {
		return err
	}
	return failure
}

func (v *validation) say(cmd *cobra.Command) error {
	for _, list := range [][]*config.Error{v.Errors, v.Surroundings} {
		if len(list) > 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), &config.Errors{List: list})
		}
	}
	for _, note := range v.Unchecked {
		fmt.Fprintln(cmd.ErrOrStderr(), "not checked:", note)
	}
	if failure := v.failure(); failure != nil {
		return failure
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is valid\n", v.File)
	return err
}

// tryOut tries what the document names, and reads the account. It is nil where
// that cannot be read.
func tryOut(ctx context.Context, doc *config.Document, expected *config.Expectation) (a *account.Account, outside []setting.Problem) {
	outside = kafka.Inspect(ctx, kafka.Settings{Config: doc.Kafka}, doc.DeadLetters.Topic)
	add := func(key, text string) { outside = append(outside, setting.Problem{Key: key, Text: text}) }
	if doc.Decode.Schemas() {
		if err := askRegistry(ctx, doc); err != nil {
			add("decode.registry", err.Error()+"; see whether url and credentials are right and it can be reached from here")
		}
	}
	client, err := lookingAt(doc)
	if err != nil {
		add("leadsquared", err.Error())
		return nil, outside
	}
	defer client.Close()
	if err := client.Refused(ctx); err != nil {
		add("leadsquared.access_key", err.Error())
		return nil, outside
	}
	a, untold, err := readAccount(ctx, client.Look(expected.Codes()), doc.LeadSquared.Budget, lookAttempts)
	if err != nil {
		add("leadsquared.host", err.Error()+"; see whether it is right and can be reached from here")
	}
	for _, text := range untold {
		add("leadsquared.access_key", text+"; without it the rules are not checked in full")
	}
	return a, outside
}

// registryPatience is how long validate --online asks a registry that does not answer.
const registryPatience = 5 * time.Second

func askRegistry(ctx context.Context, doc *config.Document) error {
	registry, err := kafka.NewRegistry(kafka.RegistrySettings{Config: doc.Decode.Registry})
	if err != nil {
		return err
	}
	defer registry.Close()
	ctx, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	return registry.WaitReady(ctx)
}
