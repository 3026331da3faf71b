package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
)

// A manifest file is one line:
//
//	{"magic":"runsc-recover checkpoint","xxh64":"…","manifest":{…}}
//
// xxh64 is the hash of the manifest's bytes. The file has exactly the bytes
// that encodeManifest gives for its contents: any other is damage.
const (
	manifestName  = "manifest.json"
	manifestMagic = "runsc-recover checkpoint"
	// maxManifest bounds a manifest file.
	maxManifest = 64 << 10
)

type envelope struct {
	Magic    string          `json:"magic"`
	Hash     string          `json:"xxh64"`
	Manifest json.RawMessage `json:"manifest"`
}

var hashForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

func formatHash(sum uint64) string { return fmt.Sprintf("%016x", sum) }

func encodeManifest(m checkpoint.Manifest) ([]byte, error) {
	inner, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	out, err := json.Marshal(envelope{manifestMagic, formatHash(xxhash.Sum64(inner)), inner})
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	if out = append(out, '\n'); len(out) > maxManifest {
		return nil, fmt.Errorf("encode manifest: %d bytes, at most %d are allowed", len(out), maxManifest)
	}
	return out, nil
}

// readManifest decodes the manifest that r holds, which may be hostile.
func readManifest(r io.Reader) (checkpoint.Manifest, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return checkpoint.Manifest{}, fmt.Errorf("%w: read manifest: %w", checkpoint.ErrDamaged, err)
	}
	return decodeManifest(data)
}

// decodeManifest is the inverse of encodeManifest. Errors: ErrDamaged,
// ErrVersion.
func decodeManifest(data []byte) (checkpoint.Manifest, error) {
	m, err := decodeEnvelope(data)
	if err != nil {
		return checkpoint.Manifest{}, err
	}
	if err := checkFiles(m.Files); err != nil {
		return checkpoint.Manifest{}, damagedManifest(err)
	}
	again, err := encodeManifest(m)
	if err != nil {
		return checkpoint.Manifest{}, damagedManifest(err)
	}
	if !bytes.Equal(again, data) {
		return checkpoint.Manifest{}, damagedManifest(errors.New("it isn't in canonical form"))
	}
	return m, nil
}

func decodeEnvelope(data []byte) (m checkpoint.Manifest, err error) {
	if len(data) > maxManifest {
		return m, damagedManifest(fmt.Errorf("more than %d bytes", maxManifest))
	}
	var e envelope
	if err := unmarshalStrict(data, &e); err != nil {
		return m, damagedManifest(err)
	}
	if e.Magic != manifestMagic {
		return m, damagedManifest(fmt.Errorf("magic is %q", e.Magic))
	}
	if sum := formatHash(xxhash.Sum64(e.Manifest)); sum != e.Hash {
		return m, damagedManifest(fmt.Errorf("hash is %s, not %q", sum, e.Hash))
	}
	if err := checkVersion(e.Manifest); err != nil {
		return m, err
	}
	if err := unmarshalStrict(e.Manifest, &m); err != nil {
		return m, damagedManifest(err)
	}
	return m, nil
}

// checkVersion comes before strict decoding: another version may have other
// fields.
func checkVersion(manifest []byte) error {
	var v struct{ Version *int }
	if err := json.Unmarshal(manifest, &v); err != nil {
		return damagedManifest(err)
	}
	if v.Version == nil {
		return damagedManifest(errors.New("it has no version"))
	}
	if *v.Version != checkpoint.ManifestVersion {
		return fmt.Errorf("%w: manifest version %d, not %d", checkpoint.ErrVersion, *v.Version, checkpoint.ManifestVersion)
	}
	return nil
}

// unmarshalStrict refuses unknown fields and anything after the value.
func unmarshalStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("data after the value")
	}
	return nil
}

func checkFiles(files []checkpoint.FileInfo) error {
	if len(files) != len(checkpoint.FileNames) {
		return fmt.Errorf("%d files, not %d", len(files), len(checkpoint.FileNames))
	}
	for i, f := range files {
		if f.Name != checkpoint.FileNames[i] || f.Bytes < 0 || f.Contents < 0 || !hashForm.MatchString(f.Hash) {
			return fmt.Errorf("file %d is %+v", i, f)
		}
	}
	return nil
}

func damagedManifest(err error) error {
	return fmt.Errorf("%w: manifest: %w", checkpoint.ErrDamaged, err)
}
