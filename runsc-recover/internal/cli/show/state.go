package show

import (
	"fmt"
	"os/user"
	"strconv"
	"time"

	"runsc-recover/oci/statedir"
)

// State is a container as state and list show it: runc's names.
type State struct {
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

// StateOf shows a state, with the status that it has now.
func StateOf(s *statedir.State) State {
	status := s.CurrentStatus()
	spec := s.Spec(status)
	v := State{
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
