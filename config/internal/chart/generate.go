package chart

import (
	"os"
	"path/filepath"
)

// Generate returns the chart's files that are made of others, by their paths:
// its schema, its README, and the rules and the dashboard, which a chart cannot
// take from outside its folder. deploy is the folder of that name.
func Generate(deploy string, document []byte) (map[string][]byte, error) {
	folder := filepath.Join(deploy, "helm", "leadsink")
	text, err := os.ReadFile(filepath.Join(folder, "values.yaml"))
	if err != nil {
		return nil, err
	}
	values, err := Values(text)
	if err != nil {
		return nil, err
	}
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		return nil, err
	}
	made := make(map[string][]byte)
	if made[filepath.Join(folder, "values.schema.json")], err = Schema(values, document); err != nil {
		return nil, err
	}
	if made[filepath.Join(folder, "README.md")], err = Markdown(readme, values); err != nil {
		return nil, err
	}
	for _, name := range []string{"rules.yaml", "dashboard.json"} {
		if made[filepath.Join(folder, "files", name)], err = os.ReadFile(filepath.Join(deploy, "observability", name)); err != nil {
			return nil, err
		}
	}
	return made, nil
}
