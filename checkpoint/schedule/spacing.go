package schedule

import (
	"fmt"
	"time"

	"runsc-recover/checkpoint"
)

// PublishShare is how much of the publishing time counts as the program's. The
// program runs meanwhile, but hashing keeps one processor and the memory's
// bandwidth busy: on two processors a program that uses both loses about a
// quarter of its speed.
const PublishShare = 0.25

// maxBackoff bounds the delay that failures to take a checkpoint lead to.
const maxBackoff = time.Minute

// SpacingInput holds the facts of Next's decision.
type SpacingInput struct {
	Interval    time.Duration // Config.Interval
	MaxOverhead float64       // Config.MaxOverhead
	// Recent are the costs of the last checkpoints, the newest last. Those of
	// a failed one count as far as they are known.
	Recent []checkpoint.Cost
	// Failures counts the checkpoints that failed since one was published.
	Failures int
}

// Next says how long the program runs until the next checkpoint, counted from
// the end of the last pause. The last checkpoint is paid off before the next
// begins, so that the share of all of them stays within MaxOverhead; when its
// forerunners cost more, the delay is by their mean. After a failure the delay
// doubles with each in a row, to a minute at most.
func Next(in SpacingInput) (delay time.Duration, reason string) {
	delay, reason = in.Interval, "the configured interval"
	if paid := payOff(in); paid > delay {
		delay = paid
		reason = fmt.Sprintf("stretched from %v: checkpoints cost %v each and may take %.4g%% of the time",
			in.Interval, MeanOrLast(in.Recent).Round(time.Microsecond), in.MaxOverhead*100)
	}
	if in.Failures > 0 {
		delay = backOff(delay, in.Failures)
		reason = fmt.Sprintf("after %d checkpoints in a row that failed", in.Failures)
	}
	return delay, reason
}

// payOff is the run time of which one checkpoint's cost is the share allowed.
func payOff(in SpacingInput) time.Duration {
	const limit = 24 * time.Hour
	d := float64(MeanOrLast(in.Recent)) / in.MaxOverhead
	if d > float64(limit) {
		return limit
	}
	return time.Duration(d)
}

// MeanOrLast is the larger of the last cost and the mean of all given.
func MeanOrLast(recent []checkpoint.Cost) time.Duration {
	if len(recent) == 0 {
		return 0
	}
	var sum time.Duration
	for _, c := range recent {
		sum += Burden(c)
	}
	return max(sum/time.Duration(len(recent)), Burden(recent[len(recent)-1]))
}

// Burden is the run time that a checkpoint cost the program.
func Burden(c checkpoint.Cost) time.Duration {
	return c.Pause() + time.Duration(PublishShare*float64(c.Publish))
}

func backOff(d time.Duration, failures int) time.Duration {
	bound := max(d, maxBackoff)
	for range failures {
		if d *= 2; d >= bound {
			return bound
		}
	}
	return d
}
