package agent

import (
	"maps"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/sentry/kernel"

	"runsc-recover/test/expect"
)

// TestRestartedCall: a call that runs again finds its decision once; another
// call of the same thread finds none.
func TestRestartedCall(t *testing.T) {
	here, there := callSite{SP: 1, IP: 2}, callSite{SP: 1, IP: 3}
	for _, c := range []struct {
		name string
		kind parkedKind
		site callSite
		want bool
	}{
		{"the call, restarted", parkedReport, here, true},
		{"another call at the same place", parkedExit, here, false},
		{"a call at another place", parkedReport, there, false},
	} {
		ps := parkedCalls{}
		p, again := ps.park(7, parkedReport, here)
		expect.Equal(t, c.name+": at first again", again, false)
		if _, decided := ps.take(7, parkedReport, here); decided {
			t.Errorf("%s: decided before there is a decision", c.name)
		}
		p.decide(decision{value: 3})
		p.decide(decision{value: 4}) // the first counts

		same, again := maps.Clone(ps).park(7, c.kind, c.site)
		expect.Equal(t, c.name+": again", again, c.want)
		expect.Equal(t, c.name+": the same", same == p, c.want)
		got, decided := ps.take(7, c.kind, c.site)
		expect.Equal(t, c.name+": decided", decided, c.want)
		if c.want {
			expect.Equal(t, c.name+": decision", got, decision{value: 3})
		}
		_, decided = ps.take(7, c.kind, c.site)
		expect.Equal(t, c.name+": decided twice", decided, false)
	}
}

// decisions returns the results of calls 1 to 3, -1 for none.
func decisions(ps parkedCalls) (out [3]decision) {
	for i := range out {
		out[i] = decision{value: -1}
		if p := ps[kernel.ThreadID(i+1)]; p != nil && p.result != nil {
			out[i] = *p.result
			<-p.decided
		}
	}
	return out
}

func TestDecisions(t *testing.T) {
	none := decision{value: -1}
	for _, c := range []struct {
		name   string
		decide func(parkedCalls)
		want   [3]decision // of a report, an exit, a call for a checkpoint
	}{
		{"nothing", func(parkedCalls) {}, [3]decision{none, none, none}},
		{"a release", func(ps parkedCalls) { ps.release(2) }, [3]decision{{value: 2}, {value: 2}, {value: 2}}},
		{"a refusal", func(ps parkedCalls) { ps.refuse() }, [3]decision{{err: unix.ENOTRECOVERABLE}, {}, none}},
		{"a checkpoint", func(ps parkedCalls) { ps.decide(3, parkedCheckpoint, decision{}) }, [3]decision{none, none, {}}},
		{"a checkpoint for a call that was left", func(ps parkedCalls) { ps.decide(1, parkedCheckpoint, decision{}) }, [3]decision{none, none, none}},
		{"a checkpoint for a thread that is gone", func(ps parkedCalls) { ps.decide(9, parkedCheckpoint, decision{}) }, [3]decision{none, none, none}},
	} {
		ps := parkedCalls{}
		for i, kind := range []parkedKind{parkedReport, parkedExit, parkedCheckpoint} {
			ps.park(kernel.ThreadID(i+1), kind, callSite{})
		}
		c.decide(ps)
		expect.Equal(t, c.name, decisions(ps), c.want)
	}
}

// TestWaitingCallsAreCheckpointed: a checkpoint holds the calls for one that
// wait, and only those.
func TestWaitingCallsAreCheckpointed(t *testing.T) {
	ps := parkedCalls{}
	site := callSite{SP: 5, IP: 6}
	ps.park(1, parkedReport, callSite{})
	ps.park(2, parkedCheckpoint, site)
	done, _ := ps.park(3, parkedCheckpoint, callSite{})
	done.decide(decision{})
	at := ps.atCheckpoint()
	slices.Sort(at)
	if !slices.Equal(at, []kernel.ThreadID{2, 3}) {
		t.Errorf("%v are at a checkpoint", at)
	}
	copied := parkedCalls{}
	copied.restore(ps.undecided())
	expect.Equal(t, "calls in the copy", len(copied), 1)
	_, again := copied.park(2, parkedCheckpoint, site)
	expect.Equal(t, "the call runs again", again, true)
}

func TestCallsOfGoneThreadsAreForgotten(t *testing.T) {
	ps := parkedCalls{}
	ps.park(1, parkedReport, callSite{})
	ps.park(2, parkedReport, callSite{})
	ps.dropGone(func(tid kernel.ThreadID) bool { return tid == 2 })
	expect.Equal(t, "calls", len(ps), 1)
	expect.Equal(t, "the one that is left is 2's", ps[2] != nil, true)
}
