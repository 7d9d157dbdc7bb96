// SPDX-License-Identifier: Apache-2.0

package bursar_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	bursar "github.com/bursar-dev/bursar/bindings/go"
)

// An agent that would call its model for ever, under a limit of its own.
func Example() {
	rt, err := bursar.Open(bursar.Private())
	if err != nil {
		log.Fatal(err)
	}
	defer rt.Close()
	rt.Price("my-model", bursar.Rates{Input: "$1/M", Output: "$4/M"})
	model, _ := rt.Model("my-model")
	rt.Budget("acme/support", bursar.Limits("$500/month"), bursar.Owner("support-platform"))

	ctx, s, err := rt.Session(context.Background(), "acme/support/triage", bursar.Limits("$0.0125", "200 steps"))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	for {
		step, err := s.Step(ctx, bursar.Request{Model: model, Input: 2000, MaxOutput: 1000})
		if err != nil {
			var decision *bursar.Decision
			if errors.As(err, &decision) && errors.Is(err, bursar.ErrBudgetExceeded) {
				fmt.Println("stopped with", bursar.Nanos(decision.Remaining), "left of", bursar.Nanos(decision.Limit))
			}
			break
		}
		// Call the provider with step.ModelName() and step.MaxOutput() here.
		receipt, err := step.Settle(bursar.Usage{Input: 2000, Output: step.MaxOutput() / 2})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("a step of at most", step.MaxOutput(), "tokens for", receipt.Cost)
	}
	// Output:
	// a step of at most 1000 tokens for $0.004
	// a step of at most 1000 tokens for $0.004
	// a step of at most 625 tokens for $0.003248
	// stopped with $0.001252 left of $0.0125
}

// Any HTTP client of a model provider, here net/http itself, held to a session's limits. Clients
// take it as theirs: option.WithHTTPClient(client) of openai-go and anthropic-sdk-go,
// genai.ClientConfig{HTTPClient: client}.
func ExampleTransport() {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"choices":[{"message":{"content":"Rain."}}],"usage":{"prompt_tokens":15,"completion_tokens":900}}`)
	}))
	defer provider.Close()

	rt, err := bursar.Open(bursar.Private())
	if err != nil {
		log.Fatal(err)
	}
	defer rt.Close()
	rt.Price("my-model", bursar.Rates{Input: "$1/M", Output: "$4/M"})
	ctx, s, err := rt.Session(context.Background(), "acme/support/triage", bursar.Limits("$0.0115"))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	client := &http.Client{Transport: &bursar.Transport{}}
	for {
		ask := `{"model": "my-model", "max_tokens": 1000, "messages": [{"role": "user", "content": "The weather?"}]}`
		req, _ := http.NewRequestWithContext(ctx, "POST", provider.URL+"/v1/chat/completions", strings.NewReader(ask))
		res, err := client.Do(req)
		if errors.Is(err, bursar.ErrBudgetExceeded) {
			fmt.Println("stopped")
			return
		} else if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		view, _ := rt.Read(s.ID())
		fmt.Println("spent", view.Spent)
	}
	// Output:
	// spent $0.003615
	// spent $0.00723
	// spent $0.010845
	// stopped
}
