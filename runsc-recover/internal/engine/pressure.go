package engine

import (
	"fmt"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
)

// memoryGone is the problem of a container whose checkpoints were all given up.
const memoryGone = "the program needs the memory that its checkpoints took, and there is no room for another"

// quietLook is the time between two looks when there is nothing to give.
const quietLook = 100 * time.Millisecond

// errNoRoom ends a checkpoint that is being taken when memory runs short.
var errNoRoom = fmt.Errorf("%w: the program needs the memory", checkpoint.ErrFull)

// watchMemory gives back what only we need before the program is killed for
// it: staging memory, the standby, checkpoints in memory, in the end all of
// them. It returns with the loop.
//
// Preconditions: it is called in the background, and there is a Memory.
func (e *Engine) watchMemory() {
	var last schedule.Memory
	var at time.Time
	for {
		again := time.Second // where it can't be read, that is said elsewhere
		if use, err := e.opts.Memory(); err == nil {
			now := time.Now()
			p := schedule.Pressure{Limit: use.Limit, Used: use.Used, Before: last.Used}
			if !at.IsZero() {
				p.Elapsed = now.Sub(at)
			}
			last, at = use, now
			var need uint64
			if need, again = p.Relief(); need > 0 && !e.relieve(p, need) {
				again = quietLook // it is all the program's own
			}
		}
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(again):
		}
	}
}

// relieve makes up for need bytes as far as it can. It reports whether there
// is, or may soon be, something to give. How fast use grows says nothing while
// a checkpoint is taken, for which makeRoom saw that there is room.
func (e *Engine) relieve(p schedule.Pressure, need uint64) bool {
	type given struct {
		seqs           []checkpoint.Seq
		standby, doing bool
	}
	g, err := ask(e.ctx, e, func() (given, error) {
		if e.ckpt.running != nil {
			p.Elapsed = 0
			if need, _ = p.Relief(); need == 0 {
				return given{doing: true}, nil
			}
			e.ckpt.running.leave(errNoRoom)
		}
		g := given{doing: e.ckpt.running != nil || e.recovering(), standby: e.standby.next != nil || e.standby.coming != nil}
		e.dropStandby("the program needs its room")
		g.seqs = e.giveBack(need)
		return g, nil
	})
	if err != nil || !g.standby && len(g.seqs) == 0 {
		return g.doing
	}
	e.log.Warn("the program needs the memory that recovery takes, which is given back",
		"used", p.Used, "limit", p.Limit, "standby", g.standby, "checkpoints", g.seqs)
	e.removeNow(g.seqs)
	if err := e.opts.Store.Compact(e.ctx); err != nil {
		e.log.Warn("give staging memory back", "error", err)
	}
	return true
}

// giveBack forgets the checkpoints that make up for need bytes, and returns
// them to be removed.
func (e *Engine) giveBack(need uint64) []checkpoint.Seq {
	c := &e.ckpt
	if e.opts.Config.Durability != config.DurabilityMemory {
		return nil
	}
	needed := make(map[checkpoint.Seq]bool)
	if e.recovering() && e.machine.Episode != nil {
		needed[e.machine.Episode.Attempt.Seq] = true // older ones can't be afforded
	}
	gone := schedule.GiveBack(need, c.manifests, needed)
	for _, seq := range gone {
		e.forgetCheckpoint(seq)
	}
	if len(gone) > 0 && len(c.manifests) == 0 {
		e.setProblem(memoryGone)
	}
	return gone
}
