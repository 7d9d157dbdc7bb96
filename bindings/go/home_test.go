// SPDX-License-Identifier: Apache-2.0

// Homes: sessions that go from one process to another. The other process is this test program
// again, told by its environment.

package bursar

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("TEST_ROLE"); role != "" {
		if err := subAgent(role); err != nil {
			fmt.Println("sub-agent:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// subAgent is what the other process does.
func subAgent(role string) error {
	ctx, s, err := Attach(context.Background(), os.Environ())
	if err != nil {
		return err
	}
	again, same, err := Attach(ctx, os.Environ())
	if err != nil || same.Runtime() != s.Runtime() || again.Err() != nil {
		return fmt.Errorf("attached again: %v", err)
	}
	if err = same.Close(); err != nil || ctx.Err() != nil {
		return fmt.Errorf("closed one of two: %v %v", err, context.Cause(ctx))
	}
	if _, err = s.Charge(Charge{Nanos: Dollar / 4}); err != nil {
		return err
	}
	if role == "wait" {
		fmt.Println("ready")
		select {
		case <-ctx.Done():
			fmt.Println(context.Cause(ctx))
		case <-time.After(patience):
			return fmt.Errorf("the context was not cancelled")
		}
	}
	return s.Close()
}

// openHome opens a home of the test's own.
func openHome(t *testing.T, options ...OpenOption) *Runtime {
	t.Helper()
	shm, err := os.MkdirTemp("/dev/shm", "bursar-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(shm) })
	home := filepath.Join(t.TempDir(), "home")
	rt := open(t, append(options, Home(home), ShmDir(shm))...)
	_, err = rt.Budget("acme", Limits("$100")) // a home refuses what no budget limits
	must(t, err)
	return rt
}

// run starts the sub-agent of a session.
func run(t *testing.T, s *Session, role string) *exec.Cmd {
	t.Helper()
	lines, err := s.Environ()
	must(t, err)
	command := exec.Command(os.Args[0])
	command.Env = append(append(os.Environ(), lines...), "TEST_ROLE="+role)
	return command
}

func TestASubAgentSpendsItsParentsSession(t *testing.T) {
	rt := openHome(t)
	_, s := session(t, rt, "acme/support", Limits("$0.40"))
	out, err := run(t, s, "spend").CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	view, err := rt.Read(s.ID())
	must(t, err)
	equal(t, "spent", view.Spent, Dollar/4)
	_, err = s.Charge(Charge{Nanos: Dollar / 4})
	wants(t, "above the limit", err, ErrBudgetExceeded)
	_, err = s.Charge(Charge{Nanos: 3 * Dollar / 20}) // the sub-agent did not close it
	must(t, err)
}

func TestAKillCancelsContextsInOtherProcesses(t *testing.T) {
	rt := openHome(t)
	_, s := session(t, rt, "acme/support", Limits("$1"))
	command := run(t, s, "wait")
	out, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	buffer := make([]byte, 256)
	n, err := out.Read(buffer)
	must(t, err)
	equal(t, "said", string(buffer[:n]), "ready\n")
	must(t, rt.Kill(s.ID(), "enough"))
	n, err = out.Read(buffer)
	must(t, err)
	if !strings.Contains(string(buffer[:n]), "enough") {
		t.Errorf("the cause is %q", buffer[:n])
	}
	must(t, command.Wait())
	must(t, rt.Revive(s.ID(), ""))
}

func TestWhatIsNoSessionIsTold(t *testing.T) {
	rt := openHome(t)
	ctx := context.Background()
	for _, text := range []string{"", "7", "0000000000000000", "7fffffffffffffff", "FFFFFFFFFFFFFFFF"} {
		if _, _, err := rt.Attach(ctx, text); err == nil {
			t.Errorf("attached to %q", text)
		}
	}
	_, _, err := Attach(ctx, []string{"BURSAR_HOME=/somewhere"})
	wants(t, "half of the environment", err, ErrNotFound)
	_, s := session(t, open(t), "acme", Limits("$1"))
	_, err = s.Environ()
	wants(t, "a private session", err, ErrUnsupported)
}

func TestWhoAttachesIsAnAgentUnlessItSaysOtherwise(t *testing.T) {
	rt := openHome(t)
	_, s := session(t, rt, "acme/support", Limits("$0.40"))
	lines, err := s.Environ()
	must(t, err)
	_, agent, err := Attach(context.Background(), lines)
	must(t, err)
	t.Cleanup(func() { agent.Runtime().Close() })
	wants(t, "limits", agent.Runtime().SetLimits(s.ID(), "$9"), ErrRole)
	_, other, err := Attach(context.Background(), lines, RoleOperator)
	must(t, err)
	t.Cleanup(func() { other.Runtime().Close() })
	must(t, other.Runtime().SetLimits(s.ID(), "$9"))
}

func TestAttachingMakesNoHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	_, _, err := Attach(context.Background(), []string{"BURSAR_HOME=" + home, "BURSAR_SESSION=0000000300000007"})
	wants(t, "no home", err, ErrHome)
	if _, err = os.Stat(home); err == nil {
		t.Error("a home was made")
	}
}

func TestATildeIsTheUsersDirectory(t *testing.T) {
	t.Setenv("HOME", "/srv/of mine")
	root, err := user.Lookup("root")
	must(t, err)
	for given, wanted := range map[string]string{
		"": "", "/a/~": "/a/~", "~": "/srv/of mine", "~/b/../c": "/srv/of mine/c", "~root": root.HomeDir, "~root/x": root.HomeDir + "/x",
	} {
		found, err := directory(given)
		must(t, err)
		equal(t, given, found, wanted)
	}
	t.Setenv("HOME", "")
	me, err := user.Current()
	must(t, err)
	found, err := directory("~/x")
	must(t, err)
	equal(t, "without HOME", found, filepath.Join(me.HomeDir, "x"))
	_, err = directory("~nobody of that name/x")
	wants(t, "no such user", err, ErrInvalid)
}

func TestAHomeThatGoesAwayIsToldByTheEventAndByEveryCall(t *testing.T) {
	rt := openHome(t)
	ctx, s := session(t, rt, "acme/support", Limits("$1"))
	events := rt.Events(ctx)
	info, err := rt.HomeInfo()
	must(t, err)
	must(t, os.Rename(info.SegmentPath, info.SegmentPath+".away"))
	after := time.After(patience)
	for told := false; !told; {
		select {
		case event := <-events:
			told = event.Type == EventHome && strings.Contains(event.Text, "is gone")
		case <-after:
			t.Fatal("no event")
		}
	}
	_, err = s.Charge(Charge{Nanos: 1})
	_, environ := s.Environ()
	for _, err := range []error{err, environ, rt.Kill(s.ID(), "")} {
		wants(t, "afterwards", err, ErrHome)
		if !strings.Contains(err.Error(), info.SegmentPath) {
			t.Errorf("the sentence does not name it: %v", err)
		}
	}
	must(t, rt.Close())
}

func TestAHomeSaysWhoIsThere(t *testing.T) {
	rt := openHome(t, Name("tester"), RoleOperator)
	info, err := rt.HomeInfo()
	must(t, err)
	equal(t, "processes", info.Processes, 1)
	equal(t, "flags", info.Flags, HomeShared)
	all, err := rt.Processes()
	must(t, err)
	equal(t, "processes", len(all), 1)
	equal(t, "pid", all[0].PID, uint32(os.Getpid()))
	equal(t, "name", all[0].Name, "tester")
	equal(t, "role", all[0].Role, RoleOperator)
}

func TestAHomeThatCannotBeUsedIsRefusedWithASentence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(Home(file))
	wants(t, "a file", err, ErrHome)
	if !strings.Contains(err.Error(), file) {
		t.Errorf("the sentence does not name it: %v", err)
	}
	rt := open(t, Home(file), UnavailablePrivate)
	info, err := rt.HomeInfo()
	must(t, err)
	equal(t, "flags", info.Flags, 0)
}

func TestAnAgentCannotRaise(t *testing.T) {
	rt := openHome(t, RoleAgent)
	id, err := rt.Budget("acme", Limits("$1"))
	must(t, err)
	wants(t, "limits", rt.SetLimits(id, "$9"), ErrRole)
	wants(t, "top up", rt.TopUp(id, "$9", 0, ""), ErrRole)
	_, err = rt.Budget("acme/observed", Observed())
	wants(t, "observed", err, ErrRole)
	must(t, rt.Kill(id, "enough"))
	wants(t, "revive", rt.Revive(id, ""), ErrRole)
}
