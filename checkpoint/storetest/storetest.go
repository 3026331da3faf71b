// Package storetest is the conformance suite of checkpoint.Store: each test is a
// part of the contract that every implementation must keep.
//
// It must not know how an implementation works. Harness has the means that the
// suite needs beyond the interface. The package has no locks; its goroutines end
// with their test.
package storetest

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"runsc-recover/checkpoint"
)

// Identity is the identity of the checkpoints that the store under test is
// opened for, and its bounds.
type Identity struct {
	GVisorVersion, Arch, ContainerID string
	// MaxBytes bounds a checkpoint.
	MaxBytes int64
	// Limit bounds the store.
	Limit int64
	// Compare makes the store compare checkpoints with all of memory.
	Compare bool
}

// Harness makes the store under test and reaches behind it.
type Harness struct {
	// New returns an empty store, closed at the end of the test.
	New func(t *testing.T, id Identity) checkpoint.Store
	// Reopen closes a store and opens it again for id. It is nil for a store
	// that keeps nothing when it is closed: the tests of durability aren't part
	// of that store's contract.
	Reopen func(t *testing.T, s checkpoint.Store, id Identity) checkpoint.Store
	// Damage changes the bytes of a published file with change, which returns
	// the new contents.
	Damage func(t *testing.T, s checkpoint.Store, seq checkpoint.Seq, name checkpoint.FileName, change func([]byte) []byte)
	// DamagePage changes the contents of a published checkpoint's page where
	// they are kept, for all checkpoints that share the page.
	DamagePage func(t *testing.T, s checkpoint.Store, seq checkpoint.Seq, page uint64, change func([]byte))
	// Room compacts the store and returns the number of pages that it keeps
	// room for.
	Room func(s checkpoint.Store) int
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	run(t, h, map[string]func(*testing.T, Harness){
		"Empty":             testEmpty,
		"PublishAndOpen":    testPublishAndOpen,
		"StagedIsInvisible": testStagedIsInvisible,
		"StagingEndsOnce":   testStagingEndsOnce,
		"SeqRises":          testSeqRises,
		"RefusedPublish":    testRefusedPublish,
		"TooLarge":          testTooLarge,
		"Cancelled":         testCancelled,
		"Remove":            testRemove,
		"RemoveWhileOpen":   testRemoveWhileOpen,
		"ListIsACopy":       testListIsACopy,
		"Damage":            testDamage,
		"DamagedPages":      testDamagedPages,
		"Incremental":       testIncremental,
		"ParentGone":        testParentGone,
		"History":           testHistory,
		"HostileIndex":      testHostileIndex,
		"Compare":           testCompare,
		"Limit":             testLimit,
		"PagesReadAnywhere": testPagesReadAnywhere,
		"WrittenAfterwards": testWrittenAfterwards,
		"ImagesAreSeparate": testImagesAreSeparate,
		"Closed":            testClosed,
		"Concurrent":        testConcurrent,
	})
	if h.Reopen != nil {
		run(t, h, map[string]func(*testing.T, Harness){
			"Reopen":             testReopen,
			"ReopenedForAnother": testReopenedForAnother,
		})
	}
}

func run(t *testing.T, h Harness, tests map[string]func(*testing.T, Harness)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

var mine = Identity{GVisorVersion: "v1", Arch: "amd64", ContainerID: "c"}

// manifest is a manifest as a supervisor publishes it.
func manifest(seq checkpoint.Seq) checkpoint.Manifest {
	return checkpoint.Manifest{
		Seq: seq, Parent: seq - 1, Trigger: checkpoint.TriggerInterval,
		TakenAt: time.Unix(1700000000, 123456789), RunTime: time.Duration(seq) * time.Second,
		Generation: 1, Cost: checkpoint.Cost{Stop: 1, Kernel: 2, Copy: 3},
		GVisorVersion: mine.GVisorVersion, Arch: mine.Arch, ContainerID: mine.ContainerID, SpecDigest: "d",
	}
}

// content is a file's contents, different for each file.
func content(seq checkpoint.Seq, name checkpoint.FileName) []byte {
	return bytes.Repeat([]byte{byte(seq), name[0], name[1], 'x', byte(len(name))}, 200)
}

// someMemory is the memory of a checkpoint whose contents don't matter, larger
// than a chunk that is copied at once.
func someMemory(seq checkpoint.Seq) memory {
	m := make(memory, 257)
	for i := range m {
		m[i] = uint64(seq)<<32 | uint64(i)
	}
	return m
}

// stage opens a staging area and fills its files.
func stage(t *testing.T, s checkpoint.Store, seq checkpoint.Seq) checkpoint.Staging {
	t.Helper()
	return stageMemory(t, s, seq, 0, nil, someMemory(seq))
}

func publish(t *testing.T, s checkpoint.Store, seq checkpoint.Seq) checkpoint.Manifest {
	t.Helper()
	st := stage(t, s, seq)
	m, err := st.Publish(context.Background(), manifest(seq))
	if err != nil {
		t.Fatalf("publish %d: %v", seq, err)
	}
	if err := st.Discard(); err != nil {
		t.Errorf("discard after publish: %v", err)
	}
	return m
}

func open(t *testing.T, s checkpoint.Store, seq checkpoint.Seq) checkpoint.Image {
	t.Helper()
	img, err := s.Open(context.Background(), seq)
	if err != nil {
		t.Fatalf("open %d: %v", seq, err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// expectContents reads an image's files from their positions on.
func expectContents(t *testing.T, img checkpoint.Image, seq checkpoint.Seq) {
	t.Helper()
	for _, name := range guestFiles {
		got, err := io.ReadAll(img.File(name))
		if err != nil || !bytes.Equal(got, content(seq, name)) {
			t.Errorf("%s of %d: read %d bytes, %v; not those written", name, seq, len(got), err)
		}
	}
	expectMemory(t, img, someMemory(seq))
}

// expectList compares the numbers listed.
func expectList(t *testing.T, s checkpoint.Store, want ...checkpoint.Seq) {
	t.Helper()
	good, bad, err := s.List(context.Background())
	if err != nil || len(bad) > 0 {
		t.Fatalf("list: bad %v, error %v", bad, err)
	}
	var got []checkpoint.Seq
	for _, m := range good {
		got = append(got, m.Seq)
	}
	if len(got) != len(want) {
		t.Fatalf("listed are %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("listed are %v, want %v", got, want)
		}
	}
}
