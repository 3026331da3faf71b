// Package runc holds the tests that drive runsc-recover as runc is driven: by
// go-runc, which is what containerd's shim calls, and by command lines written
// for runc. What they check is what those callers rely on.
//
// It must not know the project's packages.
package runc
