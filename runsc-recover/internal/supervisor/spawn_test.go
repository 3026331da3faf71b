package supervisor

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/policy"
	"runsc-recover/oci"
)

func TestReadMessage(t *testing.T) {
	var got created
	if err := readMessage(iotest.OneByteReader(strings.NewReader("{\"pid\":7}\n")), &got); err != nil {
		t.Fatal(err)
	}
	expect(t, "pid", got.Pid, 7)
	expect(t, "death of the other side", errors.Is(readMessage(strings.NewReader(""), &got), io.EOF), true)
	expect(t, "death in the middle", errors.Is(readMessage(strings.NewReader("{\"pid\""), &got), io.EOF), true)
	if err := readMessage(io.LimitReader(zeros{}, 2*maxHandshake), &got); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a message without end: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// shake runs both sides of a handshake.
func shake(t *testing.T, reply *created) (created, error) {
	t.Helper()
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	go func() {
		defer theirs.Close()
		var opts SpawnOptions
		if readMessage(theirs, &opts) == nil && reply != nil {
			sendReply(theirs, *reply)
		}
	}()
	return shakeHands(ours, SpawnOptions{ID: "c", Dir: "/run/c", Policy: policy.Config{Retain: 3}})
}

func TestHandshake(t *testing.T) {
	reply, err := shake(t, &created{Pid: 9, Warnings: []string{"beware"}})
	expect(t, "pid", reply.Pid, 9)
	expect(t, "warnings", strings.Join(reply.Warnings, ";"), "beware")
	expect(t, "error", err, nil)
	_, err = shake(t, &created{Error: oci.Errorf(oci.CodeHook, "hook said no")})
	expect(t, "code", oci.CodeOf(err), oci.CodeHook)
	_, err = shake(t, nil)
	if err == nil || !strings.Contains(err.Error(), "/run/c/supervisor.log") {
		t.Errorf("death must name the log: %v", err)
	}
}

func TestCleanupRemovesWhatIsLeft(t *testing.T) {
	root := t.TempDir()
	dir, lock, err := oci.MakeDir(root, "c")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	left := exec.Command("sleep", "1000")
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	go left.Wait()
	proc, err := oci.FindProcess(left.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	for _, d := range []string{dir.GenerationDir(1), filepath.Join(store, "c", "1"), filepath.Join(store, "other")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mounted := filepath.Join(dir.GenerationDir(1), "mounted here")
	if os.Geteuid() == 0 {
		mountTmpfs(t, mounted)
	}
	st := &oci.State{
		ID:     "c",
		Policy: policy.Config{Store: store},
		Generations: []oci.Generation{{Processes: []oci.Process{
			proc,
			{Pid: os.Getpid(), StartTime: 1}, // ours now, another's then
		}}},
	}
	if err := Cleanup(dir, st); err != nil {
		t.Fatal(err)
	}
	expect(t, "sandbox is alive", proc.Alive(), false)
	for path, want := range map[string]bool{string(dir): false, filepath.Join(store, "c"): false, filepath.Join(store, "other"): true} {
		_, err := os.Stat(path)
		expect(t, path, err == nil, want)
	}
	if err := Cleanup(dir, st); err != nil {
		t.Errorf("again: %v", err)
	}
}

func mountTmpfs(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", path, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
}

func TestMasterIsSentAsRuncDoes(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sent := make(chan error, 1)
	go func() { sent <- sendMaster(socket, namedFD{f}) }()
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf, oob := make([]byte, 64), make([]byte, 64)
	n, m, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "send", <-sent, nil)
	expect(t, "message", string(buf[:n]), "/dev/null")
	msgs, err := unix.ParseSocketControlMessage(oob[:m])
	if err != nil || len(msgs) != 1 {
		t.Fatalf("control messages: %v %v", msgs, err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("rights: %v %v", fds, err)
	}
	unix.Close(fds[0])
}

type namedFD struct{ *os.File }

func TestLastingThreadIsOne(t *testing.T) {
	l := NewLastingThread()
	var first, second int
	l.Do(func() { first = unix.Gettid() })
	done := make(chan struct{})
	go func() { l.Do(func() { second = unix.Gettid() }); close(done) }()
	<-done
	expect(t, "thread", second, first)
}

func TestReopeningStoreTriesAgain(t *testing.T) {
	w := &flakyStore{}
	tries := 0
	s := newReopeningStore(func() (checkpoint.Store, error) {
		if tries++; tries < 3 {
			return nil, os.ErrPermission
		}
		return w, nil
	})
	for range 2 {
		if _, err := s.get(); !errors.Is(err, os.ErrPermission) {
			t.Errorf("closed place: %v", err)
		}
	}
	got, err := s.get()
	expect(t, "error", err, nil)
	expect(t, "store", got, checkpoint.Store(w))
	s.get()
	expect(t, "opened once", tries, 3)
}
