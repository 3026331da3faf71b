package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// memory is a program's memory, in MiB.
type memory struct {
	resident, changed int // changed all the time between two checkpoints
}

func (m memory) String() string {
	if m.changed == 0 {
		return fmt.Sprintf("%d MiB resident", m.resident)
	}
	return fmt.Sprintf("%d MiB resident, %d changed", m.resident, m.changed)
}

// pauses are checkpoints of one runtime: how long the program stood still for
// each, as it saw it itself, in milliseconds, and the runtime's manifests.
type pauses struct {
	seen      sample
	manifests []manifest
	rss       sample // of the container's process on the host, MiB
}

// a checkpointer takes a checkpoint of a running container. The manifest is
// empty where the runtime says nothing of it.
type checkpointer func(context.Context, *container) (manifest, error)

// intoStore takes a checkpoint for rollbacks.
func intoStore(ctx context.Context, c *container) (m manifest, err error) {
	text, err := c.runtime.command(ctx, "checkpoint", "--into-store", "--format", "json", c.id)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read manifest: %w", err)
	}
	return m, nil
}

// intoImage takes an ordinary checkpoint and throws it away.
func intoImage(ctx context.Context, c *container) (_ manifest, err error) {
	image := filepath.Join(c.bundle, "image")
	if err := os.Mkdir(image, 0o700); err != nil {
		return manifest{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(image)) }()
	_, err = c.runtime.command(ctx, "checkpoint", "--leave-running", "--image-path", image, c.id)
	return manifest{}, err
}

// measurePause measures checkpoints of a program, beside plain runsc's. plain
// is how many of its a turn has.
func measurePause(m memory, plain func(size) int, reach func(b *bench, ours, plain float64) []goal) func(context.Context, *bench) error {
	return func(ctx context.Context, b *bench) error {
		var ours, theirs pauses
		for i := range b.size.turns {
			b.progress("turn %d of %d", i+1, b.size.turns)
			if err := b.ours.pauses(ctx, m, b.size.perTurn, intoStore, &ours); err != nil {
				return err
			}
			if err := b.plain.pauses(ctx, m, plain(b.size), intoImage, &theirs); err != nil {
				return err
			}
		}
		b.seen[m] = ours.seen
		title := fmt.Sprintf("pause per checkpoint, %s", m)
		b.report.compare(title+", seen by the guest", "ms", ours.seen, b.plain.name, theirs.seen,
			reach(b, ours.seen.median(), theirs.seen.median())...)
		b.report.manifests(title, ours.manifests)
		b.report.ours(fmt.Sprintf("resident memory of the supervisor, %s", m), "MiB", ours.rss, rssGoal(ours.rss))
		return nil
	}
}

// warmUps is how many checkpoints of each container aren't counted.
const warmUps = 2

// pauses adds n checkpoints of one container to p.
func (r runtime) pauses(ctx context.Context, m memory, n int, take checkpointer, p *pauses) (err error) {
	c, err := r.start(ctx, guest(onRequest(), "gap", strconv.Itoa(m.resident), strconv.Itoa(m.changed)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	if _, err := c.waitForLine(ctx, "ready"); err != nil {
		return err
	}
	for i := range warmUps + n {
		seen, manifest, err := c.pause(ctx, take)
		if err != nil {
			return err
		}
		if i < warmUps {
			continue
		}
		p.seen = append(p.seen, seen)
		p.manifests = append(p.manifests, manifest)
		rss, err := c.residentMiB(ctx)
		if err != nil {
			return err
		}
		p.rss = append(p.rss, rss)
	}
	return nil
}

// pause takes one checkpoint and waits until the guest has said how long it
// stood still.
func (c *container) pause(ctx context.Context, take checkpointer) (seen float64, m manifest, err error) {
	start := time.Now().UnixNano()
	if m, err = take(ctx, c); err != nil {
		return 0, m, err
	}
	end := time.Now().UnixNano()
	var gaps []gap
	var parseErr error
	_, err = c.waitFor(ctx, "a sign of life after a checkpoint", func(output string) bool {
		var tick int64
		gaps, tick, parseErr = parseGaps(output)
		return parseErr != nil || tick > end
	})
	if err := errors.Join(err, parseErr); err != nil {
		return 0, m, err
	}
	return ms(time.Duration(longest(gaps, start, end))), m, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
