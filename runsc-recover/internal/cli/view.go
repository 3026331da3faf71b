package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os/user"
	"strconv"
	"text/tabwriter"
	"time"

	"runsc-recover/oci/statedir"
)

// writeJSON writes v on one line.
func writeJSON(w io.Writer, v any) error {
	return json.NewEncoder(w).Encode(v)
}

// newTable returns a writer with runc's column widths. Flush ends the table.
func newTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 12, 1, 3, ' ', 0)
}

// stateView is a container as state and list show it: runc's names.
type stateView struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      statedir.Status   `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
	// Standby is there while there is a container to recover.
	Standby *statedir.Standby `json:"standby,omitempty"`
	// CheckpointError says why no checkpoint can be taken at the moment.
	CheckpointError string `json:"checkpointError,omitempty"`
}

// viewOf shows a state, with the status that it has now.
func viewOf(s *statedir.State) stateView {
	status := s.CurrentStatus()
	spec := s.Spec(status)
	v := stateView{
		Version:     s.OCIVersion,
		ID:          s.ID,
		Pid:         spec.Pid,
		Status:      status,
		Bundle:      s.Bundle,
		Rootfs:      s.Rootfs,
		Created:     s.Created,
		Annotations: s.Annotations,
		Owner:       s.Owner,
	}
	if status == statedir.StatusStopped {
		return v
	}
	v.CheckpointError = s.CheckpointError
	if s.Standby != (statedir.Standby{}) {
		v.Standby = &s.Standby
	}
	return v
}

// userName is the host's name of a user, or #uid.
func userName(uid int) string {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return fmt.Sprintf("#%d", uid)
	}
	return u.Username
}
