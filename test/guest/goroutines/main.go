// Command goroutines holds the state of a Go program across a rollback: many
// goroutines that wait for each other, timers, a parked system call, memory
// under garbage collection. It prints the faults that it finds in the copy, and
// ends with 0 when it finds none.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	sysRecover   = 1900
	opFail       = 2
	opCheckpoint = 5
	opResolved   = 6
	interrupt    = syscall.Signal(42)
	workers      = 500
)

func recovery(op uintptr, arg unsafe.Pointer, size uintptr) (uintptr, syscall.Errno) {
	r, _, errno := syscall.Syscall(sysRecover, op, uintptr(arg), size)
	return r, errno
}

// failure is struct recover_failure.
type failure struct {
	size                               uint32
	code                               int32
	key, message, messageLen, data, dl uint64
}

// ask is a question to a worker, which answers with its number and how often
// it was asked.
type ask chan [2]int

func worker(n int, questions <-chan ask) {
	asked := 0
	for q := range questions {
		asked++
		q <- [2]int{n, asked}
	}
}

type state struct {
	questions []chan ask
	ticks     atomic.Int64
	heap      map[int][]byte
	mutex     sync.Mutex
}

func setup() *state {
	s := &state{heap: map[int][]byte{}}
	for n := range workers {
		c := make(chan ask)
		s.questions = append(s.questions, c)
		go worker(n, c)
	}
	for i := range 2000 {
		s.heap[i] = fmt.Appendf(nil, "value %d", i)
	}
	go func() {
		for range time.Tick(5 * time.Millisecond) {
			s.ticks.Add(1)
		}
	}()
	s.mutex.Lock()
	go func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		panic("the lock was let go")
	}()
	return s
}

// round asks every worker once more.
func (s *state) round() (wrong int, asked int) {
	for n, c := range s.questions {
		q := make(ask)
		c <- q
		a := <-q
		if a[0] != n {
			wrong++
		}
		asked = a[1]
	}
	return wrong, asked
}

func (s *state) perturb() {
	for range 3 {
		s.round()
	}
	clear(s.heap)
	runtime.GC()
}

func (s *state) check(told <-chan os.Signal) (wrong []string) {
	complain := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	select {
	case <-told:
	case <-time.After(5 * time.Second):
		complain(true, "the interrupt never came")
	}
	bad, asked := s.round()
	complain(bad > 0, "%d workers are not themselves", bad)
	complain(asked != 2, "a worker was asked %d times, want 2: once before the checkpoint and once now", asked)
	for i := range 2000 {
		complain(string(s.heap[i]) != fmt.Sprintf("value %d", i), "entry %d is %q", i, s.heap[i])
	}
	before := s.ticks.Load()
	for deadline := time.Now().Add(5 * time.Second); s.ticks.Load() == before && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	complain(s.ticks.Load() == before, "the ticker stands still")
	return wrong
}

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, interrupt)
	s := setup()
	s.round()
	attempt, errno := recovery(opCheckpoint, nil, 0)
	if errno != 0 {
		fmt.Println("checkpoint:", errno)
		os.Exit(99)
	}
	if attempt == 0 {
		s.perturb()
		f := failure{code: 1}
		f.size = uint32(unsafe.Sizeof(f))
		_, errno := recovery(opFail, unsafe.Pointer(&f), unsafe.Sizeof(f))
		fmt.Println("fail:", errno)
		os.Exit(99)
	}
	wrong := s.check(told)
	for _, w := range wrong {
		fmt.Println("not ok -", w)
	}
	recovery(opResolved, nil, 0)
	if len(wrong) > 0 {
		os.Exit(1)
	}
	fmt.Println("all as at the checkpoint")
}
