// SPDX-License-Identifier: Apache-2.0

// What an answer does to its attempt: it ends it, at once or when its stream has ended.

package bursar

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/bursar-dev/bursar/bindings/go/internal/wire"
)

// answered settles or releases the attempt, or has the answer's body do it. end is called when
// the body is read or closed.
func (a *attempt) answered(ctx context.Context, res *http.Response, end func()) {
	switch {
	case res.StatusCode >= 500 || res.StatusCode == http.StatusRequestTimeout ||
		res.StatusCode == http.StatusConflict || res.StatusCode < 200:
		a.worst()
		a.transport.retries.note(a)
	case res.StatusCode >= 300:
		a.release()
	case mediaType(res) == eventStream || a.ask.Stream && a.dialect.StreamsArrays():
		a.streamed(ctx, res, end)
		return
	default:
		a.wholly(ctx, res, end)
		return
	}
	res.Body = &lastBody{ReadCloser: res.Body, end: end}
}

const eventStream = "text/event-stream"

func mediaType(res *http.Response) string {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return kind
}

// lastBody is a body with which the attempt's context ends.
type lastBody struct {
	io.ReadCloser
	end func()
}

func (b *lastBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *lastBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

// wholly reads an answer to its end: it has been paid for by now.
func (a *attempt) wholly(ctx context.Context, res *http.Response, end func()) {
	var content bytes.Buffer
	if n := res.ContentLength; n > 0 && n < answerMax {
		content.Grow(int(n) + bytes.MinRead)
	}
	_, err := content.ReadFrom(io.LimitReader(res.Body, answerMax))
	if err == nil && content.Len() == answerMax {
		a.worst()
		a.transport.warn("settled at the worst case: an answer of more than 256 MiB is passed on unread")
		res.Body = &lastBody{end: end, ReadCloser: struct {
			io.Reader
			io.Closer
		}{io.MultiReader(&content, res.Body), res.Body}}
		return
	}
	res.Body.Close()
	a.read(res, content.Bytes(), err)
	res.Body = io.NopCloser(&content)
	if err != nil {
		err = a.cause(ctx, err)
		res.Body = io.NopCloser(io.MultiReader(&content, failing{err}))
	}
	end()
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// read settles from a whole answer.
func (a *attempt) read(res *http.Response, content []byte, err error) {
	var answer wire.Object
	var used *wire.Usage
	if err == nil {
		answer, err = parsed(res, content)
	}
	if err == nil {
		used, err = a.dialect.Usage(answer)
	}
	switch {
	case err != nil:
		a.worst()
		a.transport.warn("settled at the worst case: " + err.Error())
	case used == nil:
		a.worst()
		a.transport.once("usage "+a.dialect.Name(), "settled at the worst case: an answer of "+a.dialect.Name()+
			" without usage")
	default:
		a.settle(used, answer)
	}
}

func parsed(res *http.Response, content []byte) (wire.Object, error) {
	encoding := res.Header.Get("Content-Encoding")
	if strings.EqualFold(encoding, "gzip") { // although identity was asked for
		unpacked, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		if content, err = io.ReadAll(io.LimitReader(unpacked, answerMax)); err != nil {
			return nil, err
		}
	} else if err := unencoded(encoding); err != nil {
		return nil, err
	}
	said, err := wire.Parse(content)
	answer, _ := said.(wire.Object)
	return answer, err
}

// streamed has a stream's body pay.
func (a *attempt) streamed(ctx context.Context, res *http.Response, end func()) {
	events := wire.NewEvents(a.dialect, a.ask, mediaType(res) != eventStream)
	if err := unencoded(res.Header.Get("Content-Encoding")); err != nil {
		a.worst()
		a.transport.warn("settled at the worst case: " + err.Error())
	}
	if !a.ask.UsageAsked { // an event less may come
		res.ContentLength = -1
		res.Header.Del("Content-Length")
	}
	res.Body = &stream{attempt: a, ctx: ctx, inner: res.Body, end: end, events: events}
}

// stream is the body of a streamed answer. Read and Close may run at the same time.
type stream struct {
	attempt *attempt
	ctx     context.Context
	inner   io.ReadCloser
	end     func()

	mutex  sync.Mutex
	events *wire.Events // Read's to change, behind mutex

	buffer []byte
	ready  []byte // of out
	out    []byte
	err    error // after what is ready
}

const readSize = 16 << 10

func (s *stream) Read(p []byte) (int, error) {
	for len(s.ready) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if s.buffer == nil {
			s.buffer = make([]byte, readSize)
		}
		n, err := s.inner.Read(s.buffer)
		s.take(s.buffer[:n], err)
	}
	n := copy(p, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// take looks at what came.
func (s *stream) take(more []byte, err error) {
	a := s.attempt
	s.out = s.out[:0]
	each := func(event wire.Event) bool {
		s.out = append(s.out, event.Raw...)
		if event.Piece != nil && event.Piece.Content > 0 {
			s.err = a.stream(s.events.Pieces)
		}
		return s.err == nil
	}
	s.mutex.Lock()
	s.events.Feed(more, each)
	if err != nil && s.err == nil {
		s.events.Finish(each)
	}
	s.mutex.Unlock()
	s.ready = s.out
	switch {
	case s.err != nil: // cut
		s.inner.Close()
		s.finish()
	case err != nil:
		s.err = err
		if !errors.Is(err, io.EOF) {
			s.err = a.cause(s.ctx, err)
		}
		s.finish()
	}
}

func (s *stream) Close() error {
	err := s.inner.Close()
	s.finish()
	return err
}

// finish settles: from the bill when it came, else for what was seen.
func (s *stream) finish() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.events.Final {
		s.attempt.settle(s.events.Usage, s.events.Answer)
	} else {
		s.attempt.seen(s.events)
	}
	s.end()
}
