package engine

import (
	"fmt"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/runsc-recover/internal/engine/event"
	"runsc-recover/runsc-recover/internal/episode"
)

// Resume says where a container goes on whose supervisor has died, and that is
// made again over its store.
type Resume struct {
	Seq checkpoint.Seq // 0 for where it was last
}

// resume makes the container go on from its store, if Options.Resume is set: the
// store's checkpoints become the lineage, and the records are continued.
func (e *Engine) resume(o *event.Opened) error {
	if e.opts.Resume == nil {
		return nil
	}
	if o.Problem != "" {
		return fmt.Errorf("read checkpoints to go on from: %s", o.Problem)
	}
	episodes, err := episode.Load(e.opts.EpisodesFile)
	if err != nil {
		return err
	}
	e.journal.Resume(episodes, time.Now())
	o.Head, err = resumePoint(e.opts.Resume.Seq, o.Kept, episodes)
	if err != nil {
		return err
	}
	o.Resume = true
	if n := len(episodes); n > 0 {
		o.Episodes = episodes[n-1].Episode
	}
	return nil
}

// resumePoint is the checkpoint that a container goes on from: the number asked
// for, or the newest, unless a recovery has gone back to another since. The
// manifests are by ascending number.
func resumePoint(asked checkpoint.Seq, manifests []checkpoint.Manifest, episodes []api.Episode) (checkpoint.Seq, error) {
	bySeq := make(map[checkpoint.Seq]bool)
	for _, m := range manifests {
		bySeq[m.Seq] = true
	}
	switch {
	case asked != 0 && !bySeq[asked]:
		return 0, errdefs.Errorf(errdefs.CodeCheckpointMissing, "%w: %d", checkpoint.ErrNotFound, asked)
	case asked != 0:
		return asked, nil
	case len(manifests) == 0:
		return 0, errdefs.Errorf(errdefs.CodeCheckpointMissing, "there is no checkpoint to go on from")
	}
	newest := manifests[len(manifests)-1]
	for i := len(episodes) - 1; i >= 0; i-- {
		n := len(episodes[i].Attempts)
		if n == 0 {
			continue
		}
		if last := episodes[i].Attempts[n-1]; last.FailedAt.After(newest.TakenAt) && bySeq[last.CheckpointSeq] {
			return last.CheckpointSeq, nil
		}
		break
	}
	return newest.Seq, nil
}
