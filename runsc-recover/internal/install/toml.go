package install

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// containerd's config.toml gets a block of its own at its end, between two
// comments, so that the rest, comments and layout included, stays as it is.

// newConfig begins a file where there was none.
const newConfig = "version = 2\n"

// plugins names the plugin that serves Kubernetes, by the file's version.
var plugins = map[int64]string{
	2: "io.containerd.grpc.v1.cri",
	3: "io.containerd.cri.v1.runtime",
}

func addContainerd(old []byte, rt Runtime) ([]byte, error) {
	rest := cutBlock(old, rt.Name)
	if len(rest) == 0 {
		rest = []byte(newConfig)
	}
	var config map[string]any
	if err := toml.Unmarshal(rest, &config); err != nil {
		return nil, fmt.Errorf("not TOML: %w", err)
	}
	version, _ := config["version"].(int64)
	plugin, ok := plugins[version]
	if !ok {
		return nil, fmt.Errorf("version %d of the configuration is not supported: convert it with \"containerd config migrate\"", version)
	}
	out := bytes.Clone(rest)
	if d := defaultRuntime(config, plugin); d != rt.Name && d != "" {
		out = append(out, defaultBlock(d, plugin)...)
	}
	out = append(out, block(rt, plugin)...)
	// A runtime of that name may be there already, or tables in a form that
	// can't be added to.
	if err := toml.Unmarshal(out, &config); err != nil {
		return nil, fmt.Errorf("add runtime %s, which may be there already: %w", rt.Name, err)
	}
	return out, nil
}

func removeContainerd(old []byte, name string) ([]byte, error) {
	rest := cutBlock(old, name)
	if alone := cutBlock(rest, defaultName); !bytes.Contains(alone, []byte(written)) {
		rest = alone
	}
	if string(rest) == newConfig && len(rest) != len(old) {
		return nil, nil
	}
	return rest, nil
}

// defaultName stands for containerd's own default runtime, where there is a
// block for it. It is no runtime's name.
const defaultName = "default runtime"

// defaultRuntime is the name of containerd's default runtime when that is only
// implied, and empty when the configuration has it. A configuration that names
// any runtime must name this one too, or containerd doesn't serve Kubernetes.
func defaultRuntime(config map[string]any, plugin string) string {
	at := func(table map[string]any, key string) map[string]any {
		below, _ := table[key].(map[string]any)
		return below
	}
	settings := at(at(at(config, "plugins"), plugin), "containerd")
	if len(at(settings, "runtimes")) > 0 {
		return ""
	}
	if name, ok := settings["default_runtime_name"].(string); ok {
		return name
	}
	return "runc"
}

// defaultBlock is the runtime that containerd has where no runtime is named.
func defaultBlock(name, plugin string) string {
	return strings.Join([]string{
		"", beginLine(defaultName),
		fmt.Sprintf("[plugins.%q.containerd.runtimes.%s]", plugin, tomlString(name)),
		`  runtime_type = "io.containerd.runc.v2"`,
		endLine(defaultName), "",
	}, "\n")
}

func block(rt Runtime, plugin string) string {
	table := fmt.Sprintf("plugins.%q.containerd.runtimes.%s", plugin, rt.Name)
	lines := []string{
		"", beginLine(rt.Name),
		"[" + table + "]",
		`  runtime_type = "io.containerd.runc.v2"`,
		`  pod_annotations = ["dev.runsc-recover.*"]`,
		`  container_annotations = ["dev.runsc-recover.*"]`,
		"[" + table + ".options]",
		"  BinaryName = " + tomlString(rt.Binary),
	}
	if rt.SystemdCgroup {
		lines = append(lines, "  SystemdCgroup = true")
	}
	return strings.Join(append(lines, endLine(rt.Name), ""), "\n")
}

// written marks every block.
const written = ", written by runsc-recover install"

func beginLine(name string) string { return "# begin " + name + written }
func endLine(name string) string   { return "# end " + name }

// cutBlock is the text without the block of that name.
func cutBlock(text []byte, name string) []byte {
	before, rest, ok := bytes.Cut(text, []byte("\n"+beginLine(name)+"\n"))
	if !ok {
		return text
	}
	_, after, ok := bytes.Cut(rest, []byte(endLine(name)+"\n"))
	if !ok {
		return text
	}
	return append(bytes.Clone(before), after...)
}

// tomlString writes s as a basic string, of which JSON's are a part.
func tomlString(s string) string {
	b, _ := json.Marshal(s) // a string always can be
	return string(b)
}

// podman reads every file of a directory, so there is one of our own.

func addPodman(_ []byte, rt Runtime) ([]byte, error) {
	return fmt.Appendf(nil, "# Written by runsc-recover install.\n[engine.runtimes]\n%s = [%s]\n", rt.Name, tomlString(rt.Binary)), nil
}

func removePodman([]byte, string) ([]byte, error) { return nil, nil }
