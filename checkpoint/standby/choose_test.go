package standby

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/config"
	"runsc-recover/checkpoint/schedule"
)

func TestChoose(t *testing.T) {
	const mib = 1 << 20
	base := ChoiceInput{MaxMemory: 512 * mib, Warm: 40 * mib, Hot: 60 * mib}
	with := func(asked config.Standby, change ...func(*ChoiceInput)) ChoiceInput {
		in := base
		in.Asked = asked
		for _, f := range change {
			f(&in)
		}
		return in
	}
	limit := func(limit, used, next uint64) func(*ChoiceInput) {
		return func(in *ChoiceInput) { in.Limit, in.Used, in.Checkpoint = limit*mib, used, next*mib }
	}
	refuse := func(in *ChoiceInput) { in.HotRefused = "too dear" }
	held := func(kind config.Standby) func(*ChoiceInput) { return func(in *ChoiceInput) { in.Held = kind } }
	most := func(n uint64) func(*ChoiceInput) { return func(in *ChoiceInput) { in.MaxMemory = n * mib } }
	for _, tc := range []struct {
		name   string
		in     ChoiceInput
		want   config.Standby
		reason string
	}{
		{"cold", with(config.StandbyCold), config.StandbyCold, "as configured"},
		{"warm", with(config.StandbyWarm), config.StandbyWarm, "as configured"},
		{"hot", with(config.StandbyHot), config.StandbyHot, "as configured"},
		{"auto", with(config.StandbyAuto), config.StandbyHot, "the best"},
		{"hot refused", with(config.StandbyAuto, refuse), config.StandbyWarm, "not hot: too dear"},
		{"hot refused, asked for", with(config.StandbyHot, refuse), config.StandbyWarm, "not hot: too dear"},
		{"two hot ones just fit", with(config.StandbyAuto, most(120)), config.StandbyHot, "the best"},
		{"two hot ones don't", with(config.StandbyAuto, most(119)), config.StandbyWarm, "not hot: a hot standby takes 120 MiB, and standby-memory is 119 MiB"},
		{"not even a warm one", with(config.StandbyAuto, most(39)), config.StandbyCold, "standby-memory is 39 MiB"},
		{"limit just fits", with(config.StandbyWarm, limit(160, 80*mib, 30)), config.StandbyWarm, "as configured"},
		{"limit just doesn't", with(config.StandbyWarm, limit(160, 80*mib+1, 30)), config.StandbyCold, "limit of 160 MiB"},
		{"limit leaves a warm one", with(config.StandbyAuto, limit(160, 80*mib, 30)), config.StandbyWarm, "not hot: the container uses 80 MiB"},
		{"held stays", with(config.StandbyWarm, held(config.StandbyWarm), limit(160, 150*mib, 30)), config.StandbyWarm, "as configured"},
		{"held makes room", with(config.StandbyWarm, held(config.StandbyWarm), limit(160, 150*mib+1, 30)), config.StandbyCold, "uses 150 MiB"},
		{"a warm one doesn't become hot", with(config.StandbyAuto, held(config.StandbyWarm), limit(160, 150*mib, 30)), config.StandbyWarm, "not hot"},
	} {
		got := Choose(tc.in)
		if got.Kind != tc.want || !strings.Contains(got.Reason, tc.reason) {
			t.Errorf("%s: got %v; want %v, …%s…", tc.name, got, tc.want, tc.reason)
		}
	}
}

func TestRoomBeside(t *testing.T) {
	in := ChoiceInput{Asked: config.StandbyHot, MaxMemory: 1000, Warm: 10, Pages: 90, Held: config.StandbyHot, Used: 200, Checkpoint: 40}
	for limit, want := range map[uint64]bool{0: true, 320: false, 361: false, 362: true} {
		in.Limit = limit // of which a sixteenth is left
		if got := Choose(in); got.Kind != config.StandbyHot || got.Beside != want {
			t.Errorf("limit %d: %+v, want %v", limit, got, want)
		}
	}
}

func TestRefresh(t *testing.T) {
	const ms = time.Millisecond
	spaced := func(interval, pause time.Duration, overhead float64) schedule.SpacingInput {
		return schedule.SpacingInput{Interval: interval, MaxOverhead: overhead, Recent: []checkpoint.Cost{{Copy: pause}}}
	}
	lag := 2 * time.Second
	for _, tc := range []struct {
		name    string
		in      RefreshInput
		every   time.Duration
		refused string
	}{
		{"all of the budget", RefreshInput{spaced(time.Second, 0, 0.05), config.StandbyHot, 200 * ms, 0, lag}, time.Second, ""},
		{"the rest beside checkpoints", RefreshInput{spaced(time.Second, 10*ms, 0.05), config.StandbyHot, 200 * ms, 0, lag}, 1250 * ms, ""},
		{"just within the lag", RefreshInput{spaced(time.Second, 25*ms, 0.05), config.StandbyHot, 200 * ms, 0, lag}, 2 * time.Second, ""},
		{"beyond the lag", RefreshInput{spaced(time.Second, 26*ms, 0.05), config.StandbyHot, 200 * ms, 0, lag}, 0, "standby-lag is 2s"},
		{"nothing left", RefreshInput{spaced(time.Second, 80*ms, 0.05), config.StandbyHot, 200 * ms, 0, lag}, 0, "all of max-overhead, 5%"},
		{"rare checkpoints", RefreshInput{spaced(time.Hour, 80*ms, 0.001), config.StandbyHot, 200 * ms, 0, lag}, 51136 * ms, ""},
		{"work that was asked for", RefreshInput{spaced(time.Second, 0, 0.05), config.StandbyHot, 200 * ms, time.Second, lag}, time.Second, ""},
		{"work that wasn't", RefreshInput{spaced(time.Second, 0, 0.05), config.StandbyAuto, 200 * ms, 101 * ms, lag}, 0, "101ms of a processor, may be renewed every 2.02s"},
		{"work that fits", RefreshInput{spaced(time.Second, 0, 0.05), config.StandbyAuto, 200 * ms, 100 * ms, lag}, lag, ""},
		{"work seldom", RefreshInput{spaced(10*time.Second, 0, 0.05), config.StandbyAuto, 200 * ms, 200 * ms, lag}, 4 * time.Second, ""},
		{"hardly any work", RefreshInput{spaced(time.Second, 0, 0.05), config.StandbyAuto, 200 * ms, ms, lag}, time.Second, ""},
	} {
		every, refused := Refresh(tc.in)
		if every.Round(time.Second/4) != tc.every.Round(time.Second/4) || !strings.Contains(refused, tc.refused) || (refused == "") != (tc.refused == "") {
			t.Errorf("%s: got %v, %q; want %v, …%s…", tc.name, every, refused, tc.every, tc.refused)
		}
	}
}

// TestRefreshStaysWithinBounds: checkpoints and a standby together cost no
// more than is allowed, whatever each costs.
func TestRefreshStaysWithinBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	offered := 0
	for range 10000 {
		in := RefreshInput{
			SpacingInput: schedule.SpacingInput{
				Interval:    time.Duration(random.Int64N(int64(5 * time.Second))),
				MaxOverhead: 0.001 + random.Float64()/5,
				Recent:      []checkpoint.Cost{{Copy: time.Duration(random.Int64N(int64(100 * time.Millisecond)))}},
			},
			Asked:  []config.Standby{config.StandbyHot, config.StandbyAuto}[random.IntN(2)],
			Took:   time.Duration(random.Int64N(int64(time.Second))),
			Work:   time.Duration(random.Int64N(int64(200 * time.Millisecond))),
			MaxLag: 2 * time.Second,
		}
		every, refused := Refresh(in)
		if refused != "" {
			continue
		}
		offered++
		spacing, _ := schedule.Next(in.SpacingInput)
		share := float64(schedule.Burden(in.Recent[0]))/float64(spacing) + float64(in.cost())/float64(every)
		if share > in.MaxOverhead*1.001 {
			t.Errorf("%+v: every %v makes a share of %.4f", in, every, share)
		}
	}
	if offered == 0 {
		t.Error("a hot standby was never offered")
	}
}
