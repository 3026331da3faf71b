package engine

// recorder writes files and answers commands in a goroutine of its own, in the
// order in which the loop asks for that: a command is answered when all earlier
// events are saved.
type recorder struct {
	jobs chan func()
	done chan struct{} // closed when all jobs are
}

func newRecorder() *recorder {
	r := &recorder{jobs: make(chan func()), done: make(chan struct{})}
	ready := make(chan func())
	go r.queue(ready)
	go func() {
		defer close(r.done)
		for job := range ready {
			job()
		}
	}()
	return r
}

// queue takes jobs at once, so that the loop never waits, and hands them on one
// by one.
func (r *recorder) queue(ready chan<- func()) {
	defer close(ready)
	var waiting []func()
	for jobs := r.jobs; jobs != nil || len(waiting) > 0; {
		var next func()
		var out chan<- func()
		if len(waiting) > 0 {
			next, out = waiting[0], ready
		}
		select {
		case job, ok := <-jobs:
			if !ok {
				jobs = nil
				continue
			}
			waiting = append(waiting, job)
		case out <- next:
			waiting = waiting[1:]
		}
	}
}

// do has a job done after those before it. It doesn't wait.
func (r *recorder) do(job func()) { r.jobs <- job }

// finish returns when all jobs are done. There must be none after it.
func (r *recorder) finish() {
	close(r.jobs)
	<-r.done
}
