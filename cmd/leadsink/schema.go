package main

import (
	"github.com/spf13/cobra"

	"github.com/leadsink/leadsink/config"
)

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the document",
		Long: "Prints the JSON Schema of the document. Editors use it to complete and check keys, for instance with this line\n" +
			"at the top of the document:\n\n  # yaml-language-server: $schema=./leadsink.schema.json",
		Example: "  leadsink schema > leadsink.schema.json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema())
			return err
		},
	}
}
