package cli

import (
	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
)

// The output formats of commands that list or show something.
const (
	formatTable = "table"
	formatJSON  = "json"
)

func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: formatTable, Usage: "output format: table or json"}
}

// formatOf reads --format.
func formatOf(c *cli.Context) (string, error) {
	f := c.String("format")
	if f != formatTable && f != formatJSON {
		return "", errdefs.Errorf(errdefs.CodeRequest, "invalid format option %q, allowed are table and json", f)
	}
	return f, nil
}
