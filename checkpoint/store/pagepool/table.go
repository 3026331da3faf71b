package pagepool

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"runsc-recover/checkpoint"
	"runsc-recover/checkpoint/pageindex"
)

// A segment on disk is its frames, and behind them a table:
//
//	frames       of 16 pages, the last of the rest, each compressed with zstd
//	             unless that gains nothing; holes where no page of a frame is
//	             referenced
//	hashes       XXH64 of each page, 8 bytes each
//	sizes        of the frames as they are stored, 4 bytes each
//	addresses    an index (package pageindex) of the pages, in their order
//	footer       magic, bytes of addresses, pages, XXH64 from the hashes to
//	             here: 8 bytes each
//
// Numbers are little-endian.
const (
	segmentMagic = "rrpages\x02"
	footerSize   = 32
	// maxAddresses bounds the addresses, in bytes.
	maxAddresses = 1 << 20
)

func encodeTable(s *segment, addresses []pageindex.Run) []byte {
	var b []byte
	for _, sum := range s.sums {
		b = binary.LittleEndian.AppendUint64(b, sum)
	}
	start := int64(0)
	for _, end := range s.frames.ends {
		b = binary.LittleEndian.AppendUint32(b, uint32(end-start))
		start = end
	}
	index := pageindex.AppendTo(nil, addresses)
	b = append(b, index...)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(index)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.sums)))
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

// readTable fills in the size, hashes and frames of a segment from its file,
// and returns the addresses of its pages. The file may hold anything: the
// memory that is taken is bounded, and frames lie within the file and within
// the room for their pages. Errors: ErrDamaged, the operating system's.
func readTable(s *segment) ([]pageindex.Run, error) {
	stat, err := s.f.Stat()
	if err != nil {
		return nil, err
	}
	if s.bytes = stat.Size(); !stat.Mode().IsRegular() || s.bytes < footerSize {
		return nil, damaged("no segment")
	}
	footer := make([]byte, footerSize)
	if _, err := s.f.ReadAt(footer, s.bytes-footerSize); err != nil {
		return nil, err
	}
	size, pages := binary.LittleEndian.Uint64(footer[8:]), binary.LittleEndian.Uint64(footer[16:])
	if string(footer[:8]) != segmentMagic || size > maxAddresses || pages == 0 || pages > segmentPages {
		return nil, damaged("malformed footer")
	}
	frames := (pages + framePages - 1) / framePages
	table := make([]byte, pages*8+frames*4+size+footerSize)
	start := s.bytes - int64(len(table))
	if start < 0 {
		return nil, damaged("too short")
	}
	if _, err := s.f.ReadAt(table, start); err != nil {
		return nil, err
	}
	body := table[:len(table)-8]
	if xxhash.Sum64(body) != binary.LittleEndian.Uint64(table[len(body):]) {
		return nil, damaged("the table has another hash")
	}
	return decodeTable(s, table[:len(table)-footerSize], pages, frames, start)
}

func damaged(reason string) error { return fmt.Errorf("%w: %s", checkpoint.ErrDamaged, reason) }

// decodeTable decodes a table without its footer. The frames should end at the
// offset end. Errors: ErrDamaged.
func decodeTable(s *segment, table []byte, pages, frames uint64, end int64) ([]pageindex.Run, error) {
	for range pages {
		s.sums = append(s.sums, binary.LittleEndian.Uint64(table))
		table = table[8:]
	}
	at := int64(0)
	for i := range frames {
		size := binary.LittleEndian.Uint32(table)
		table = table[4:]
		if size == 0 || int(size) > len(s.frameSums(i))*pageSize {
			return nil, damaged("malformed size of a frame")
		}
		at += int64(size)
		s.frames.ends = append(s.frames.ends, at)
	}
	addresses, err := pageindex.Decode(table)
	if at != end || err != nil || pageindex.Pages(addresses) != pages {
		return nil, damaged("malformed table")
	}
	return addresses, nil
}
