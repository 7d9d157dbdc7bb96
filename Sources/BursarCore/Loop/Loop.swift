// The loop: one libuv loop per runtime, on a thread of its own that starts when it
// is first needed, or the caller's. On it: folding, time to live, deadlines,
// windows, thresholds, callbacks. It holds one timer and one doorbell; ringing is
// only ever "look at the queues".
//
// Only the loop's thread touches its handles, but for the doorbell, which
// uv_async_send() may ring from any.

internal import CLibuv
internal import CPlatform

final class Loop: @unchecked Sendable {  // Sendable because of `lock` and libuv's rules.
    private let core: Core
    private let isOwn: Bool
    private let uv: UnsafeMutablePointer<uv_loop_t>
    private let bell: UnsafeMutablePointer<uv_async_t>
    private let timer: UnsafeMutablePointer<uv_timer_t>
    /// The bell that other processes ring; nil in a private runtime.
    private let poll: UnsafeMutablePointer<uv_poll_t>?
    private let descriptor: Int32  // our own copy: a loop watches a descriptor once

    /// Held for a turn's duties: they are one thread's at a time. (A test does some itself.)
    let turning = Lock()
    private let lock = Lock()
    private var thread: UInt64 = 0  // guarded by lock
    private var isRunning = false  // guarded by lock
    private var isStopping = false  // guarded by lock

    /// `descriptor` is the bell that other processes ring, or -1.
    init(core: Core, external: UnsafeMutableRawPointer?, descriptor: Int32) throws(Failure) {
        self.core = core
        self.descriptor = descriptor < 0 ? -1 : bursar__fd_copy(descriptor)
        _ = bursar__keep_from_child(self.descriptor)
        isOwn = external == nil
        poll = self.descriptor < 0 ? nil : Loop.make(UV_POLL, uv_poll_t.self)
        bell = Loop.make(UV_ASYNC, uv_async_t.self)
        timer = Loop.make(UV_TIMER, uv_timer_t.self)
        if let external {
            uv = external.assumingMemoryBound(to: uv_loop_t.self)
        } else {
            uv = UnsafeMutableRawPointer.allocate(byteCount: uv_loop_size(), alignment: 16)
                .bindMemory(to: uv_loop_t.self, capacity: 1)
        }
        // On a loop of the caller's the handles go in now, on the loop's thread;
        // on our own when its thread starts.
        if !isOwn, let code = attach() { throw Loop.failure(code) }
    }

    private static func make<T>(_ type: uv_handle_type, _: T.Type) -> UnsafeMutablePointer<T> {
        UnsafeMutableRawPointer.allocate(byteCount: uv_handle_size(type), alignment: 16)
            .bindMemory(to: T.self, capacity: 1)
    }

    private static func failure(_ code: Int32) -> Failure {
        var failure = Failure(.loop, "libuv refused the loop's handles")
        failure.values.0 = Int64(code)
        return failure
    }

    private func attach() -> Int32? {
        let page = core.page
        var code = uv_async_init(uv, bell) { handle in
            guard let handle, let page = handle.pointee.data else { return }
            Core(page: page).runtime.loop.turn()
        }
        if code != 0 { return code }
        bell.pointee.data = page
        code = uv_timer_init(uv, timer)
        if code != 0 { return code }
        timer.pointee.data = page
        code = watchBell()
        if code != 0 { return code }
        // None keeps a loop of the caller's alive.
        if !isOwn {
            if let poll {
                UnsafeMutableRawPointer(poll).withMemoryRebound(to: uv_handle_t.self, capacity: 1) {
                    uv_unref($0)
                }
            }
            UnsafeMutableRawPointer(bell).withMemoryRebound(to: uv_handle_t.self, capacity: 1) {
                uv_unref($0)
            }
            UnsafeMutableRawPointer(timer).withMemoryRebound(to: uv_handle_t.self, capacity: 1) {
                uv_unref($0)
            }
        }
        isRunning = true
        return nil
    }

    private func watchBell() -> Int32 {
        guard let poll else { return 0 }
        let code = uv_poll_init(uv, poll, descriptor)
        if code != 0 { return code }
        poll.pointee.data = core.page
        return uv_poll_start(poll, Int32(UV_READABLE.rawValue)) { handle, _, _ in
            guard let handle, let page = handle.pointee.data else { return }
            let runtime = Core(page: page).runtime
            runtime.attachment.bells.drain()
            // The bell is the process's: what it rang for may be another's.
            runtime.attachment.ringOwn(except: page)
            runtime.loop.turn()
        }
    }

    /// Rings the doorbell, starting the thread the first time. Any thread.
    func ring() {
        lock.lock()
        if !isRunning, !isStopping, isOwn, core.life.value == 0 { start() }
        if isRunning, !isStopping { uv_async_send(bell) }
        lock.unlock()
    }

    private func start() {
        guard uv_loop_init(uv) == 0 else { return }
        if attach() != nil {
            isRunning = false
            return
        }
        for fd in ownDescriptors { _ = bursar__keep_from_child(fd) }
        let code = bursar__thread_start(
            { argument in
                guard let argument else { return }
                Core(page: argument).runtime.loop.run()
            }, core.page, &thread)
        // Without a thread nothing is folded by itself; every call still works.
        if code != 0 { isRunning = false }
    }

    /// What libuv opened for a loop of our own: a child of fork(), which never runs that
    /// loop, closes it. (uv_loop_fork() would open others, and calls malloc().)
    private var ownDescriptors: [Int32] {
        let loop = uv.pointee
        return [
            loop.backend_fd, loop.async_io_watcher.fd, loop.async_wfd, loop.signal_pipefd.0,
            loop.signal_pipefd.1,
        ]
    }

    private func run() { _ = uv_run(uv, UV_RUN_DEFAULT) }

    /// One turn: everything that is due, then the timer for what comes next.
    private func turn() {
        _ = core.statistic(Header.wakeUps).add(1)
        lock.lock()
        let stops = isStopping
        lock.unlock()
        if stops {
            detach()
            return
        }
        let runtime = core.runtime
        turning.lock()
        let next = runtime.attendToAll()
        turning.unlock()
        arm(next)
        runtime.events.deliver()
    }

    /// `next` in steady nanoseconds.
    private func arm(_ next: Int64) {
        if next == .max {
            uv_timer_stop(timer)
            return
        }
        let wait = max(saturatingAdd(next, 0 &- core.engine.pointee.clock.steady), 0)
        let millis = UInt64(min(wait / 1_000_000 + 1, 86_400_000))
        uv_update_time(uv)
        uv_timer_start(
            timer,
            { handle in
                guard let handle, let page = handle.pointee.data else { return }
                Core(page: page).runtime.loop.turn()
            }, millis, 0)
    }

    /// Ends the thread, or takes the handles out of the caller's loop. Called once.
    func stop() {
        lock.lock()
        isStopping = true
        let ran = isRunning
        if ran, isOwn { uv_async_send(bell) }
        lock.unlock()
        if !ran {
            // Never given to a loop, and from here on never will be.
            bell.deallocate()
            timer.deallocate()
            poll?.deallocate()
            if descriptor >= 0 { bursar__close_kept(descriptor) }
            return
        }
        if isOwn {
            bursar__thread_join(thread)
            for fd in ownDescriptors { bursar__forget_kept(fd) }
            _ = uv_loop_close(uv)
        } else {
            core.runtime.events.deliver()
            detach()
        }
        lock.lock()
        isRunning = false
        lock.unlock()
    }

    /// Closes the handles. On the caller's loop they are freed when it has run
    /// once more; on ours here, as nobody else can come.
    private func detach() {
        core.runtime.resignAsKeeper()
        if isOwn { core.runtime.events.deliver() }
        uv_timer_stop(timer)
        if let poll {
            uv_poll_stop(poll)
            bursar__close_kept(descriptor)
            UnsafeMutableRawPointer(poll).withMemoryRebound(to: uv_handle_t.self, capacity: 1) {
                uv_close($0) { handle in UnsafeMutableRawPointer(handle)?.deallocate() }
            }
        }
        UnsafeMutableRawPointer(timer).withMemoryRebound(to: uv_handle_t.self, capacity: 1) {
            uv_close($0) { handle in UnsafeMutableRawPointer(handle)?.deallocate() }
        }
        UnsafeMutableRawPointer(bell).withMemoryRebound(to: uv_handle_t.self, capacity: 1) {
            uv_close($0) { handle in UnsafeMutableRawPointer(handle)?.deallocate() }
        }
    }

    deinit {
        if isOwn { UnsafeMutableRawPointer(uv).deallocate() }
    }
}
