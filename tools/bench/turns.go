package main

import (
	"context"
	"errors"
	"fmt"
)

// A way is how a program that never fails is run: the cost of protection is the
// difference between ways.
type way struct {
	title   string
	runtime runtime
	recover map[string]string
	// rarely measures it in one round of so many; 0 for every one.
	rarely  int
	results map[string]sample // by the figure's name
}

// protectedShare is how fast a program is to run with checkpoints, beside
// plain runsc.
const protectedShare = 0.95

// ways are plain runsc, and ours with and without checkpoints. All else is as
// it is by default.
func (b *bench) ways() (plain, protected, off *way) {
	return &way{title: "runsc", runtime: b.plain},
		&way{title: "a checkpoint every 1s", runtime: b.ours, recover: map[string]string{"interval": "1s"}},
		&way{title: "recovery off", runtime: b.ours, recover: map[string]string{"enabled": "false"}, rarely: 4}
}

// A workload is a program that runs in a container for as long as it is
// measured. Containers of a set are numbered by their ways.
type workload struct {
	// prepare, where it is set, makes the container's environment, and returns
	// the function that removes it again.
	prepare func(ctx context.Context, number int) (remove func() error, err error)
	// program returns the number-th container's program, which is ready once
	// started returns.
	program func(number int, w *way) program
	started func(ctx context.Context, number int, c *container) error
	// measure adds one round to the way's results.
	measure func(ctx context.Context, number int, w *way, c *container) error
}

// setRounds is how many rounds are measured with one container of each way.
// The pages of the machine that a container gets make it faster or slower, for
// as long as it lives, by more than the difference to be measured.
const setRounds = 4

// inTurns measures every way in every round, with containers of its own for
// each set of rounds.
func (b *bench) inTurns(ctx context.Context, load workload, ways ...*way) error {
	for _, w := range ways {
		w.results = map[string]sample{}
	}
	for first := 0; first < b.size.rounds; first += setRounds {
		if err := b.set(ctx, load, first, min(first+setRounds, b.size.rounds), ways); err != nil {
			return err
		}
	}
	return nil
}

// set measures the rounds from first up to end. The containers of the other
// ways are paused meanwhile, which stops their checkpoints too.
func (b *bench) set(ctx context.Context, load workload, first, end int, ways []*way) (err error) {
	containers := make([]*container, len(ways))
	for i, w := range ways {
		if load.prepare != nil {
			remove, err := load.prepare(ctx, i)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, remove()) }()
		}
		c, err := w.runtime.start(ctx, load.program(i, w))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.end()) }()
		if err := load.started(ctx, i, c); err != nil {
			return err
		}
		if err := c.do(ctx, "pause"); err != nil {
			return err
		}
		containers[i] = c
	}
	for round := first; round < end; round++ {
		b.progress("round %d of %d", round+1, b.size.rounds)
		for i, w := range ways {
			if w.rarely > 0 && round%w.rarely != 0 {
				continue
			}
			c := containers[i]
			if err := errors.Join(c.do(ctx, "resume"), load.measure(ctx, i, w, c), c.do(ctx, "pause")); err != nil {
				return fmt.Errorf("%s: %w", w.title, err)
			}
		}
	}
	return nil
}
