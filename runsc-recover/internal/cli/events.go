package cli

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/cli/flags"
	"runsc-recover/runsc-recover/internal/cli/show"
	"runsc-recover/runsc-recover/internal/container"
)

// oomPoll is the time between two looks for kills.
const oomPoll = 200 * time.Millisecond

func (p *program) eventsCommand() *cli.Command {
	return &cli.Command{
		Name:      "events",
		Usage:     "show a container's resource use and out-of-memory kills",
		ArgsUsage: "<container-id>",
		Description: `Prints one JSON object a line: {"type":"stats","id":…,"data":{cpu, memory, pids}}
at every interval, and {"type":"oom","id":…} when the kernel has killed a process
of the container for want of memory. The stream ends with the container. Figures
are those of the container's cgroup, the supervisor's and gVisor's own share
included.

EXAMPLES:
   # runsc-recover events --stats web
   # runsc-recover events --interval 1s web` + exitHelp,
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Value: 5 * time.Second, Usage: "time between figures"},
			&cli.BoolFlag{Name: "stats", Usage: "print the figures once and exit"},
		},
		BashComplete: p.completeIDs,
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			o := eventsOptions{id: c.Args().First(), interval: c.Duration("interval"), once: c.Bool("stats")}
			if o.interval <= 0 {
				return errdefs.Errorf(errdefs.CodeRequest, "duration interval must be greater than 0")
			}
			return p.events(c.Context, o)
		},
	}
}

type eventsOptions struct {
	id       string
	interval time.Duration
	once     bool
}

func (p *program) events(ctx context.Context, o eventsOptions) error {
	ct, err := p.containers.Open(o.id)
	if err != nil {
		return err
	}
	if ct.Status() == statedir.StatusStopped {
		return errdefs.Errorf(errdefs.CodeNotRunning, "container with id %s is not running", o.id)
	}
	if o.once {
		s, err := ct.Stats(ctx)
		if err != nil {
			return err
		}
		return show.JSON(p.Out, show.Stats(o.id, s))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// However the wait ends, there is nothing left to report on.
		defer cancel()
		_, _ = ct.Wait(ctx)
	}()
	stream := eventStream{
		eventsOptions: o,
		out:           json.NewEncoder(p.Out),
		stats:         ct.Stats,
		oomKills:      ct.OOMKills,
	}
	return stream.run(ctx)
}

// eventStream writes a container's events as they come.
type eventStream struct {
	eventsOptions
	out      *json.Encoder
	stats    func(context.Context) (api.Stats, error)
	oomKills func() uint64 // also once the container is over
	seen     uint64        // kills that were reported, or came before
}

// run writes events until ctx is done or the container is over. The last event
// may be the cause of the container's end.
func (s *eventStream) run(ctx context.Context) error {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	watch := time.NewTicker(oomPoll)
	defer watch.Stop()
	s.seen = s.oomKills()
	over, err := s.writeStats(ctx)
	for err == nil && !over {
		select {
		case <-ctx.Done():
			over = true
		case <-watch.C:
		case <-tick.C:
			over, err = s.writeStats(ctx)
		}
		err = errors.Join(err, s.writeOOM())
	}
	return err
}

// writeStats writes the figures, and reports whether the container is over.
func (s *eventStream) writeStats(ctx context.Context) (over bool, err error) {
	st, err := s.stats(ctx)
	if ctx.Err() != nil || container.IsStopped(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, s.out.Encode(show.Stats(s.id, st))
}

// writeOOM writes an event if the kernel has killed since the last time.
func (s *eventStream) writeOOM() error {
	kills := s.oomKills()
	if kills <= s.seen {
		return nil
	}
	s.seen = kills
	return s.out.Encode(show.OOM(s.id))
}
