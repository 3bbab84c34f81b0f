package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/config"
)

func validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check the document, offline",
		Long: "Checks the whole document without touching Kafka or LeadSquared: keys, values, how they fit together, and\n" +
			"the expressions against the sample or schema. Prints every error with its place; the exit code is 2 if there is one.",
		Example: "  leadsink validate -c leadsink.yaml",
		Args:    noArguments,
	}
	path, asJSON := documentFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		doc, err := config.Load(*path)
		if *asJSON {
			return printValidation(cmd, *path, doc, err)
		}
		if err != nil {
			return err
		}
		if unchecked := doc.Unchecked(); unchecked != "" {
			cmd.PrintErrf("%s: %s\n", *path, unchecked)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is valid\n", *path)
		return err
	}
	return cmd
}

// A validation is what validate --json prints.
type validation struct {
	File    string          `json:"file"`
	Valid   bool            `json:"valid"`
	Errors  []*config.Error `json:"errors"`
	Notices []string        `json:"notices"` // what is right and could be better
}

func printValidation(cmd *cobra.Command, path string, doc *config.Document, err error) error {
	result := validation{File: path, Valid: err == nil, Errors: []*config.Error{}, Notices: []string{}}
	if err == nil && doc.Unchecked() != "" {
		result.Notices = append(result.Notices, doc.Unchecked())
	}
	if document, ok := errors.AsType[*config.Errors](err); ok {
		result.Errors = document.List
	}
	if err := printJSON(cmd, result); err != nil {
		return err
	}
	if err != nil {
		return &exitError{code: exitWrong}
	}
	return nil
}
