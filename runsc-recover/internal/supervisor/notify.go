package supervisor

import (
	"fmt"
	"os"

	"runsc-recover/oci/specconv"
)

// addNotifySocket gives the container what its program needs to say that it is
// ready, where the creator passes that on.
func (s *supervisor) addNotifySocket() error {
	if !s.opts.Notify {
		return nil
	}
	if err := os.Mkdir(s.opts.Dir.NotifyDir(), 0o755); err != nil && !os.IsExist(err) {
		return fmt.Errorf("make directory for readiness: %w", err)
	}
	specconv.AddNotifySocket(s.bundle.Spec, s.opts.Dir)
	return nil
}
