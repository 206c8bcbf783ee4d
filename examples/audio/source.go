package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// A source is what is recorded.
type source struct {
	contentType string

	// record writes a recording, about as fast as it is to be played.
	record func(ctx context.Context, w io.Writer, length time.Duration) error
}

func choose(name string) (source, error) {
	has := func(program string) bool { _, err := exec.LookPath(program); return err == nil }
	switch {
	case name == "espeak", name == "auto" && has("espeak-ng"):
		return source{"audio/wav", espeak}, nil
	case name == "ffmpeg", name == "auto" && has("ffmpeg"):
		return source{"audio/ogg; codecs=opus", ffmpeg}, nil
	case name == "tone", name == "auto":
		return source{"audio/wav", tone}, nil
	}
	return source{}, fmt.Errorf("there is no source %q: espeak, ffmpeg, tone or auto", name)
}

// rate is how many samples of 16 bits a second of the tone has, in one channel.
const rate = 16000

// header is the beginning of a WAV file whose end is not known yet: it claims to
// have as many bytes as can be said, as ffmpeg does, and players take what comes.
func header() []byte {
	var b bytes.Buffer
	field := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.LittleEndian, v) // a buffer takes all
		}
	}
	field([]byte("RIFF"), uint32(math.MaxUint32), []byte("WAVEfmt "), uint32(16))
	field(uint16(1), uint16(1), uint32(rate), uint32(rate*2), uint16(2), uint16(16))
	field([]byte("data"), uint32(math.MaxUint32))
	return b.Bytes()
}

// tone plays a scale, up and down.
func tone(ctx context.Context, w io.Writer, length time.Duration) error {
	if _, err := w.Write(header()); err != nil {
		return err
	}
	const piece = rate / 20 // samples: 50 ms
	scale := [...]float64{261.6, 293.7, 329.6, 349.2, 392, 440, 493.9, 523.3, 493.9, 440, 392, 349.2, 329.6, 293.7}
	samples := make([]byte, 0, piece*2)
	begin, phase := time.Now(), 0.0
	for n, end := 0, int(length.Seconds()*rate); n < end; {
		samples = samples[:0]
		for range min(piece, end-n) {
			phase += scale[n/(rate/2)%len(scale)] / rate
			samples = binary.LittleEndian.AppendUint16(samples, uint16(int16(8000*math.Sin(2*math.Pi*phase))))
			n++
		}
		if _, err := w.Write(samples); err != nil {
			return err
		}
		// By the clock and not by the pause, so that delays do not add up.
		select {
		case <-time.After(time.Until(begin.Add(time.Duration(n) * time.Second / rate))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// espeak says what time it is, again and again.
func espeak(ctx context.Context, w io.Writer, length time.Duration) error {
	for begin, first := time.Now(), true; time.Since(begin) < length; first = false {
		cmd := exec.CommandContext(ctx, "espeak-ng", "--stdout", time.Now().Format("It is 15:04 and 05 seconds."))
		cmd.Stderr = os.Stderr
		wav, err := cmd.Output()
		if err != nil {
			return err
		}
		const head = 44 // bytes of a WAV header; every sentence has one, and the recording needs one
		if len(wav) < head {
			return fmt.Errorf("espeak-ng wrote %d bytes", len(wav))
		}
		second := int(binary.LittleEndian.Uint32(wav[28:]))
		sound := wav[head:]
		if first {
			sound = wav
		}
		if err := pace(ctx, w, sound, second); err != nil {
			return err
		}
	}
	return nil
}

// pace writes sound as fast as it is played, of which a second has so many bytes.
func pace(ctx context.Context, w io.Writer, sound []byte, second int) error {
	for begin, written := time.Now(), 0; written < len(sound); {
		n := min(second/20, len(sound)-written)
		if _, err := w.Write(sound[written : written+n]); err != nil {
			return err
		}
		written += n
		select {
		case <-time.After(time.Until(begin.Add(time.Duration(written) * time.Second / time.Duration(second)))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ffmpeg makes a chord and encodes it. In its place could be a microphone: -f pulse -i default.
func ffmpeg(ctx context.Context, w io.Writer, length time.Duration) error {
	cmd := exec.CommandContext(ctx, "ffmpeg", "-loglevel", "error", "-nostdin",
		"-re", "-f", "lavfi", "-i", "aevalsrc=0.2*(sin(2*PI*220*t)+sin(2*PI*277.2*t)+sin(2*PI*329.6*t))*(0.6+0.4*sin(4*t)):s=48000",
		"-t", strconv.FormatFloat(length.Seconds(), 'f', 3, 64),
		// A page of Ogg for each 100 ms, and no waiting until there are more.
		"-c:a", "libopus", "-b:a", "64k", "-f", "ogg", "-page_duration", "100000", "-flush_packets", "1", "pipe:1")
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	return cmd.Run()
}
