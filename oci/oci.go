// Package oci is the container as the OCI runtime specification sees it: its
// bundle, config.json and hooks.
//
// It must not know gVisor, checkpoints' files, or its callers. Every refusal that
// a user can meet is an *errdefs.Error with a stable code. It has no locks; a hook
// is waited for by its caller.
package oci
