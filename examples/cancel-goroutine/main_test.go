package main

import (
	"testing"

	"runsc-recover/sdk/go"
)

func TestCancelledJobIsNotBegun(t *testing.T) {
	p := &pool{results: map[int]uint64{}, cancelled: map[int]bool{}}
	p.cancelReported(recovery.Info{Data: []byte("37")})
	for first := 1; first <= jobs; first += batch {
		p.runBatch(first) // returns only if no worker spins
	}
	if _, done := p.results[badJob]; done || len(p.results) != jobs-1 {
		t.Errorf("%d jobs done, want all but job %d", len(p.results), badJob)
	}
	for job, root := range p.results {
		if root != uint64(job) {
			t.Errorf("job %d gave %d", job, root)
		}
	}
}
