package episode

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint/recovery"
	"runsc-recover/sentry/failure"
	"runsc-recover/test/expect"
)

func TestJournalIsBoundedAndReadable(t *testing.T) {
	j := Journal{Path: filepath.Join(t.TempDir(), "episodes.json")}
	now := time.Now()
	for n := range maxEpisodes + 5 {
		f := failure.State{Kind: failure.Reported, Message: strings.Repeat("x", 2*failure.MaxMessage)}
		if n < maxEpisodes {
			f.Message = ""
		}
		j.BeginEpisode(recovery.BeginEpisode{Episode: n + 1}, f, now)
		j.BeginAttempt(recovery.BeginAttempt{Attempt: 1, Level: 1, Seq: 3}, now, time.Millisecond)
		j.EndAttempt(recovery.EndAttempt{Outcome: recovery.OutcomeRecovered})
		j.EndEpisode(recovery.EndEpisode{Outcome: recovery.OutcomeRecovered}, now)
	}
	if err := j.Save(); err != nil {
		t.Fatal(err)
	}
	got, err := Load(j.Path)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "kept", len(got), maxEpisodes)
	expect.Equal(t, "the newest", got[len(got)-1].Episode, maxEpisodes+5)
	expect.Equal(t, "message", len(got[len(got)-1].Message), failure.MaxMessage)
	expect.Equal(t, "stop", got[0].Attempts[0].StopMS, 1)
}

func TestLoadEpisodesOfNone(t *testing.T) {
	got, err := Load(filepath.Join(t.TempDir(), "none"))
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "records", len(got), 0)
}

func TestLateAttemptNotesNothing(t *testing.T) {
	var j Journal
	j.BeginAttempt(recovery.BeginAttempt{}, time.Now(), 0)
	j.Restored(1, "", nil)
	j.Released(1)
	j.EndAttempt(recovery.EndAttempt{})
	j.EndEpisode(recovery.EndEpisode{}, time.Now())
	expect.Equal(t, "records", len(j.Episodes), 0)
}

func TestLoadRefusesDamage(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "cut": `[{"episode":1`, "no list": `{}`, "another type": `[{"episode":"1"}]`, "text": "x"} {
		path := filepath.Join(t.TempDir(), "episodes.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Load(path); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestResumeClosesAnOpenEpisode(t *testing.T) {
	now := time.Unix(9, 0)
	var first, second Journal
	first.BeginEpisode(recovery.BeginEpisode{Episode: 1}, failure.State{}, now)
	second.Resume(first.Episodes, now)
	expect.Equal(t, "ended", second.Episodes[0].EndedAt, now)
	expect.Equal(t, "changed", second.Changed() != nil, true)
	var third Journal
	third.Resume(second.Episodes, now)
	expect.Equal(t, "nothing to close", third.Changed() == nil, true)
}
