package failure

import (
	"errors"
	"strings"
	"testing"

	"runsc-recover/test/expect"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*State)
		want   error
	}{
		{"as it should be", func(*State) {}, nil},
		{"the largest", func(s *State) {
			s.Message, s.Data = strings.Repeat("x", MaxMessage), make([]byte, MaxData)
			s.Program, s.Signo = strings.Repeat("x", maxProgram), maxSignal
		}, nil},
		{"no kind", func(s *State) { s.Kind = 0 }, ErrInvalid},
		{"a kind beyond the last", func(s *State) { s.Kind = Operator + 1 }, ErrInvalid},
		{"no key", func(s *State) { s.Key = 0 }, ErrInvalid},
		{"a long message", func(s *State) { s.Message = strings.Repeat("x", MaxMessage+1) }, ErrInvalid},
		{"much data", func(s *State) { s.Data = make([]byte, MaxData+1) }, ErrInvalid},
		{"a long name", func(s *State) { s.Program = strings.Repeat("x", maxProgram+1) }, ErrInvalid},
		{"a negative signal", func(s *State) { s.Signo = -1 }, ErrInvalid},
		{"a signal beyond the last", func(s *State) { s.Signo = maxSignal + 1 }, ErrInvalid},
	} {
		s := State{Kind: Signal, Key: 1, Signo: 11}
		c.change(&s)
		if err := s.Validate(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestKindsHaveWords(t *testing.T) {
	words := map[string]bool{}
	for k := Reported; k <= Operator; k++ {
		words[k.String()] = true
	}
	expect.Equal(t, "different words", len(words), int(Operator))
	expect.Equal(t, "one of them is for none", words[Kind(0).String()], false)
}
