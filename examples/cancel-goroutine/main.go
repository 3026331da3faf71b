// Command cancel-goroutine hands out square roots to a few workers. Their
// method has a bug: just below a square of an integer it swings between two
// values for ever. Go can't stop a goroutine from outside, so once one spins
// it is too late for anything but a restart.
//
// A watchdog reports a worker that is stuck, with the number of its job. In the
// copy the handler cancels that job before a worker takes it. Without
// protection the watchdog ends the program.
package main

import (
	"errors"
	"fmt"
	"log"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"runsc-recover/sdk/go"
)

const (
	jobs    = 60
	batch   = 10
	workers = 3
	badJob  = 37

	tick    = 10 * time.Millisecond
	patient = 50 // ticks without progress until a worker counts as stuck
)

// input of a job: never just below a square, but for one.
func input(job int) uint64 {
	if job == badJob {
		return 10*10 - 1
	}
	return uint64(job * job)
}

// root is Newton's method with the bug.
func root(n uint64) uint64 {
	for x := n; ; {
		next := (x + n/x) / 2
		if next == x {
			return x
		}
		x = next
	}
}

// pool is the state that workers, watchdog and handler share.
type pool struct {
	// busy holds the job of each worker, 0 when idle.
	busy [workers]atomic.Int64

	mu        sync.Mutex
	results   map[int]uint64
	cancelled map[int]bool
}

func (p *pool) cancel(job int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancelled[job] = true
}

func (p *pool) isCancelled(job int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cancelled[job]
}

func (p *pool) finish(job int, result uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.results[job] = result
}

func (p *pool) work(worker int, queue <-chan int) {
	for job := range queue {
		if p.isCancelled(job) {
			continue
		}
		p.busy[worker].Store(int64(job))
		p.finish(job, root(input(job)))
		p.busy[worker].Store(0)
	}
}

// runBatch returns when all its jobs are done.
func (p *pool) runBatch(first int) {
	queue := make(chan int)
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() { p.work(worker, queue) })
	}
	for job := first; job < first+batch; job++ {
		queue <- job
	}
	close(queue)
	wg.Wait()
}

// watch reports the first worker that is stuck. It counts ticks, and not time,
// which passes while the program stands still.
func (p *pool) watch(report func(job int)) {
	var last [workers]int64
	var stuck [workers]int
	for range time.Tick(tick) {
		for w := range workers {
			job := p.busy[w].Load()
			if job == 0 || job != last[w] {
				last[w], stuck[w] = job, 0
				continue
			}
			if stuck[w]++; stuck[w] == patient {
				report(int(job))
			}
		}
	}
}

// cancelReported is the handler.
func (p *pool) cancelReported(info recovery.Info) {
	job, err := strconv.Atoi(string(info.Data))
	if err != nil {
		log.Printf("failure of another kind ahead: %s", info.Message)
		return
	}
	fmt.Printf("%s ahead: cancelling job %d\n", info.Message, job)
	p.cancel(job)
}

func main() {
	p := &pool{results: map[int]uint64{}, cancelled: map[int]bool{}}
	program, err := recovery.Attach(recovery.Options{
		Handlers: map[uint32]recovery.Handler{1: p.cancelReported},
	})
	if err != nil {
		log.Fatal(err)
	}
	go p.watch(func(job int) {
		log.Fatal(errors.Join(errors.New("a worker is stuck"), program.Fail(recovery.Failure{
			Code:    1,
			Message: "a worker is stuck",
			Data:    []byte(strconv.Itoa(job)),
		})))
	})
	for first := 1; first <= jobs; first += batch {
		if _, err := program.Checkpoint(); err != nil {
			log.Print(err)
		}
		p.runBatch(first)
	}
	if err := program.Resolved(); err != nil {
		log.Print(err)
	}
	var sum uint64
	for result := range maps.Values(p.results) {
		sum += result
	}
	fmt.Printf("RESULT done=%d sum=%d cancelled=%v\n", len(p.results), sum, slices.Sorted(maps.Keys(p.cancelled)))
}
