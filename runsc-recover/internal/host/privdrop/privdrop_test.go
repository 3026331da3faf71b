package privdrop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"runsc-recover/test/expect"

	"golang.org/x/sys/unix"
)

// childVariable makes the test program drop capabilities and print the sets of
// its threads instead of testing.
const childVariable = "PRIVDROP_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	if err := Drop([]uintptr{unix.CAP_SYS_TIME, unix.CAP_WAKE_ALARM}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	threads, _ := filepath.Glob("/proc/self/task/*/status")
	for _, status := range threads {
		b, _ := os.ReadFile(status)
		os.Stdout.Write(b)
	}
}

func TestEveryThreadDropsThem(t *testing.T) {
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), childVariable+"=1")
	out, err := child.CombinedOutput()
	if raced() { // linked with C
		expect.Equal(t, "refused", strings.Contains(string(out), syscall.ENOTSUP.Error()), true)
		return
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sets := 0
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		bounding := name == "CapBnd" && os.Geteuid() == 0 // others can't change the set
		if name != "CapEff" && name != "CapPrm" && name != "CapInh" && !bounding {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		sets++
		for _, c := range []uint{unix.CAP_SYS_TIME, unix.CAP_WAKE_ALARM} {
			if set&(1<<c) != 0 {
				t.Errorf("%s still has capability %d: %x", name, c, set)
			}
		}
		if name == "CapEff" && os.Geteuid() == 0 && set&(1<<unix.CAP_SYS_ADMIN) == 0 {
			t.Errorf("others are gone: %x", set)
		}
	}
	if sets < 4 {
		t.Errorf("%d sets in %s", sets, out)
	}
}

// raced reports whether the program was built with the race detector, which is C.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
