package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/starter"
	"github.com/leadsink/leadsink/transform/account"
	"github.com/leadsink/leadsink/transform/decode"
)

func initCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first document, with a mapping guessed from a sample event and the account",
		Long: "Writes a commented document that is valid. From a sample event, or a list of events, it proposes the lead's id\n" +
			"and a rule for each kind of event; with the account, from a snapshot or asked at --host with the keys in\n" +
			accessVariable + " and " + secretVariable + ", the activity type of each and what its fields are written from. What is unsure\n" +
			"stands in comments. It writes over no file without --force.",
		Example: "  leadsink init\n" +
			"  leadsink init --sample event.json --account account.json\n" +
			"  leadsink init -c crm.yaml --sample event.json --host https://api-in21.leadsquared.com",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.write(cmd) },
	}
	f.path = documentFlag(cmd)
	cmd.Flags().StringVar(&f.sample, "sample", "", "a JSON file with an event, or a list of events")
	cmd.Flags().StringVar(&f.account, "account", "", "a snapshot of the account, from leadsink activity-types --save")
	cmd.Flags().StringVar(&f.host, "host", "", "the account's API address, to ask the account itself")
	cmd.Flags().BoolVar(&f.force, "force", false, "write over a file that is there")
	return cmd
}

// initFlags are the flags of init.
type initFlags struct {
	path                  *string
	sample, account, host string
	force                 bool
}

func (f *initFlags) write(cmd *cobra.Command) error {
	if _, err := os.Stat(*f.path); err == nil && !f.force {
		return &exitError{exitWrong, fmt.Errorf("%s is there already; give another name with -c, or --force to write over it", *f.path)}
	}
	s := starter.Starter{Host: f.host}
	var err error
	if s.Events, s.Sample, err = f.events(); err != nil {
		return &exitError{exitWrong, fmt.Errorf("--sample %s: %w", f.sample, err)}
	}
	if s.Account, err = f.known(cmd.Context(), cmd.ErrOrStderr()); err != nil {
		return err
	}
	if err := saveFile("-c", *f.path, []byte(s.Document())); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is written; say in it what is yours, set %s and %s, and check it with leadsink validate -c %s\n",
		*f.path, accessVariable, secretVariable, *f.path)
	return err
}

// events returns the decoded sample, and its path as the document names it.
func (f *initFlags) events() (events any, path string, err error) {
	if f.sample == "" {
		return nil, "", nil
	}
	if events, err = config.Sample(f.sample, decode.Default().MaxDepth); err != nil {
		return nil, "", err
	}
	if path, err = filepath.Abs(f.sample); err != nil {
		return nil, "", err
	}
	folder, err := filepath.Abs(filepath.Dir(*f.path))
	if err != nil {
		return nil, "", err
	}
	if beside, err := filepath.Rel(folder, path); err == nil {
		path = beside
	}
	return events, filepath.ToSlash(path), nil
}

// known returns the account of the snapshot, or as it is at the host; nil without either.
func (f *initFlags) known(ctx context.Context, stderr io.Writer) (*account.Account, error) {
	switch {
	case f.account != "" && f.host != "":
		return nil, &exitError{exitWrong, errors.New("--host asks the account itself; leave --account out")}
	case f.account != "":
		return readSnapshot(f.account)
	case f.host == "":
		return nil, nil
	}
	client, limits, err := accountClient("", f.host)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return askAccount(ctx, stderr, client, limits, nil)
}
