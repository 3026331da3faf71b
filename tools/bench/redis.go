package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// measureRedis runs redis-benchmark from the host against redis-server in
// containers, with so many clients.
func measureRedis(clients int) func(context.Context, *bench) error {
	return func(ctx context.Context, b *bench) error {
		title := fmt.Sprintf("redis-benchmark with %d clients", clients)
		if b.needs(title, "redis-server", "redis-benchmark", "redis-cli", "ip") {
			return nil
		}
		plain, protected, off := b.ways()
		ways := []*way{protected, plain, off}
		networks := make([]*network, len(ways))
		load := workload{
			prepare: func(ctx context.Context, i int) (func() error, error) {
				n, err := newNetwork(ctx, i)
				if err != nil {
					return nil, err
				}
				networks[i] = n
				return n.remove, nil
			},
			program: func(i int, w *way) program {
				return program{
					args:    []string{"/usr/bin/redis-server", "--save", "", "--protected-mode", "no"},
					recover: w.recover, netns: networks[i].path(), host: true,
				}
			},
			started: func(ctx context.Context, i int, c *container) error { return networks[i].waitForRedis(ctx, c) },
			measure: func(ctx context.Context, i int, w *way, _ *container) error {
				return networks[i].benchmarkRedis(ctx, clients, b.size.requests, w)
			},
		}
		if err := b.inTurns(ctx, load, ways...); err != nil {
			return err
		}
		for _, test := range []string{"SET", "GET"} {
			for _, w := range []*way{protected, off} {
				ours, theirs := w.results[test], plain.results[test]
				var goals []goal
				if w == protected {
					goals = append(goals, atLeast("as fast as runsc", ours.median()/theirs.median(), protectedShare))
				}
				b.report.compare(fmt.Sprintf("%s, %s, %s", title, test, w.title), "requests/s", ours, plain.runtime.name, theirs, goals...)
			}
		}
		return nil
	}
}

func (n *network) waitForRedis(ctx context.Context, c *container) error {
	_, err := c.waitFor(ctx, "redis-server", func(string) bool {
		pong, _ := exec.CommandContext(ctx, "redis-cli", "-h", n.guestAddress, "PING").Output()
		return strings.HasPrefix(string(pong), "PONG")
	})
	return err
}

// benchmarkRedis adds the rates of one run to the way's results. The first
// requests warm up.
func (n *network) benchmarkRedis(ctx context.Context, clients, requests int, w *way) error {
	for _, count := range []int{requests / 10, requests} {
		out, err := exec.CommandContext(ctx, "redis-benchmark", "-h", n.guestAddress, "-t", "set,get", "-n", strconv.Itoa(count),
			"-c", strconv.Itoa(clients), "-r", "100000", "-d", "100", "--csv").Output()
		if err != nil {
			return fmt.Errorf("redis-benchmark: %w", err)
		}
		if count < requests {
			continue
		}
		if err := w.addBenchmark(string(out)); err != nil {
			return err
		}
	}
	return nil
}

// addBenchmark reads redis-benchmark's table: a header, then a line for each
// test with its name and requests a second.
func (w *way) addBenchmark(text string) error {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return fmt.Errorf("read redis-benchmark's table: %w", err)
	}
	if len(rows) < 3 || len(rows[0]) < 2 {
		return fmt.Errorf("read redis-benchmark's table: it is %q", text)
	}
	for _, r := range rows[1:] {
		rate, err := strconv.ParseFloat(r[1], 64)
		if err != nil {
			return fmt.Errorf("read redis-benchmark's rate: %w", err)
		}
		w.results[r[0]] = append(w.results[r[0]], rate)
	}
	return nil
}
