package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// measureCRIU measures checkpoints that CRIU takes of the same programs under
// runc, where it works on this kernel.
func measureCRIU(ctx context.Context, b *bench) error {
	const title = "pause per checkpoint by runc with CRIU"
	runc, why := findCRIU(ctx)
	if why != "" {
		b.report.leaveOut(title, why)
		return nil
	}
	r := runtime{name: "runc", binary: runc, dir: filepath.Join(filepath.Dir(b.ours.dir), "c"), guests: b.ours.guests}
	for _, m := range []memory{small, large} {
		ours := b.seen[m]
		if len(ours) == 0 {
			b.report.leaveOut(fmt.Sprintf("%s, %s", title, m), "ours wasn't measured")
			continue
		}
		var p pauses
		if err := r.pauses(ctx, m, b.size.perTurnLarge, intoImage, &p); err != nil {
			b.report.leaveOut(fmt.Sprintf("%s, %s", title, m), fmt.Sprintf("it can't: %v", err))
			continue
		}
		b.report.compare(fmt.Sprintf("pause per checkpoint, %s, seen by the guest", m), "ms", ours, "runc with CRIU", p.seen)
	}
	return nil
}

// findCRIU returns runc, or why CRIU can't be measured: it asks CRIU itself.
func findCRIU(ctx context.Context) (runc, why string) {
	runc, err := exec.LookPath("runc")
	if err != nil {
		return "", "runc is not installed"
	}
	criu, err := exec.LookPath("criu")
	if err != nil {
		return "", "criu is not installed"
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	said, err := exec.CommandContext(ctx, criu, "check").CombinedOutput()
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
		return "", fmt.Sprintf("criu doesn't work here: criu check says %q", first)
	}
	return runc, ""
}
