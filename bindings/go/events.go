// SPDX-License-Identifier: Apache-2.0

// Events, and the contexts that they cancel. One goroutine per runtime waits for
// the library's descriptor in Go's own poller: no thread blocks for it, and the
// library never enters Go.
//
// Contexts hang in a tree that has a node for each session with a context and for
// each of its ancestors, so that stopping a budget visits what is below it and
// nothing else. A session is opened and enters the tree under the tree's mutex: a
// stop that comes before is seen in its state, one that comes after finds it in
// the tree.

package bursar

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"
)

// Event is something that happened in a runtime.
type Event struct {
	Type        EventType
	ID          ID // the budget or session
	Session     ID // the session whose step caused it, or 0
	Reservation Reservation
	Time        time.Time
	Sequence    int64
	Meter       Meter
	Percent     int
	Amount      int64
	Limit       int64
	Committed   int64
	Reason      Reason
	Path        string // of ID
	Text        string // a reason or a name
}

// Events returns a channel of all events from now on, until ctx is done or the runtime is
// closed. It holds 256; of a reader that is slower some are lost, and an EventLost in their
// place says how many.
func (rt *Runtime) Events(ctx context.Context) <-chan Event {
	l := &listener{events: make(chan Event, 256)}
	w := rt.watch
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.stopped {
		close(l.events)
		return l.events
	}
	w.listeners[l] = context.AfterFunc(ctx, func() {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		if _, listens := w.listeners[l]; listens {
			delete(w.listeners, l)
			close(l.events)
		}
	})
	return l.events
}

type listener struct {
	events chan Event
	lost   int64
}

// send never waits: the goroutine that sends also cancels contexts.
func (l *listener) send(event Event) {
	if l.lost > 0 {
		select {
		case l.events <- Event{Type: EventLost, Amount: l.lost, Time: event.Time, Sequence: event.Sequence}:
			l.lost = 0
		default:
			l.lost++
			return
		}
	}
	select {
	case l.events <- event:
	default:
		l.lost++
	}
}

// node is a budget or session that has contexts at it or below it.
type node struct {
	id       ID
	parent   *node
	below    map[*node]struct{}
	sessions map[*Session]struct{} // more than one when it was attached more than once
}

type watch struct {
	runtime *Runtime
	file    *os.File // a duplicate of the library's descriptor
	done    chan struct{}

	mutex     sync.Mutex // guards what follows, and each session's node and cancel
	nodes     map[ID]*node
	listeners map[*listener]func() bool
	stopped   bool
	batch     []Event
}

func startWatch(rt *Runtime) (*watch, error) {
	fd, status := abiEventsFD(rt.engine())
	if status != OK {
		return nil, status
	}
	own, err := syscall.Dup(fd)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(own)
	syscall.SetNonblock(own, true)
	w := &watch{
		runtime:   rt,
		file:      os.NewFile(uintptr(own), "bursar events"),
		done:      make(chan struct{}),
		nodes:     map[ID]*node{},
		listeners: map[*listener]func() bool{},
	}
	connection, err := w.file.SyscallConn()
	if err != nil {
		w.file.Close()
		return nil, err
	}
	engine := rt.engine()
	go func() {
		defer close(w.done)
		// The poller reports edges: wait again only when nothing is left to take.
		connection.Read(func(uintptr) bool {
			w.drain(engine)
			return false
		})
	}()
	return w, nil
}

// stop ends the goroutine, hands out what waits, and lets go of everything.
func (w *watch) stop(engine *engine) {
	w.file.Close()
	<-w.done
	w.drain(engine)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.stopped = true
	for _, n := range w.nodes {
		n.cancelOwn(ErrClosed)
	}
	for l, forget := range w.listeners {
		forget()
		close(l.events)
	}
	w.nodes, w.listeners = nil, nil
}

func (w *watch) drain(engine *engine) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for !w.stopped {
		events, status := abiEventsPoll(engine, w.batch[:0])
		if status != OK && status != ErrClosed {
			// The descriptor says nothing of when this is over.
			time.AfterFunc(time.Second, func() { w.drain(engine) })
		}
		if status != OK || len(events) == 0 {
			return
		}
		w.batch = events
		for _, event := range events {
			for l := range w.listeners {
				l.send(event)
			}
			w.follow(engine, event)
		}
	}
}

// follow cancels the contexts that an event stops.
func (w *watch) follow(engine *engine, event Event) {
	switch event.Type {
	case EventKill, EventPause, EventHalt, EventDeadline, EventIdle, EventUnattended:
		n := w.nodes[event.ID]
		if n == nil {
			return
		}
		if cause := w.cause(engine, event.ID, event); cause != nil {
			n.cancel(cause)
		}
	case EventLost:
		for id, n := range w.nodes {
			if len(n.sessions) == 0 {
				continue
			}
			if cause := w.stoppedBy(engine, id); cause != nil {
				n.cancel(cause)
			}
		}
	}
}

func (n *node) cancelOwn(cause error) {
	for s := range n.sessions {
		if s.cancel != nil {
			s.cancel(cause)
		}
	}
}

func (n *node) cancel(cause *Decision) {
	n.cancelOwn(cause)
	for below := range n.below {
		below.cancel(cause)
	}
}

// cause is why id itself is stopped, or nil: a limit that refuses one step, or only observes,
// leaves the steps that were admitted alone.
func (w *watch) cause(engine *engine, id ID, event Event) *Decision {
	d := &Decision{Verdict: VerdictHalt, Reason: ReasonKilled, Remedy: RemedyStop, Budget: id,
		Meter: event.Meter, Limit: event.Limit, Committed: event.Committed}
	var view View
	switch {
	case event.Type == EventKill:
	case event.Type == EventPause && id == Everything:
		d.Verdict, d.Reason, d.Remedy = VerdictPause, ReasonPaused, RemedyAsk
	case abiRead(engine, id, &view) != OK || view.State == StateOpen:
		return nil
	default:
		d.Reason = view.Reason
		if view.State == StatePaused {
			d.Verdict, d.Remedy = VerdictPause, RemedyAsk
		}
	}
	d.text = d.Reason.String()
	if event.Path != "" {
		d.text += " at " + event.Path
	}
	if event.Text != "" {
		d.text += ": " + event.Text
	}
	return d
}

// stoppedBy looks for what stops id, from itself up.
func (w *watch) stoppedBy(engine *engine, id ID) *Decision {
	var view View
	if abiRead(engine, id, &view) != OK || view.EffectiveState == StateOpen {
		return nil
	}
	state := view.EffectiveState
	for view.State != state && view.Parent != 0 && abiRead(engine, view.Parent, &view) == OK {
	}
	if view.State != state { // everything is stopped, at no node
		view = View{State: state, Reason: ReasonKilled}
		if state == StatePaused {
			view.Reason = ReasonPaused
		}
	}
	d := &Decision{Verdict: VerdictHalt, Reason: view.Reason, Remedy: RemedyStop, Budget: view.ID}
	if state == StatePaused {
		d.Verdict, d.Remedy = VerdictPause, RemedyAsk
	}
	d.text = d.Reason.String()
	if why, _ := w.runtime.Text(view.ID, TextReason); why != "" {
		d.text += ": " + why
	}
	return d
}

// open opens a session, or attaches to one, and puts it into the tree.
func (w *watch) open(s *Session, get func(*engine) (ID, error)) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.stopped {
		return ErrClosed
	}
	engine := w.runtime.engine()
	id, err := get(engine)
	if err != nil {
		return err
	}
	s.id = id
	s.node = w.node(engine, id)
	if s.node.sessions == nil {
		s.node.sessions = map[*Session]struct{}{}
	}
	s.node.sessions[s] = struct{}{}
	return nil
}

// attach gives a session another context, which is cancelled already when it is stopped.
func (w *watch) attach(s *Session, ctx context.Context, cancel context.CancelCauseFunc) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if s.cancel != nil {
		s.cancel(context.Canceled)
	}
	s.context, s.cancel = ctx, cancel
	if w.stopped || s.node == nil {
		cancel(ErrClosed)
	} else if cause := w.stoppedBy(w.runtime.engine(), s.id); cause != nil {
		cancel(cause)
	}
}

// latest is the context that a session has now.
func (w *watch) latest(s *Session) context.Context {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return s.context
}

// close takes a session out of the tree; false when it was closed before.
func (w *watch) close(s *Session) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	n := s.node
	if n == nil {
		return false
	}
	s.node = nil
	delete(n.sessions, s)
	s.cancel(ErrClosed)
	for ; n != nil && len(n.sessions) == 0 && len(n.below) == 0; n = n.parent {
		delete(w.nodes, n.id)
		if n.parent != nil {
			delete(n.parent.below, n)
		}
	}
	return true
}

// node is the tree's node for id, made with its ancestors when it is new.
func (w *watch) node(engine *engine, id ID) *node {
	if n := w.nodes[id]; n != nil {
		return n
	}
	n := &node{id: id}
	w.nodes[id] = n
	var view View
	if id != Everything && abiRead(engine, id, &view) == OK {
		n.parent = w.node(engine, view.Parent)
		if n.parent.below == nil {
			n.parent.below = map[*node]struct{}{}
		}
		n.parent.below[n] = struct{}{}
	}
	return n
}
