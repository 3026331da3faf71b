package main

import (
	"strings"
	"testing"
)

func TestSummaryCountsAndShows(t *testing.T) {
	in := `{"Action":"run","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"A","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"loud\n"}
{"Action":"fail","Package":"p","Test":"B"}
{"Action":"output","Package":"p","Test":"C","Output":"not root\n"}
{"Action":"skip","Package":"p","Test":"C"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p"}
not json
{"Action":"build-output","ImportPath":"q","Output":"q.go:1: wrong\n"}
{"Action":"fail","Package":"q"}
`
	var out strings.Builder
	s := newSummary(&out)
	if err := s.read(strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	if s.passed != 1 || s.failed != 2 || s.skipped != 1 {
		t.Errorf("counted %d passed, %d failed, %d skipped, want 1, 2, 1 (B and the package that doesn't build)", s.passed, s.failed, s.skipped)
	}
	for _, want := range []string{"loud", "not root", "not json", "q.go:1: wrong"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not shown in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "quiet") {
		t.Errorf("the output of a passing test is shown:\n%s", out.String())
	}
}
