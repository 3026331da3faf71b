package engines

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"runsc-recover/test/harness"
)

// imageName is the one image that all containers are made from.
const imageName = "localhost/rr:latest"

// buildImage makes an archive of a root file system: busybox and the guests.
func buildImage(t *testing.T, w *world) (archive string) {
	t.Helper()
	harness.NeedProgram(t, "busybox")
	root := filepath.Join(w.dir, "image")
	for _, d := range []string{"bin", "etc", "tmp", "dev", "proc", "sys"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o1777))
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\nuser:x:1000:\n"), 0o644))
	copyProgram(t, "/bin/busybox", filepath.Join(root, "bin/busybox"))
	for _, applet := range []string{"sh", "cat", "echo", "sleep", "ls", "kill", "ps", "stty", "tty", "id", "env", "true", "false", "test", "mkdir", "touch", "nc", "ip", "pwd", "hostname", "mount", "head", "wc", "grep", "nslookup"} {
		must(t, os.Symlink("busybox", filepath.Join(root, "bin", applet)))
	}
	for _, guest := range []string{"echo"} {
		copyProgram(t, guestPath(t, guest), filepath.Join(root, "bin", guest+"-server"))
	}
	archive = filepath.Join(w.dir, "image.tar")
	if out, err := exec.Command("tar", "-C", root, "-cf", archive, ".").CombinedOutput(); err != nil {
		t.Fatalf("make the image: %v: %s", err, out)
	}
	return archive
}

func guestPath(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../build/guest/" + name)
	must(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make guests", err)
	}
	return path
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	harness.WriteProgram(t, to, b)
}

// archiveImage makes an archive as docker saves images, of buildImage's image. Its
// program does nothing, as that which holds a pod.
func archiveImage(t *testing.T, w *world) string {
	t.Helper()
	layer, err := os.ReadFile(filepath.Join(w.dir, "image.tar"))
	must(t, err)
	config := fmt.Sprintf(`{"architecture": %q, "os": "linux", "config": {"Cmd": ["/bin/sleep", "1000000"]},
		"rootfs": {"type": "layers", "diff_ids": ["sha256:%x"]}}`, runtime.GOARCH, sha256.Sum256(layer))
	manifest := fmt.Sprintf(`[{"Config": "config.json", "RepoTags": [%q], "Layers": ["image.tar"]}]`, imageName)
	writeFile(t, filepath.Join(w.dir, "config.json"), config)
	writeFile(t, filepath.Join(w.dir, "manifest.json"), manifest)
	archive := filepath.Join(w.dir, "docker.tar")
	if out, err := exec.Command("tar", "-C", w.dir, "-cf", archive, "manifest.json", "config.json", "image.tar").CombinedOutput(); err != nil {
		t.Fatalf("make the image: %v: %s", err, out)
	}
	return archive
}
