package statedir

import (
	"runsc-recover/oci/errdefs"
)

// maxIDLen is the longest id: it names a directory.
const maxIDLen = 255

// ValidateID returns ErrInvalidID unless id is one that runc would take:
// letters, digits and _ + - . only, and neither "." nor "..".
func ValidateID(id string) error {
	if id == "" || len(id) > maxIDLen || id == "." || id == ".." {
		return errdefs.ErrInvalidID
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '_', c == '+', c == '-', c == '.':
		default:
			return errdefs.ErrInvalidID
		}
	}
	return nil
}
