package install

import (
	"path/filepath"
	"strings"
)

// OwnDir is the directory below /etc that holds nothing but files of this
// package.
const OwnDir = "runsc-recover"

// wrapper is where the script lies that gives the runtime its options, for an
// engine that can't.
func (e Engine) wrapper(etc, name string) string {
	return filepath.Join(etc, OwnDir, e.Name+"-"+name)
}

func wrap(rt Runtime) []byte {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n# Written by runsc-recover install.\nexec " + quote(rt.Binary))
	for _, a := range rt.Args {
		b.WriteString(" " + quote(a))
	}
	b.WriteString(" \"$@\"\n")
	return []byte(b.String())
}

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
