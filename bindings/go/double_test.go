// SPDX-License-Identifier: Apache-2.0

// Requests on the wire as Go's clients of OpenAI, Anthropic and Google write them, against the
// project's provider double, which keeps its own bill.

package bursar

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

const doublePath = "../../Tests/integrations/provider.py"

// double starts the provider and returns its address.
func double(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if _, missing := os.Stat(doublePath); missing != nil || err != nil {
		t.Skip("not in the project's repository, or no python3")
	}
	command := exec.Command(python, doublePath)
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	stdin, err := command.StdinPipe()
	must(t, err)
	stdout, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	t.Cleanup(func() { // it ends with its input
		stdin.Close()
		command.Wait()
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(address)
}

// billOf is what the double billed an account, once nothing of it is in flight.
func billOf(t testing.TB, address, account string) Nanos {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var flight struct{ Requests int }
		readJSON(t, address+"/inflight?account="+account, &flight)
		if flight.Requests == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d requests are still in flight", flight.Requests)
		}
	}
	var bill struct{ Dollars json.Number }
	readJSON(t, address+"/bill?account="+account, &bill)
	nanos, err := ParseMoney("$" + bill.Dollars.String())
	must(t, err)
	return nanos
}

func readJSON(t testing.TB, url string, out any) {
	t.Helper()
	res, err := http.Get(url)
	must(t, err)
	defer res.Body.Close()
	must(t, json.NewDecoder(res.Body).Decode(out))
}

// dialectCall is one way to ask a model: for a limit of output, streamed or not.
type dialectCall struct {
	name, path, header, body string
}

var dialectCalls = []dialectCall{
	{"chat", "/v1/chat/completions", "Authorization",
		`{"model":"gpt-5-mini","max_completion_tokens":200,"messages":[{"role":"user","content":"What is the weather like in Oslo, in Bergen and in Tromso?"}]}`},
	{"chat stream", "/v1/chat/completions", "Authorization",
		`{"model":"gpt-5-mini","stream":true,"messages":[{"role":"user","content":"What is the weather like in Oslo, in Bergen and in Tromso?"}]}`},
	{"responses", "/v1/responses", "Authorization",
		`{"model":"gpt-5-mini","max_output_tokens":200,"input":"What is the weather like in Oslo, in Bergen and in Tromso?"}`},
	{"responses stream", "/v1/responses", "Authorization",
		`{"model":"gpt-5-mini","stream":true,"input":"What is the weather like in Oslo, in Bergen and in Tromso?"}`},
	{"messages", "/v1/messages", "X-Api-Key",
		`{"model":"claude-haiku-4-5","max_tokens":200,"messages":[{"role":"user","content":"What is the weather like in Oslo, in Bergen and in Tromso?"}]}`},
	{"messages stream", "/v1/messages", "X-Api-Key",
		`{"model":"claude-haiku-4-5","max_tokens":200,"stream":true,"messages":[{"role":"user","content":"What is the weather like in Oslo, in Bergen and in Tromso?"}]}`},
	{"gemini", "/v1beta/models/gemini-2.5-flash:generateContent", "X-Goog-Api-Key",
		`{"contents":[{"role":"user","parts":[{"text":"What is the weather like in Oslo, in Bergen and in Tromso?"}]}]}`},
	{"gemini events", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", "X-Goog-Api-Key",
		`{"contents":[{"role":"user","parts":[{"text":"What is the weather like in Oslo, in Bergen and in Tromso?"}]}],"generationConfig":{"maxOutputTokens":200}}`},
	{"gemini array", "/v1beta/models/gemini-2.5-flash:streamGenerateContent", "X-Goog-Api-Key",
		`{"contents":[{"role":"user","parts":[{"text":"What is the weather like in Oslo, in Bergen and in Tromso?"}]}]}`},
	{"embeddings", "/v1/embeddings", "Authorization",
		`{"model":"text-embedding-3-small","input":["What is the weather like in Oslo, in Bergen and in Tromso?"]}`},
}

// request is the call in a scenario of the double, for an account.
func (d dialectCall) request(t testing.TB, ctx context.Context, address, scenario, account string) *http.Request {
	key := account
	if d.header == "Authorization" {
		key = "Bearer " + account
	}
	return post(t, ctx, address+"/"+scenario+d.path, d.body, d.header, key)
}

// The double's prices, whatever book the library carries.
func doublePrices(t testing.TB, rt *Runtime) {
	t.Helper()
	for name, rates := range map[string]Rates{
		"gpt-5-mini":             {Input: "$0.25/M", CacheRead: "$0.025/M", Output: "$2/M"},
		"text-embedding-3-small": {Input: "$0.02/M"},
		"claude-haiku-4-5":       {Input: "$1/M", CacheRead: "$0.10/M", CacheWrite: "$1.25/M", CacheWrite1h: "$2/M", Output: "$5/M"},
		"gemini-2.5-flash":       {Input: "$0.30/M", CacheRead: "$0.03/M", Output: "$2.50/M"},
	} {
		must(t, rt.Price(name, rates))
	}
}

func TestDoubleStopsEveryDialect(t *testing.T) {
	address := double(t)
	rt := open(t)
	doublePrices(t, rt)
	for i, d := range dialectCalls {
		t.Run(d.name, func(t *testing.T) {
			limit, account := "$0.01", fmt.Sprintf("loop-%d", i)
			if d.name == "embeddings" {
				limit = "$0.00002"
			}
			ctx, s := session(t, rt, account, Limits(limit))
			c := client(t, &Transport{MaxOutput: 300})
			var err error
			calls := 0
			for ; err == nil && calls < 2000; calls++ {
				var text string
				text, err = call(t, c, d.request(t, ctx, address, "text,out=100,cached=3,reasoning=20", account))
				if err == nil && strings.Contains(text, `"error":{`) {
					t.Fatalf("the provider turned it down: %.300s", text)
				}
			}
			wants(t, "the last", err, ErrBudgetExceeded)
			bill := billOf(t, address, account)
			books(t, s, bill)
			if calls < 5 || bill == 0 {
				t.Errorf("%d calls for %v", calls, bill)
			}
			t.Logf("%d calls, billed and spent %v of %s", calls, bill, limit)
		})
	}
}

// Twenty agents with five calls at a time each, in every dialect, on one limit.
func TestDoubleManyAgents(t *testing.T) {
	address := double(t)
	rt := open(t)
	doublePrices(t, rt)
	budget, err := rt.Budget("crowd", Limits("$0.10"))
	must(t, err)
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConnsPerHost = 100
	c := client(t, &Transport{Base: base, MaxOutput: 300})
	var agents sync.WaitGroup
	for agent := 0; agent < 20; agent++ {
		ctx, _ := session(t, rt, fmt.Sprintf("crowd/a%d", agent))
		for worker := 0; worker < 5; worker++ {
			agents.Add(1)
			d := dialectCalls[(agent+worker)%9]
			go func() {
				defer agents.Done()
				for {
					_, err := call(t, c, d.request(t, ctx, address, "text,out=100", "crowd"))
					if view, _ := rt.Read(budget); view.Spent+view.Reserved > Dollar/10 {
						t.Errorf("%v of $0.10 are committed", view.Spent+view.Reserved)
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
	bill := billOf(t, address, "crowd")
	equal(t, "spent", view.Spent, bill)
	equal(t, "held", view.Reserved, 0)
	t.Logf("%d steps, billed and spent %v of $0.10", view.Steps, bill)
}

// What goes wrong is never billed higher by the double than by Bursar.
func TestDoubleFaults(t *testing.T) {
	address := double(t)
	rt := open(t)
	doublePrices(t, rt)
	for i, scenario := range []string{"text,429=2", "text,500=1", "text,500=1,billed", "text,out=100,cut=3",
		"text,out=100,fail=3", "text,nousage", "text,wrong=negative", "text,wrong=text"} {
		for j, d := range dialectCalls[:9] {
			t.Run(scenario+" "+d.name, func(t *testing.T) {
				account := fmt.Sprintf("fault-%d-%d", i, j)
				ctx, s := session(t, rt, account, Limits("$1"))
				c := client(t, &Transport{MaxOutput: 300, Warn: func(string) {}})
				for n := 0; n < 3; n++ {
					call(t, c, d.request(t, ctx, address, scenario, account))
				}
				got, bill := settled(t, s), billOf(t, address, account)
				if got < bill || got > bill+3*Dollar/500 {
					t.Errorf("spent %v, billed %v", got, bill)
				}
				if scenario == "text,429=2" {
					equal(t, "spent", got, bill)
				}
			})
		}
	}
}

// Streams that are left early: their bill is what came, and Bursar's is not below it.
func TestDoubleLeaving(t *testing.T) {
	address := double(t)
	rt := open(t)
	doublePrices(t, rt)
	for i, d := range dialectCalls {
		if !strings.Contains(d.path+d.body, "tream") {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			account := fmt.Sprintf("leave-%d", i)
			ctx, s := session(t, rt, account, Limits("$1"))
			c := client(t, &Transport{MaxOutput: 4000})
			res, err := c.Do(d.request(t, ctx, address, "text,out=4000,slow=0.01", account))
			must(t, err)
			if _, err = io.ReadFull(res.Body, make([]byte, 1500)); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
			must(t, res.Body.Close())
			got, bill := settled(t, s), billOf(t, address, account)
			if got < bill || got > bill+Dollar/500 {
				t.Errorf("spent %v, billed %v", got, bill)
			}
		})
	}
}
