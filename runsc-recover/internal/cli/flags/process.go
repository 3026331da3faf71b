package flags

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
)

// maxProcess bounds a process file, in bytes.
const maxProcess = 16 << 20

// ProcessFlags are the options that describe a process.
func ProcessFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "read the OCI process structure from `FILE`"},
		&cli.StringFlag{Name: "cwd", Usage: "working directory"},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set `NAME=VALUE`"},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give it a terminal"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "user and group as `UID[:GID]`"},
		&cli.Int64SliceFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "further groups"},
		&cli.StringSliceFlag{Name: "cap", Aliases: []string{"c"}, Usage: "add the capability `CAP_NAME`"},
		&cli.BoolFlag{Name: "no-new-privs", Usage: "no setuid programs"},
		&cli.StringFlag{Name: "apparmor", Hidden: true, Usage: "ignored"},
		&cli.StringFlag{Name: "process-label", Hidden: true, Usage: "ignored"},
	}
}

// ReadProcess reads the process from the file that --process names, or else makes
// it of the arguments after the id, the process in the container's config.json
// and the options, which change that.
func ReadProcess(c *cli.Context, config string) (*specs.Process, error) {
	if path := c.String("process"); path != "" {
		var p specs.Process
		if err := readJSON(path, &p); err != nil {
			return nil, err
		}
		return &p, checkProcess(&p)
	}
	if c.NArg() < 2 {
		return nil, errdefs.Errorf(errdefs.CodeRequest, "process args cannot be empty")
	}
	var spec specs.Spec
	if err := readJSON(config, &spec); err != nil {
		return nil, err
	}
	if spec.Process == nil {
		return nil, errdefs.Errorf(errdefs.CodeConfigInvalid, "%s has no process", config)
	}
	p := spec.Process
	p.Args = c.Args().Tail()
	if err := changeProcess(c, p); err != nil {
		return nil, err
	}
	return p, checkProcess(p)
}

func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read process: %w", err)
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, maxProcess)).Decode(v); err != nil {
		return errdefs.Errorf(errdefs.CodeConfigInvalid, "decode %s: %w", path, err)
	}
	return nil
}

// changeProcess applies the options to p.
func changeProcess(c *cli.Context, p *specs.Process) error {
	if cwd := c.String("cwd"); cwd != "" {
		p.Cwd = cwd
	}
	p.Env = append(p.Env, c.StringSlice("env")...)
	p.Terminal = c.Bool("tty")
	if c.IsSet("no-new-privs") {
		p.NoNewPrivileges = c.Bool("no-new-privs")
	}
	addCapabilities(p, c.StringSlice("cap"))
	if user := c.String("user"); user != "" {
		if err := setUser(&p.User, user); err != nil {
			return err
		}
	}
	for _, gid := range c.Int64Slice("additional-gids") {
		if gid < 0 || gid > math.MaxUint32 {
			return errdefs.Errorf(errdefs.CodeRequest, "additional-gids must be a positive number, not %d", gid)
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(gid))
	}
	return nil
}

// addCapabilities adds to the same sets as runc: all but the inheritable one,
// and the ambient one only when something is inherited.
func addCapabilities(p *specs.Process, names []string) {
	if len(names) == 0 {
		return
	}
	if p.Capabilities == nil {
		p.Capabilities = &specs.LinuxCapabilities{}
	}
	c := p.Capabilities
	c.Bounding = slices.Concat(c.Bounding, names)
	c.Effective = slices.Concat(c.Effective, names)
	c.Permitted = slices.Concat(c.Permitted, names)
	if len(c.Inheritable) > 0 {
		c.Ambient = slices.Concat(c.Ambient, names)
	}
}

// setUser reads UID[:GID].
func setUser(u *specs.User, s string) error {
	uid, gid, hasGroup := strings.Cut(s, ":")
	n, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return errdefs.Errorf(errdefs.CodeRequest, "parsing %s as int for uid failed: %w", uid, err)
	}
	u.UID = uint32(n)
	if !hasGroup {
		return nil
	}
	if n, err = strconv.ParseUint(gid, 10, 32); err != nil {
		return errdefs.Errorf(errdefs.CodeRequest, "parsing %s as int for gid failed: %w", gid, err)
	}
	u.GID = uint32(n)
	return nil
}

func checkProcess(p *specs.Process) error {
	switch {
	case p.Cwd == "":
		return errdefs.Errorf(errdefs.CodeRequest, "Cwd property must not be empty")
	case !filepath.IsAbs(p.Cwd):
		return errdefs.Errorf(errdefs.CodeRequest, "Cwd must be an absolute path")
	case len(p.Args) == 0 || p.Args[0] == "":
		return errdefs.Errorf(errdefs.CodeRequest, "process args cannot be empty")
	}
	return nil
}
