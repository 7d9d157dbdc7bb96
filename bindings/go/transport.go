// SPDX-License-Identifier: Apache-2.0

// An http.RoundTripper under which every request to a model is a step of a session.

package bursar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bursar-dev/bursar/bindings/go/internal/wire"
)

// Transport meters the requests of any HTTP client of a model provider, each attempt as a step
// of a session: it is reserved before it leaves, is sent with the model and the output limit that
// were granted, and is settled from the usage in its answer, streamed or not.
//
//	client := openai.NewClient(option.WithHTTPClient(&http.Client{Transport: &bursar.Transport{}}))
//	ctx, s, err := rt.Session(ctx, "acme/support/triage", bursar.Limits("$2"))
//	answer, err := client.Chat.Completions.New(ctx, …) // errors.Is(err, bursar.ErrBudgetExceeded)
//
// Priced are, by the end of the path and on any host, OpenAI's chat completions, completions,
// responses and embeddings with all who speak them, Anthropic's messages, Gemini's generateContent
// and embedContent, Cohere's chat and embed. Everything else passes; what costs money all the same
// (images, audio) is told once. So does every request whose context has no session when Session
// is nil.
//
// A refusal is the error of the request, or of reading a stream that it cuts: errors.Is and
// errors.As find the *Decision through the *url.Error of net/http. (openai-go and
// anthropic-sdk-go get it from the body of an answer 402, so that they do not try again.)
//
// What was certainly not billed (a status of 3xx, or 4xx but 408 and 409; a connection that was
// never made) is released. A stream that is closed early, or whose context ends, is settled for
// what came; anything else without usage at the worst case; both are flagged as estimated. As
// always, an answer's body must be closed: a stream's step ends with it.
//
// The zero value is ready for use, from many goroutines. Fields must not change while it is used.
type Transport struct {
	// Base sends the requests; nil = http.DefaultTransport.
	Base http.RoundTripper

	// Session is whose steps requests are when their context has no session.
	Session *Session

	// MaxOutput is how many output tokens a request wants that names no limit; 0 = 4,096.
	MaxOutput int64

	// Wait is how long a throttled request waits, at most, and never past its context's
	// deadline; 0 = a minute, below 0 = not at all. Then the refusal is its error.
	Wait time.Duration

	// Warn is told, a sentence each, what passes without being metered (once for each kind) and
	// which answers had no usage that can be read; nil = log.Print. Called by many goroutines.
	Warn func(message string)

	warned  sync.Map
	retries retries
	stored  stored
}

const (
	defaultMaxOutput = 4_096
	defaultWait      = time.Minute
	answerMax        = 256 << 20 // a longer answer is passed on unread
)

// retryCount is a header of clients that Stainless makes: how often this was tried before.
const retryCount = "X-Stainless-Retry-Count"

type meteredKey struct{} // in the context of a request that a Transport has counted

// RoundTrip sends one request: see http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	session := FromContext(ctx)
	if session == nil {
		session = t.Session
	}
	if session == nil || ctx.Value(meteredKey{}) != nil {
		return t.base().RoundTrip(req)
	}
	dialect := wire.DialectOf(req.Method, req.URL.Path)
	if dialect == nil {
		if what := wire.Unmetered(req.Method, req.URL.Path, req.URL.Host); what != "" {
			t.once(what, fmt.Sprintf("%s %s passes without being metered: %s cannot be priced", req.Method,
				req.URL.Path, what))
		}
		return t.base().RoundTrip(req)
	}
	content, err := drained(req)
	if err != nil {
		return nil, err
	}
	path := req.URL.EscapedPath()
	var body any
	if err = unencoded(req.Header.Get("Content-Encoding")); err == nil {
		body, err = wire.Parse(content)
	}
	if err != nil {
		return nil, fmt.Errorf("bursar: %s %s cannot be metered: %w", req.Method, path, err)
	}
	asked, _ := body.(wire.Object)
	ask := dialect.Ask(asked, path, req.URL.Host)
	if ask == nil {
		return t.base().RoundTrip(resent(req, ctx, content))
	}
	a := &attempt{transport: t, session: session, dialect: dialect, ask: ask, content: content,
		signed: strings.HasPrefix(req.Header.Get("Authorization"), "AWS4-")}
	if a.signed && !ask.HasLimit && len(ask.Limits) > 0 {
		return nil, fmt.Errorf("bursar: %s %s was not sent: it is signed, so that no output limit can be "+
			"written into it, and names none; set %s", req.Method, path, ask.Limits[0])
	}
	return a.send(req, asked, path)
}

// CloseIdleConnections is for http.Client.
func (t *Transport) CloseIdleConnections() {
	if closer, is := t.base().(interface{ CloseIdleConnections() }); is {
		closer.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) warn(message string) {
	if t.Warn != nil {
		t.Warn(message)
		return
	}
	log.Print("bursar: ", message)
}

func (t *Transport) once(key, message string) {
	if _, was := t.warned.LoadOrStore(key, true); !was {
		t.warn(message)
	}
}

// drained reads and closes a request's body.
func drained(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer req.Body.Close()
	var b bytes.Buffer
	if n := req.ContentLength; n > 0 && n < answerMax {
		b.Grow(int(n) + bytes.MinRead)
	}
	_, err := b.ReadFrom(req.Body)
	return b.Bytes(), err
}

// resent is a copy of a request with another context and body, and a header of its own.
func resent(req *http.Request, ctx context.Context, content []byte) *http.Request {
	out := req.WithContext(ctx)
	out.Header = req.Header.Clone()
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.ContentLength = int64(len(content))
	out.TransferEncoding = nil
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	out.Body, _ = out.GetBody()
	return out
}

// unencoded is an error for a content encoding under which nothing can be read.
func unencoded(encoding string) error {
	if encoding == "" || strings.EqualFold(encoding, "identity") {
		return nil
	}
	return fmt.Errorf("the body is encoded as %q: send it as it is", encoding)
}

// send admits the attempt, sends it, and has its answer settle it.
func (a *attempt) send(req *http.Request, body wire.Object, path string) (*http.Response, error) {
	ctx, end := a.context(req.Context())
	if err := a.first(ctx, req.Header); err != nil {
		end()
		return refused(req, err)
	}
	out, err := a.granted(ctx, req, body, path)
	if err != nil {
		a.release()
		end()
		return nil, err
	}
	res, err := a.transport.base().RoundTrip(out)
	if err != nil {
		a.failed(err)
		err = a.cause(ctx, err)
		end()
		return nil, err
	}
	res.Request = req
	a.answered(ctx, res, end)
	return res, nil
}

// refused is a refusal as the caller gets it. Clients that Stainless makes (openai-go,
// anthropic-sdk-go) try any error of a request again, for more than a second, but not an answer
// that says not to; and reading that answer fails with the refusal, which they return.
func refused(req *http.Request, err error) (*http.Response, error) {
	var decision *Decision
	if req.Header.Get(retryCount) == "" || !errors.As(err, &decision) {
		return nil, err
	}
	return &http.Response{
		Status:     "402 Payment Required",
		StatusCode: http.StatusPaymentRequired,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"X-Should-Retry": {"false"}},
		Body:          io.NopCloser(failing{err}),
		ContentLength: -1,
		Request:       req,
	}, nil
}

// context is one that also ends when the session is stopped, and what lets go of it.
func (a *attempt) context(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, meteredKey{}, true))
	own := a.session.runtime.watch.latest(a.session)
	forget := context.AfterFunc(own, func() {
		if cause := context.Cause(own); isStop(cause) { // not only the end of what it was opened in
			cancel(cause)
		}
	})
	return ctx, func() {
		forget()
		cancel(context.Canceled)
	}
}

// granted is the request as it is to be sent.
func (a *attempt) granted(ctx context.Context, req *http.Request, body wire.Object, path string) (
	*http.Request, error) {
	model := ""
	if a.step.Decision.Model != a.request.Model && a.ask.Model != "" {
		model = a.step.ModelName()
	}
	content, to, err := a.content, path, error(nil)
	if !a.signed {
		var fields []wire.Field
		fields, to = a.dialect.Grant(body, path, a.ask, model, a.step.MaxOutput())
		if content, err = wire.With(a.content, fields...); err != nil {
			return nil, fmt.Errorf("bursar: %s %s cannot be metered: %w", req.Method, path, err)
		}
	}
	out := resent(req, httptrace.WithClientTrace(ctx, &a.trace), content)
	if !a.signed {
		out.Header.Set("Accept-Encoding", "identity")
	}
	if to != path {
		where := *req.URL
		if where.Path, err = url.PathUnescape(to); err != nil {
			return nil, fmt.Errorf("bursar: the path %s for what was granted: %w", to, err)
		}
		where.RawPath = to
		out.URL = &where
	}
	fresh := out.GetBody
	out.GetBody = func() (io.ReadCloser, error) {
		if err := a.again(ctx); err != nil {
			return nil, err
		}
		return fresh()
	}
	return out, nil
}
