package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// measureRow rolls a program back many times in a row, to a checkpoint that it
// asked for just before.
func measureRow(ctx context.Context, b *bench) error {
	row, err := b.ours.rollbacks(ctx, smallMiB, b.size.rollbacks)
	if err != nil {
		return err
	}
	title := fmt.Sprintf("%d rollbacks in a row, %d MiB resident", b.size.rollbacks, smallMiB)
	b.report.ours(title+", failing call to handler", "ms", row.latency)
	b.report.ours(title+", in all", "s", sample{row.total.Seconds()})
	b.report.ours(title+", gone wrong", "", sample{float64(row.wrong)})
	b.report.ours(title+", resident memory of the supervisor before", "MiB", row.rssBefore, rssGoal(row.rssBefore))
	b.report.ours(title+", resident memory of the supervisor after", "MiB", row.rssAfter, rssGoal(row.rssAfter))
	return nil
}

// row is a row of rollbacks of one container.
type row struct {
	latency             sample // from the failing call to the handler, ms
	total               time.Duration
	wrong               int
	rssBefore, rssAfter sample // of the supervisor, MiB
}

// rollbacks rolls one container back n times in a row.
func (r runtime) rollbacks(ctx context.Context, mib, n int) (_ row, err error) {
	var result row
	c, err := r.start(ctx, guest(onRequest(), "rollback", strconv.Itoa(n), strconv.Itoa(mib)))
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	if _, err := c.waitForLine(ctx, "ready"); err != nil {
		return result, err
	}
	began := time.Now()
	before, err := c.residentMiB(ctx)
	if err != nil {
		return result, err
	}
	output, err := c.waitForLine(ctx, "done")
	if err != nil {
		return result, err
	}
	result.total = time.Since(began)
	after, err := c.residentMiB(ctx)
	if err != nil {
		return result, err
	}
	result.rssBefore, result.rssAfter = sample{before}, sample{after}
	result.latency, err = parseHandlers(output)
	result.wrong = n - len(result.latency)
	return result, err
}

// parseHandlers reads the output of the guest's handler: the times in
// milliseconds of the rounds in which it ran, each counted once.
func parseHandlers(output string) (sample, error) {
	var s sample
	seen := map[uint64]bool{}
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "handler ") {
			continue
		}
		var round uint64
		var took time.Duration
		if _, err := fmt.Sscanf(line, "handler %d %d", &round, &took); err != nil {
			return nil, fmt.Errorf("read %q: %w", line, err)
		}
		if !seen[round] {
			s = append(s, ms(took))
		}
		seen[round] = true
	}
	return s, nil
}
