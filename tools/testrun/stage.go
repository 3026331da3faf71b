package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

const module = "runsc-recover"

// stage is one run of go test.
type stage struct {
	name string
	// below are the directories whose packages the stage tests, with all below
	// them; none stands for the whole module.
	below   []string
	without []exclusion
	flags   []string
}

// exclusion leaves the packages below a directory out of a stage.
type exclusion struct{ below, why string }

// stages in the order in which they run.
var stages = []stage{
	{name: "unit", flags: []string{"-timeout=10m"}, without: []exclusion{
		{"test", "stages of their own drive the binary"},
		{"tools/rules", "lint has run it before"},
	}},
	{name: "race", flags: []string{"-race", "-timeout=20m"}, without: []exclusion{
		{"test", "the code under test is in the binary, which isn't built with -race; the tests' own goroutines only wait for it"},
		{"tools/rules", "it reads the sources and starts no goroutine"},
	}},
	{name: "e2e", below: []string{"test/e2e"}, flags: []string{"-timeout=15m"}},
	{name: "runc", below: []string{"test/runc"}, flags: []string{"-timeout=5m"}},
	{name: "engines", below: []string{"test/engines"}, flags: []string{"-timeout=15m"}},
	{name: "crash", below: []string{"test/crash"}, flags: []string{"-timeout=10m"}},
	{name: "soak", below: []string{"test/soak"}, flags: []string{"-timeout=10m"}},
}

// fuzzed are the packages whose fuzz targets the stage fuzz runs.
var fuzzed = stage{name: "fuzz", without: []exclusion{
	{"test", "it parses nothing that comes from outside"},
	{"tools", "they parse nothing that comes from outside"},
}}

// isBelow reports whether a package, by its path in the module, lies in a
// directory or below it.
func isBelow(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// has reports whether the stage tests a package, by its path in the module.
func (s stage) has(path string) bool {
	below := func(dir string) bool { return isBelow(path, dir) }
	if len(s.below) > 0 && !slices.ContainsFunc(s.below, below) {
		return false
	}
	return !slices.ContainsFunc(s.without, func(x exclusion) bool { return below(x.below) })
}

// choose returns the packages of the stage among all of the module's. A stage
// without any is an error: go test would test the current directory.
func (s stage) choose(all []string) ([]string, error) {
	var chosen []string
	for _, p := range all {
		if s.has(strings.TrimPrefix(p, module+"/")) {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("stage %s: no package is below %v", s.name, s.below)
	}
	return chosen, nil
}

// chooseStages returns the named stages in the order of the table, all of them
// when none is named.
func chooseStages(names []string) ([]stage, error) {
	for _, name := range names {
		if !slices.ContainsFunc(stages, func(s stage) bool { return s.name == name }) {
			return nil, fmt.Errorf("no stage is called %q", name)
		}
	}
	if len(names) == 0 {
		return stages, nil
	}
	return slices.DeleteFunc(slices.Clone(stages), func(s stage) bool { return !slices.Contains(names, s.name) }), nil
}

// listPackages lists the module's packages. format is go list's -f.
func listPackages(dir, format string) ([]string, error) {
	cmd := exec.Command("go", "list", "-f", format, "./...")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	return strings.Fields(string(out)), nil
}
