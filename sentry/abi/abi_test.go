package abi

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeMemory is guest memory from address base on.
type fakeMemory struct {
	base uint64
	b    []byte
}

var errFault = errors.New("fault")

func (m *fakeMemory) at(addr uint64, n int) ([]byte, error) {
	off := addr - m.base
	if addr < m.base || off > uint64(len(m.b)) || uint64(n) > uint64(len(m.b))-off {
		return nil, errFault
	}
	return m.b[off : off+uint64(n)], nil
}

func (m *fakeMemory) CopyIn(addr uint64, dst []byte) error {
	src, err := m.at(addr, len(dst))
	copy(dst, src)
	return err
}

func (m *fakeMemory) CopyOut(addr uint64, src []byte) error {
	dst, err := m.at(addr, len(src))
	copy(dst, src)
	return err
}

const base = 0x1000

func memory(size int, words ...uint64) *fakeMemory {
	m := &fakeMemory{base: base, b: make([]byte, size)}
	for i, w := range words {
		order.PutUint64(m.b[8*i:], w)
	}
	return m
}

// pair packs two u32 members.
func pair(lo, hi uint32) uint64 { return uint64(lo) | uint64(hi)<<32 }

func TestStructSizes(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    *fakeMemory
		arg  uint64
		size uint64
		want error
	}{
		{"exact", memory(64, pair(16, 42)), base, 16, nil},
		{"zero tail", memory(64, pair(32, 42)), base, 32, nil},
		{"unknown tail", memory(64, pair(32, 42), 0, 0, 1), base, 32, unix.E2BIG},
		{"too small", memory(64, pair(8, 42)), base, 8, unix.EINVAL},
		{"empty", memory(64), base, 0, unix.EINVAL},
		{"size differs", memory(64, pair(20, 42)), base, 16, unix.EINVAL},
		{"beyond a page", memory(64), base, MaxStruct + 1, unix.E2BIG},
		{"huge", memory(64), base, 1 << 63, unix.E2BIG},
		{"null", memory(64), 0, 16, unix.EFAULT},
		{"half mapped", memory(8, pair(16, 42)), base, 16, unix.EFAULT},
		{"wraps", memory(64), ^uint64(0) - 3, 16, unix.EFAULT},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := CopyAttach(tc.m, tc.arg, tc.size); err != tc.want {
				t.Errorf("CopyAttach: got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestCopyAttach(t *testing.T) {
	for _, tc := range []struct {
		name                   string
		signo, flags, maxLevel uint32
		want                   Attach
		err                    error
	}{
		{"default", 0, 0, 0, Attach{}, nil},
		{"thread", 42, 1, 3, Attach{Signo: 42, ToThread: true, MaxLevel: 3}, nil},
		{"last signal", 64, 0, 0, Attach{Signo: 64}, nil},
		{"past the last", 65, 0, 0, Attach{}, unix.EINVAL},
		{"kill", 9, 0, 0, Attach{}, unix.EINVAL},
		{"stop", 19, 0, 0, Attach{}, unix.EINVAL},
		{"unknown flag", 42, 2, 0, Attach{}, unix.EINVAL},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := memory(16, pair(16, tc.signo), pair(tc.flags, tc.maxLevel))
			got, err := CopyAttach(m, base, 16)
			if err != tc.err || got != tc.want {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestCopyFailure(t *testing.T) {
	const text = base + SizeFailure
	for _, tc := range []struct {
		name                       string
		msg, msgLen, data, dataLen uint64
		wantMessage, wantData      string
		want                       error
		extra                      string
		code                       int32
		key                        uint64
	}{
		{name: "bare", code: -7, key: 9},
		{name: "both", extra: "boomdata", msg: text, msgLen: 4, data: text + 4, dataLen: 4, wantMessage: "boom", wantData: "data"},
		{name: "null message", msgLen: 1, want: unix.EFAULT},
		{name: "null empty", msg: 0, msgLen: 0},
		{name: "message too long", msg: text, msgLen: MaxMessage + 1, want: unix.EINVAL},
		{name: "data too long", data: text, dataLen: MaxData + 1, want: unix.EINVAL},
		{name: "length wraps", msg: text, msgLen: ^uint64(0), want: unix.EINVAL},
		{name: "data past the end", extra: "x", data: text, dataLen: 2, want: unix.EFAULT},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := memory(SizeFailure, pair(SizeFailure, uint32(tc.code)), tc.key, tc.msg, tc.msgLen, tc.data, tc.dataLen)
			m.b = append(m.b, tc.extra...)
			got, err := CopyFailure(m, base, SizeFailure)
			if err != tc.want {
				t.Fatalf("got error %v, want %v", err, tc.want)
			}
			if err != nil {
				return
			}
			if string(got.Message) != tc.wantMessage || string(got.Data) != tc.wantData || got.Code != tc.code || got.Key != tc.key {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestPutInfoLayout(t *testing.T) {
	m := memory(SizeInfo + 8)
	m.b[SizeInfo] = 0xaa
	long := bytes.Repeat([]byte("m"), 300)
	err := PutInfo(m, base, Info{
		Level: 1, Attempt: 2, Kind: 3, Code: -4, Signo: 5, PID: 6, TID: 7,
		FaultAddr: 8, FaultIP: 9, Key: 10, CheckpointSeq: 11,
		CheckpointTime: time.Unix(0, 12), FailureTime: time.Unix(0, 13), FailureAfter: 14,
		Message: long, DataLen: 15,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint32{SizeInfo, 1, 2, 3, 0xfffffffc, 5, 6, 7} {
		if got := order.Uint32(m.b[4*i:]); got != want {
			t.Errorf("u32 at %d: got %d, want %d", 4*i, got, want)
		}
	}
	for i, want := range []uint64{8, 9, 10, 11, 12, 13, 14} {
		if got := order.Uint64(m.b[32+8*i:]); got != want {
			t.Errorf("u64 at %d: got %d, want %d", 32+8*i, got, want)
		}
	}
	if order.Uint32(m.b[88:]) != 300 || order.Uint32(m.b[92:]) != 15 {
		t.Errorf("lengths: %x", m.b[88:96])
	}
	if !bytes.Equal(m.b[96:320], long[:InfoMessage]) || m.b[320] != 0xaa {
		t.Error("message or what follows it is wrong")
	}
}

func TestPutData(t *testing.T) {
	for _, tc := range []struct {
		name        string
		offset, len uint64
		want        string
	}{
		{"all", 0, 100, "0123456789"},
		{"part", 3, 4, "3456"},
		{"end", 10, 1, ""},
		{"past", ^uint64(0), 1, ""},
		{"huge", 1, ^uint64(0), "123456789"},
		{"none", 0, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := memory(16)
			n, err := PutData(m, Buffer{Offset: tc.offset, Addr: base, Len: tc.len}, []byte("0123456789"))
			if err != nil || string(m.b[:n]) != tc.want {
				t.Errorf("got %q, %v", m.b[:n], err)
			}
		})
	}
	if _, err := PutData(memory(4), Buffer{Addr: base, Len: 8}, []byte("01234567")); err != unix.EFAULT {
		t.Errorf("short buffer: got %v", err)
	}
}

func TestHeartbeat(t *testing.T) {
	got, err := CopyHeartbeat(memory(16, pair(16, 0), ^uint64(0)), base, 16)
	if err != nil || got.Timeout != maxTimeout {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := CopyHeartbeat(memory(16, pair(16, 1), 0), base, 16); err != unix.EINVAL {
		t.Errorf("flags: got %v", err)
	}
}

// FuzzCopy feeds every reader with arbitrary memory, pointers and sizes: each
// must return, and with an errno that abi.md allows.
func FuzzCopy(f *testing.F) {
	f.Add(uint64(base), uint64(16), []byte{16, 0, 0, 0, 42})
	f.Add(uint64(0), uint64(0), []byte{})
	f.Add(^uint64(0), ^uint64(0), []byte{1})
	f.Fuzz(func(t *testing.T, arg, size uint64, mem []byte) {
		m := &fakeMemory{base: base, b: mem}
		check := func(err error) {
			switch err {
			case nil, unix.EINVAL, unix.E2BIG, unix.EFAULT:
			default:
				t.Fatalf("unexpected error %v", err)
			}
		}
		_, err := CopyAttach(m, arg, size)
		check(err)
		fail, err := CopyFailure(m, arg, size)
		check(err)
		if len(fail.Message) > MaxMessage || len(fail.Data) > MaxData {
			t.Fatalf("limits exceeded: %d, %d", len(fail.Message), len(fail.Data))
		}
		check(CheckInfo(m, arg, size))
		buf, err := CopyBuffer(m, arg, size)
		check(err)
		_, err = PutData(m, buf, []byte("data"))
		check(err)
		_, err = CopyHeartbeat(m, arg, size)
		check(err)
		check(CheckNoArg(arg, size))
		if CheckInfo(m, arg, size) == nil {
			check(PutInfo(m, arg, Info{}))
		}
	})
}
