package mountns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"runsc-recover/test/expect"
)

// childVariable names a directory whose bundle the test program enters and looks
// at instead of testing.
const childVariable = "MOUNTNS_CHILD"

// The main goroutine keeps the first thread, as the supervisor's does.
func init() {
	if os.Getenv(childVariable) != "" {
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := EnterRoot(dir, filepath.Join(dir, "rootfs"), bundleSpec()); err != nil {
		fmt.Println("error:", err)
		return
	}
	for _, name := range []string{"/etc/name", "/volume/data", "/readonly/data", "/file", "/tmp/hidden", dir} {
		b, err := os.ReadFile(name)
		fmt.Printf("%s %q %t\n", name, b, err == nil)
	}
	for _, dir := range []string{"/", "/volume", "/readonly", "/tmp"} {
		err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600)
		fmt.Printf("write %s %t\n", dir, err == nil)
	}
}

// bundleSpec mounts sources of the bundle, one through a link that would lead out
// of the root.
func bundleSpec() *specs.Spec {
	return &specs.Spec{
		Root: &specs.Root{Path: "rootfs"},
		Mounts: []specs.Mount{
			{Destination: "/tmp", Type: "tmpfs"},
			{Destination: "/nowhere", Type: "proc"},
			{Destination: "/link/volume", Type: "bind", Source: "volume"},
			{Destination: "readonly", Source: "volume", Options: []string{"rbind", "ro"}},
			{Destination: "/file", Type: "bind", Source: "volume/data"},
		},
	}
}

func makeBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"rootfs/etc/name": "root", "rootfs/tmp/hidden": "x", "volume/data": "volume"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/../../..", filepath.Join(dir, "rootfs/link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEnterRoot(t *testing.T) {
	dir := makeBundle(t)
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), childVariable+"="+dir)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if os.Geteuid() != 0 {
		expect.Equal(t, "without privileges", strings.HasPrefix(string(out), "error: make mount namespace"), true)
		return
	}
	expect.Equal(t, "the thread sees", string(out), fmt.Sprintf(`/etc/name "root" true
/volume/data "volume" true
/readonly/data "volume" true
/file "volume" true
/tmp/hidden "" false
%s "" false
write / true
write /volume true
write /readonly false
write /tmp false
`, dir))
	_, err = os.Stat(filepath.Join(dir, "volume/new"))
	expect.Equal(t, "the host sees the file", err, nil)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "the host's mounts are as before", strings.Contains(string(mounts), dir), false)
}

func TestOnlyTheFirstThreadEnters(t *testing.T) {
	done := make(chan error)
	enter := func() { done <- EnterRoot("/", "/", bundleSpec()) }
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if unix.Gettid() != unix.Getpid() {
			enter()
			return
		}
		go enter() // on another thread: this one is held
		<-t.Context().Done()
	}()
	if err := <-done; !errors.Is(err, errNotFirst) {
		t.Errorf("on another thread: %v", err)
	}
}
