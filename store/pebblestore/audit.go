package pebblestore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
)

// The format of Pebble's write-ahead log, as far as it matters here: blocks
// of 32 KiB of chunks, each with a header of checksum (4 bytes), length (2),
// type (1), low half of the log's number (4) and the offset (8) up to which
// the log was synced when the chunk was written. Types are 9 for a whole
// record, 10, 11 and 12 for its first, middle and last part. What is left of
// a block after its last chunk is zero.
const (
	logBlock  = 32 << 10
	logHeader = 19

	chunkFull  = 9
	chunkFirst = 10
	chunkLast  = 12

	chunkAtNumber = 7
	chunkAtSynced = 11
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunkSum returns the checksum of a whole chunk.
func chunkSum(chunk []byte) uint32 {
	sum := crc32.Checksum(chunk[6:], castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// chunkSize returns the length that a header gives its chunk.
func chunkSize(header []byte) int {
	return logHeader + int(binary.LittleEndian.Uint16(header[4:]))
}

// chunkAt returns the chunk at the beginning of what is left of a block, nil
// if there is none of that log.
func chunkAt(rest []byte, number uint32) []byte {
	if len(rest) < logHeader || rest[6] < chunkFull || rest[6] > chunkLast ||
		binary.LittleEndian.Uint32(rest[chunkAtNumber:]) != number {
		return nil
	}
	size := chunkSize(rest)
	if size > len(rest) || chunkSum(rest[:size]) != binary.LittleEndian.Uint32(rest) {
		return nil
	}
	return rest[:size]
}

// disclaim takes the promise out of the chunks in p, which begins at an
// offset of the log, that what is before them was synced. In class os it was
// not: Pebble was told so only to make it write. After a power cut it finds
// holes in the log; a later chunk that promises that the hole was synced
// makes it damage, and the opening stops, while without the promise the log
// just ends there, which is what the class allows.
func disclaim(p []byte, offset int64) {
	for len(p) >= logHeader {
		size := int(logBlock - offset%logBlock) // the rest of the block, unless a chunk begins here
		if size >= logHeader && p[6] >= chunkFull && p[6] <= chunkLast {
			if size = chunkSize(p); size <= len(p) {
				clear(p[chunkAtSynced:logHeader])
				binary.LittleEndian.PutUint32(p, chunkSum(p[:size]))
			}
		}
		if size > len(p) {
			return
		}
		p, offset = p[size:], offset+int64(size)
	}
}

var logName = regexp.MustCompile(`^\d+\.log$`)

// audit refuses to open a store whose newest log is damaged before its end.
//
// Pebble replays a log up to the first chunk that is not whole, and takes
// that for the end where the power failed, unless a later block has a chunk
// that promises that the place was synced. In the last 32 KiB it would so
// drop acknowledged records without a word. In class disk more is known: a
// group is written only after the one before was synced. So if a record
// begins anywhere behind the first damaged chunk, what is damaged was durable
// once. (In class os, where no chunk has a promise, nothing of the kind is
// known.) What cannot be told apart is damage in the very last group and a
// group that was being written.
func (s *Store) audit() error {
	names, err := s.options.FS.List(s.dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return s.failureOf("listing the directory", err)
	}
	newest, number := "", uint64(0)
	for _, name := range names {
		n, err := strconv.ParseUint(name[:len(name)-len(path.Ext(name))], 10, 64)
		if logName.MatchString(name) && err == nil && n >= number {
			newest, number = name, n
		}
	}
	if newest == "" {
		return nil
	}
	f, err := s.options.FS.Open(s.options.FS.PathJoin(s.dir, newest), vfs.SequentialReadsOption)
	if err != nil {
		return s.failureOf("opening "+newest, err)
	}
	defer f.Close()
	switch at, err := findDamage(f, uint32(number)); {
	case err != nil:
		return s.failureOf("reading "+newest, err)
	case at >= 0:
		return leat.Errorf(leat.CodeStoreFailed, "the store in %s is damaged and was not opened: its log %s has bad bytes at offset %d", s.dir, newest, at).
			Advise("Nothing was deleted. Check the disk, and restore the directory from a backup.")
	}
	return nil
}

// findDamage returns the offset of the first damaged chunk of a log in which
// a later record was written after that chunk was synced, -1 if there is
// none.
func findDamage(log io.Reader, number uint32) (int64, error) {
	block := make([]byte, logBlock)
	damage := int64(-1)
	for base := int64(0); ; base += logBlock {
		n, err := io.ReadFull(log, block)
		if err != nil && err != io.ErrUnexpectedEOF {
			if err == io.EOF {
				err = nil
			}
			return -1, err
		}
		for rest := block[:n]; len(rest) >= logHeader; {
			chunk := chunkAt(rest, number)
			if chunk == nil {
				if damage < 0 {
					damage = base + int64(n-len(rest))
				}
				// Its length may be right. If no chunk is there either, the
				// next block begins with one.
				rest = rest[min(chunkSize(rest), len(rest)):]
				if chunkAt(rest, number) == nil {
					break
				}
				continue
			}
			begins := chunk[6] == chunkFull || chunk[6] == chunkFirst
			if damage >= 0 && begins && binary.LittleEndian.Uint64(chunk[chunkAtSynced:]) > 0 {
				return damage, nil
			}
			rest = rest[len(chunk):]
		}
		if n < logBlock {
			return -1, nil
		}
	}
}
