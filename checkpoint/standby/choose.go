package standby

import (
	"fmt"
	"time"

	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
)

// ChoiceInput is what Choose decides on. Sizes are in bytes.
type ChoiceInput struct {
	Asked     config.Standby // Config.Standby
	MaxMemory uint64         // Config.StandbyMemory
	// Warm and Hot are what a standby takes, as far as is known. Two hot ones
	// are there while one takes the place of the other.
	Warm, Hot uint64
	// Pages is the memory of the newest checkpoint, which a hot one takes
	// beside what a warm one does, at the latest when the program touches it.
	Pages uint64
	// HotRefused says why there can't be a hot one; empty if there can.
	HotRefused string
	// Held is the standby that there is, empty for none. It takes what Warm or
	// Hot say already.
	Held config.Standby
	// Limit is the container's memory limit, 0 for none, and Used is what of
	// it can't be taken back.
	Limit, Used uint64
	// Checkpoint is what the next checkpoint may take of the limit.
	Checkpoint uint64
}

// Choice is the standby to keep.
type Choice struct {
	Kind   config.Standby
	Reason string
	// Beside: there is room for a hot one to stay until all memory of the one
	// that takes its place is there.
	Beside bool
}

// standbyMargin is the share of the container's memory limit that a standby
// leaves to the program: one that has to grow must not be killed for it.
const standbyMargin = 1. / 16

// Choose says what standby to keep: what was asked for, or the best
// below it that fits. Its memory stays within MaxMemory and leaves the program
// and its next checkpoint theirs.
func Choose(in ChoiceInput) Choice {
	if in.Asked == config.StandbyCold {
		return Choice{Kind: config.StandbyCold, Reason: "as configured"}
	}
	var notHot string
	if in.Asked != config.StandbyWarm {
		if notHot = in.againstHot(); notHot == "" {
			return Choice{config.StandbyHot, in.why(""), in.roomBeside()}
		}
		notHot = "not hot: " + notHot
	}
	if why := in.noRoom(config.StandbyWarm, in.Warm); why != "" {
		return Choice{Kind: config.StandbyCold, Reason: why}
	}
	return Choice{Kind: config.StandbyWarm, Reason: in.why(notHot)}
}

func (in ChoiceInput) why(not string) string {
	switch {
	case not != "":
		return not
	case in.Asked == config.StandbyAuto:
		return "the best that there is, and it fits"
	}
	return "as configured"
}

func (in ChoiceInput) againstHot() string {
	if in.HotRefused != "" {
		return in.HotRefused
	}
	return in.noRoom(config.StandbyHot, 2*in.loaded())
}

// loaded is what a hot standby takes with all its memory.
func (in ChoiceInput) loaded() uint64 { return max(in.Hot, in.Warm+in.Pages) }

func (in ChoiceInput) roomBeside() bool {
	return in.Limit == 0 || in.Used+in.margin()+in.loaded()+in.Checkpoint <= in.Limit
}

// margin is what a standby leaves of the container's memory limit.
func (in ChoiceInput) margin() uint64 { return uint64(standbyMargin * float64(in.Limit)) }

// noRoom says why there is no room for a standby; empty if there is. One that
// is there already stays until the program comes close to the container's
// limit, so that it doesn't come and go.
func (in ChoiceInput) noRoom(kind config.Standby, needs uint64) string {
	if needs > in.MaxMemory {
		return fmt.Sprintf("a %s standby takes %d MiB, and standby-memory is %d MiB", kind, needs>>20, in.MaxMemory>>20)
	}
	used := in.Used + in.margin()
	if in.Held != kind {
		used += needs + in.Checkpoint
	}
	if in.Limit == 0 || used <= in.Limit {
		return ""
	}
	return fmt.Sprintf("the container uses %d MiB of its memory limit of %d MiB, and a %s standby takes %d MiB",
		in.Used>>20, in.Limit>>20, kind, needs>>20)
}

// RefreshInput is what Refresh decides on.
type RefreshInput struct {
	schedule.SpacingInput
	// Asked is Config.Standby.
	Asked config.Standby
	// Took is how long it takes to prepare a hot standby, and Work how much of
	// processors' time.
	Took, Work time.Duration
	// MaxLag is Config.StandbyLag.
	MaxLag time.Duration
}

// cost is what preparing a hot standby costs of MaxOverhead. Where one was
// asked for, that is what it slows the program by; where the choice is left to
// us, all that it takes of processors that others could use, too.
func (in RefreshInput) cost() time.Duration {
	slows := time.Duration(refreshShare * float64(in.Took))
	if in.Asked == config.StandbyHot {
		return slows
	}
	return max(slows, in.Work)
}

// refreshShare is how much of the time that a hot standby takes to prepare
// counts as the program's, which runs meanwhile: what publishing one counts.
const refreshShare = schedule.PublishShare

// Refresh says how often a hot standby may be renewed, so that it is paid from
// what checkpoints leave of MaxOverhead, or why that isn't often enough: one
// that lags too far behind is of no use.
func Refresh(in RefreshInput) (every time.Duration, refused string) {
	in.Failures = 0
	spacing, _ := schedule.Next(in.SpacingInput)
	left := in.MaxOverhead - float64(schedule.MeanOrLast(in.Recent))/float64(spacing)
	// What is left of a rounding error is nothing.
	if left < in.MaxOverhead/1000 {
		return 0, fmt.Sprintf("checkpoints take all of max-overhead, %.4g%%", in.MaxOverhead*100)
	}
	every = time.Duration(float64(in.cost()) / left)
	if every > max(in.MaxLag, spacing) {
		return 0, fmt.Sprintf("one that takes %v to prepare, and %v of a processor, may be renewed every %v within max-overhead, and standby-lag is %v",
			in.Took.Round(time.Millisecond), in.Work.Round(time.Millisecond), every.Round(time.Millisecond), in.MaxLag)
	}
	return every, ""
}
