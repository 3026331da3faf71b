// Package oci is the container as the OCI runtime specification sees it: its
// id, its bundle and config.json, its directory below --root with state.json
// and lock in it, and its hooks.
//
// It must not know gVisor, what is in a checkpoint's files, or who calls it.
// Every refusal that a user can meet is an *Error with a stable code.
//
// Lock order: a container's Lock is taken before anything else of that
// container and is held only by commands that create or delete it; commands
// that speak to a live supervisor need none, it puts them in order itself.
package oci
