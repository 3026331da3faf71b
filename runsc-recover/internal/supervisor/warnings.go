package supervisor

import (
	"context"

	"runsc-recover/oci/specconv"
)

// warn notes something that whoever creates the container should know.
func (s *supervisor) warn(what, reason string) {
	if reason != "" {
		what = reason + ": " + what
	}
	s.notes = append(s.notes, what)
}

// warnOfSpec notes what of the spec a sandbox doesn't have, or can't go back.
func (s *supervisor) warnOfSpec(context.Context) error {
	for _, w := range specconv.Warnings(s.bundle.Spec, specconv.IsSocket) {
		s.warn(w, "")
	}
	return nil
}
