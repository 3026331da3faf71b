package show

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/runsc-recover/internal/api"
)

// Checkpoint writes all that is known of a checkpoint, a line for each figure.
func Checkpoint(w io.Writer, e api.CheckpointEntry) error {
	t := newTable(w)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, Printable(fmt.Sprintf(format, args...)))
	}
	line("NUMBER", "%d", e.Seq)
	if e.Error != "" {
		line("UNUSABLE", "%s", e.Error)
		return t.Flush()
	}
	line("PARENT", "%d", e.Parent)
	line("TAKEN", "%s", e.TakenAt.Format(time.RFC3339Nano))
	line("TRIGGER", "%s", e.Trigger)
	line("GENERATION", "%d", e.Generation)
	line("RUN TIME", "%s", e.RunTime.Round(time.Millisecond))
	line("MEMORY", "%s", sizeText(e.Pages.Bytes))
	line("CHANGED", "%s, known by %s", sizeText(e.Pages.Changed), cmp.Or(e.Pages.Tracking, "nothing"))
	line("STORED", "%s: %s", sizeText(e.Bytes()), storedText(e.Manifest))
	round := func(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
	line("PAUSE", "%s: stop %s, kernel %s, copy %s", round(e.Cost.Pause()), round(e.Cost.Stop), round(e.Cost.Kernel), round(e.Cost.Copy))
	line("PUBLISHED", "in %s", round(e.Cost.Publish))
	line("MADE BY", "gVisor %s, %s", e.GVisorVersion, e.Arch)
	line("KEPT", "%s", strings.Join(e.Reasons, ", "))
	return t.Flush()
}

// storedText lists the sizes of a checkpoint's parts in the store.
func storedText(m checkpoint.Manifest) string {
	parts := []string{"pages " + sizeText(m.Pages.Stored)}
	for _, f := range m.Files {
		text := string(f.Name) + " " + sizeText(f.Bytes)
		if f.Contents > 0 {
			text += " for " + sizeText(f.Contents)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// Checkpoints writes a line for each checkpoint.
func Checkpoints(w io.Writer, all []api.CheckpointEntry) error {
	t := newTable(w)
	fmt.Fprint(t, "NUMBER\tTAKEN\tTRIGGER\tRUN TIME\tMEMORY\tCHANGED\tSTORED\tPAUSE\tKEPT\n")
	for _, e := range all {
		why := strings.Join(e.Reasons, ", ")
		if e.Error != "" {
			why = "unusable: " + Printable(e.Error)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Seq, e.TakenAt.Format(time.RFC3339Nano), e.Trigger,
			e.RunTime.Round(time.Millisecond), sizeText(e.Pages.Bytes), sizeText(e.Pages.Changed), sizeText(e.Bytes()), e.Cost.Pause().Round(time.Microsecond), why)
	}
	return t.Flush()
}

// sizeText writes a number of bytes with three digits or more.
func sizeText(n int64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n < 10<<10 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n >>= 10
	}
	return fmt.Sprintf("%d GiB", n)
}
