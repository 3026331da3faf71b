// Package rules holds the repository's rules as tests: the imports of each
// package, and the shape and words that all packages share. A rule stands in a
// table with its reason; a package that no rule names is refused, so that a new
// package begins with the decision of its limits.
package rules

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const (
	module = "runsc-recover"
	gvisor = "gvisor.dev/gvisor"
)

// listed is a package as `go list` prints it.
type listed struct {
	ImportPath string
	Name       string
	Imports    []string
	Deps       []string
}

// rel is the package's path in the module, "" for a package of another.
func rel(importPath string) string {
	r, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	return r
}

// packages lists the module's own packages.
func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Imports,Deps", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list's output: %v", err)
		}
		all = append(all, p)
	}
}

// rule lists the packages of this module that a package may import, and says
// whether gVisor may be reached from it. A pattern is a path.Match pattern, or a
// prefix that ends in "/..."; the first that matches holds.
type rule struct {
	pattern string
	may     []string
	gvisor  bool
	why     string
}

var importRules = []rule{
	{"runsc-recover", []string{"sentry/agent", "runsc-recover/internal/cli", "runsc-recover/internal/cli/exechelper", "runsc-recover/internal/sandbox/...", "runsc-recover/internal/supervisor"}, true,
		"main decides which process this is"},
	{"runsc-recover/internal/cli/flags", []string{"checkpoint", "checkpoint/config", "oci/errdefs", "oci/statedir"}, false,
		"options are text in and values out"},
	{"runsc-recover/internal/cli/exechelper", []string{"oci/errdefs", "runsc-recover/internal/api", "runsc-recover/internal/sandbox", "runsc-recover/internal/terminal"}, false,
		"a helper is told all of its process"},
	{"runsc-recover/internal/cli/show", []string{"checkpoint", "oci/statedir", "runsc-recover/internal/api"}, false,
		"views are functions of values"},
	{"runsc-recover/internal/cli", []string{"checkpoint", "checkpoint/config", "oci", "oci/errdefs", "oci/signals", "oci/statedir", "sentry/failure", "runsc-recover/internal/api", "runsc-recover/internal/cli/...", "runsc-recover/internal/container",
		"runsc-recover/internal/install", "runsc-recover/internal/logging", "runsc-recover/internal/sandbox", "runsc-recover/internal/terminal"}, false,
		"commands are testable without a sandbox"},
	{"runsc-recover/internal/sandbox", []string{"checkpoint", "checkpoint/config", "sentry/failure", "sentry/wire"}, false,
		"the contract is testable without a sandbox"},
	{"runsc-recover/internal/sandbox/lazypages", []string{"checkpoint", "checkpoint/pageindex"}, true,
		"pages are served through gVisor's protocol, from any checkpoint to any sandbox"},
	{"runsc-recover/internal/sandbox/fence", nil, false,
		"packet sockets are fenced whoever holds them"},
	{"runsc-recover/internal/sandbox/rxqueue", []string{"sentry/wire"}, false,
		"packet sockets are read whoever held them"},
	{"runsc-recover/internal/sandbox/dockerdns", []string{"sentry/wire"}, false,
		"queries are relayed whoever asks"},
	{"runsc-recover/internal/sandbox/vethtest", nil, false,
		"tests of sockets need a cable and no sandbox"},
	{"runsc-recover/internal/sandbox/runsc", []string{"checkpoint", "checkpoint/config", "checkpoint/memfile", "checkpoint/pageindex", "oci", "oci/errdefs", "oci/specconv",
		"sentry/...", "runsc-recover/internal/sandbox/..."}, true,
		"the host side of a sandbox is gVisor's own code, and nothing else on the host should need it"},
	{"runsc-recover/internal/container", []string{"checkpoint", "checkpoint/config", "checkpoint/store", "oci", "oci/errdefs", "oci/statedir", "runsc-recover/internal/api", "runsc-recover/internal/cleanup",
		"runsc-recover/internal/episode", "runsc-recover/internal/host/cgroup", "runsc-recover/internal/supervisor", "runsc-recover/internal/terminal"}, false,
		"a container is the same whatever command asks of it"},
	{"runsc-recover/internal/engine/fault", []string{"checkpoint", "oci/errdefs", "runsc-recover/internal/sandbox", "sentry/failure"}, false,
		"an error in a log is named by the sentinels on which decisions depend"},
	{"runsc-recover/internal/engine/event", []string{"checkpoint", "checkpoint/config", "checkpoint/schedule", "runsc-recover/internal/engine/fault", "sentry/failure"}, false,
		"events and actions are words alone"},
	{"runsc-recover/internal/engine/action", []string{"checkpoint", "checkpoint/config", "checkpoint/recovery", "checkpoint/schedule", "runsc-recover/internal/engine/event", "runsc-recover/internal/engine/fault", "sentry/failure"}, false,
		"events and actions are words alone"},
	{"runsc-recover/internal/engine/lifecycle", []string{"runsc-recover/internal/engine/action", "runsc-recover/internal/engine/event", "runsc-recover/internal/engine/fault", "checkpoint", "checkpoint/trace", "checkpoint/config", "checkpoint/recovery", "checkpoint/schedule", "checkpoint/standby",
		"oci/errdefs", "oci/statedir", "runsc-recover/internal/sandbox", "sentry/failure"}, false,
		"what an event means is decided without a store, a host or a command line"},
	{"runsc-recover/internal/engine", []string{"checkpoint/...", "oci/errdefs", "oci/statedir", "sentry/failure", "sentry/wire", "runsc-recover/internal/api", "runsc-recover/internal/engine/...", "runsc-recover/internal/episode",
		"runsc-recover/internal/host/procusage", "runsc-recover/internal/sandbox"}, false,
		"the life of a container must be testable without a sandbox"},
	{"runsc-recover/internal/supervisor/...", []string{"checkpoint/...", "oci/...", "runsc-recover/internal/api", "runsc-recover/internal/engine", "runsc-recover/internal/sandbox", "runsc-recover/internal/host/...",
		"runsc-recover/internal/terminal", "runsc-recover/internal/logging"}, false,
		"the life of a container must be testable without a sandbox"},
	{"runsc-recover/internal/api", []string{"checkpoint", "oci/errdefs"}, false,
		"commands and supervisor share the vocabulary alone, codes of errors included"},
	{"runsc-recover/internal/host/cgroup", []string{"oci/errdefs"}, false,
		"one mechanism of the host each"},
	{"runsc-recover/internal/host/netns", []string{"checkpoint/config", "oci/errdefs", "oci/statedir"}, false,
		"one mechanism of the host each"},
	{"runsc-recover/internal/host/mountns", []string{"oci"}, false,
		"one mechanism of the host each"},
	{"runsc-recover/internal/host/procusage", []string{"oci/statedir"}, false,
		"one mechanism of the host each"},
	{"runsc-recover/internal/host/...", nil, false,
		"one mechanism of the host each"},
	{"runsc-recover/internal/terminal", nil, false,
		"a terminal is the same whoever holds it"},
	{"runsc-recover/internal/logging", nil, false,
		"a log line is the same whatever it says"},
	{"runsc-recover/internal/cleanup", []string{"oci/statedir", "runsc-recover/internal/host/cgroup", "runsc-recover/internal/host/netns"}, false,
		"the dead leave files and processes, no live objects"},
	{"runsc-recover/internal/episode", []string{"checkpoint/recovery", "oci/statedir", "runsc-recover/internal/api", "sentry/failure"}, false,
		"records are written from the machine's words"},
	{"runsc-recover/internal/install", nil, false,
		"engines' configuration is text in and text out"},
	{"oci", []string{"oci/errdefs", "oci/statedir"}, false,
		"bundles and state files are the same whatever runs the container"},
	{"oci/errdefs", nil, false,
		"error codes lie at the bottom"},
	{"oci/statedir", []string{"checkpoint", "checkpoint/config", "oci/errdefs"}, false,
		"state files are the same whatever runs the container"},
	{"oci/specconv", []string{"checkpoint/config", "oci", "oci/errdefs", "oci/statedir", "sentry/abi"}, false,
		"specs are converted from text to text"},
	{"checkpoint", nil, false,
		"the vocabulary lies at the bottom"},
	{"checkpoint/recovery", []string{"checkpoint", "checkpoint/config", "sentry/failure"}, false,
		"the recovery machine is pure: words and decisions only"},
	{"oci/signals", nil, false,
		"names of signals lie at the bottom"},
	{"checkpoint/config", []string{"oci/signals"}, false,
		"the configuration is words and values"},
	{"checkpoint/schedule", []string{"checkpoint", "checkpoint/config"}, false,
		"decisions know what a checkpoint is called and no more"},
	{"checkpoint/standby", []string{"checkpoint", "checkpoint/config", "checkpoint/schedule"}, false,
		"decisions know what a checkpoint is called and no more"},
	{"checkpoint/pageindex", nil, false,
		"the format that the sandbox writes and the store reads"},
	{"checkpoint/memfile", nil, false,
		"a file in memory is the same whatever it holds, on both sides of the wall"},
	{"checkpoint/pageset", nil, false,
		"a set of pages is the same for stores and in the sandbox"},
	{"checkpoint/store/diskfs", nil, false,
		"a step on a disk is the same whatever is written"},
	{"checkpoint/store/lowprio", nil, false,
		"a thread's priority is the same whatever runs on the thread"},
	{"checkpoint/store/frame", []string{"checkpoint", "checkpoint/memfile"}, false,
		"frames hold bytes, whatever these are"},
	{"checkpoint/store/pagepool", []string{"checkpoint", "checkpoint/memfile", "checkpoint/pageindex", "checkpoint/pageset",
		"checkpoint/store/diskfs", "checkpoint/store/frame", "checkpoint/store/lowprio"}, false,
		"pages belong to no checkpoint: the pool knows no manifests"},
	{"checkpoint/store", []string{"checkpoint", "checkpoint/memfile", "checkpoint/pageindex",
		"checkpoint/store/diskfs", "checkpoint/store/frame", "checkpoint/store/lowprio", "checkpoint/store/pagepool"}, false,
		"stores know contents by name alone, and not which to keep"},
	{"checkpoint/store/imagedir", []string{"checkpoint", "checkpoint/pageindex"}, false,
		"an image in a directory is read as it is"},
	{"checkpoint/trace", nil, false,
		"a trace is read without knowing what its events mean"},
	{"checkpoint/store/reopen", []string{"checkpoint"}, false,
		"a store is opened again, whatever its kind"},
	{"checkpoint/storetest", []string{"checkpoint", "checkpoint/pageindex"}, false,
		"every store is tested through its interface alone"},
	{"sentry/failure", nil, false,
		"the words for failures are the same on both sides of the wall"},
	{"sentry/wire", []string{"sentry/failure"}, false,
		"messages are read on both sides of the sandbox's wall"},
	{"sentry/abi", nil, false,
		"the guest contract is the same whatever serves it"},
	{"sentry/platform", nil, true,
		"a program is held and mapped, whatever the reason"},
	{"sentry/capture", []string{"checkpoint/pageindex", "checkpoint/pageset"}, true,
		"pages are compared and copied, whoever tracks them"},
	{"sentry/dirtytrack", []string{"checkpoint/memfile", "checkpoint/pageset", "sentry/capture"}, true,
		"writes are tracked without knowing checkpoints"},
	{"sentry/netbuffer", []string{"sentry/wire"}, true,
		"packets are kept, whatever the reason for a stop"},
	{"sentry/tcpreset", nil, true,
		"connections are chosen from lists, whatever the reason for a reset"},
	{"sentry/detect", []string{"sentry/abi", "sentry/failure"}, true,
		"detectors know failures, and not what follows from them"},
	{"sentry/save", []string{"checkpoint/pageindex", "sentry/capture", "sentry/dirtytrack", "sentry/netbuffer", "sentry/wire"}, true,
		"checkpoints are taken without knowing failures or requests"},
	{"sentry/agent", []string{"checkpoint/pageindex", "sentry/..."}, true,
		"the agent serves requests, and knows no paths, no retention and no host"},
	{"sentry/kerneltest", []string{"checkpoint/memfile"}, true,
		"tests of all packages in the sandbox use it"},
	{"sdk/...", nil, false,
		"programs link it: it brings in nothing of ours"},
	{"examples/...", []string{"sdk/go"}, false,
		"examples show what a program needs, which is the SDK"},
	{"test/expect", nil, false,
		"tests of all packages use it"},
	{"test/harness", nil, false,
		"tests drive the command line, as any caller does"},
	{"test/...", nil, false,
		"tests drive the command line, as any caller does"},
	{"tools/replay", []string{"checkpoint/trace"}, false,
		"a trace is read without the engine that wrote it"},
	{"tools/...", nil, false,
		"tools look at the program from outside"},
}

// matches reports whether the module-relative package path p falls under the
// pattern.
func matches(pattern, p string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p == prefix || strings.HasPrefix(p, prefix+"/")
	}
	ok, _ := path.Match(pattern, p)
	return ok
}

func ruleFor(p string) (rule, bool) {
	i := slices.IndexFunc(importRules, func(r rule) bool { return matches(r.pattern, p) })
	if i < 0 {
		return rule{}, false
	}
	return importRules[i], true
}

func TestImportsPointDownwards(t *testing.T) {
	for _, p := range packages(t) {
		r, ok := ruleFor(rel(p.ImportPath))
		if !ok {
			t.Errorf("%s: no rule lists its imports", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			to := rel(imported)
			if to != "" && !slices.ContainsFunc(r.may, func(m string) bool { return matches(m, to) }) {
				t.Errorf("%s imports %s: %s", p.ImportPath, to, r.why)
			}
		}
	}
}

// TestRulesAreAboutPackages: a rule, or a permission in one, that is about nothing
// is left over from a package that is gone, and would hold for the next one of
// that name without anybody's decision.
func TestRulesAreAboutPackages(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		r, _ := ruleFor(rel(p.ImportPath))
		used[r.pattern] = true
		for _, imported := range p.Imports {
			for _, m := range r.may {
				if matches(m, rel(imported)) {
					used[r.pattern+" imports "+m] = true
				}
			}
		}
	}
	for _, r := range importRules {
		if !used[r.pattern] {
			t.Errorf("no package matches %s, or an earlier row has them all", r.pattern)
			continue
		}
		for _, m := range r.may {
			if !used[r.pattern+" imports "+m] {
				t.Errorf("%s doesn't import %s: take it off the list", r.pattern, m)
			}
		}
	}
}

func TestGVisorIsReachedFromItsOwnPackagesOnly(t *testing.T) {
	for _, p := range packages(t) {
		r, ok := ruleFor(rel(p.ImportPath))
		if !ok || r.gvisor {
			continue
		}
		i := slices.IndexFunc(p.Deps, func(d string) bool { return d == gvisor || strings.HasPrefix(d, gvisor+"/") })
		if i >= 0 {
			t.Errorf("%s reaches %s: %s", p.ImportPath, p.Deps[i], r.why)
		}
	}
}

func TestMainImportsGVisorInOneFile(t *testing.T) {
	const only = "runsc-recover/gvisor.go"
	for _, f := range goFiles(t) {
		if f.dir() != path.Dir(only) || f.isTest() || f.name == only {
			continue
		}
		for _, imp := range f.Imports {
			if strings.HasPrefix(imp.Path.Value, `"`+gvisor+"/") {
				t.Errorf("%s imports %s: %s is the one file that does", f.name, imp.Path.Value, only)
			}
		}
	}
}

func TestSDKBringsInLittle(t *testing.T) {
	for _, p := range packages(t) {
		if rel(p.ImportPath) != "sdk/go" {
			continue
		}
		for _, d := range p.Deps {
			first, _, _ := strings.Cut(d, "/")
			if strings.Contains(first, ".") && !strings.HasPrefix(d, "golang.org/x/sys/") {
				t.Errorf("%s depends on %s: programs that link it get the standard library and golang.org/x/sys", p.ImportPath, d)
			}
		}
	}
}
