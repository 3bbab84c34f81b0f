package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/connector"
	"github.com/leadsink/leadsink/connector/admin"
)

func heldCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "held",
		Short: "Show the records that wait for an operator, and decide about them",
		Long: "With delivery.on_unknown: hold, activities of a call that may have been applied wait for you: look for them\n" +
			"in LeadSquared, then say with leadsink held settle what you found. Only the active member holds records.",
		Example: "  leadsink held\n  leadsink held settle absent --topic crm.events --partition 0 --offset 42",
		Args:    noArguments,
	}
	running, asJSON := runningFlags(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := running.client()
		if err != nil {
			return err
		}
		held, err := client.Held(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd, admin.HeldList{Held: held})
		}
		if len(held) == 0 {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "Nothing is held by this member.")
			return err
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprint(table, "HELD SINCE\tRECORD\tRULES\n")
		for _, h := range held {
			fmt.Fprintf(table, "%s\t%s/%d@%d\t%s\n", h.Since.UTC().Format("2006-01-02 15:04:05Z"),
				plain(h.Topic), h.Partition, h.Offset, plain(strings.Join(h.Rules, ", ")))
		}
		return table.Flush()
	}
	cmd.AddCommand(settleCommand())
	return cmd
}

func settleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "settle created|absent|dead",
		Short: "Decide about held records",
		Long: "Decides about held records: created, LeadSquared has their activities, so they are delivered; absent, it has\n" +
			"not, so they are sent again; dead, they become dead letters. Name them by topic, partition and offset, or give --all.",
		Example: "  leadsink held settle created --topic crm.events --partition 0\n  leadsink held settle absent --all",
		Args:    cobra.ExactArgs(1),
	}
	running, asJSON := runningFlags(cmd), jsonFlag(cmd)
	topic := cmd.Flags().String("topic", "", "of the records")
	partition := cmd.Flags().Int32("partition", 0, "of the records")
	offset := cmd.Flags().Int64("offset", 0, "of the record")
	all := cmd.Flags().Bool("all", false, "all that this member holds")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		decision, err := connector.ParseHeldDecision(args[0])
		if err != nil {
			return &exitError{exitWrong, err}
		}
		order := admin.HeldOrder{Decision: string(decision), HeldChoice: connector.HeldChoice{Topic: *topic}}
		if cmd.Flags().Changed("partition") {
			order.Partition = partition
		}
		if cmd.Flags().Changed("offset") {
			order.Offset = offset
		}
		if named := *topic != ""; named == *all || !named && (order.Partition != nil || order.Offset != nil) {
			return &exitError{exitWrong, errors.New("say which records: give --topic, and perhaps --partition and --offset, or --all")}
		}
		client, err := running.client()
		if err != nil {
			return err
		}
		n, err := client.SettleHeld(cmd.Context(), order)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd, admin.HeldSettled{Records: n})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d records are settled as %s.\n", n, decision)
		return err
	}
	return cmd
}
