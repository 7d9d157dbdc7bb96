// SPDX-License-Identifier: Apache-2.0

// A model provider for tests: it speaks chat completions and keeps its own bill.

package bursar

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// provider bills a thousand nano-dollars a token, as the model "plain" costs: a token of input
// for every 8 bytes of the body, and as many of output as `answer` says.
type provider struct {
	*httptest.Server
	bill     atomic.Int64
	requests atomic.Int64
	latest   atomic.Pointer[request] // as it came
	answer   func(w http.ResponseWriter, r *http.Request, ask *request)
}

type request struct {
	Model         string
	MaxTokens     int64 `json:"max_tokens"`
	Stream        bool
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	input int64
	text  string
	http  *http.Request
}

func newProvider(t testing.TB) *provider {
	p := &provider{}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.requests.Add(1)
	text, err := io.ReadAll(r.Body)
	ask := &request{input: int64(len(text)) / 8, text: string(text), http: r}
	if err != nil || json.Unmarshal(text, ask) != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	p.latest.Store(ask)
	switch {
	case p.answer != nil:
		p.answer(w, r, ask)
	case ask.Stream:
		s := p.stream(w, ask)
		s.pieces(ask.MaxTokens / 2)
		s.end()
	default:
		p.whole(w, ask, ask.MaxTokens/2)
	}
}

func (p *provider) charge(input, output int64) { p.bill.Add((input + output) * 1000) }

func (p *provider) whole(w http.ResponseWriter, ask *request, output int64) {
	p.charge(ask.input, output)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"object":"chat.completion","model":%q,"choices":[{"index":0,"message":{"role":"assistant",`+
		`"content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`,
		ask.Model, strings.Repeat("word", int(output)), ask.input, output, ask.input+output)
}

// stream is an answer in pieces of a token each.
type streaming struct {
	w      http.ResponseWriter
	ask    *request
	p      *provider
	output int64
}

func (p *provider) stream(w http.ResponseWriter, ask *request) *streaming {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	p.charge(ask.input, 0)
	return &streaming{w: w, ask: ask, p: p}
}

func (s *streaming) pieces(n int64) {
	for i := int64(0); i < n; i++ {
		s.output++
		s.p.charge(0, 1)
		fmt.Fprintf(s.w, `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"w%d"}}]}`+"\n\n",
			s.output)
		s.w.(http.Flusher).Flush()
	}
}

func (s *streaming) end() {
	fmt.Fprint(s.w, `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\n")
	if s.ask.StreamOptions.IncludeUsage {
		fmt.Fprintf(s.w, `data: {"object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":%d,`+
			`"completion_tokens":%d}}`+"\n\n", s.ask.input, s.output)
	}
	fmt.Fprint(s.w, "data: [DONE]\n\n")
}

// client is an HTTP client that is metered, with connections of its own.
func client(t testing.TB, transport *Transport) *http.Client {
	t.Helper()
	if transport.Base == nil {
		transport.Base = http.DefaultTransport.(*http.Transport).Clone()
	}
	if transport.Warn == nil {
		transport.Warn = func(message string) { t.Log("warned:", message) }
	}
	c := &http.Client{Transport: transport}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

const chatPath = "/v1/chat/completions"

// chatBody asks "plain" for so many tokens; more are further members.
func chatBody(maxTokens int64, more string) string {
	return fmt.Sprintf(`{"model":"plain","messages":[{"role":"user","content":"What is the weather like?"}],"max_tokens":%d%s}`,
		maxTokens, more)
}

func post(t testing.TB, ctx context.Context, url, body string, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// call sends a request and reads its answer.
func call(t testing.TB, c *http.Client, req *http.Request) (string, error) {
	res, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

func spent(t testing.TB, s *Session) (spent, reserved Nanos) {
	t.Helper()
	view, err := s.Runtime().Read(s.ID())
	must(t, err)
	return view.Spent, view.Reserved
}

// books fails unless nothing is held and the session spent what was billed.
func books(t testing.TB, s *Session, bill Nanos) {
	t.Helper()
	got, held := spent(t, s)
	equal(t, "spent", got, bill)
	equal(t, "still held", held, 0)
}

// settled waits until nothing is held.
func settled(t testing.TB, s *Session) Nanos {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		got, held := spent(t, s)
		if held == 0 {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("%v are still held", held)
		}
	}
}
