package flags

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"runsc-recover/oci/errdefs"
)

// maxResources bounds a resources file, in bytes.
const maxResources = 1 << 20

// ResourceFlags are the options that describe resource limits.
func ResourceFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "resources", Aliases: []string{"r"}, Usage: "read the OCI resources structure from `FILE`, - for standard input"},
		&cli.StringFlag{Name: "cpuset-cpus", Usage: "CPUs to use"},
		&cli.StringFlag{Name: "cpuset-mems", Usage: "memory nodes to use"},
		&cli.StringFlag{Name: "kernel-memory", Hidden: true, Usage: "ignored"},
		&cli.StringFlag{Name: "kernel-memory-tcp", Hidden: true, Usage: "ignored"},
		&cli.StringFlag{Name: "l3-cache-schema", Hidden: true, Usage: "ignored"},
		&cli.StringFlag{Name: "mem-bw-schema", Hidden: true, Usage: "ignored"},
	}
	for _, l := range limits() {
		flags = append(flags, &cli.StringFlag{Name: l.name, Usage: l.usage})
	}
	return flags
}

// limit is a number that an option sets.
type limit struct {
	name  string
	usage string
	size  bool // may end in k, m, g or t
	min   int64
	max   int64
	set   func(r *specs.LinuxResources, v int64)
}

func limits() []limit {
	return []limit{
		{"blkio-weight", "block I/O weight, 10 to 1000", false, 10, 1000, func(r *specs.LinuxResources, v int64) {
			w := uint16(v)
			r.BlockIO = &specs.LinuxBlockIO{Weight: &w}
		}},
		{"cpu-period", "CFS period in microseconds", false, 0, math.MaxInt64, func(r *specs.LinuxResources, v int64) { cpu(r).Period = unsigned(v) }},
		{"cpu-quota", "CFS quota in microseconds, -1 for none", false, -1, math.MaxInt64, func(r *specs.LinuxResources, v int64) { cpu(r).Quota = &v }},
		{"cpu-share", "CPU shares relative to other containers", false, 0, math.MaxInt64, func(r *specs.LinuxResources, v int64) { cpu(r).Shares = unsigned(v) }},
		{"cpu-rt-period", "real-time period in microseconds", false, 0, math.MaxInt64, func(r *specs.LinuxResources, v int64) { cpu(r).RealtimePeriod = unsigned(v) }},
		{"cpu-rt-runtime", "real-time run time in microseconds", false, -1, math.MaxInt64, func(r *specs.LinuxResources, v int64) { cpu(r).RealtimeRuntime = &v }},
		{"memory", "memory limit in bytes, -1 for none", true, -1, math.MaxInt64, func(r *specs.LinuxResources, v int64) { memory(r).Limit = &v }},
		{"memory-reservation", "memory soft limit in bytes", true, -1, math.MaxInt64, func(r *specs.LinuxResources, v int64) { memory(r).Reservation = &v }},
		{"memory-swap", "memory and swap together in bytes, -1 for no limit", true, -1, math.MaxInt64, func(r *specs.LinuxResources, v int64) { memory(r).Swap = &v }},
		{"pids-limit", "processes and threads on the host, -1 for no limit", false, -1, math.MaxInt64, func(r *specs.LinuxResources, v int64) { r.Pids = &specs.LinuxPids{Limit: v} }},
	}
}

func cpu(r *specs.LinuxResources) *specs.LinuxCPU {
	if r.CPU == nil {
		r.CPU = &specs.LinuxCPU{}
	}
	return r.CPU
}

func memory(r *specs.LinuxResources) *specs.LinuxMemory {
	if r.Memory == nil {
		r.Memory = &specs.LinuxMemory{}
	}
	return r.Memory
}

func unsigned(v int64) *uint64 {
	u := uint64(v)
	return &u
}

// ReadResources reads the limits that the options, or --resources, ask for.
func ReadResources(c *cli.Context, stdin io.Reader) (specs.LinuxResources, error) {
	var r specs.LinuxResources
	switch path := c.String("resources"); path {
	case "":
	case "-":
		return decodeResources(stdin)
	default:
		f, err := os.Open(path)
		if err != nil {
			return r, fmt.Errorf("open resources: %w", err)
		}
		defer f.Close()
		return decodeResources(f)
	}
	if v := c.String("cpuset-cpus"); v != "" {
		cpu(&r).Cpus = v
	}
	if v := c.String("cpuset-mems"); v != "" {
		cpu(&r).Mems = v
	}
	for _, l := range limits() {
		if !c.IsSet(l.name) {
			continue
		}
		v, err := l.parse(c.String(l.name))
		if err != nil {
			return r, errdefs.Errorf(errdefs.CodeRequest, "invalid value for %s: %w", l.name, err)
		}
		l.set(&r, v)
	}
	return r, nil
}

func decodeResources(in io.Reader) (r specs.LinuxResources, err error) {
	if err := json.NewDecoder(io.LimitReader(in, maxResources)).Decode(&r); err != nil {
		return r, errdefs.Errorf(errdefs.CodeRequest, "decode resources: %w", err)
	}
	return r, nil
}

// parse reads the number. Bytes are exact; a size with a unit is a floating
// point number, as in runc.
func (l limit) parse(s string) (int64, error) {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil && l.size {
		v, err = units.RAMInBytes(s)
	}
	if err != nil {
		return 0, err
	}
	if v < l.min || v > l.max {
		return 0, fmt.Errorf("%d is not between %d and %d", v, l.min, l.max)
	}
	return v, nil
}
