package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"runsc-recover/oci/signals"
)

// Option is one name of the configuration, as annotations and flags share it.
type Option struct {
	Name    string
	Default string
	Usage   string
}

// ValueError is a configuration value, or a name, that can't be accepted.
type ValueError struct {
	Name    string // as the user wrote it
	Value   string
	Allowed string // for people: the values that would be accepted
}

// Error names the value and those that are allowed.
func (e *ValueError) Error() string {
	return fmt.Sprintf("refuse %s=%q: allowed is %s", e.Name, e.Value, e.Allowed)
}

// option is an Option with the way to read it. set answers false when the value
// isn't allowed.
type option struct {
	Option
	allowed string
	set     func(c *Config, value string) bool
}

// Bounds of the values.
const (
	minInterval    = 10 * time.Millisecond
	maxInterval    = 24 * time.Hour
	minMaxOverhead = 0.001
	maxMaxOverhead = 1
	maxRetain      = 1024
	maxGrace       = time.Hour
	maxLag         = time.Hour
	maxAttempts    = 1000
	maxMaxRate     = 100000
	minStoreLimit  = 1 << 20
	maxPath        = 4095 - 128 // leaves room for the names inside the store
)

// options is the one table of names, in the order of the documentation.
func options() []option {
	return []option{
		{Option{"enabled", "true", "take checkpoints and recover from failures"},
			"true or false", boolean(func(c *Config) *bool { return &c.Enabled })},
		{Option{"interval", "1s", "time between checkpoints, before it is stretched by their cost"},
			"a duration from 10ms to 24h", setInterval},
		{Option{"max-overhead", "5%", "share of the run time that checkpoints may cost"},
			"a percentage from 0.1% to 100%, or the same as a fraction", setMaxOverhead},
		{Option{"retain", "8", "checkpoints to keep"},
			"a whole number from 1 to 1024", intBetween(1, maxRetain, func(c *Config) *int { return &c.Retain })},
		{Option{"on", "report,signal", "failures to act on"},
			"one or more of report, signal and exit, separated by commas", setTriggers},
		{Option{"signal", "42", "signal of the failure interrupt, unless the program asks for another"},
			"a signal's name or number that a program can catch, such as SIGRTMIN+8, USR1 or 42", setSignal},
		{Option{"grace", "2s", "run time past the failure point after which a copy counts as recovered"},
			"a duration from 0s to 1h", setGrace},
		{Option{"max-attempts", "6", "attempts to get past a failure"},
			"a whole number from 1 to 1000", intBetween(1, maxAttempts, func(c *Config) *int { return &c.MaxAttempts })},
		{Option{"exhausted", "exit", "the end when no attempt is left: exit as without recovery, or restart from the bundle"},
			"exit or restart", setExhausted},
		{Option{"max-rate", "60", "episodes of failure in an hour"},
			"a whole number from 1 to 100000", intBetween(1, maxMaxRate, func(c *Config) *int { return &c.MaxRate })},
		{Option{"durability", "memory", "where checkpoints are kept: memory, or disk to survive a reboot"},
			"memory or disk", setDurability},
		{Option{"store", "", "directory for checkpoints on disk; by default inside the container's state"},
			"an absolute path, or empty", setStore},
		{Option{"store-limit", "none", "the most that checkpoints may take, in memory or on disk; the oldest go first"},
			"a size of 1MiB or more such as 512MiB, or none", setStoreLimit},
		{Option{"standby", "auto", "how far a copy is prepared before it is needed: hot, warm, cold, or auto for the best that fits"},
			"hot, warm, cold or auto", setStandby},
		{Option{"standby-lag", "2s", "how far a hot standby may lie behind the newest checkpoint"},
			"a duration from 0s to 1h", setStandbyLag},
		{Option{"standby-memory", "512MiB", "the most memory that a standby may take"},
			"a size such as 64MiB or 1GiB", setStandbyMemory},
		{Option{"tracking", "auto", "how changed memory is found: auto, by the host's kernel where it can tell, or contents, by comparing all memory"},
			"auto or contents", setTracking},
		{Option{"verify", "false", "compare every checkpoint with all of memory; slow, to find faults of our own"},
			"true or false", boolean(func(c *Config) *bool { return &c.Verify })},
	}
}

// Names lists the options.
func Names() []Option {
	var out []Option
	for _, o := range options() {
		out = append(out, o.Option)
	}
	return out
}

// Parse reads a configuration from values by option name; options that aren't named
// have their defaults. The error is a *ValueError.
func Parse(values map[string]string) (Config, error) {
	var c Config
	known := options()
	for _, o := range known {
		value, ok := values[o.Name]
		if !ok {
			value = o.Default
		}
		if !o.set(&c, value) {
			return Config{}, &ValueError{Name: o.Name, Value: value, Allowed: o.allowed}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.ContainsFunc(known, func(o option) bool { return o.Name == name }) {
			return Config{}, &ValueError{Name: name, Value: values[name], Allowed: "one of the names " + allNames()}
		}
	}
	return c, nil
}

// FromAnnotations reads a configuration from the annotations under
// AnnotationPrefix, over defaults by option name. Annotations of others are
// ignored, and NetworkAnnotation, which isn't part of it. The error is a *ValueError with the name as it was written.
func FromAnnotations(annotations, defaults map[string]string) (Config, error) {
	values := maps.Clone(defaults)
	if values == nil {
		values = make(map[string]string)
	}
	for name, value := range annotations {
		if bare, ours := strings.CutPrefix(name, AnnotationPrefix); ours && name != NetworkAnnotation {
			values[bare] = value
		}
	}
	c, err := Parse(values)
	var bad *ValueError
	if errors.As(err, &bad) {
		if _, annotated := annotations[AnnotationPrefix+bad.Name]; annotated {
			bad.Name = AnnotationPrefix + bad.Name
		}
	}
	return c, err
}

func allNames() string {
	var names []string
	for _, o := range options() {
		names = append(names, o.Name)
	}
	return strings.Join(names, ", ")
}

func boolean(field func(*Config) *bool) func(*Config, string) bool {
	return func(c *Config, v string) bool {
		*field(c) = v == "true"
		return v == "true" || v == "false"
	}
}

func setInterval(c *Config, v string) bool {
	return setDuration(&c.Interval, v, minInterval, maxInterval)
}

func setSignal(c *Config, v string) bool {
	n, ok := signals.Parse(v)
	c.Signal = n
	return ok && signals.Catchable(n)
}

func setGrace(c *Config, v string) bool {
	return setDuration(&c.Grace, v, 0, maxGrace)
}

func setDuration(d *time.Duration, v string, low, high time.Duration) bool {
	parsed, err := time.ParseDuration(v)
	*d = parsed
	return err == nil && low <= parsed && parsed <= high
}

func setMaxOverhead(c *Config, v string) bool {
	number, percent := strings.CutSuffix(v, "%")
	f, err := strconv.ParseFloat(number, 64)
	if percent {
		f /= 100
	}
	c.MaxOverhead = f
	return err == nil && !math.IsNaN(f) && minMaxOverhead <= f && f <= maxMaxOverhead
}

func intBetween(low, high int, field func(*Config) *int) func(*Config, string) bool {
	return func(c *Config, v string) bool {
		n, err := strconv.Atoi(v)
		*field(c) = n
		return err == nil && low <= n && n <= high
	}
}

func setTriggers(c *Config, v string) bool {
	for name := range strings.SplitSeq(v, ",") {
		switch strings.TrimSpace(name) {
		case "report":
			c.On.Report = true
		case "signal":
			c.On.Signal = true
		case "exit":
			c.On.Exit = true
		default:
			return false
		}
	}
	return true
}

func setExhausted(c *Config, v string) bool {
	c.Exhausted = Exhausted(v)
	return c.Exhausted == ExhaustedExit || c.Exhausted == ExhaustedRestart
}

func setDurability(c *Config, v string) bool {
	c.Durability = Durability(v)
	return c.Durability == DurabilityMemory || c.Durability == DurabilityDisk
}

func setStandby(c *Config, v string) bool {
	c.Standby = Standby(v)
	switch c.Standby {
	case StandbyHot, StandbyWarm, StandbyCold, StandbyAuto:
		return true
	}
	return false
}

func setTracking(c *Config, v string) bool {
	c.Tracking = Tracking(v)
	return c.Tracking == TrackingAuto || c.Tracking == TrackingContents
}

func setStandbyLag(c *Config, v string) bool {
	return setDuration(&c.StandbyLag, v, 0, maxLag)
}

func setStandbyMemory(c *Config, v string) bool {
	n, err := units.RAMInBytes(v)
	c.StandbyMemory = uint64(max(n, 0))
	return err == nil && n >= 0
}

func setStoreLimit(c *Config, v string) bool {
	c.StoreLimit = 0
	if v == "none" {
		return true
	}
	n, err := units.RAMInBytes(v)
	c.StoreLimit = n
	return err == nil && n >= minStoreLimit
}

func setStore(c *Config, v string) bool {
	c.Store = v
	if v == "" {
		return true
	}
	c.Store = filepath.Clean(v)
	return filepath.IsAbs(v) && len(v) <= maxPath && !strings.ContainsRune(v, 0)
}
