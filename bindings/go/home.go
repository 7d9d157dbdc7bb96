// SPDX-License-Identifier: Apache-2.0

// Homes: their directory's name, and sessions that go from one process to another.

package bursar

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
)

// directory is a home's directory as every process names it; "" is none.
func directory(home string) (string, error) {
	if home == "" {
		return "", nil
	}
	path, err := expanded(home)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", &Error{Status: ErrInvalid, Message: "the home " + home + ": " + err.Error()}
	}
	return path, nil
}

// expanded has the directory of the user that a leading ~ or ~name stands for: $HOME, or what
// the system knows.
func expanded(path string) (string, error) {
	if path[0] != '~' {
		return path, nil
	}
	name, _, _ := strings.Cut(path[1:], "/")
	own := os.Getenv("HOME")
	if name != "" || own == "" {
		find := user.Current
		if name != "" {
			find = func() (*user.User, error) { return user.Lookup(name) }
		}
		who, err := find()
		if err != nil {
			return "", err
		}
		own = who.HomeDir
	}
	return own + path[1+len(name):], nil
}

// HomeInfo returns what home the runtime has; Flags are 0 when it is private.
func (rt *Runtime) HomeInfo() (HomeInfo, error) {
	var h HomeInfo
	status := abiHomeInfo(rt.engine(), &h)
	return h, rt.check(status)
}

// Processes returns the processes that are attached to the home.
func (rt *Runtime) Processes() ([]Process, error) {
	var all []Process
	for {
		var p Process
		switch status := abiHomeProcess(rt.engine(), len(all), &p); status {
		case OK:
			all = append(all, p)
		case ErrNotFound:
			return all, nil
		default:
			return nil, rt.check(status)
		}
	}
}

// Environ returns BURSAR_HOME and BURSAR_SESSION for the environment of a sub-agent in another
// process, which calls Attach:
//
//	lines, err := s.Environ()
//	command.Env = append(os.Environ(), lines...)
//
// From then on the session stays open when this process dies, until somebody closes it.
func (s *Session) Environ() ([]string, error) {
	text, status := readText(func(buf []byte) (int, Status) {
		return abiSessionEnviron(s.runtime.engine(), s.id, buf)
	})
	if status != OK {
		return nil, s.runtime.check(status)
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), nil
}

// attachment is what Attach opens a home by.
type attachment struct {
	home string
	role Role
}

var attached = struct {
	sync.Mutex
	runtimes map[attachment]*Runtime
}{runtimes: map[attachment]*Runtime{}}

// Attach returns the session that this process was handed in its environment:
//
//	ctx, s, err := bursar.Attach(ctx, os.Environ())
//
// It is the session of Session.Environ, with its limits and what it has spent. Its home is
// opened when Attach has not done that in this role before, and never made; Session.Runtime is
// the runtime. The role is RoleAgent, which cannot raise limits, revive or remove, unless
// RoleOperator is among the options. The context is as Runtime.Session's. ErrNotFound: the
// variables are not there, or the session is not.
func Attach(ctx context.Context, environ []string, options ...OpenOption) (
	context.Context, *Session, error) {
	home, session := variable(environ, "BURSAR_HOME"), variable(environ, "BURSAR_SESSION")
	if home == "" || session == "" {
		return ctx, nil, &Error{Status: ErrNotFound,
			Message: "BURSAR_HOME or BURSAR_SESSION is not set: start this process with the lines of Session.Environ"}
	}
	path, err := directory(home)
	if err != nil {
		return ctx, nil, err
	}
	options = append([]OpenOption{RoleAgent}, options...)
	options = append(options, Home(path), Existing())
	key := attachment{path, collected(options).role}
	attached.Lock()
	defer attached.Unlock()
	rt := attached.runtimes[key]
	if rt == nil || rt.engine() == nil {
		if rt, err = Open(options...); err != nil {
			return ctx, nil, err
		}
		attached.runtimes[key] = rt
	}
	return rt.Attach(ctx, session)
}

// Attach returns a session of the home that another process handed over, by the value of its
// BURSAR_SESSION.
func (rt *Runtime) Attach(ctx context.Context, session string) (context.Context, *Session, error) {
	s := &Session{runtime: rt, attached: true}
	open := func(e *engine) (ID, error) { return abiSessionAttach(e, session) }
	if err := rt.watch.open(s, open); err != nil {
		return ctx, nil, rt.detailed(err)
	}
	return s.Context(ctx), s, nil
}

// variable is the last value of a name, as for a process.
func variable(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if value, found := strings.CutPrefix(environ[i], name+"="); found {
			return value
		}
	}
	return ""
}
