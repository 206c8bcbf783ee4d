package subscription

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// The times between attempts to deliver a wake: the first, which doubles, and the
// longest, each a fifth more or less.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	jitter     = 0.2
)

// backoff returns how long to wait after so many failures. chance is from 0 to 1.
func backoff(failures int, chance float64) time.Duration {
	wait := lastRetry
	if failures < 8 {
		wait = min(wait, firstRetry<<max(0, failures-1))
	}
	return time.Duration(float64(wait) * (1 + jitter*(2*chance-1)))
}

// A Stream is what a worker is told of a stream.
type Stream struct {
	Path     string `json:"path"`
	LinkType string `json:"link_type"`
	Acked    string `json:"acked_offset"`
	Tail     string `json:"tail_offset"`
	Pending  bool   `json:"has_pending"`

	tail uint64
}

// streamsOf returns them for a subscription. mu is held.
func (m *Manager) streamsOf(s *sub) []Stream {
	list := make([]Stream, 0, len(s.links))
	for _, name := range slices.Sorted(maps.Keys(s.links)) {
		l := s.links[name]
		list = append(list, Stream{
			Path: name, LinkType: l.typ(), Acked: m.offset(l.Acked), Tail: m.offset(l.tail), Pending: l.tail > l.Acked, tail: l.tail,
		})
	}
	return list
}

// offset returns the text of a position.
func (m *Manager) offset(seq uint64) string {
	if seq == 0 {
		return leat.Offset{}.String()
	}
	return m.st.Epochs().Offset(seq).String()
}

// A notice is the body of a webhook.
type notice struct {
	Subscription  string   `json:"subscription_id"`
	WakeID        string   `json:"wake_id"`
	Generation    uint64   `json:"generation"`
	Streams       []Stream `json:"streams"`
	CallbackURL   string   `json:"callback_url"`
	CallbackToken string   `json:"callback_token"`
}

// A letter is a wake that is being delivered.
type letter struct {
	s    *sub
	doc  document
	wake wake
	made uint64

	streams []Stream // for a webhook
	done    bool     // the receiver has done it all
}

// deliverAll delivers wakes, until Close.
func (m *Manager) deliverAll() {
	for {
		l, host := m.takeLetter()
		if l == nil {
			return
		}
		err := m.deliver(l)
		m.mu.Lock()
		if m.hosts[host]--; m.hosts[host] == 0 {
			delete(m.hosts, host)
		}
		m.toDeliver.Signal()
		m.mu.Unlock()
		if err != nil && m.ctx.Err() == nil {
			m.log.Warn("a wake was not delivered, and is tried again", "subscription", l.s.id, "failures", l.wake.Failures+1, "err", err)
		}
		m.retry(l.s, "storing what became of a wake", m.conclude(l, err))
	}
}

// takeLetter waits for a wake to be delivered, to a host that is not busy. It returns
// nil after Close.
func (m *Manager) takeLetter() (*letter, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.closed {
		if l, host := m.pickLetter(); l != nil {
			return l, host
		}
		m.toDeliver.Wait()
	}
	return nil, ""
}

// pickLetter is takeLetter without the waiting. mu is held.
func (m *Manager) pickLetter() (*letter, string) {
	for i := 0; i < len(m.outbox); {
		s := m.outbox[i]
		host := hostOf(s.doc.URL)
		over := s.gone || s.sending || s.wake.ID == "" || s.wake.Next == 0
		if !over && host != "" && m.hosts[host] >= mostForHost {
			i++
			continue
		}
		m.outbox = slices.Delete(m.outbox, i, i+1)
		s.posted = false
		if over {
			m.schedule(s)
			continue
		}
		s.sending = true
		m.hosts[host]++
		l := &letter{s: s, doc: s.doc, wake: s.wake, made: s.made}
		if s.doc.Type == Webhook {
			l.streams = m.streamsOf(s)
		}
		return l, host
	}
	return nil, ""
}

func hostOf(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Host
	}
	return ""
}

// deliver tells a worker of a wake.
func (m *Manager) deliver(l *letter) error {
	if l.doc.Type == PullWake {
		return m.announce(l)
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.timeout)
	defer cancel()
	now := m.now()
	body := encode(notice{
		Subscription: l.s.id, WakeID: l.wake.ID, Generation: l.wake.Generation, Streams: l.streams,
		CallbackURL:   l.doc.Root + subStreams + url.PathEscape(l.s.id) + "/callback",
		CallbackToken: m.signer.token(l.made, l.wake.Generation, now),
	})
	header := http.Header{"Content-Type": {"application/json"}, "Webhook-Signature": {m.signer.sign(body, now)}}
	answer, err := m.targets.post(ctx, l.doc.URL, header, body)
	if err != nil {
		return err
	}
	var said struct {
		Done bool `json:"done"`
	}
	l.done = json.Unmarshal(answer, &said) == nil && said.Done // any other answer says nothing
	return nil
}

// send sends a webhook. The header is the caller's no more.
func send(ctx context.Context, client *http.Client, to *url.URL, header http.Header, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	req.Header.Set("User-Agent", "leat")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("the receiver answered %s", resp.Status)
	case err != nil:
		return nil, err
	}
	return answer, nil
}

// announce appends a wake to the stream that workers read. The key keeps one that was
// appended before a crash from being so again.
func (m *Manager) announce(l *letter) error {
	event := encode(struct {
		Type         string `json:"type"`
		Subscription string `json:"subscription_id"`
		Stream       string `json:"stream"`
		Generation   uint64 `json:"generation"`
		TS           int64  `json:"ts"`
	}{"wake", l.s.id, l.wake.Stream, l.wake.Generation, m.now().UnixMilli()})
	_, err := m.journal.Append(m.ctx, journal.Append{
		Stream: l.doc.WakeStream, Existing: true, Key: l.wake.ID, ContentType: "application/json", Data: event,
	})
	return err
}

// conclude stores what became of a delivery.
func (m *Manager) conclude(l *letter, failure error) error {
	if m.ctx.Err() != nil {
		return nil // it is delivered again when the store is opened again
	}
	err := m.update(m.ctx, l.s, func(c *change) error {
		if c.wake.ID != l.wake.ID {
			return nil // it is over
		}
		if failure != nil && c.wake.Next == 0 {
			return nil // a worker has been heard of, so it was delivered
		}
		if failure != nil {
			c.wake.Failures++
			c.wake.Next = c.now.Add(backoff(c.wake.Failures, rand.Float64())).UnixMilli()
			return nil
		}
		c.wake.Next, c.wake.Failures = 0, 0
		if l.doc.Type == PullWake {
			return nil
		}
		c.wake.delivered(c.now.Add(l.doc.lease()))
		if l.done {
			c.acks = make(map[string]uint64, len(l.streams))
			for _, stream := range l.streams {
				c.acks[stream.Path] = stream.tail
			}
			c.wake.clear()
			c.mint()
		}
		return nil
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	l.s.sending = false // not before it is stored that it was sent
	if l.s.gone {
		return nil
	}
	m.schedule(l.s)
	return err
}
