package supervisor

import (
	"os"
	"runtime"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/policy"
	"runsc-recover/checkpoint/store"
	"runsc-recover/oci"
)

// HasStore reports whether there is a store of a container's checkpoints.
func HasStore(dir oci.Dir, p policy.Config) bool {
	_, err := os.Stat(storeDir(dir, p))
	return err == nil
}

// OpenStore opens the checkpoints on disk of a container that has no
// supervisor. Errors: oci.ErrNotRunning when they were in memory and are gone,
// ErrNotFound when there is no store.
//
// Preconditions: the caller holds the container's lock.
func OpenStore(dir oci.Dir, p policy.Config, gvisorVersion string) (checkpoint.Store, error) {
	if p.Durability != policy.DurabilityDisk {
		return nil, oci.ErrNotRunning
	}
	if !HasStore(dir, p) {
		return nil, checkpoint.ErrNotFound
	}
	return store.OpenDisk(storeDir(dir, p), store.Options{GVisorVersion: gvisorVersion, Arch: runtime.GOARCH, ContainerID: dir.ID()})
}
