package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
)

func fullManifest() checkpoint.Manifest {
	m := testManifest(3)
	m.Version, m.TakenAt = checkpoint.ManifestVersion, m.TakenAt.UTC()
	for i, name := range checkpoint.FileNames {
		m.Files = append(m.Files, checkpoint.FileInfo{Name: name, Bytes: int64(i), Hash: formatHash(uint64(i))})
	}
	return m
}

func encode(t testing.TB, m checkpoint.Manifest) []byte {
	t.Helper()
	data, err := encodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestManifestRoundTrip(t *testing.T) {
	want := fullManifest()
	got, err := decodeManifest(encode(t, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestManifestDamagedInAnyByte(t *testing.T) {
	data := encode(t, fullManifest())
	for i := range data {
		for mask := 1; mask < 256; mask++ {
			bad := bytes.Clone(data)
			bad[i] ^= byte(mask)
			if _, err := decodeManifest(bad); !errors.Is(err, checkpoint.ErrDamaged) {
				t.Fatalf("byte %d changed from %q to %q: %v", i, data[i], bad[i], err)
			}
		}
		if _, err := decodeManifest(data[:i]); !errors.Is(err, checkpoint.ErrDamaged) {
			t.Fatalf("cut off after %d bytes: %v", i, err)
		}
	}
	if _, err := decodeManifest(append(data, '\n')); !errors.Is(err, checkpoint.ErrDamaged) {
		t.Errorf("a byte appended: %v", err)
	}
}

// sealed wraps any JSON in an envelope with the right hash.
func sealed(inner string) []byte {
	return fmt.Appendf(nil, "{\"magic\":%q,\"xxh64\":%q,\"manifest\":%s}\n",
		manifestMagic, formatHash(xxhash.Sum64String(inner)), inner)
}

func TestManifestOfAnotherVersion(t *testing.T) {
	_, err := decodeManifest(sealed(`{"version":99,"something":"new"}`))
	if !errors.Is(err, checkpoint.ErrVersion) || errors.Is(err, checkpoint.ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

func TestManifestHostile(t *testing.T) {
	good, err := json.Marshal(fullManifest())
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) []byte {
		if !strings.Contains(string(good), old) {
			t.Fatalf("no %s in %s", old, good)
		}
		return sealed(strings.Replace(string(good), old, with, 1))
	}
	for name, data := range map[string][]byte{
		"empty":             nil,
		"null":              []byte("null\n"),
		"no manifest":       sealed("null"),
		"unknown field":     replace(`"seq":3`, `"seq":3,"more":1`),
		"field twice":       replace(`"seq":3`, `"seq":2,"seq":3`),
		"field's case":      replace(`"seq":3`, `"SEQ":3`),
		"negative size":     replace(`"bytes":2`, `"bytes":-2`),
		"negative contents": replace(`"bytes":2`, `"bytes":2,"contents_bytes":-1`),
		"file's name":       replace(`"pages.idx"`, `"../../x"`),
		"file twice":        replace(`"pages_meta.img"`, `"pages.idx"`),
		"hash's form":       replace(`"hash":"0000000000000002"`, `"hash":"2"`),
		"huge number":       replace(`"seq":3`, `"seq":1e999`),
		"too long":          replace(`"spec_digest":""`, `"spec_digest":"`+strings.Repeat("a", maxManifest)+`"`),
		"deeply nested":     sealed(strings.Repeat("[", 20000) + strings.Repeat("]", 20000)),
		"two values":        append(sealed(string(good)), "{}"...),
		"space in between":  replace(`"seq":3`, `"seq": 3`),
	} {
		if _, err := decodeManifest(data); !errors.Is(err, checkpoint.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManifestTooLongIsNotWritten(t *testing.T) {
	m := fullManifest()
	m.SpecDigest = strings.Repeat("a", maxManifest)
	if _, err := encodeManifest(m); err == nil {
		t.Error("encoded a manifest that can't be read")
	}
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add(encode(f, fullManifest()))
	f.Add(sealed(`{"version":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data)
		if err != nil {
			return
		}
		if again := encode(t, m); !bytes.Equal(again, data) {
			t.Errorf("%q was accepted for %q", data, again)
		}
	})
}
