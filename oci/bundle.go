package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"runsc-recover/oci/errdefs"
	"runsc-recover/oci/statedir"
)

// ConfigFile is the name of a bundle's configuration.
const ConfigFile = "config.json"

// maxConfigSize bounds a config.json, in bytes.
const maxConfigSize = 16 << 20

// Bundle is a validated OCI bundle.
type Bundle struct {
	Path   string // absolute
	Rootfs string // absolute
	Spec   *specs.Spec
}

// LoadBundle reads and validates the bundle in dir. Errors: CodeBundle,
// CodeConfigMissing, CodeConfigInvalid, CodeRootfsMissing, CodeExecutable,
// CodeNotExecutable.
func LoadBundle(dir string) (*Bundle, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find bundle: %w", err)
	}
	if fi, err := os.Stat(path); err != nil || !fi.IsDir() {
		return nil, &errdefs.Error{Code: errdefs.CodeBundle, Message: fmt.Sprintf("bundle %s is not a directory", path), Next: "give one that holds config.json with --bundle", Err: err}
	}
	b, err := statedir.ReadLimited(filepath.Join(path, ConfigFile), maxConfigSize)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &errdefs.Error{Code: errdefs.CodeConfigMissing, Message: fmt.Sprintf("JSON specification file %s not found in %s", ConfigFile, path), Next: "the spec command writes one", Err: err}
	}
	if err != nil {
		return nil, errdefs.Errorf(errdefs.CodeConfigInvalid, "read %s: %w", ConfigFile, err)
	}
	spec, err := ParseSpec(b)
	if err != nil {
		return nil, err
	}
	bundle := &Bundle{Path: path, Rootfs: resolve(path, spec.Root.Path), Spec: spec}
	return bundle, bundle.check()
}

// ParseSpec decodes a config.json and refuses one that can't be run, whatever
// is on the disk. Process, Root and Linux of the result are set. Errors:
// CodeConfigInvalid.
func ParseSpec(b []byte) (*specs.Spec, error) {
	var spec specs.Spec
	if err := json.Unmarshal(b, &spec); err != nil {
		return nil, errdefs.Errorf(errdefs.CodeConfigInvalid, "%s is not valid: %s", ConfigFile, describeJSON(b, err))
	}
	if msg := findFault(&spec); msg != "" {
		return nil, errdefs.Errorf(errdefs.CodeConfigInvalid, "%s is not valid: %s", ConfigFile, msg)
	}
	if spec.Linux == nil {
		spec.Linux = &specs.Linux{}
	}
	return &spec, nil
}

// findFault returns the first fault that makes the spec unusable, empty for none.
func findFault(s *specs.Spec) string {
	switch {
	case !strings.HasPrefix(s.Version, "1."):
		return fmt.Sprintf("ociVersion is %q, not 1.x", s.Version)
	case s.Process == nil:
		return "process is missing"
	case len(s.Process.Args) == 0:
		return "process.args is empty"
	case s.Process.Args[0] == "":
		return "process.args begins with an empty string"
	case !filepath.IsAbs(s.Process.Cwd):
		return fmt.Sprintf("process.cwd %q is not an absolute path", s.Process.Cwd)
	case s.Root == nil || s.Root.Path == "":
		return "root.path is missing"
	}
	if msg := findMountFault(s.Mounts); msg != "" {
		return msg
	}
	return findProcessFault(s.Process)
}

func findMountFault(mounts []specs.Mount) string {
	for i, m := range mounts {
		if m.Destination == "" {
			return fmt.Sprintf("mounts[%d].destination is empty", i)
		}
	}
	return ""
}

// describeJSON puts the line into a syntax error.
func describeJSON(b []byte, err error) string {
	var offset int64
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = e.Offset
	}
	if offset <= 0 || offset > int64(len(b)) {
		return err.Error()
	}
	return fmt.Sprintf("line %d: %v", 1+strings.Count(string(b[:offset]), "\n"), err)
}

func (b *Bundle) check() error {
	fi, err := os.Stat(b.Rootfs)
	if err != nil || !fi.IsDir() {
		return &errdefs.Error{Code: errdefs.CodeRootfsMissing, Message: fmt.Sprintf("rootfs %s is not a directory", b.Rootfs), Next: "correct root.path in " + ConfigFile, Err: err}
	}
	if err := b.checkSources(); err != nil {
		return err
	}
	return FindExecutable(b.Rootfs, b.Spec)
}

// checkSources refuses a bind mount whose source is missing: the sandbox would
// only say that it didn't start.
func (b *Bundle) checkSources() error {
	for i, m := range b.Spec.Mounts {
		if !IsBind(m) {
			continue
		}
		if _, err := os.Stat(resolve(b.Path, m.Source)); err != nil {
			return errdefs.Errorf(errdefs.CodeConfigInvalid, "%s is not valid: mounts[%d].source: %w", ConfigFile, i, err)
		}
	}
	return nil
}

func resolve(base, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(base, path)
}
