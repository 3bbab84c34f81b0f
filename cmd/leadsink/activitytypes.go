package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/connector/leadsquared"
	"github.com/leadsink/leadsink/transform/account"
)

// The environment variables with the keys where no document names them.
const (
	accessVariable = "LSQ_ACCESS_KEY"
	secretVariable = "LSQ_SECRET_KEY"
)

func activityTypesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "activity-types",
		Short: "List the account's activity types and their fields",
		Long: "Asks the account for its activity types and their fields, with a fifth of the limits that the document names,\n" +
			"for a connector may be running. --save writes a snapshot, which holds no secret: leadsink validate --account\n" +
			"checks a document against it where the account cannot be reached, and leadsink init proposes a mapping by it.\n\n" +
			"Without a document give --host; the keys come from " + accessVariable + " and " + secretVariable + " then.",
		Example: "  leadsink activity-types -c leadsink.yaml\n" +
			"  leadsink activity-types --host https://api-in21.leadsquared.com --save account.json\n" +
			"  leadsink activity-types --code 320 --json",
		Args: noArguments,
	}
	path, asJSON := documentFlag(cmd), jsonFlag(cmd)
	host := cmd.Flags().String("host", "", "the account's API address, instead of a document")
	codes := cmd.Flags().IntSlice("code", nil, "only the types with these codes; repeatable")
	save := cmd.Flags().String("save", "", "write a snapshot to this file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *save != "" && len(*codes) > 0 {
			return &exitError{exitWrong, errors.New("--save writes a snapshot of the whole account; leave --code out")}
		}
		client, limits, err := accountClient(*path, *host)
		if err != nil {
			return err
		}
		defer client.Close()
		a, err := askAccount(cmd.Context(), cmd.ErrOrStderr(), client, limits, *codes)
		if err != nil {
			return err
		}
		if len(*codes) > 0 {
			if a, err = chosen(a, *codes); err != nil {
				return err
			}
		}
		if *save != "" {
			if err := saveSnapshot(*save, a); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s holds %d activity types\n", *save, len(a.Types))
		}
		if *asJSON {
			return a.Write(cmd.OutOrStdout())
		}
		return listTypes(cmd.OutOrStdout(), a)
	}
	return cmd
}

// accountClient returns a client of the account at the host with keys of the
// environment, or without a host of the document's.
func accountClient(path, host string) (*leadsquared.Client, budget.Config, error) {
	if host == "" {
		doc, err := config.Load(path)
		if err != nil {
			return nil, budget.Config{}, err
		}
		client, err := lookingAt(doc)
		return client, doc.LeadSquared.Budget, err
	}
	c := leadsquared.Default()
	c.Host = host
	c.AccessKey, c.SecretKey = setting.NewSecret(os.Getenv(accessVariable)), setting.NewSecret(os.Getenv(secretVariable))
	if problems := c.Validate(); len(problems) > 0 {
		var texts []string
		names := map[string]string{"host": "--host", "access_key": accessVariable, "secret_key": secretVariable}
		for _, p := range problems {
			texts = append(texts, cmp.Or(names[p.Key], p.Key)+" "+p.Text)
		}
		return nil, budget.Config{}, &exitError{exitWrong, errors.New(strings.Join(texts, "\n"))}
	}
	client, err := leadsquared.New(c, leadsquared.Settings{})
	if err != nil {
		return nil, budget.Config{}, &exitError{exitWrong, err}
	}
	return client, budget.Default(), nil
}

// askAccount reads what the account takes. What it does not tell is said on stderr.
func askAccount(ctx context.Context, stderr io.Writer, client *leadsquared.Client, limits budget.Config, codes []int) (*account.Account, error) {
	if err := client.Refused(ctx); err != nil {
		return nil, &exitError{exitSurroundings, err}
	}
	a, untold, err := readAccount(ctx, client.Look(codes), limits, lookAttempts)
	if err != nil {
		return nil, &exitError{exitSurroundings, err}
	}
	for _, text := range untold {
		fmt.Fprintln(stderr, text)
	}
	if len(a.Types) == 0 {
		return nil, &exitError{exitSurroundings, errors.New("the account shows no activity type; see whether the keys' user may see them")}
	}
	return a, nil
}

// chosen is the account with the types of the codes only. An error is about a code that
// it does not have.
func chosen(a *account.Account, codes []int) (*account.Account, error) {
	only := &account.Account{}
	for _, code := range codes {
		t := a.Type(code)
		if t == nil {
			return nil, &exitError{exitWrong, fmt.Errorf("--code: the account has no activity type %d; leadsink activity-types lists what there is", code)}
		}
		if only.Type(code) == nil {
			only.Types = append(only.Types, *t)
		}
	}
	return only, nil
}

// saveSnapshot writes the file whole or not at all.
func saveSnapshot(path string, a *account.Account) error {
	var text bytes.Buffer
	if err := a.Write(&text); err != nil {
		return err
	}
	return saveFile("--save", path, text.Bytes())
}

// saveFile writes the file that the flag names, whole or not at all.
func saveFile(flag, path string, text []byte) error {
	if err := config.WriteText(path, text); err != nil {
		return &exitError{exitSurroundings, fmt.Errorf("%s: %w; choose a folder that can be written to", flag, err)}
	}
	return nil
}

// listTypes prints types and fields for people.
func listTypes(w io.Writer, a *account.Account) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range a.Types {
		t := &a.Types[i]
		remark := ""
		switch {
		case t.Inactive:
			remark = "not active"
		case t.Fields == nil:
			remark = "fields not read"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\n", t.Code, plain(cmp.Or(t.DisplayName, t.Name)), remark)
		for j := range t.Fields {
			f := &t.Fields[j]
			fmt.Fprintf(table, "  %s\t%s\t%s\n", plain(f.SchemaName), plain(f.DisplayName), plain(takes(f)))
		}
	}
	return table.Flush()
}

// takes says what a field takes.
func takes(f *account.Field) string {
	const most = 8
	what := f.DataType
	if f.MaxLength > 0 {
		what += fmt.Sprintf(", %d characters", f.MaxLength)
	}
	if f.Mandatory {
		what += ", mandatory"
	}
	switch n := len(f.Options); {
	case n > most:
		what += fmt.Sprintf(": %s, … (%d)", strings.Join(f.Options[:most], ", "), n)
	case n > 0:
		what += ": " + strings.Join(f.Options, ", ")
	}
	return what
}
