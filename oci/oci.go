// Package oci is the container as the OCI runtime specification sees it: its
// bundle, config.json and hooks.
//
// It must not know gVisor, what is in a checkpoint's files, or who calls it.
// Every refusal that a user can meet is an *errdefs.Error with a stable code.
package oci
