package engine

import (
	"path/filepath"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/store"
	"runsc-recover/oci/errdefs"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

func TestResumePoint(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	manifests := []checkpoint.Manifest{{Seq: 3, TakenAt: at(30)}, {Seq: 5, TakenAt: at(50)}, {Seq: 8, TakenAt: at(80)}}
	went := func(back checkpoint.Seq, s int) []api.Episode {
		return []api.Episode{{Attempts: []api.Attempt{{CheckpointSeq: 3, FailedAt: at(10)}}},
			{Attempts: []api.Attempt{{CheckpointSeq: back, FailedAt: at(s)}}}, {}}
	}
	for name, c := range map[string]struct {
		asked     checkpoint.Seq
		manifests []checkpoint.Manifest
		episodes  []api.Episode
		want      checkpoint.Seq
		code      errdefs.Code
	}{
		"the newest":                      {manifests: manifests, want: 8},
		"the one asked for":               {asked: 5, manifests: manifests, episodes: went(3, 90), want: 5},
		"one that isn't there":            {asked: 4, manifests: manifests, code: errdefs.CodeCheckpointMissing},
		"none":                            {code: errdefs.CodeCheckpointMissing},
		"a recovery went back since":      {manifests: manifests, episodes: went(5, 90), want: 5},
		"a recovery went back before":     {manifests: manifests, episodes: went(5, 70), want: 8},
		"a recovery, its checkpoint gone": {manifests: manifests, episodes: went(4, 90), want: 8},
	} {
		got, err := resumePoint(c.asked, c.manifests, c.episodes)
		if got != c.want || c.code != "" && errdefs.CodeOf(err) != c.code || c.code == "" && err != nil {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}

// A container that is brought back goes on from its newest checkpoint, told,
// with the records that there were.
func TestBringBack(t *testing.T) {
	scenario(t, func(t *testing.T) {
		dir := t.TempDir()
		open := func() *store.Disk {
			s, err := store.OpenDisk(filepath.Join(dir, "store"), store.Options{GVisorVersion: "g", Arch: "a", ContainerID: "c"})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		with := func(r *Resume) func(*Options) {
			return func(o *Options) {
				o.Store.Close()
				o.Store, o.Resume, o.EpisodesFile = open(), r, filepath.Join(dir, "episodes.json")
			}
		}
		w := started(t, with(nil))
		w.run(3 * time.Second)
		w.gen(1).fail(boom())
		w.run(10 * time.Second)
		newest := w.state().LastCheckpoint
		w.end()

		back := started(t, with(&Resume{}))
		expect.Equal(t, "generation", back.state().Generation, 2)
		told := back.gen(2).told[0].Info
		expect.Equal(t, "told", told.Failure.Kind, failure.Signal)
		expect.Equal(t, "checkpoint", told.CheckpointSeq, uint64(newest))
		back.run(10 * time.Second)
		episodes := back.episodes()
		if len(episodes) != 2 || episodes[1].Episode != 2 || episodes[1].Outcome != "recovered" {
			t.Errorf("records: %+v", episodes)
		}
		expect.Equal(t, "checkpoints go on", back.state().LastCheckpoint > newest, true)
		back.end()
	})
}
