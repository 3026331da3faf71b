package cli

import (
	"os"
	"runtime"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/store"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
)

// HasStore reports whether there is a store of a container's checkpoints.
func HasStore(dir statedir.Dir, p config.Config) bool {
	_, err := os.Stat(statedir.StorePath(dir, p))
	return err == nil
}

// OpenStore opens the checkpoints on disk of a container that has no
// supervisor. Errors: oci.ErrNotRunning when they were in memory and are gone,
// ErrNotFound when there is no store.
//
// Preconditions: the caller holds the container's lock.
func OpenStore(dir statedir.Dir, p config.Config, gvisorVersion string) (checkpoint.Store, error) {
	if p.Durability != config.DurabilityDisk {
		return nil, errdefs.ErrNotRunning
	}
	if !HasStore(dir, p) {
		return nil, checkpoint.ErrNotFound
	}
	return store.OpenDisk(statedir.StorePath(dir, p), store.Options{GVisorVersion: gvisorVersion, Arch: runtime.GOARCH, ContainerID: dir.ID()})
}
