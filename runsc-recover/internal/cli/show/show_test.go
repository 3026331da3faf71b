package show

import (
	"bytes"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/oci/statedir"
	"runsc-recover/runsc-recover/internal/api"
	"runsc-recover/test/expect"
)

func someEpisodes() []api.Episode {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return []api.Episode{
		{
			Episode: 1, Kind: "reported", Code: 7, Message: "bad batch\x1b[31m\n", Key: "00000000deadbeef", PID: 5, TID: 6, Program: "ledger",
			FaultIP: "0x0", FaultAddr: "0x0", FailedAt: at, EndedAt: at.Add(3 * time.Second), Outcome: "recovered",
			Reasons: []string{"outlived the failure point"},
			Attempts: []api.Attempt{
				{Attempt: 1, Level: 1, CheckpointSeq: 9, Outcome: "coinciding", Reasons: []string{"newest before the failure"}, FailedAt: at, StopMS: 0.25, RestoreMS: 190.5, Standby: "warm", InterruptMS: 1.75},
				{Attempt: 2, Level: 2, CheckpointSeq: 9, Outcome: "recovered", Reasons: []string{"newest is tried twice"}, FailedAt: at.Add(time.Second)},
			},
		},
		{Episode: 2, Kind: "signal", Signal: 11, Key: "0000000000000001", Program: "ledger", FaultIP: "0x401000", FaultAddr: "0x8", FailedAt: at.Add(time.Minute), Outcome: "open", Attempts: []api.Attempt{}},
	}
}

func someCheckpoints() []api.CheckpointEntry {
	m := checkpoint.Manifest{
		Version: 2, Seq: 8, Trigger: checkpoint.TriggerInterval, TakenAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), RunTime: 12345678 * time.Microsecond, Generation: 1,
		Cost:  checkpoint.Cost{Stop: 100 * time.Microsecond, Kernel: 19 * time.Millisecond, Copy: 2 * time.Millisecond, Publish: time.Second},
		Files: []checkpoint.FileInfo{{Name: checkpoint.FileKernel, Bytes: 300 << 10, Contents: 2 << 20, Hash: "0123456789abcdef"}, {Name: checkpoint.FilePageIndex, Bytes: 4 << 10, Hash: "fedcba9876543210"}},
		Pages: checkpoint.Pages{Bytes: 200 << 20, Changed: 24 << 20, Stored: 20 << 20, Tracking: "contents"},
	}
	damaged := m
	damaged.Seq, damaged.Parent, damaged.Trigger = 9, 8, checkpoint.TriggerProgram
	return []api.CheckpointEntry{{Manifest: m, Reasons: []string{"newest", "spacing"}}, {Manifest: damaged, Error: "hash differs\x07"}}
}

func TestGoldenViews(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	states := []State{
		{Version: "1.2.0", ID: "web", Pid: 4242, Status: statedir.StatusRunning, Bundle: "/bundles/web", Rootfs: "/bundles/web/rootfs", Created: created, Annotations: map[string]string{"a": "b"}, Owner: "root",
			Standby: &statedir.Standby{Kind: "warm", Since: created, Generation: 2, Reason: "as configured"}},
		{Version: "1.2.0", ID: "a-rather-long-container-id", Status: statedir.StatusStopped, Bundle: "/b", Rootfs: "/b/r", Created: created, Owner: "#1234"},
	}
	processes := []api.Process{{PID: 1, UID: 0, TTY: "?", STime: "03:04", Time: "20ms", Cmd: "sh"}, {PID: 23, PPID: 1, UID: 4000000, TTY: "", STime: "03:05", Time: "0s", Cmd: "x\x1b[2J"}}
	for name, write := range map[string]func(b *bytes.Buffer) error{
		"list.txt":           func(b *bytes.Buffer) error { return Containers(b, states) },
		"list.json":          func(b *bytes.Buffer) error { return JSON(b, states) },
		"list-quiet.txt":     func(b *bytes.Buffer) error { return IDs(b, states) },
		"list-empty.json":    func(b *bytes.Buffer) error { return JSON(b, []State(nil)) },
		"ps.txt":             func(b *bytes.Buffer) error { return Processes(b, processes) },
		"episodes.txt":       func(b *bytes.Buffer) error { return Episodes(b, someEpisodes()) },
		"episode.txt":        func(b *bytes.Buffer) error { return EpisodeDetails(b, someEpisodes()) },
		"checkpoints.txt":    func(b *bytes.Buffer) error { return Checkpoints(b, someCheckpoints()) },
		"checkpoint.txt":     func(b *bytes.Buffer) error { return Checkpoint(b, someCheckpoints()[0]) },
		"checkpoint-bad.txt": func(b *bytes.Buffer) error { return Checkpoint(b, someCheckpoints()[1]) },
		"checkpoints.json":   func(b *bytes.Buffer) error { return JSON(b, someCheckpoints()) },
		"events.json": func(b *bytes.Buffer) error {
			return JSON(b, Stats("web", api.Stats{CPUUsageNS: 1, CPUKernelNS: 2, CPUUserNS: 3, MemoryUsage: 4, MemoryLimit: 5, MemoryMax: 6, MemoryFailcnt: 7, PidsCurrent: 8, PidsLimit: 9}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			expect.Golden(t, name, b.String())
		})
	}
}
