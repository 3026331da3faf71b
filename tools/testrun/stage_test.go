package main

import (
	"slices"
	"strings"
	"testing"

	"runsc-recover/test/expect"
)

func stageNamed(t *testing.T, name string) stage {
	t.Helper()
	chosen, err := chooseStages([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return chosen[0]
}

// tested are the paths of the packages that have tests.
func tested(t *testing.T) (paths []string) {
	t.Helper()
	all, err := listPackages("../..", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		paths = append(paths, strings.TrimPrefix(p, module+"/"))
	}
	return paths
}

// TestStagesAreThereOnce: a stage that stands twice would count its tests twice.
func TestStagesAreThereOnce(t *testing.T) {
	seen := map[string]bool{fuzzed.name: true}
	for _, s := range stages {
		if seen[s.name] {
			t.Errorf("stage %s is there twice", s.name)
		}
		seen[s.name] = true
	}
}

// TestEveryTestRunsOnce: a package with tests is tested by exactly one stage
// without the race detector.
func TestEveryTestRunsOnce(t *testing.T) {
	lint := "tools/rules"
	for _, p := range tested(t) {
		n := 0
		for _, s := range stages {
			if s.has(p) && !slices.Contains(s.flags, "-race") {
				n++
			}
		}
		if want := 1; n != want && p != lint {
			t.Errorf("%s is tested by %d stages", p, n)
		}
	}
}

// TestRaceStageHasAll: the race stage has all packages of ours with tests, but for
// those that drive the binary or have no goroutines.
func TestRaceStageHasAll(t *testing.T) {
	race := stageNamed(t, "race")
	expect.Equal(t, "flag", slices.Contains(race.flags, "-race"), true)
	expect.Equal(t, "restricted to some directories", len(race.below) > 0, false)
	for _, p := range tested(t) {
		ours := !isBelow(p, "test") && p != "tools/rules"
		if race.has(p) != ours {
			t.Errorf("%s is in the race stage: %v", p, race.has(p))
		}
	}
}

// TestRowsAreAboutPackages: a row of the table is about packages that exist, and
// says why.
func TestRowsAreAboutPackages(t *testing.T) {
	paths := tested(t)
	for _, s := range append(slices.Clone(stages), fuzzed) {
		for _, dir := range s.below {
			if !slices.ContainsFunc(paths, func(p string) bool { return isBelow(p, dir) }) {
				t.Errorf("stage %s: nothing is tested below %s", s.name, dir)
			}
		}
		for _, x := range s.without {
			if x.why == "" || !slices.ContainsFunc(paths, func(p string) bool { return isBelow(p, x.below) }) {
				t.Errorf("stage %s: exclusion of %s: %q", s.name, x.below, x.why)
			}
		}
		if timeout := slices.ContainsFunc(s.flags, func(f string) bool { return strings.HasPrefix(f, "-timeout=") }); !timeout && s.name != fuzzed.name {
			t.Errorf("stage %s has no timeout", s.name)
		}
	}
}

func TestStageChoosesPackages(t *testing.T) {
	all := []string{module + "/a", module + "/a/b", module + "/ab", module + "/c"}
	for _, c := range []struct {
		s    stage
		want string
	}{
		{stage{}, "a a/b ab c"},
		{stage{below: []string{"a"}}, "a a/b"},
		{stage{below: []string{"a/b", "c"}}, "a/b c"},
		{stage{without: []exclusion{{"a", "why"}}}, "ab c"},
		{stage{below: []string{"a"}, without: []exclusion{{"a/b", "why"}}}, "a"},
	} {
		got, err := c.s.choose(all)
		expect.Equal(t, "error", err, nil)
		expect.Equal(t, "packages", strings.ReplaceAll(strings.Join(got, " "), module+"/", ""), c.want)
	}
	if got, err := (stage{name: "x", below: []string{"d"}}).choose(all); err == nil {
		t.Errorf("a stage without packages has %v", got)
	}
}

func TestChooseStages(t *testing.T) {
	names := func(chosen []stage) (out string) {
		for _, s := range chosen {
			out += s.name + " "
		}
		return out
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "unit race e2e runc engines crash soak "},
		{[]string{"e2e"}, "e2e "},
		{[]string{"crash", "unit"}, "unit crash "}, // in the table's order
	} {
		got, err := chooseStages(c.args)
		expect.Equal(t, "error", err, nil)
		expect.Equal(t, "stages", names(got), c.want)
	}
	for _, args := range [][]string{{"units"}, {"unit", "fuzz"}, {""}} {
		if got, err := chooseStages(args); err == nil {
			t.Errorf("%q chooses %s", args, names(got))
		}
	}
}
