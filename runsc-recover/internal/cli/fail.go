package cli

import (
	"context"
	"math"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/container"
	"runsc-recover/sentry/failure"
)

func (p *program) failCommand() *cli.Command {
	return &cli.Command{
		Name:      "fail",
		Usage:     "declare that a container has failed",
		ArgsUsage: "<container-id>",
		Description: `Stops the container as if its program had reported an error, and rolls it back to
a checkpoint from before: an operator's way to say that it isn't well. The copy is
told of a failure of kind "operator" with the code and the message given here.

EXAMPLE:
   # runsc-recover fail --code 7 --message "answers are wrong" web` + exitHelp,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "code", Usage: "error number for the program's handlers"},
			&cli.StringFlag{Name: "message", Usage: "what is wrong, for handlers and records; at most 4096 bytes"},
		},
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			r, err := failRequest(c.Int("code"), c.String("message"))
			if err != nil {
				return err
			}
			return p.onContainer(func(ct *container.Container, ctx context.Context) error {
				return ct.Fail(ctx, r)
			})(c)
		},
	}
}

func failRequest(code int, message string) (api.FailRequest, error) {
	switch {
	case code < math.MinInt32 || code > math.MaxInt32:
		return api.FailRequest{}, errdefs.Errorf(errdefs.CodeRequest, "--code %d doesn't fit 32 bits", code)
	case len(message) > failure.MaxMessage:
		return api.FailRequest{}, errdefs.Errorf(errdefs.CodeRequest, "--message has %d bytes, at most %d", len(message), failure.MaxMessage)
	case !utf8.ValidString(message):
		return api.FailRequest{}, errdefs.Errorf(errdefs.CodeRequest, "--message is not UTF-8")
	}
	return api.FailRequest{Code: int32(code), Message: message}, nil
}
