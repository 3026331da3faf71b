package flags

import (
	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
)

// The output formats of commands that list or show something.
const (
	FormatTable = "table"
	FormatJSON  = "json"
)

func FormatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: FormatTable, Usage: "output format: table or json"}
}

// ReadFormat reads --format.
func ReadFormat(c *cli.Context) (string, error) {
	f := c.String("format")
	if f != FormatTable && f != FormatJSON {
		return "", errdefs.Errorf(errdefs.CodeRequest, "invalid format option %q, allowed are table and json", f)
	}
	return f, nil
}
