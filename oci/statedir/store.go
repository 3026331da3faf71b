package statedir

import (
	"path/filepath"

	"runsc-recover/checkpoint/config"
)

// StorePath is the directory of a container's checkpoints when they are on disk.
func StorePath(dir Dir, p config.Config) string {
	if p.Store != "" {
		return ExternalStore(p.Store, dir.ID())
	}
	return dir.StoreDir()
}

// ExternalStore is a container's own directory in a store directory outside
// its state directory.
func ExternalStore(store, id string) string { return filepath.Join(store, id) }
