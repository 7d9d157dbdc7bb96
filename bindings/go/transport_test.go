// SPDX-License-Identifier: Apache-2.0

// Requests as clients of models write them, under a Transport.

package bursar

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTransportStopsALoop(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	ctx, s := session(t, rt, "loop", Limits("$0.01"))
	c := client(t, &Transport{})
	var err error
	for i := 0; i < 1000 && err == nil; i++ {
		_, err = call(t, c, post(t, ctx, p.URL+chatPath, chatBody(1000, "")))
	}
	wants(t, "the last request", err, ErrBudgetExceeded)
	var through *url.Error
	var decision *Decision
	if !errors.As(err, &through) || !errors.As(err, &decision) || decision.Limit != int64(Dollar/100) {
		t.Errorf("got %v, %+v", err, decision)
	}
	if n := p.requests.Load(); n < 10 || n > 100 {
		t.Errorf("%d requests came through", n)
	}
	books(t, s, Nanos(p.bill.Load()))
}

func TestTransportWritesWhatWasGranted(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	must(t, rt.Price("dear", Rates{Input: "$100/M", Output: "$100/M"}))
	ctx, s := session(t, rt, "granted", Limits("$0.001"), Ladder("dear", "plain"))
	c := client(t, &Transport{MaxOutput: 700})

	body := `{ "n" : 1, "messages":[{"role":"user","content":"<b>&"}],  "model" : "dear"}`
	_, err := call(t, c, post(t, ctx, p.URL+chatPath, body))
	must(t, err)
	equal(t, "the body", p.latest.Load().text, `{ "n" : 1, "messages":[{"role":"user","content":"<b>&"}],  "model" : "plain","max_tokens":700}`)
	equal(t, "what may be packed", p.latest.Load().http.Header.Get("Accept-Encoding"), "identity")

	_, err = call(t, c, post(t, ctx, p.URL+chatPath, chatBody(100_000, "")))
	must(t, err)
	if granted := p.latest.Load().MaxTokens; granted < 256 || granted > 1000 {
		t.Errorf("granted %d tokens", granted)
	}
	books(t, s, Nanos(p.bill.Load()))
}

func TestTransportSessions(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	_, fallback := session(t, rt, "fallback", Limits("$1"))
	ctx, own := session(t, rt, "own", Limits("$1"))
	c := client(t, &Transport{Session: fallback})
	_, err := call(t, c, post(t, context.Background(), p.URL+chatPath, chatBody(10, "")))
	must(t, err)
	books(t, fallback, Nanos(p.bill.Swap(0)))
	_, err = call(t, c, post(t, ctx, p.URL+chatPath, chatBody(10, "")))
	must(t, err)
	books(t, own, Nanos(p.bill.Load()))

	without := client(t, &Transport{})
	_, err = call(t, without, post(t, context.Background(), p.URL+chatPath, chatBody(10, "")))
	must(t, err)
	equal(t, "requests", p.requests.Load(), 3)

	p.bill.Store(0)
	twice := client(t, &Transport{Base: &Transport{Base: http.DefaultTransport.(*http.Transport).Clone()}})
	ctx, s := session(t, rt, "twice", Limits("$1"))
	_, err = call(t, twice, post(t, ctx, p.URL+chatPath, chatBody(10, "")))
	must(t, err)
	books(t, s, Nanos(p.bill.Load()))
	own.Close()
	_, err = call(t, c, post(t, ctx, p.URL+"/v1/models", "{}"))
	must(t, err)
}

// A session outlives the context that it was opened in.
func TestTransportSessionOutlivesItsContext(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	short, cancel := context.WithCancel(context.Background())
	_, s, err := rt.Session(short, "outlives", Limits("$1"))
	must(t, err)
	defer s.Close()
	cancel()
	c := client(t, &Transport{Session: s})
	_, err = call(t, c, post(t, context.Background(), p.URL+chatPath, chatBody(10, "")))
	must(t, err)
	books(t, s, Nanos(p.bill.Load()))
	must(t, s.Close())
	_, err = call(t, c, post(t, context.Background(), p.URL+chatPath, chatBody(10, "")))
	if err == nil {
		t.Error("a closed session admitted a request")
	}
}

func TestTransportStreams(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	ctx, s := session(t, rt, "stream", Limits("$1"))
	c := client(t, &Transport{})
	read := make(chan struct{})
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		stream := p.stream(w, ask)
		for i := 0; i < 3; i++ { // the next piece when this one was read
			stream.pieces(1)
			<-read
		}
		stream.end()
	}
	for _, asked := range []bool{false, true} {
		body := chatBody(10, `,"stream":true`)
		if asked {
			body = chatBody(10, `,"stream":true,"stream_options":{"include_usage":true}`)
		}
		res, err := c.Do(post(t, ctx, p.URL+chatPath, body))
		must(t, err)
		buffer := make([]byte, 4096)
		for i := 1; i <= 3; i++ {
			n, err := res.Body.Read(buffer)
			must(t, err)
			want := fmt.Sprintf(`data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"w%d"}}]}`+"\n\n", i)
			equal(t, "a piece", string(buffer[:n]), want)
			read <- struct{}{}
		}
		rest, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		equal(t, "usage was asked for", p.latest.Load().StreamOptions.IncludeUsage, true)
		equal(t, "usage is seen", strings.Contains(string(rest), "prompt_tokens"), asked)
		if !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
			t.Errorf("it ends with %q", rest)
		}
	}
	books(t, s, Nanos(p.bill.Load()))
	equal(t, "estimated", estimated(t, rt), 0)
}

// estimated is how many steps were settled without known usage.
func estimated(t testing.TB, rt *Runtime) (n int64) {
	t.Helper()
	rows, err := rt.Spend()
	must(t, err)
	for _, row := range rows {
		n += row.EstimatedSteps
	}
	return n
}

// A stream is cut where it stands, also while nothing comes.
func TestTransportKill(t *testing.T) {
	for _, flowing := range []bool{false, true} {
		for _, field := range []bool{false, true} {
			t.Run(fmt.Sprintf("flowing=%v field=%v", flowing, field), func(t *testing.T) {
				p := newProvider(t)
				rt := open(t)
				ctx, s := session(t, rt, "kill", Limits("$1"))
				transport := &Transport{}
				if field {
					transport.Session, ctx = s, context.Background()
				}
				c := client(t, transport)
				gone := make(chan struct{})
				p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
					defer close(gone)
					stream := p.stream(w, ask)
					stream.pieces(5)
					for r.Context().Err() == nil {
						if flowing {
							stream.pieces(1)
						}
						time.Sleep(time.Millisecond)
					}
				}
				res, err := c.Do(post(t, ctx, p.URL+chatPath, chatBody(100_000, `,"stream":true`)))
				must(t, err)
				defer res.Body.Close()
				_, err = io.ReadFull(res.Body, make([]byte, 400))
				must(t, err)
				must(t, rt.Kill(s.ID(), "enough"))
				_, err = io.Copy(io.Discard, res.Body)
				wants(t, "reading on", err, ErrKilled)
				_, err = res.Body.Read(make([]byte, 1))
				wants(t, "and again", err, ErrKilled)
				<-gone
				if cost := settled(t, s); cost < Nanos(p.latest.Load().input+5)*1000 || cost > Dollar/10 {
					t.Errorf("settled at %v, billed %v", cost, Nanos(p.bill.Load()))
				}
				equal(t, "estimated", estimated(t, rt), 1)
				_, err = call(t, c, post(t, ctx, p.URL+chatPath, chatBody(10, "")))
				wants(t, "the next", err, ErrKilled)
			})
		}
	}
}

// A provider that does not keep to the limit is cut when all that was granted is used up.
func TestTransportRunsOut(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	ctx, s := session(t, rt, "out", Limits("$0.01"))
	c := client(t, &Transport{})
	gone := make(chan struct{})
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		defer close(gone)
		stream := p.stream(w, ask)
		for r.Context().Err() == nil {
			stream.pieces(1)
		}
	}
	res, err := c.Do(post(t, ctx, p.URL+chatPath, chatBody(300, `,"stream":true`)))
	must(t, err)
	text, err := io.ReadAll(res.Body)
	wants(t, "reading", err, ErrBudgetExceeded)
	if n := strings.Count(string(text), "data:"); n < 300 || n > 302 {
		t.Errorf("%d pieces came through", n)
	}
	<-gone // the provider is told, whoever still has the body
	must(t, res.Body.Close())
	if cost := settled(t, s); cost < 300_000 {
		t.Errorf("settled at %v", cost)
	}
}

// What ends a stream early is billed for what came.
func TestTransportLeavesEarly(t *testing.T) {
	for name, leave := range map[string]func(cancel func(), res *http.Response){
		"close": func(cancel func(), res *http.Response) { res.Body.Close() },
		"cancel": func(cancel func(), res *http.Response) {
			cancel()
			if _, err := io.Copy(io.Discard, res.Body); !errors.Is(err, context.Canceled) {
				t.Errorf("reading on: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			rt := open(t)
			ctx, s := session(t, rt, "early", Limits("$1"))
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			c := client(t, &Transport{})
			p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
				stream := p.stream(w, ask)
				stream.pieces(50)
				<-r.Context().Done()
			}
			res, err := c.Do(post(t, ctx, p.URL+chatPath, chatBody(100_000, `,"stream":true`)))
			must(t, err)
			_, err = io.ReadFull(res.Body, make([]byte, 4000))
			must(t, err)
			leave(cancel, res)
			res.Body.Close()
			cost := settled(t, s)
			if bill := Nanos(p.bill.Load()); cost < bill || cost > bill+200_000 {
				t.Errorf("settled at %v, billed %v", cost, bill)
			}
			equal(t, "estimated", estimated(t, rt), 1)
		})
	}
}

// Pieces may be long: they count by their bytes.
func TestTransportLeavesALongPiece(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	ctx, s := session(t, rt, "long", Limits("$1"))
	c := client(t, &Transport{})
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, `data: {"choices":[{"delta":{"content":%q}}]}`+"\n\n", strings.Repeat("word ", 1000))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	res, err := c.Do(post(t, ctx, p.URL+chatPath, chatBody(100_000, `,"stream":true`)))
	must(t, err)
	_, err = res.Body.Read(make([]byte, 100))
	must(t, err)
	res.Body.Close()
	if cost := settled(t, s); cost < 2_000_000 || cost > 2_200_000 {
		t.Errorf("5,000 bytes were settled at %v", cost)
	}
}

// What certainly was not billed is released, the rest is not.
func TestTransportFailures(t *testing.T) {
	worst := Nanos(-1)
	for _, test := range []struct {
		name   string
		answer func(p *provider, w http.ResponseWriter, r *http.Request, ask *request)
		cost   Nanos // -1 = the worst case
	}{
		{"400", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) { w.WriteHeader(400) }, 0},
		{"401", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) { w.WriteHeader(401) }, 0},
		{"429", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) { w.WriteHeader(429) }, 0},
		{"408", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) { w.WriteHeader(408) }, worst},
		{"409", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) { w.WriteHeader(409) }, worst},
		{"500", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) { w.WriteHeader(500) }, worst},
		{"529", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) { w.WriteHeader(529) }, worst},
		{"hang up", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) {
			panic(http.ErrAbortHandler)
		}, worst},
		{"cut", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"choices":[`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, worst},
		{"no usage", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) {
			fmt.Fprint(w, `{"choices":[]}`)
		}, worst},
		{"odd usage", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) {
			fmt.Fprint(w, `{"usage":{"prompt_tokens":"many","completion_tokens":1}}`)
		}, worst},
		{"negative usage", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) {
			fmt.Fprint(w, `{"usage":{"prompt_tokens":-5,"completion_tokens":1}}`)
		}, worst},
		{"no JSON", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) {
			fmt.Fprint(w, `<html>`)
		}, worst},
		{"timeout", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) {
			<-r.Context().Done()
		}, worst},
		{"packed all the same", func(p *provider, w http.ResponseWriter, r *http.Request, ask *request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, `{"usage":{"prompt_tokens":2,"completion_tokens":3}}`)
			z.Close()
		}, 5000},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProvider(t)
			rt := open(t)
			ctx, s := session(t, rt, "failures", Limits("$1"))
			c := client(t, &Transport{})
			if test.name == "timeout" {
				c.Timeout = 50 * time.Millisecond
			}
			var held atomic.Int64
			p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
				_, reserved := spent(t, s)
				held.Store(int64(reserved))
				test.answer(p, w, r, ask)
			}
			call(t, c, post(t, ctx, p.URL+chatPath, chatBody(1000, "")))
			if test.cost == worst {
				test.cost = Nanos(held.Load())
			}
			books(t, s, test.cost)
			equal(t, "requests", p.requests.Load(), 1)
		})
	}

	t.Run("nobody there", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		address := listener.Addr().String()
		listener.Close()
		rt := open(t)
		ctx, s := session(t, rt, "failures", Limits("$1"))
		_, err = call(t, client(t, &Transport{}), post(t, ctx, "http://"+address+chatPath, chatBody(1000, "")))
		if err == nil {
			t.Error("somebody was there")
		}
		books(t, s, 0)
	})

	t.Run("what cannot be read", func(t *testing.T) {
		p := newProvider(t)
		rt := open(t)
		ctx, s := session(t, rt, "failures", Limits("$1"))
		c := client(t, &Transport{})
		for _, req := range []*http.Request{
			post(t, ctx, p.URL+chatPath, "{"),
			post(t, ctx, p.URL+chatPath, chatBody(1, ""), "Content-Encoding", "gzip"),
		} {
			if _, err := call(t, c, req); err == nil || !strings.Contains(err.Error(), "cannot be metered") {
				t.Errorf("got %v", err)
			}
		}
		equal(t, "requests", p.requests.Load(), 0)
		books(t, s, 0)
	})
}

// net/http sends a request with an idempotency key once more when a kept connection breaks: a
// second attempt at the provider, within one RoundTrip.
func TestTransportReplays(t *testing.T) {
	for _, limit := range []string{"$1", "$0.0015"} {
		t.Run(limit, func(t *testing.T) {
			p := newProvider(t)
			rt := open(t)
			ctx, s := session(t, rt, "replays", Limits(limit))
			c := client(t, &Transport{})
			p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
				if p.requests.Load() == 2 {
					p.charge(ask.input, 1000) // it works, and nobody hears of it
					panic(http.ErrAbortHandler)
				}
				p.whole(w, ask, ask.MaxTokens/2)
			}
			key := []string{"Idempotency-Key", "k"}
			_, err := call(t, c, post(t, ctx, p.URL+chatPath, chatBody(100, ""), key...))
			must(t, err)
			_, err = call(t, c, post(t, ctx, p.URL+chatPath, chatBody(1000, ""), key...))
			if limit == "$1" {
				must(t, err)
				equal(t, "requests", p.requests.Load(), 3)
			} else {
				wants(t, "the second", err, ErrBudgetExceeded)
				equal(t, "requests", p.requests.Load(), 2)
			}
			got, held := spent(t, s)
			equal(t, "held", held, 0)
			if bill := Nanos(p.bill.Load()); got < bill || got > bill+100_000 {
				t.Errorf("spent %v, billed %v", got, bill)
			}
			view, err := rt.Read(s.ID())
			must(t, err)
			equal(t, "steps", view.Steps, p.requests.Load())
		})
	}
}

func TestTransportRedirects(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	ctx, s := session(t, rt, "redirects", Limits("$1"))
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		if strings.HasPrefix(r.URL.Path, "/old") {
			http.Redirect(w, r, "/new"+chatPath, http.StatusTemporaryRedirect)
			return
		}
		p.whole(w, ask, 7)
	}
	text, err := call(t, client(t, &Transport{}), post(t, ctx, p.URL+"/old"+chatPath, chatBody(10, "")))
	must(t, err)
	if !strings.Contains(text, "chat.completion") {
		t.Errorf("got %s", text)
	}
	equal(t, "requests", p.requests.Load(), 2)
	books(t, s, Nanos(p.bill.Load()))
}

func TestTransportWaits(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	ctx, s := session(t, rt, "waits", Limits("1 in_flight"))
	c := client(t, &Transport{})
	busy, leave := make(chan struct{}), make(chan struct{})
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		if p.requests.Load() == 1 {
			close(busy)
			<-leave
		}
		p.whole(w, ask, 1)
	}
	first := make(chan error)
	go func() {
		_, err := call(t, c, post(t, ctx, p.URL+chatPath, chatBody(10, "")))
		first <- err
	}()
	<-busy
	soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	_, err := call(t, c, post(t, soon, p.URL+chatPath, chatBody(10, "")))
	cancel()
	wants(t, "with a deadline", err, ErrThrottled)
	_, err = call(t, client(t, &Transport{Wait: -1}), post(t, ctx, p.URL+chatPath, chatBody(10, "")))
	wants(t, "without patience", err, ErrThrottled)
	equal(t, "requests", p.requests.Load(), 1)
	second := make(chan error)
	go func() {
		_, err := call(t, c, post(t, ctx, p.URL+chatPath, chatBody(10, "")))
		second <- err
	}()
	close(leave)
	must(t, <-first)
	must(t, <-second)
	books(t, s, Nanos(p.bill.Load()))
}

// What cannot be metered passes, and is told once.
func TestTransportTellsWhatPasses(t *testing.T) {
	p := newProvider(t)
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) { fmt.Fprint(w, "{}") }
	rt := open(t)
	ctx, s := session(t, rt, "passes", Limits("$1"))
	var told []string
	c := client(t, &Transport{Warn: func(message string) { told = append(told, message) }})
	for i := 0; i < 3; i++ {
		for _, path := range []string{"/v1/images/generations", "/v1/audio/speech", "/v1/moderations"} {
			_, err := call(t, c, post(t, ctx, p.URL+path, `{"prompt":"a cat"}`))
			must(t, err)
		}
		_, err := call(t, c, post(t, ctx, p.URL+chatPath, `[1]`)) // nothing in it that is billed
		must(t, err)
	}
	equal(t, "requests", p.requests.Load(), 12)
	equal(t, "told", strings.Join(told, "; "), "POST /v1/images/generations passes without being metered: images "+
		"cannot be priced; POST /v1/audio/speech passes without being metered: audio cannot be priced")
	equal(t, "as it was", p.latest.Load() == nil || p.latest.Load().text == `{"prompt":"a cat"}`, true)
	books(t, s, 0)
}

// The clients that Stainless makes try an error of a request again, but not this one.
func TestTransportIsNotTriedAgain(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	ctx, _ := session(t, rt, "again", Limits("$0.0001"))
	c := client(t, &Transport{})
	res, err := c.Do(post(t, ctx, p.URL+chatPath, chatBody(1000, ""), "X-Stainless-Retry-Count", "0"))
	must(t, err)
	equal(t, "status", res.StatusCode, 402)
	equal(t, "to be tried again", res.Header.Get("x-should-retry"), "false")
	_, err = io.ReadAll(res.Body)
	wants(t, "reading", err, ErrBudgetExceeded)
	must(t, res.Body.Close())
	equal(t, "requests", p.requests.Load(), 0)
}

// A request that is tried again says how often it was, where it may have been billed before.
func TestTransportRetries(t *testing.T) {
	p := newProvider(t)
	rt := openHome(t)
	must(t, rt.Price("plain", Rates{Input: "$1/M", Output: "$1/M"}))
	ctx, _ := session(t, rt, "acme/retries", Limits("$1"))
	c := client(t, &Transport{})
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		switch p.requests.Load() {
		case 1, 3:
			w.WriteHeader(500)
		case 2:
			w.WriteHeader(429)
		default:
			p.whole(w, ask, 5)
		}
	}
	for i := 0; i < 6; i++ {
		count := fmt.Sprint(i)
		if i == 5 {
			count = "0" // the same again, but no retry
		}
		_, err := call(t, c, post(t, ctx, p.URL+chatPath, chatBody(10, ""), "X-Stainless-Retry-Count", count))
		must(t, err)
	}
	rows, err := rt.Query("SELECT group_concat(attempt) attempts FROM (SELECT attempt FROM v_steps ORDER BY attempt)")
	must(t, err)
	equal(t, "attempts", rows[0]["attempts"], any("0,0,0,1,2"))
}

// Tools that the provider ran and further models that it called are paid for, too.
func TestTransportPaysWhatIsBeside(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	search, err := rt.Tool("web_search")
	must(t, err)
	must(t, rt.ToolPrice(search, Dollar/100))
	must(t, rt.Price("painter", Rates{Input: "$10/M", Output: "$40/M"}))
	ctx, s := session(t, rt, "beside", Limits("$1"))
	c := client(t, &Transport{})
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		fmt.Fprint(w, `{"id":"resp_1","object":"response","tools":[{"type":"image_generation","model":"painter"}],"output":[`+
			`{"type":"web_search_call","action":{"type":"search"}},{"type":"web_search_call","action":{"type":"search"}}],`+
			`"usage":{"input_tokens":100,"output_tokens":10},"tool_usage":{"image_gen":{"input_tokens":50,"output_tokens":1000,"total_tokens":1050}}}`)
	}
	body := `{"model":"plain","input":"Draw it","tools":[{"type":"web_search"},{"type":"image_generation"}],"max_output_tokens":50}`
	_, err = call(t, c, post(t, ctx, p.URL+"/v1/responses", body))
	must(t, err)
	books(t, s, 110*1000+2*Dollar/100+50*10_000+1000*40_000)
	view, err := rt.Read(s.ID())
	must(t, err)
	equal(t, "calls of tools", view.ToolCalls, 2)

	// What the provider has stored comes back as input, and is reserved as such.
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) { http.Error(w, "later", 500) }
	before, _ := spent(t, s)
	_, err = call(t, c, post(t, ctx, p.URL+"/v1/responses", `{"model":"plain","input":"","max_output_tokens":50}`))
	must(t, err)
	once, _ := spent(t, s)
	_, err = call(t, c, post(t, ctx, p.URL+"/v1/responses", `{"model":"plain","input":"","max_output_tokens":50,"previous_response_id":"resp_1"}`))
	must(t, err)
	twice, _ := spent(t, s)
	equal(t, "held for what was stored", twice-once-(once-before), 110*1000)
}

// What AWS has signed goes as it is, or not at all.
func TestTransportSigned(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	ctx, s := session(t, rt, "team/signed", Limits("$1"))
	c := client(t, &Transport{})
	sign := []string{"Authorization", "AWS4-HMAC-SHA256 Credential=a"}
	body := `{ "messages":[{"role":"user","content":"Hello!"}],  "model":"plain","stream":true,"max_tokens":50}`
	_, err := call(t, c, post(t, ctx, p.URL+"/v1/chat/completions", body, sign...))
	must(t, err)
	equal(t, "what was sent", p.latest.Load().text, body)
	before, _ := spent(t, s)
	_, err = call(t, c, post(t, ctx, p.URL+"/v1/chat/completions", strings.Replace(body, `,"max_tokens":50`, "", 1), sign...))
	if err == nil || !strings.Contains(err.Error(), "names none; set max_") {
		t.Errorf("a signed request without a limit: %v", err)
	}
	after, _ := spent(t, s)
	equal(t, "spent", after, before)
}

// Twenty agents with five calls at a time each, streamed and not, under one limit.
func TestTransportManyAgents(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	budget, err := rt.Budget("team", Limits("$0.20"))
	must(t, err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 100
	c := client(t, &Transport{Base: transport})
	var most atomic.Int64
	var agents sync.WaitGroup
	for agent := 0; agent < 20; agent++ {
		ctx, _ := session(t, rt, fmt.Sprintf("team/a%d", agent))
		for worker := 0; worker < 5; worker++ {
			agents.Add(1)
			body := chatBody(1000, "")
			if worker%2 == 0 {
				body = chatBody(1000, `,"stream":true`)
			}
			go func() {
				defer agents.Done()
				for {
					_, err := call(t, c, post(t, ctx, p.URL+chatPath, body))
					view, _ := rt.Read(budget)
					for now, was := int64(view.Spent+view.Reserved), most.Load(); now > was && !most.CompareAndSwap(was, now); {
						was = most.Load()
					}
					if err != nil {
						wants(t, "an agent's end", err, ErrBudgetExceeded)
						return
					}
				}
			}()
		}
	}
	agents.Wait()
	view, err := rt.Read(budget)
	must(t, err)
	equal(t, "spent", view.Spent, Nanos(p.bill.Load()))
	equal(t, "held", view.Reserved, 0)
	if most.Load() > int64(Dollar/5) || view.Spent < Dollar/5-2_000_000 {
		t.Errorf("at most %v were committed, %v spent in the end", Nanos(most.Load()), view.Spent)
	}
	t.Logf("%d requests, the provider's bill and what was spent: %v", p.requests.Load(), view.Spent)
}

// Nothing is left behind: not by answers, refusals, cuts or streams that are closed early.
func TestTransportLeavesNothing(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	_, s := session(t, rt, "leaves", Limits("$1"))
	c := client(t, &Transport{Session: s})
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		stream := p.stream(w, ask)
		stream.pieces(3)
		if ask.MaxTokens == 11 {
			<-r.Context().Done()
		}
		stream.end()
	}
	before := runtime.NumGoroutine()
	for i := 0; i < 50; i++ {
		for _, tokens := range []int64{10, 11} {
			res, err := c.Do(post(t, context.Background(), p.URL+chatPath, chatBody(tokens, `,"stream":true`)))
			must(t, err)
			if tokens == 10 {
				io.Copy(io.Discard, res.Body)
			} else {
				res.Body.Read(make([]byte, 10))
			}
			res.Body.Close()
		}
	}
	settled(t, s)
	c.CloseIdleConnections()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// The context of a request ends with its answer, however that ends.
func TestTransportEndsItsContexts(t *testing.T) {
	p := newProvider(t)
	rt := open(t)
	ctx, s := session(t, rt, "contexts", Limits("$1"))
	kept := &keeper{base: http.DefaultTransport.(*http.Transport).Clone()}
	c := client(t, &Transport{Base: kept})
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		switch ask.MaxTokens {
		case 11, 12:
			stream := p.stream(w, ask)
			stream.pieces(3)
			stream.end()
		case 13:
			p.whole(w, ask, 3)
		case 14:
			panic(http.ErrAbortHandler)
		case 15: // a stream of a known length, which hiding its usage shortens
			w.Header().Set("Content-Type", "text/event-stream")
			text := `data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}` + "\n\ndata: [DONE]\n\n"
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			fmt.Fprint(w, text)
		default:
			w.WriteHeader(int(ask.MaxTokens))
			fmt.Fprint(w, "no")
		}
	}
	for _, tokens := range []int64{11, 12, 13, 14, 15, 400, 500} {
		res, err := c.Do(post(t, ctx, p.URL+chatPath, chatBody(tokens, `,"stream":true`)))
		if err == nil {
			if tokens != 12 {
				_, err = io.Copy(io.Discard, res.Body)
				must(t, err)
			}
			if tokens != 11 {
				must(t, res.Body.Close())
			}
			if tokens == 15 && (res.ContentLength != -1 || res.Header.Get("Content-Length") != "") {
				t.Errorf("its length is told as %d, %s", res.ContentLength, res.Header.Get("Content-Length"))
			}
		}
		if kept.ctx.Err() == nil {
			t.Errorf("the context of %d goes on", tokens)
		}
		equal(t, "the session's goes on", ctx.Err(), nil)
	}
	settled(t, s)
}

// keeper keeps the context of the latest request.
type keeper struct {
	base *http.Transport
	ctx  context.Context
}

func (k *keeper) RoundTrip(req *http.Request) (*http.Response, error) {
	k.ctx = req.Context()
	return k.base.RoundTrip(req)
}

func (k *keeper) CloseIdleConnections() { k.base.CloseIdleConnections() }

// Of two answers in one stream the first ends early: the bill is what the last event says.
func TestTransportBillsTheLastUsage(t *testing.T) {
	rt := open(t)
	ctx, s := session(t, rt, "last", Limits("$1"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i, end := range []string{"", `,"finishReason":"STOP"`, "", `,"finishReason":"STOP"`} {
			fmt.Fprintf(w, `data: {"candidates":[{"index":%d,"content":{"parts":[{"text":"word"}]}%s}],`+
				`"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":%d}}`+"\r\n\r\n", i/2, end, 10*(i+1))
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}))
	defer server.Close()
	_, err := call(t, client(t, &Transport{}), post(t, ctx, server.URL+"/v1beta/models/plain:streamGenerateContent?alt=sse",
		`{"contents":[{"parts":[{"text":"hello"}]}],"generationConfig":{"candidateCount":2}}`))
	must(t, err)
	books(t, s, 45_000)
}

// HTTP/2 and trailers are as without a Transport.
func TestTransportHTTP2(t *testing.T) {
	p := &provider{}
	p.answer = func(w http.ResponseWriter, r *http.Request, ask *request) {
		w.Header().Set("Trailer", "X-Sum")
		if ask.Stream {
			stream := p.stream(w, ask)
			stream.pieces(3)
			stream.end()
		} else {
			p.whole(w, ask, 3)
		}
		w.Header().Set("X-Sum", "3")
	}
	server := httptest.NewUnstartedServer(p)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	rt := open(t)
	ctx, s := session(t, rt, "two", Limits("$1"))
	c := client(t, &Transport{Base: server.Client().Transport})
	for _, more := range []string{"", `,"stream":true`} {
		res, err := c.Do(post(t, ctx, server.URL+chatPath, chatBody(10, more)))
		must(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		must(t, err)
		must(t, res.Body.Close())
		equal(t, "version", res.ProtoMajor, 2)
		equal(t, "its request goes on", res.Request.Context(), ctx)
		equal(t, "the trailer", res.Trailer.Get("X-Sum"), "3")
	}
	books(t, s, Nanos(p.bill.Load()))
}
