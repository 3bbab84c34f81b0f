package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/trial"
)

func testCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test TESTS...",
		Short: "Test the document's mapping by cases",
		Long: "Tests what the document makes of records against cases in YAML files: a record, and the activities that are\n" +
			"expected of it, or that it is filtered or dead. Nothing is sent, and neither keys nor brokers are needed.\n\n" +
			"--update rewrites what failed cases expect into what came, and nothing else of the files.\n\n" +
			"The exit code is 1 if a case fails, and 2 if the document or a file of cases is wrong.",
		Example: "  leadsink test -c leadsink.yaml tests.yaml\n  leadsink test -c leadsink.yaml tests/*.yaml --junit report.xml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("say which cases: give a file of them, for instance tests.yaml; docs/mapping.md shows one")
			}
			return nil
		},
	}
	path, asJSON := documentFlag(cmd), jsonFlag(cmd)
	update := cmd.Flags().Bool("update", false, "rewrite what failed cases expect")
	junit := cmd.Flags().String("junit", "", "write the results to this file too, as JUnit XML")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		results, err := testAll(cmd, *path, args, *update)
		if err != nil {
			return err
		}
		if *junit != "" {
			if err := writeJUnit(*junit, results); err != nil {
				return err
			}
		}
		all := trial.Sum(results)
		if *asJSON {
			err = printJSON(cmd, all)
		} else {
			err = all.Print(cmd.OutOrStdout(), paperFor(cmd.OutOrStdout()))
		}
		if err == nil && all.Failed > 0 {
			err = &exitError{code: exitFailed}
		}
		return err
	}
	return cmd
}

// testAll tries the cases of all files. What is wrong with the document or with
// any of the files is told together.
func testAll(cmd *cobra.Command, path string, files []string, update bool) ([]trial.Result, error) {
	var wrong config.Errors
	note := func(err error) error {
		var document *config.Errors
		if err != nil && !errors.As(err, &document) {
			return err
		}
		if document != nil {
			wrong.List = append(wrong.List, document.List...)
		}
		return nil
	}
	doc, open, err := config.LoadFor(path, "decode", "transform")
	if err := note(err); err != nil {
		return nil, err
	}
	all := make([]*trial.Cases, len(files))
	for i, file := range files {
		all[i], err = trial.ReadCases(file, update)
		if err := note(err); err != nil {
			return nil, err
		}
	}
	if len(wrong.List) > 0 {
		return nil, &wrong
	}
	for _, key := range []string{"kafka.topics[0]", "leadsquared.marker"} { // all that activities are made of
		hint(cmd, path, open, key, "cases are tested as without it")
	}
	mapping, err := trial.New(doc)
	if err != nil {
		return nil, &exitError{exitWrong, fmt.Errorf("%s: %w", path, err)}
	}
	results := make([][]trial.Result, len(all))
	for i, cases := range all {
		results[i] = mapping.Test(cases)
	}
	if update {
		if err := mapping.Update(all, results); err != nil {
			return nil, err
		}
	}
	return slices.Concat(results...), nil
}

func writeJUnit(path string, results []trial.Result) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := trial.WriteJUnit(f, results); err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	return f.Close()
}
