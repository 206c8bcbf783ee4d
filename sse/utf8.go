package sse

import "unicode/utf8"

// appendUTF8 appends b to dst decoded as the WHATWG Encoding Standard decodes
// UTF-8 and encoded again: each maximal part of a sequence that breaks off or
// goes wrong becomes one U+FFFD. Nothing in the standard library does this:
// bytes.ToValidUTF8 makes one U+FFFD of a whole run, a range loop makes one of
// each byte.
//
// A line can be decoded by itself because its end is ASCII, and thereby ends
// any sequence; so it does not matter where a stream was cut.
func appendUTF8(dst, b []byte) []byte {
	for len(b) > 0 {
		n := validPrefix(b)
		dst = append(dst, b[:n]...)
		b = b[n:]
		if len(b) > 0 {
			dst = append(dst, "\uFFFD"...)
			b = b[badPrefix(b):]
		}
	}
	return dst
}

// validPrefix returns how many bytes at the start of b are whole characters.
func validPrefix(b []byte) int {
	n := 0
	for n < len(b) {
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

// badPrefix returns how many of the bytes at the start of b, which are not a
// character, are replaced together: one, and those after it for as long as they
// could still have become a character.
func badPrefix(b []byte) int {
	need, low, high := 0, byte(0x80), byte(0xbf)
	switch c := b[0]; {
	case c >= 0xc2 && c <= 0xdf:
		need = 1
	case c >= 0xe0 && c <= 0xef:
		need = 2
		if c == 0xe0 {
			low = 0xa0 // shorter forms exist below
		} else if c == 0xed {
			high = 0x9f // surrogates above
		}
	case c >= 0xf0 && c <= 0xf4:
		need = 3
		if c == 0xf0 {
			low = 0x90 // shorter forms exist below
		} else if c == 0xf4 {
			high = 0x8f // beyond U+10FFFF above
		}
	}
	n := 1
	for n <= need && n < len(b) && low <= b[n] && b[n] <= high {
		n++
		low, high = 0x80, 0xbf
	}
	return n
}
