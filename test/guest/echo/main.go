// Command echo is a server for the tests of container engines. It answers each
// line on TCP port 7000 with the same line and prints its own events:
//
//	ready        it listens
//	told N       it was rolled back for a failure with the code N
//	hup          it got SIGHUP
//	bye          it got SIGTERM, and ends with 0
//
// SIGUSR1 makes it report a failure with the code 7. With the argument eat it
// allocates memory until something stops it.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

const (
	sysRecover = 1900
	opAttach   = 1
	opFail     = 2
	opInfo     = 3
	opResolved = 6
	interrupt  = syscall.Signal(42)
	code       = 7
	codeOffset = 16 // of struct recover_info
	infoSize   = 320
)

// recovery makes the system call with arg, whose first word is its size.
func recovery(op uintptr, arg []byte) syscall.Errno {
	var p unsafe.Pointer
	if len(arg) > 0 {
		*(*uint32)(unsafe.Pointer(&arg[0])) = uint32(len(arg))
		p = unsafe.Pointer(&arg[0])
	}
	_, _, errno := syscall.Syscall(sysRecover, op, uintptr(p), uintptr(len(arg)))
	runtime.KeepAlive(arg)
	return errno
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "eat" {
		eat()
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, interrupt, syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGTERM)
	recovery(opAttach, make([]byte, 16))
	l, err := net.Listen("tcp", ":7000")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go serve(l)
	fmt.Println("ready")
	for s := range signals {
		react(s)
	}
}

func react(s os.Signal) {
	switch s {
	case interrupt:
		info := make([]byte, infoSize)
		recovery(opInfo, info)
		fmt.Println("told", *(*int32)(unsafe.Pointer(&info[codeOffset])))
		recovery(opResolved, nil)
	case syscall.SIGUSR1:
		failure := make([]byte, 48)
		*(*int32)(unsafe.Pointer(&failure[4])) = code
		if errno := recovery(opFail, failure); errno != 0 {
			fmt.Println("not rolled back:", errno)
		}
	case syscall.SIGHUP:
		fmt.Println("hup")
	case syscall.SIGTERM:
		fmt.Println("bye")
		os.Exit(0)
	}
}

func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			fmt.Println(err)
			time.Sleep(time.Millisecond)
			continue
		}
		go func() {
			defer c.Close()
			for lines := bufio.NewReader(c); ; {
				line, err := lines.ReadBytes('\n')
				if err != nil {
					return
				}
				if _, err := c.Write(line); err != nil {
					return
				}
			}
		}()
	}
}

func eat() {
	fmt.Println("eating")
	var kept [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = byte(i) ^ byte(len(kept))
		}
		kept = append(kept, b)
	}
}
