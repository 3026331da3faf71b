package container

import (
	"errors"
	"os"
	"strings"
	"testing"

	"runsc-recover/checkpoint/config"
	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
	"runsc-recover/test/expect"
)

func TestCheckConsole(t *testing.T) {
	for _, c := range []struct {
		terminal, detach bool
		socket           string
		ok               bool
	}{
		{true, true, "/s", true},
		{true, true, "", false},
		{true, false, "", true},
		{true, false, "/s", true},
		{false, true, "", true},
		{false, true, "/s", false},
		{false, false, "/s", false},
	} {
		if err := CheckConsole(c.terminal, c.detach, c.socket); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestNetworkOf(t *testing.T) {
	for _, c := range []struct {
		annotation string // "" for none
		want       config.Network
		ok         bool
	}{
		{"", config.NetworkNone, true},
		{"sandbox", config.NetworkSandbox, true},
		{"host", config.NetworkHost, true},
		{"Host", "", false},
		{" host", "", false},
		{"bridge", "", false},
	} {
		annotations := map[string]string{"other": "host"}
		if c.annotation != "" {
			annotations[config.NetworkAnnotation] = c.annotation
		}
		got, err := networkOf(annotations, config.NetworkNone)
		if got != c.want || (err == nil) != c.ok || err != nil && errdefs.CodeOf(err) != errdefs.CodeAnnotation {
			t.Errorf("%q: %q, %v", c.annotation, got, err)
		}
	}
}

func TestPreservedFiles(t *testing.T) {
	if _, err := PreservedFiles(1 << 20); errdefs.CodeOf(err) != errdefs.CodeRequest {
		t.Errorf("descriptors that aren't there: %v", err)
	}
	if files, err := PreservedFiles(0); err != nil || len(files) > 0 {
		t.Errorf("none: %v, %v", files, err)
	}
}

// TestCreateRefuses asks for containers that can't be made: nothing is left.
func TestCreateRefuses(t *testing.T) {
	bundle := func(text string) string {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(dir+"/rootfs", 0o755), os.WriteFile(dir+"/rootfs/x", nil, 0o755), os.WriteFile(dir+"/config.json", []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	good := bundle(`{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"args":["/x"],"cwd":"/"}}`)
	tty := bundle(`{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"args":["/x"],"cwd":"/","terminal":true}}`)
	annotated := bundle(`{"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"args":["/x"],"cwd":"/"},"annotations":{"dev.runsc-recover.retain":"none"}}`)
	for name, c := range map[string]struct {
		change func(o *CreateOptions)
		code   errdefs.Code
	}{
		"bad id":            {func(o *CreateOptions) { o.Supervisor.ID = "../x" }, errdefs.CodeInvalidID},
		"exists":            {func(o *CreateOptions) { o.Supervisor.ID = "web" }, errdefs.CodeExists},
		"no bundle":         {func(o *CreateOptions) { o.Bundle = "/does/not/exist" }, errdefs.CodeBundle},
		"broken config":     {func(o *CreateOptions) { o.Bundle = bundle("{") }, errdefs.CodeConfigInvalid},
		"bad annotation":    {func(o *CreateOptions) { o.Bundle = annotated }, errdefs.CodeAnnotation},
		"bad default":       {func(o *CreateOptions) { o.Defaults = map[string]string{"retain": "0"} }, errdefs.CodeAnnotation},
		"nobody's terminal": {func(o *CreateOptions) { o.Bundle = tty }, errdefs.CodeRequest},
		"nobody's socket":   {func(o *CreateOptions) { o.Supervisor.ConsoleSocket = "/s" }, errdefs.CodeRequest},
		"no descriptors":    {func(o *CreateOptions) { o.Supervisor.PreserveFDs = 1 << 20 }, errdefs.CodeRequest},
		"not on disk":       {func(o *CreateOptions) { o.Supervisor.FromStore = true }, errdefs.CodeCheckpointMissing},
		"running": {func(o *CreateOptions) {
			o.Supervisor.FromStore, o.Supervisor.ID = true, "web"
		}, errdefs.CodeRunning},
		"no checkpoints": {func(o *CreateOptions) {
			o.Supervisor.FromStore = true
			o.Defaults = map[string]string{"durability": "disk", "store": t.TempDir()}
		}, errdefs.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, statedir.StatusRunning, onDisk, nil)
			o := CreateOptions{Bundle: good, Detach: true}
			o.Supervisor.ID, o.Supervisor.Network = "new", config.NetworkSandbox
			c.change(&o)
			_, _, err := w.root.Create(t.Context(), o)
			if errdefs.CodeOf(err) != c.code {
				t.Errorf("%v, code %s, want %s", err, errdefs.CodeOf(err), c.code)
			}
			ids, err := w.root.IDs()
			expect.Equal(t, "error", err, nil)
			expect.Equal(t, "containers", strings.Join(ids, " "), "web")
			expect.Equal(t, "status", w.open(t).Status(), statedir.StatusRunning)
		})
	}
}
