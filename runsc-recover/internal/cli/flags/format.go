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

// FormatFlag is the option --format of commands that list or show something.
func FormatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: FormatTable, Usage: "output format: table or json"}
}

// ReadFormat reads --format, and refuses another format than the two.
func ReadFormat(c *cli.Context) (string, error) {
	f := c.String("format")
	if f != FormatTable && f != FormatJSON {
		return "", errdefs.Errorf(errdefs.CodeRequest, "invalid format option %q, allowed are table and json", f)
	}
	return f, nil
}
