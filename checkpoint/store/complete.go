package store

import (
	"context"
	"slices"
	"time"

	"runsc-recover/checkpoint"
)

// complete fills in what Publish owes the manifest, from the files as they
// are. Cost.Publish is what has passed since began; for a store on disk that
// includes writing the files out, which comes before.
func complete(ctx context.Context, m checkpoint.Manifest, fs *files, pages checkpoint.Pages, o Options, began time.Time) (checkpoint.Manifest, error) {
	infos, err := fs.describe(ctx, o.maxBytes())
	if err != nil {
		return m, err
	}
	m.Version = checkpoint.ManifestVersion
	m.TakenAt = m.TakenAt.Round(0).UTC()
	m.Files = infos
	pages.Tracking = m.Pages.Tracking
	m.Pages = pages
	m.Cost.Publish = time.Since(began)
	return m, nil
}

// copyManifest returns a manifest that the caller may change.
func copyManifest(m checkpoint.Manifest) checkpoint.Manifest {
	m.Files = slices.Clone(m.Files)
	return m
}
