package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/episode"
)

func (p *program) episodesCommand() *cli.Command {
	return &cli.Command{
		Name:  "episodes",
		Usage: "show the failures of a container and what became of them",
		Description: `An episode is one failure and all attempts to get past it. The records are kept
until the container is deleted, and can be read after it has stopped.`,
		Subcommands: []*cli.Command{
			p.episodesSubcommand("list", "list a container's episodes, the oldest first", writeEpisodes),
			p.episodesSubcommand("show", "show each episode with its attempts and reasons", writeEpisodeDetails),
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
				enc := json.NewEncoder(p.Out)
				enc.SetIndent("", "  ")
				return enc.Encode(all)
			}
			return write(p.Out, all)
		},
	}
}

// loadEpisodes reads the records that the supervisor keeps beside its state,
// so that they can be had whether or not it is alive.
func (p *program) loadEpisodes(id string) ([]api.Episode, error) {
	ct, err := p.containers.Open(id)
	if err != nil {
		return nil, err
	}
	all, err := episode.Load(ct.EpisodesFile())
	if all == nil {
		all = []api.Episode{}
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

func writeEpisodes(w io.Writer, all []api.Episode) error {
	t := newTable(w)
	fmt.Fprint(t, "EPISODE\tFAILED\tFAILURE\tATTEMPTS\tLEVEL\tOUTCOME\n")
	for _, e := range all {
		level := 0
		if n := len(e.Attempts); n > 0 {
			level = e.Attempts[n-1].Level
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%d\t%s\n", e.Episode, e.FailedAt.Format(time.RFC3339Nano), failureText(e), len(e.Attempts), level, e.Outcome)
	}
	return t.Flush()
}

// failureText says in few words what failed.
func failureText(e api.Episode) string {
	switch {
	case e.Signal != 0:
		return fmt.Sprintf("%s %d", e.Kind, e.Signal)
	case e.Message == "":
		return fmt.Sprintf("%s %d", e.Kind, e.Code)
	}
	return fmt.Sprintf("%s %d: %s", e.Kind, e.Code, printable(e.Message))
}

func writeEpisodeDetails(w io.Writer, all []api.Episode) error {
	for i, e := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "Episode %d: %s, %s\n", e.Episode, failureText(e), e.Outcome)
		fmt.Fprintf(w, "  failed    %s", e.FailedAt.Format(time.RFC3339Nano))
		if !e.EndedAt.IsZero() {
			fmt.Fprintf(w, ", ended %s", e.EndedAt.Format(time.RFC3339Nano))
		}
		fmt.Fprintf(w, "\n  program   %s, pid %d, thread %d\n", printable(e.Program), e.PID, e.TID)
		if e.Signal != 0 {
			fmt.Fprintf(w, "  fault     instruction %s, address %s\n", e.FaultIP, e.FaultAddr)
		}
		fmt.Fprintf(w, "  key       %s\n", e.Key)
		writeReasons(w, "  ", e.Reasons)
		for _, a := range e.Attempts {
			fmt.Fprintf(w, "  attempt %d: level %d, checkpoint %d, %s; stop %.3f ms, restore %.3f ms%s, interrupt %.3f ms\n",
				a.Attempt, a.Level, a.CheckpointSeq, a.Outcome, a.StopMS, a.RestoreMS, standbyText(a.Standby), a.InterruptMS)
			writeReasons(w, "    ", a.Reasons)
		}
	}
	return nil
}

// standbyText says what a copy was made of, when there is a copy.
func standbyText(kind string) string {
	if kind == "" {
		return ""
	}
	return " (" + kind + ")"
}

func writeReasons(w io.Writer, indent string, reasons []string) {
	for _, r := range reasons {
		fmt.Fprintf(w, "%s- %s\n", indent, printable(r))
	}
}
