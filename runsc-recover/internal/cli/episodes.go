package cli

import (
	"io"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/cli/show"
)

func (p *program) episodesCommand() *cli.Command {
	return &cli.Command{
		Name:  "episodes",
		Usage: "show the failures of a container and what became of them",
		Description: `An episode is one failure and all attempts to get past it. The records are kept
until the container is deleted, and can be read after it has stopped.`,
		Subcommands: []*cli.Command{
			p.episodesSubcommand("list", "list a container's episodes, the oldest first", show.Episodes),
			p.episodesSubcommand("show", "show each episode with its attempts and reasons", show.EpisodeDetails),
		},
	}
}

func (p *program) episodesSubcommand(name, usage string, write func(io.Writer, []api.Episode) error) *cli.Command {
	return &cli.Command{
		Name:      name,
		Usage:     usage,
		ArgsUsage: "<container-id> [episode]",
		Description: `With an episode's number, that one only. --format json prints a list of objects
with all that is recorded.

EXAMPLES:
   # runsc-recover episodes ` + name + ` web
   # runsc-recover episodes ` + name + ` --format json web 3` + exitHelp,
		Flags:        []cli.Flag{flags.FormatFlag()},
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 2); err != nil {
				return err
			}
			format, err := flags.ReadFormat(c)
			if err != nil {
				return err
			}
			all, err := p.loadEpisodes(c.Args().First())
			if err != nil {
				return err
			}
			if all, err = pickEpisode(all, c.Args().Get(1)); err != nil {
				return err
			}
			if format == flags.FormatJSON {
				return show.IndentedJSON(p.Out, all)
			}
			return write(p.Out, all)
		},
	}
}

func (p *program) loadEpisodes(id string) ([]api.Episode, error) {
	ct, err := p.containers.Open(id)
	if err != nil {
		return nil, err
	}
	all, err := ct.Episodes()
	if all == nil {
		all = []api.Episode{} // never null in JSON
	}
	return all, err
}

// pickEpisode keeps the episode with that number; all for "".
func pickEpisode(all []api.Episode, number string) ([]api.Episode, error) {
	if number == "" {
		return all, nil
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return nil, errdefs.Errorf(errdefs.CodeRequest, "episode %q is not a number", number)
	}
	i := slices.IndexFunc(all, func(e api.Episode) bool { return e.Episode == n })
	if i < 0 {
		return nil, errdefs.Errorf(errdefs.CodeRequest, "no episode %d", n)
	}
	return all[i : i+1], nil
}
