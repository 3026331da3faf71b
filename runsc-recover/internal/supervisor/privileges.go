package supervisor

import (
	"context"
	"errors"
	"syscall"

	"runsc-recover/runsc-recover/internal/host/privdrop"
)

// dropPrivileges gives up, for good, what a container's life doesn't need.
// Hooks are promised the privileges of whoever creates the container, so one
// with hooks yet to run keeps them.
func (s *supervisor) dropPrivileges(context.Context) error {
	if h := s.spec.Container.Hooks; h != nil && len(h.StartContainer)+len(h.Poststart) > 0 {
		return nil
	}
	// The system call for all threads is for programs without C.
	err := privdrop.Drop(privdrop.Unneeded())
	if errors.Is(err, syscall.ENOTSUP) {
		s.log.Warn("keep all capabilities", "error", err)
		return nil
	}
	return err
}
