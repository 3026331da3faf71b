// Package episode keeps the records of failures and of the attempts to get past
// them, in memory and in the container's state directory.
//
// It must not know how an attempt is made. A Journal belongs to one goroutine.
package episode

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"runsc-recover/checkpoint/recovery"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/sentry/failure"
)

const (
	// maxEpisodes bounds the records that are kept: the newest.
	maxEpisodes = 1000
	// maxJournal bounds a journal's file, in bytes.
	maxJournal = 64 << 20
	// MaxProgramName bounds a program's name in a record, in bytes.
	MaxProgramName = 256
	// MaxReason bounds a reason that quotes an error, in bytes.
	MaxReason = 1024
)

// Journal is the record of a container's episodes, in memory and in the state
// directory, where it outlives the supervisor. It belongs to the engine's loop.
type Journal struct {
	Path     string
	Episodes []api.Episode
	dirty    bool
}

// Load reads the records that a supervisor left at path, none when
// there is no such file.
func Load(path string) ([]api.Episode, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open episode records: %w", err)
	}
	defer f.Close()
	var episodes []api.Episode
	if err := json.NewDecoder(io.LimitReader(f, maxJournal)).Decode(&episodes); err != nil {
		return nil, fmt.Errorf("decode episode records: %w", err)
	}
	return episodes, nil
}

// Save writes the records if they have changed.
func (j *Journal) Save() error {
	if !j.dirty {
		return nil
	}
	b, err := json.Marshal(j.Episodes)
	if err != nil {
		return fmt.Errorf("encode episode records: %w", err)
	}
	if err := statedir.WriteFile(j.Path, b); err != nil {
		return fmt.Errorf("save episode records: %w", err)
	}
	j.dirty = false
	return nil
}

// Changed returns a copy of the records to be saved, nil when nothing has changed
// since the last time.
func (j *Journal) Changed() *Journal {
	if !j.dirty {
		return nil
	}
	j.dirty = false
	c := &Journal{Path: j.Path, Episodes: slices.Clone(j.Episodes), dirty: true}
	for i := range c.Episodes {
		ep := &c.Episodes[i]
		ep.Attempts, ep.Reasons = slices.Clone(ep.Attempts), slices.Clone(ep.Reasons)
	}
	return c
}

// Touch has Changed return the records once more: they could not be saved.
func (j *Journal) Touch() { j.dirty = true }

// open returns the open episode, or nil.
func (j *Journal) open() *api.Episode {
	if n := len(j.Episodes); n > 0 && j.Episodes[n-1].EndedAt.IsZero() {
		return &j.Episodes[n-1]
	}
	return nil
}

// attempt returns the last attempt of the open episode, or nil.
func (j *Journal) attempt() *api.Attempt {
	ep := j.open()
	if ep == nil || len(ep.Attempts) == 0 {
		return nil
	}
	return &ep.Attempts[len(ep.Attempts)-1]
}

// BeginEpisode adds the record of a failure.
func (j *Journal) BeginEpisode(a recovery.BeginEpisode, f failure.State, now time.Time) {
	j.Episodes = append(j.Episodes, api.Episode{
		Episode:   a.Episode,
		Kind:      f.Kind.String(),
		Code:      f.Code,
		Signal:    f.Signo,
		Message:   failure.Bound(f.Message, failure.MaxMessage),
		Key:       fmt.Sprintf("%016x", f.Key),
		PID:       f.PID,
		TID:       f.TID,
		Program:   failure.Bound(f.Program, MaxProgramName),
		FaultIP:   fmt.Sprintf("%#x", f.FaultIP),
		FaultAddr: fmt.Sprintf("%#x", f.FaultAddr),
		FailedAt:  now,
		Outcome:   string(recovery.OutcomeOpen),
		Attempts:  []api.Attempt{},
	})
	if extra := len(j.Episodes) - maxEpisodes; extra > 0 {
		j.Episodes = append(j.Episodes[:0], j.Episodes[extra:]...)
	}
	j.dirty = true
}

// BeginAttempt adds an attempt to the open episode. stop is the time that the
// failing program took to stop.
func (j *Journal) BeginAttempt(a recovery.BeginAttempt, failedAt time.Time, stop time.Duration) {
	ep := j.open()
	if ep == nil {
		return
	}
	ep.Attempts = append(ep.Attempts, api.Attempt{
		Attempt:       a.Attempt,
		Level:         a.Level,
		CheckpointSeq: a.Seq,
		Outcome:       string(recovery.OutcomeOpen),
		Reasons:       append([]string{}, a.Reasons...),
		FailedAt:      failedAt,
		StopMS:        milliseconds(stop),
	})
	j.dirty = true
}

// Restored notes the time that the attempt's copy took to make, and its standby.
func (j *Journal) Restored(d time.Duration, standby string, reasons []string) {
	if at := j.attempt(); at != nil {
		at.RestoreMS, at.Standby, j.dirty = milliseconds(d), standby, true
		at.Reasons = append(at.Reasons, reasons...)
	}
}

// Released notes the time that the copy's release took.
func (j *Journal) Released(d time.Duration) {
	if at := j.attempt(); at != nil {
		at.InterruptMS, j.dirty = milliseconds(d), true
	}
}

// EndAttempt notes the outcome of the last attempt.
func (j *Journal) EndAttempt(a recovery.EndAttempt) {
	if at := j.attempt(); at != nil {
		at.Outcome = string(a.Outcome)
		at.Reasons = append(at.Reasons, a.Reasons...)
		j.dirty = true
	}
}

// EndEpisode closes the open episode.
func (j *Journal) EndEpisode(a recovery.EndEpisode, now time.Time) {
	if ep := j.open(); ep != nil {
		ep.Outcome = string(a.Outcome)
		ep.Reasons = append(ep.Reasons, a.Reasons...)
		ep.EndedAt = now
		j.dirty = true
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Resume continues the records of an earlier supervisor. An episode that was open
// then is closed.
func (j *Journal) Resume(episodes []api.Episode, now time.Time) {
	j.Episodes = episodes
	if ep := j.open(); ep != nil {
		ep.Reasons, ep.EndedAt, j.dirty = append(ep.Reasons, "the supervisor died"), now, true
	}
}
