package engine

import (
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
)

// spacing is what the last checkpoints cost, for the policy to space the next.
type spacing struct {
	recent []checkpoint.Cost // the newest last
	ended  time.Time         // when the last pause ended
}

// maxRecent is how many costs are kept.
const maxRecent = 8

func (s *spacing) note(m checkpoint.Manifest) {
	s.ended = m.TakenAt.Add(m.Cost.Pause())
	s.recent = append(s.recent, m.Cost)
	if extra := len(s.recent) - maxRecent; extra > 0 {
		s.recent = append(s.recent[:0], s.recent[extra:]...)
	}
}

// forget is for a program that runs anew or from an earlier point: what its
// last pause was followed by no longer counts.
func (s *spacing) forget() { s.ended = time.Time{} }

// input is what the policy decides on.
func (s *spacing) input(cfg config.Config) schedule.SpacingInput {
	return schedule.SpacingInput{Interval: cfg.Interval, MaxOverhead: cfg.MaxOverhead, Recent: s.recent}
}

// next is how long from now the next checkpoint is due.
func (s *spacing) next(cfg config.Config, failures int, now time.Time) (time.Duration, string) {
	in := s.input(cfg)
	in.Failures = failures
	delay, reason := schedule.Next(in)
	if !s.ended.IsZero() && failures == 0 {
		delay -= now.Sub(s.ended) // publishing took part of it
	}
	return max(0, delay), reason
}

// dropped lists the checkpoints that retention lets go.
func dropped(decisions []schedule.Decision) []checkpoint.Seq {
	var out []checkpoint.Seq
	for _, d := range decisions {
		out = append(out, d.Seq)
	}
	return out
}
