package config

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"runsc-recover/oci/signals"
)

func TestParseDefaults(t *testing.T) {
	got, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Enabled: true, Interval: time.Second, MaxOverhead: 0.05, Retain: 8,
		On: Triggers{Report: true, Signal: true}, Signal: 42, Grace: 2 * time.Second,
		MaxAttempts: 6, Exhausted: ExhaustedExit, MaxRate: 60, Durability: DurabilityMemory,
		Standby: StandbyAuto, StandbyLag: 2 * time.Second, StandbyMemory: 512 << 20, Tracking: TrackingAuto,
	}
	if got != want {
		t.Errorf("defaults are %+v, want %+v", got, want)
	}
}

func TestParseValues(t *testing.T) {
	for _, tc := range []struct {
		name, value string
		get         func(Config) any
		want        any
	}{
		{"enabled", "false", func(c Config) any { return c.Enabled }, false},
		{"interval", "10ms", func(c Config) any { return c.Interval }, 10 * time.Millisecond},
		{"interval", "1m30s", func(c Config) any { return c.Interval }, 90 * time.Second},
		{"max-overhead", "2.5%", func(c Config) any { return c.MaxOverhead }, 0.025},
		{"max-overhead", "0.1", func(c Config) any { return c.MaxOverhead }, 0.1},
		{"max-overhead", "1", func(c Config) any { return c.MaxOverhead }, 1.0},
		{"retain", "1024", func(c Config) any { return c.Retain }, 1024},
		{"on", "exit", func(c Config) any { return c.On }, Triggers{Exit: true}},
		{"on", "signal, exit,report", func(c Config) any { return c.On }, Triggers{true, true, true}},
		{"signal", "SIGRTMIN+8", func(c Config) any { return c.Signal }, 42},
		{"signal", "rtmin", func(c Config) any { return c.Signal }, 34},
		{"signal", "RTMAX-1", func(c Config) any { return c.Signal }, 63},
		{"signal", "USR1", func(c Config) any { return c.Signal }, 10},
		{"signal", "sigterm", func(c Config) any { return c.Signal }, 15},
		{"signal", "64", func(c Config) any { return c.Signal }, 64},
		{"grace", "0s", func(c Config) any { return c.Grace }, time.Duration(0)},
		{"max-attempts", "1", func(c Config) any { return c.MaxAttempts }, 1},
		{"exhausted", "restart", func(c Config) any { return c.Exhausted }, ExhaustedRestart},
		{"max-rate", "1", func(c Config) any { return c.MaxRate }, 1},
		{"durability", "disk", func(c Config) any { return c.Durability }, DurabilityDisk},
		{"standby", "warm", func(c Config) any { return c.Standby }, StandbyWarm},
		{"standby", "hot", func(c Config) any { return c.Standby }, StandbyHot},
		{"standby-lag", "500ms", func(c Config) any { return c.StandbyLag }, 500 * time.Millisecond},
		{"standby-memory", "1GiB", func(c Config) any { return c.StandbyMemory }, uint64(1 << 30)},
		{"standby-memory", "0", func(c Config) any { return c.StandbyMemory }, uint64(0)},
		{"store-limit", "512MiB", func(c Config) any { return c.StoreLimit }, int64(512 << 20)},
		{"store-limit", "none", func(c Config) any { return c.StoreLimit }, int64(0)},
		{"tracking", "contents", func(c Config) any { return c.Tracking }, TrackingContents},
		{"tracking", "auto", func(c Config) any { return c.Tracking }, TrackingAuto},
		{"verify", "true", func(c Config) any { return c.Verify }, true},
		{"verify", "false", func(c Config) any { return c.Verify }, false},
		{"standby", "cold", func(c Config) any { return c.Standby }, StandbyCold},
		{"durability", "memory", func(c Config) any { return c.Durability }, DurabilityMemory},
		{"exhausted", "exit", func(c Config) any { return c.Exhausted }, ExhaustedExit},
		{"store", "", func(c Config) any { return c.Store }, ""},
		{"store", "/var/lib/x/", func(c Config) any { return c.Store }, "/var/lib/x"},
	} {
		c, err := Parse(map[string]string{tc.name: tc.value})
		if err != nil {
			t.Errorf("%s=%s: %v", tc.name, tc.value, err)
		} else if got := tc.get(c); got != tc.want {
			t.Errorf("%s=%s: got %v, want %v", tc.name, tc.value, got, tc.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, values := range map[string][]string{
		"enabled":      {"", "yes", "TRUE", "1"},
		"interval":     {"", "1", "9ms", "-1s", "25h", "1y", "9999999999h"},
		"max-overhead": {"", "%", "5", "0", "0%", "101%", "-1%", "NaN", "NaN%", "Inf", "5%%"},
		"retain":       {"", "0", "1025", "-1", "8.0", "99999999999999999999"},
		"on":           {"", "none", "report,", "report;signal", "hang"},
		"signal": {"", "0", "-1", "65", "9", "19", "KILL", "SIGKILL", "stop", "32", "33", "SIGRTMIN+31",
			"SIGRTMIN-1", "SIGRTMAX+1", "SIGRTMIN+", "RTMIN+99999999999999999999", "SIGSIGUSR1", "NOPE"},
		"grace":          {"", "-1s", "61m", "2"},
		"max-attempts":   {"", "0", "1001"},
		"exhausted":      {"", "die"},
		"max-rate":       {"", "0", "100001"},
		"durability":     {"", "ssd"},
		"store":          {"relative", "./x", "/a\x00b", "/" + strings.Repeat("a", 4095)},
		"store-limit":    {"", "0", "-1", "much", "1023KiB", "None"},
		"standby":        {"", "lukewarm", "WARM"},
		"standby-lag":    {"", "-1s", "2", "61m"},
		"standby-memory": {"", "-1", "much", "1 parsec"},
		"tracking":       {"", "content", "AUTO"},
		"verify":         {"", "yes", "True"},
		"nonsense":       {"1"},
		"":               {""},
	} {
		for _, value := range values {
			_, err := Parse(map[string]string{name: value})
			var bad *ValueError
			if !errors.As(err, &bad) {
				t.Errorf("%s=%q: got %v, want a ValueError", name, value, err)
				continue
			}
			if bad.Name != name || bad.Value != value || bad.Allowed == "" {
				t.Errorf("%s=%q: the error says %+v", name, value, *bad)
			}
		}
	}
}

func TestFromAnnotations(t *testing.T) {
	c, err := FromAnnotations(
		map[string]string{"dev.runsc-recover.retain": "3", "dev.gvisor.retain": "x", "retain": "y", NetworkAnnotation: "host"},
		map[string]string{"retain": "5", "grace": "1s"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Retain != 3 || c.Grace != time.Second || c.MaxAttempts != 6 {
		t.Errorf("got %+v", c)
	}
}

func TestFromAnnotationsNamesTheSource(t *testing.T) {
	for _, tc := range []struct {
		annotations, defaults map[string]string
		name                  string
	}{
		{map[string]string{"dev.runsc-recover.retain": "0"}, map[string]string{"retain": "4"}, "dev.runsc-recover.retain"},
		{map[string]string{"dev.runsc-recover.retian": "4"}, nil, "dev.runsc-recover.retian"},
		{map[string]string{"dev.runsc-recover.": "4"}, nil, "dev.runsc-recover."},
		{map[string]string{"dev.runsc-recover.grace": "1s"}, map[string]string{"retain": "0"}, "retain"},
	} {
		_, err := FromAnnotations(tc.annotations, tc.defaults)
		var bad *ValueError
		if !errors.As(err, &bad) || bad.Name != tc.name {
			t.Errorf("%v over %v: got %v, want an error about %s", tc.annotations, tc.defaults, err, tc.name)
		}
	}
}

func TestNamesHaveDefaultsThatParse(t *testing.T) {
	values := make(map[string]string)
	for _, o := range Names() {
		if o.Usage == "" {
			t.Errorf("%s has no usage", o.Name)
		}
		values[o.Name] = o.Default
	}
	got, err := Parse(values)
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := Parse(nil); got != want || len(values) != 18 {
		t.Errorf("the defaults written out are %+v, want %+v", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, o := range Names() {
		f.Add(o.Name, o.Default)
	}
	f.Add("signal", "SIGRTMAX-30")
	f.Add("max-overhead", "1e-3")
	f.Fuzz(func(t *testing.T, name, value string) {
		c, err := Parse(map[string]string{name: value})
		if err != nil {
			if c != (Config{}) {
				t.Errorf("%q=%q: a configuration along with an error", name, value)
			}
			return
		}
		if c.Interval < minInterval || c.Interval > maxInterval ||
			math.IsNaN(c.MaxOverhead) || c.MaxOverhead < minMaxOverhead || c.MaxOverhead > maxMaxOverhead ||
			c.Retain < 1 || c.Retain > maxRetain || !signals.Catchable(c.Signal) || c.On == (Triggers{}) ||
			c.Grace < 0 || c.Grace > maxGrace || c.MaxAttempts < 1 || c.MaxRate < 1 {
			t.Errorf("%q=%q: out of bounds: %+v", name, value, c)
		}
	})
}

// Every option has values that are taken and values that are refused, each in a
// table above.
func TestEveryOptionHasBounds(t *testing.T) {
	for _, o := range Names() {
		if _, err := Parse(map[string]string{o.Name: o.Default}); err != nil {
			t.Errorf("%s: the default is refused: %v", o.Name, err)
		}
		_, err := Parse(map[string]string{o.Name: "\x00"})
		var bad *ValueError
		if !errors.As(err, &bad) || !strings.Contains(bad.Error(), o.Name) || !strings.Contains(bad.Error(), bad.Allowed) {
			t.Errorf("%s: a value that is none: %v", o.Name, err)
		}
	}
}

// The names are those of the key policy in state.json, which outlives the binary
// that wrote it.
func TestNamesInStateFiles(t *testing.T) {
	c, err := Parse(map[string]string{"store": "/s", "store-limit": "1MiB", "verify": "true"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"enabled":true,"interval_ns":1000000000,"max_overhead":0.05,"retain":8,"on":{"report":true,"signal":true,"exit":false},` +
		`"signal":42,"grace_ns":2000000000,"max_attempts":6,"exhausted":"exit","max_rate":60,"durability":"memory","store":"/s",` +
		`"store_limit":1048576,"standby":"auto","standby_lag_ns":2000000000,"standby_memory":536870912,"tracking":"auto","verify":true}`
	if string(b) != want {
		t.Errorf("got %s, want %s", b, want)
	}
}
