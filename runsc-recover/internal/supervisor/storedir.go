package supervisor

import (
	"path/filepath"

	"runsc-recover/checkpoint/policy"
	"runsc-recover/oci"
)

// storeDir is where a container's checkpoints are when they are on disk.
func storeDir(dir oci.Dir, p policy.Config) string {
	if p.Store != "" {
		return externalStore(p.Store, dir.ID())
	}
	return dir.StoreDir()
}

// externalStore is a container's own directory in a store directory outside
// its state directory.
func externalStore(store, id string) string { return filepath.Join(store, id) }
