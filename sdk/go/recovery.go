// Package recovery lets a Go program be rolled back and told of its failure.
//
// Under runsc-recover a program that fails is restored from a checkpoint
// before the failure, and the handler that it registered is given the
// failure. Anywhere else the program isn't protected and everything here goes on
// working: Protected is false, Checkpoint does nothing, Fail returns
// ErrNotProtected.
//
// Handlers run in a goroutine, never in a signal context, so they may do
// anything that a goroutine may, except wait for a handler. The program's other
// goroutines run meanwhile: a goroutine that is about to repeat the work that
// failed calls Settle first. Checkpoint does so by itself when it returns in a
// copy.
//
// The package must not know gVisor, nor anything of runsc-recover but the
// system call.
package recovery

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// DefaultSignal is the failure interrupt of a program that names none:
// SIGRTMIN+8.
const DefaultSignal = syscall.Signal(42)

// Errors. Test with errors.Is.
var (
	ErrNotProtected   = errors.New("program isn't protected")
	ErrNotRecoverable = errors.New("failure can't be rolled back")
	ErrNoFailure      = errors.New("this copy was never rolled back")
	ErrBadHandler     = errors.New("handler is nil or for level 0; levels begin at 1")
	ErrDataTooLong    = errors.New("failure's data is longer than 64 KiB")
)

// Handler acts on a failure that lies ahead. It must not call Settle or
// Checkpoint, which wait for handlers.
type Handler func(Info)

// Options are a program's wishes at registration.
type Options struct {
	// Handlers by level. The one of the highest level that is not above the
	// level asked for runs. When there is none, nothing runs, and the copy
	// simply tries again.
	Handlers map[uint32]Handler
	// MaxLevel is the highest level that the handlers know, 0 for no limit.
	MaxLevel uint32
	// Signal is the failure interrupt; 0: DefaultSignal.
	Signal syscall.Signal
}

// Program is a program that has attached. Its methods are safe for concurrent
// use.
type Program struct {
	call      caller
	protected bool
	handlers  map[uint32]Handler // immutable
	signals   chan os.Signal

	mu sync.Mutex
	// handled is when the newest failure seen to happened. mu is held while
	// its handler runs.
	handled time.Time
}

// Attach asks for the failure interrupt. Without protection it succeeds, and
// Protected of the result is false.
func Attach(o Options) (*Program, error) { return attach(o, systemCall) }

func attach(o Options, call caller) (*Program, error) {
	p := &Program{call: call, handlers: make(map[uint32]Handler, len(o.Handlers))}
	for level, h := range o.Handlers {
		if level == 0 || h == nil {
			return nil, ErrBadHandler
		}
		p.handlers[level] = h
	}
	if !call.protected() {
		return p, nil
	}
	if o.Signal == 0 {
		o.Signal = DefaultSignal
	}
	// A buffer of one is enough: the signal says only that there is a failure to
	// ask for.
	p.signals = make(chan os.Signal, 1)
	signal.Notify(p.signals, o.Signal)
	arg := attachArg{signo: uint32(o.Signal), maxLevel: o.MaxLevel}
	arg.size = uint32(unsafe.Sizeof(arg))
	if _, errno := call(opAttach, unsafe.Pointer(&arg), unsafe.Sizeof(arg)); errno != 0 {
		signal.Stop(p.signals)
		return nil, asError("attach", errno)
	}
	p.protected = true
	go p.serve()
	return p, nil
}

// serve runs as long as the program: an attached process can't detach.
func (p *Program) serve() {
	for range p.signals {
		p.Settle()
	}
}

// Protected says whether a failure would be rolled back.
func (p *Program) Protected() bool { return p.protected }

// Settle returns once the handler of the newest failure has run. It runs it
// itself when the interrupt has not been noticed yet.
func (p *Program) Settle() {
	if !p.protected {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := p.call.info()
	if err != nil || info.FailureTime.Equal(p.handled) {
		return
	}
	// Before the handler: a checkpoint that is taken while it runs must not
	// make the copy run it again for the same failure.
	p.handled = info.FailureTime
	if h := choose(p.handlers, info.Level); h != nil {
		h(info)
	}
}

// choose returns the handler of the highest level that is not above level.
func choose(handlers map[uint32]Handler, level uint32) Handler {
	var best uint32
	for l := range handlers {
		if l <= level && l > best {
			best = l
		}
	}
	return handlers[best]
}

// Checkpoint takes a checkpoint and returns 0. In a copy restored from it, it
// returns again, with the number of the attempt, after the handler has run.
// Without protection, or with recovery off, it does nothing.
func (p *Program) Checkpoint() (attempt int, err error) {
	for {
		n, errno := p.call(opCheckpoint, nil, 0)
		switch errno {
		case 0:
			if n > 0 {
				p.Settle()
			}
			return int(n), nil
		case syscall.ENOSYS, syscall.ENOTRECOVERABLE:
			return 0, nil
		case syscall.EINTR:
		default:
			return 0, asError("take a checkpoint", errno)
		}
	}
}

// Fail reports a failure. It doesn't return when the program is rolled back;
// otherwise the program fails as it would have without it. Errors:
// ErrNotProtected, ErrNotRecoverable, ErrDataTooLong.
func (p *Program) Fail(f Failure) error { return p.call.fail(f) }

// Info tells of the failure that this copy was restored for. Errors:
// ErrNotProtected, ErrNoFailure.
func (p *Program) Info() (Info, error) { return p.call.info() }

// Resolved says that the program is past the failure. Without protection it
// does nothing.
func (p *Program) Resolved() error {
	_, errno := p.call(opResolved, nil, 0)
	return unlessUnprotected("end the episode", errno)
}

// Heartbeat says that the program is alive, and that it has hanged when no
// other heartbeat follows within timeout; 0 disarms. Without protection it does
// nothing.
func (p *Program) Heartbeat(timeout time.Duration) error {
	arg := heartbeatArg{timeoutNS: uint64(max(timeout, 0))}
	arg.size = uint32(unsafe.Sizeof(arg))
	_, errno := p.call(opHeartbeat, unsafe.Pointer(&arg), unsafe.Sizeof(arg))
	return unlessUnprotected("give a heartbeat", errno)
}

func (c caller) protected() bool {
	version, errno := c(opVersion, nil, 0)
	return errno == 0 && version >= abiVersion
}

func unlessUnprotected(doing string, errno syscall.Errno) error {
	if errno == 0 || errno == syscall.ENOSYS {
		return nil
	}
	return asError(doing, errno)
}
