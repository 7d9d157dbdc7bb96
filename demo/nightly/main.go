// Agents of the demo in Go: nightly HOME URL MODEL:LIMITS...
//
// None of them ever stops by itself. One budget is for all of them, in whatever process and
// language; each of them has limits of its own too. Prints a line of JSON about each at its end.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	bursar "github.com/bursar-dev/bursar/bindings/go"
)

const path = "acme/engineering/nightly"

type fate struct {
	Agent    string   `json:"agent"`
	Path     string   `json:"path"`
	State    string   `json:"state"`
	Sentence string   `json:"sentence"`
	Refusals int      `json:"refusals"`
	Cut      int      `json:"cut"`
	Exceeded []string `json:"exceeded"`
}

type answer struct {
	Usage struct {
		Input   int64 `json:"prompt_tokens"`
		Output  int64 `json:"completion_tokens"`
		Details struct {
			Cached int64 `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
}

// ask calls the provider; a nil answer was certainly not billed.
func ask(url, key, model string, maxOutput int64, step int) (*answer, error) {
	body, _ := json.Marshal(map[string]any{
		"model": model, "max_completion_tokens": maxOutput,
		"metadata": map[string]string{"session": "astropy__astropy-12907.1", "step": fmt.Sprint(step)}})
	request, err := http.NewRequest("POST", url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("OpenAI-Project", path)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusTooManyRequests {
		_, err = io.Copy(io.Discard, response.Body)
		return nil, err
	}
	var a answer
	return &a, json.NewDecoder(response.Body).Decode(&a)
}

// runaway asks until its budget stops it: an agent without an end.
func runaway(rt *bursar.Runtime, url, name, model, limits string) error {
	ctx, s, err := rt.Session(context.Background(), path, bursar.Limits(limits), bursar.Agent(name))
	if err != nil {
		return err
	}
	defer s.Close()
	number, err := rt.Model(model)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		step, err := s.Step(ctx, bursar.Request{Model: number, Input: 40_000, MaxOutput: 2_048})
		if err != nil {
			return err
		}
		a, err := ask(url, name, step.ModelName(), step.MaxOutput(), n%10)
		if a == nil && err == nil {
			err = step.Release()
		} else if err == nil {
			_, err = step.Settle(bursar.Usage{
				Input: a.Usage.Input, CacheReadInput: a.Usage.Details.Cached, Output: a.Usage.Output})
		}
		if err != nil {
			return fmt.Errorf("failed: %w", err)
		}
	}
}

func main() {
	rt, err := bursar.Open(bursar.Home(os.Args[1]), bursar.Existing(), bursar.Name("nightly"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "nightly:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // all start together
	var done sync.WaitGroup
	fates := make([]fate, len(os.Args)-3)
	for k, job := range os.Args[3:] {
		done.Add(1)
		go func(k int, job string) {
			defer done.Done()
			name := fmt.Sprintf("nightly-%02d", k+1)
			model, limits, _ := strings.Cut(job, ":")
			why := runaway(rt, os.Args[2], name, model, limits).Error()
			fates[k] = fate{Agent: name, Path: path, State: "stopped", Sentence: why, Exceeded: []string{}}
			if strings.HasPrefix(why, "failed") {
				fates[k].State = "failed"
			}
		}(k, job)
	}
	done.Wait()
	if err := rt.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "nightly:", err)
		os.Exit(1)
	}
	for _, f := range fates {
		line, _ := json.Marshal(f)
		fmt.Println(string(line))
	}
}
