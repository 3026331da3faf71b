package main

import "time"

// manifest is the runtime's manifest of a checkpoint, as far as it is measured.
type manifest struct {
	Seq     uint64
	TakenAt time.Time `json:"taken_at"`
	Cost    struct {
		Stop   time.Duration `json:"stop_ns"`
		Kernel time.Duration `json:"kernel_ns"`
		Copy   time.Duration `json:"copy_ns"`
	}
	Files []struct{ Bytes int64 }
	Pages struct {
		Changed int64 `json:"changed_bytes"`
		Stored  int64 `json:"stored_bytes"`
	}
}

func (m manifest) pause() time.Duration { return m.Cost.Stop + m.Cost.Kernel + m.Cost.Copy }

// stored is all that the checkpoint added to the store, in bytes.
func (m manifest) stored() int64 {
	n := m.Pages.Stored
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

const kib = 1 << 10

// allowance is how much a checkpoint may store for its changed pages, in bytes.
func (m manifest) allowance() float64 { return 1.2*float64(m.Pages.Changed) + 300*kib }

// manifests adds the runtime's figures of checkpoints of which the guest saw the
// pauses.
func (r *report) manifests(title string, all []manifest) {
	each := func(f func(manifest) float64) sample {
		var s sample
		for _, m := range all {
			s = append(s, f(m))
		}
		return s
	}
	r.ours(title+", by the manifest", "ms", each(func(m manifest) float64 { return ms(m.pause()) }))
	r.ours(title+", of that stop", "ms", each(func(m manifest) float64 { return ms(m.Cost.Stop) }))
	r.ours(title+", of that kernel", "ms", each(func(m manifest) float64 { return ms(m.Cost.Kernel) }))
	r.ours(title+", of that copy", "ms", each(func(m manifest) float64 { return ms(m.Cost.Copy) }))
	r.ours(title+", changed", "KiB", each(func(m manifest) float64 { return float64(m.Pages.Changed) / kib }))
	share := each(func(m manifest) float64 { return float64(m.stored()) / m.allowance() })
	r.ours(title+", stored", "KiB", each(func(m manifest) float64 { return float64(m.stored()) / kib }),
		atMost("of 1.2 × changed + 300 KiB", share.median(), 1))
}
