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

func TestDelete(t *testing.T) {
	for _, c := range []struct {
		name   string
		status statedir.Status
		state  string // in place of the container's own
		force  bool
		code   errdefs.Code // "" for none
		gone   bool
		warned string
	}{
		{"stopped", statedir.StatusStopped, "", false, "", true, ""},
		{"running", statedir.StatusRunning, "", false, errdefs.CodeRunning, false, ""},
		{"paused", statedir.StatusPaused, "", false, errdefs.CodeRunning, false, ""},
		{"broken state", statedir.StatusStopped, "{", false, errdefs.CodeInternal, false, ""},
		{"broken state by force", statedir.StatusStopped, "{", true, "", true, "decode state"},
		{"another version's state", statedir.StatusStopped, `{"version":99}`, false, errdefs.CodeUnsupported, false, ""},
		{"another version's state by force", statedir.StatusStopped, `{"version":99}`, true, "", true, "version 99"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.status, config.Config{}, nil)
			if c.state != "" {
				if err := os.WriteFile(w.dir.StateFile(), []byte(c.state), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := w.root.Delete(t.Context(), "web", c.force)
			if c.code == "" && err != nil || c.code != "" && errdefs.CodeOf(err) != c.code {
				t.Errorf("%v, code %s, want %q", err, errdefs.CodeOf(err), c.code)
			}
			_, err = os.Stat(string(w.dir))
			expect.Equal(t, "gone", errors.Is(err, os.ErrNotExist), c.gone)
			expect.Equal(t, "warned", strings.Contains(w.log.String(), c.warned) && (c.warned != "" || w.log.Len() == 0), true)
		})
	}
}

func TestDeleteNothing(t *testing.T) {
	root := newWorld(t, statedir.StatusStopped, config.Config{}, nil).root
	expect.Equal(t, "error", errors.Is(root.Delete(t.Context(), "nobody", false), errdefs.ErrNotExist), true)
	expect.Equal(t, "by force", root.Delete(t.Context(), "nobody", true), nil)
}
