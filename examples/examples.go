// Package examples reads the promises of the example programs in the directories
// below, for the tests that hold them to these.
//
// It must not know how a program is run.
package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Rootfs is the kind of root file system that a program needs.
type Rootfs string

// The root file systems.
const (
	RootfsEmpty Rootfs = "empty" // the program is a static binary
	RootfsHost  Rootfs = "host"  // the host's /usr, /lib and /lib64, and a /tmp
)

// Example is an example.json. `make -C examples OUT=dir Name` puts the program
// into dir/Name, which is its working directory.
type Example struct {
	Name   string   `json:"-"` // of its directory, and of its make target
	Rootfs Rootfs   `json:"rootfs"`
	Args   []string `json:"args"`
	// Protected is how it ends under runsc-recover with the default
	// configuration, Unprotected how it ends anywhere else.
	Protected   Ending `json:"protected"`
	Unprotected Ending `json:"unprotected"`
}

// Ending is the required end of a run.
type Ending struct {
	Exit int `json:"exit"` // 128+n for signal n
	// StdoutContains holds whole pieces of the output. Output from before a
	// rollback may be there twice.
	StdoutContains []string `json:"stdout_contains"`
}

// ResultPrefix begins the line that a program prints only when all its work is
// done.
const ResultPrefix = "RESULT "

// Load reads the examples below dir, by name.
func Load(dir string) ([]Example, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "example.json"))
	if err != nil {
		return nil, fmt.Errorf("list examples: %w", err)
	}
	var all []Example
	for _, file := range files {
		e, err := read(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		all = append(all, e)
	}
	return all, nil
}

func read(file string) (Example, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return Example{}, err
	}
	e := Example{Name: filepath.Base(filepath.Dir(file))}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return e, dec.Decode(&e)
}
