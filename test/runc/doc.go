// Package runc holds the tests that drive runsc-recover as runc is driven: by
// go-runc, which containerd's shim calls, and by command lines written for runc.
// They check the behaviour on which those callers rely.
//
// It must not know the project's packages.
package runc
