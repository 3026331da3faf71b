package standby

import (
	"fmt"
	"time"

	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
)

// ChoiceInput holds the facts of Choose's decision. Sizes are in bytes.
type ChoiceInput struct {
	Asked     config.Standby // Config.Standby
	MaxMemory uint64         // Config.StandbyMemory
	// Warm and Hot are the memory of a standby, as far as it is known. Two hot
	// standbys exist while one takes the place of the other.
	Warm, Hot uint64
	// Pages is the memory of the newest checkpoint, which a hot standby takes
	// beside a warm one's, at the latest when the program touches it.
	Pages uint64
	// HotRefused says why there can't be a hot standby; empty if there can.
	HotRefused string
	// Held is the present standby, empty for none. Used contains its memory
	// already.
	Held config.Standby
	// Limit is the container's memory limit, 0 for none, and Used the memory
	// under the limit that can't be taken back.
	Limit, Used uint64
	// Checkpoint is the memory that the next checkpoint may take of the limit.
	Checkpoint uint64
}

// Choice is the standby to keep.
type Choice struct {
	Kind   config.Standby
	Reason string
	// Beside: there is room for a hot standby to stay until its successor has
	// all of its memory.
	Beside bool
}

// standbyMargin is the share of the container's memory limit that a standby
// leaves to the program: a program that has to grow must not be killed for it.
const standbyMargin = 1. / 16

// Choose names the standby to keep: the kind asked for, or the best below it that
// fits. Its memory stays within MaxMemory and leaves the program and its next
// checkpoint theirs.
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

// loaded is the memory of a hot standby that has all its pages.
func (in ChoiceInput) loaded() uint64 { return max(in.Hot, in.Warm+in.Pages) }

func (in ChoiceInput) roomBeside() bool {
	return in.Limit == 0 || in.Used+in.margin()+in.loaded()+in.Checkpoint <= in.Limit
}

// margin is the part of the container's memory limit that a standby leaves free.
func (in ChoiceInput) margin() uint64 { return uint64(standbyMargin * float64(in.Limit)) }

// noRoom says why there is no room for a standby; empty if there is. The present
// standby stays until the program comes close to the container's limit, so that
// standbys don't come and go.
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

// RefreshInput holds the facts of Refresh's decision.
type RefreshInput struct {
	schedule.SpacingInput
	// Asked is Config.Standby.
	Asked config.Standby
	// Took is the time that it takes to prepare a hot standby, and Work the
	// processors' time.
	Took, Work time.Duration
	// MaxLag is Config.StandbyLag.
	MaxLag time.Duration
}

// cost is the time that preparing a hot standby takes of MaxOverhead's budget: the
// program's delay where a hot standby was asked for; where the choice is left to
// us, all the processors' time, which others could use.
func (in RefreshInput) cost() time.Duration {
	slows := time.Duration(refreshShare * float64(in.Took))
	if in.Asked == config.StandbyHot {
		return slows
	}
	return max(slows, in.Work)
}

// refreshShare is the part of a hot standby's preparation that counts as the
// program's time, which runs meanwhile: the same as of publishing a checkpoint.
const refreshShare = schedule.PublishShare

// Refresh says how often a hot standby may be renewed, so that it is paid from
// the part of MaxOverhead that checkpoints leave, or why that isn't often enough:
// a standby that lags too far behind is of no use.
func Refresh(in RefreshInput) (every time.Duration, refused string) {
	in.Failures = 0
	spacing, _ := schedule.Next(in.SpacingInput)
	left := in.MaxOverhead - float64(schedule.MeanOrLast(in.Recent))/float64(spacing)
	// The remainder of a rounding error counts as nothing.
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
