// `bursar top` on a terminal: draws, and does what keys say.

import CBursar
import CLaunch
import Glibc

final class TopScreen {
    private let home: Home
    private let snapshot: Snapshot
    private let painter: Painter
    private let signals: Signals
    private let every: Int64
    private var state: Painter.State

    /// What is asked at the foot: a line that is typed, or yes or no.
    private enum Prompt {
        case none
        case filter
        case amount(bursar_id_t)
        case sure(String, () -> bursar_status_t)
    }
    private var prompt = Prompt.none
    private var typed = ""
    private var place = 0  // the row of what is chosen, kept where that ends
    private var isOver = false

    init(
        _ home: Home, _ snapshot: Snapshot, _ painter: Painter, _ signals: Signals, _ state: Painter.State, every: Int64
    ) {
        (self.home, self.snapshot, self.painter) = (home, snapshot, painter)
        (self.signals, self.state, self.every) = (signals, state, every)
    }

    /// Until somebody quits; the signal that ended it, if one did.
    func loop() throws -> Int32? {
        var next = monotonic() + every
        choose(0)
        draw()
        while !isOver {
            var watched = [
                pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            let left = max(0, next - monotonic())
            _ = poll(&watched, 2, Int32(clamping: (left + 999_999) / 1_000_000))
            if watched[1].revents != 0 {
                while let (number, _) = signals.next() {
                    switch number {
                    case SIGWINCH: break
                    case SIGTSTP: suspend()
                    case SIGCONT: _ = terminal_take(STDOUT_FILENO)
                    default: return number
                    }
                }
            }
            if watched[0].revents != 0, !keys() { return SIGHUP }
            if monotonic() >= next {
                next = monotonic() + every
                try snapshot.refresh()
                choose(0)
            }
            draw()
        }
        return nil
    }

    private func suspend() {
        terminal_restore()
        raise(SIGSTOP)
        // Whoever goes on gets SIGCONT, which takes the terminal again.
    }

    private func draw() {
        var (columns, rows): (Int32, Int32) = (0, 0)
        if terminal_size(STDOUT_FILENO, &columns, &rows) != 0 || columns == 0 || rows == 0 { (columns, rows) = (80, 24) }
        var state = state
        switch prompt {
        case .none: break
        case .filter: state.message = "filter: \(typed.visible)_"
        case .amount(let id): state.message = "top up \(name(id)) by ('$5', '200k tokens'): \(typed.visible)_"
        case .sure(let question, _): state.message = question + " y/n"
        }
        let lines = painter.lines(&state, width: Int(columns), height: Int(rows), clock: String(localTime(now).suffix(8)))
        self.state.top = state.top
        var out = "\u{1B}[H"
        for (k, line) in lines.enumerated() { out += (k == 0 ? "" : "\r\n") + line + "\u{1B}[K" }
        out += "\u{1B}[J"
        out.withUTF8 { bytes in
            var sent = 0
            while sent < bytes.count {
                let count = write(STDOUT_FILENO, bytes.baseAddress! + sent, bytes.count - sent)
                if count <= 0 { return }
                sent += count
            }
        }
    }

    // MARK: - Choosing

    private func choose(_ step: Int) {
        let rows = painter.rows(state.pane, state)
        guard !rows.isEmpty else {
            state.selected = 0
            return
        }
        let at = rows.firstIndex { $0.id == state.selected } ?? place
        place = max(0, min(rows.count - 1, at + step))
        state.selected = rows[place].id
    }

    private func name(_ id: bursar_id_t) -> String {
        let text = snapshot.text(of: id)
        return state.pane == .sessions ? "session \(id) of \(text.path)" : text.path
    }

    // MARK: - Keys

    /// False when the terminal is gone.
    private func keys() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = read(STDIN_FILENO, &bytes, bytes.count)
        if count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN) { return count > 0 }
        var at = 0
        while at < count {
            let rest = bytes[at..<count]
            // Arrows and their like: ESC [ A, ESC O A, ESC [ 5 ~.
            if rest.first == 0x1B, rest.count > 2, [0x5B, 0x4F].contains(rest[at + 1]) {
                let end = rest.dropFirst(2).firstIndex { (0x40...0x7E).contains($0) } ?? count - 1
                move(Array(rest[(at + 2)...end]))
                at = end + 1
            } else {
                key(rest[at])
                at += 1
                // What was typed before a question could be read does not answer it: a pasted "sky" kills nobody.
                if case .sure = prompt {
                    tcflush(STDIN_FILENO, TCIFLUSH)
                    return true
                }
            }
        }
        return true
    }

    private func move(_ sequence: [UInt8]) {
        guard case .none = prompt else { return }
        switch String(decoding: sequence, as: UTF8.self) {
        case "A": choose(-1)
        case "B": choose(1)
        case "5~": choose(-10)
        case "6~": choose(10)
        case "H", "1~": choose(-1_000_000)
        case "F", "4~": choose(1_000_000)
        default: break
        }
    }

    private func key(_ byte: UInt8) {
        let key = Character(Unicode.Scalar(byte))
        if byte == 3 { isOver = true }  // ^C
        if byte == 26 { return suspend() }  // ^Z
        switch prompt {
        case .sure(_, let action):
            prompt = .none
            if key == "y" || key == "Y" {
                let status = action()
                state.message = status == BURSAR_OK ? "done" : String(cString: bursar_status_string(status))
                try? snapshot.refresh()
            } else {
                state.message = "nothing was done"
            }
        case .filter, .amount:
            type(byte)
        case .none:
            state.message = ""
            press(key)
        }
    }

    private func press(_ key: Character) {
        switch key {
        case "q": isOver = true
        case "\t":
            state.pane = state.pane == .budgets ? .sessions : .budgets
            place = 0
            choose(0)
        case "j": choose(1)
        case "/": (prompt, typed) = (.filter, state.filter)
        case "s":
            let all = Painter.Order.allCases
            state.order = all[((all.firstIndex(of: state.order) ?? 0) + 1) % all.count]
        case "p": ask("pause") { bursar_pause($0, $1, $2, $3) }
        case "r": ask("resume") { bursar_resume($0, $1, $2, $3) }
        case "k": ask("kill") { bursar_kill($0, $1, $2, $3) }
        case "v": ask("revive") { bursar_revive($0, $1, $2, $3) }
        case "+": if state.selected != 0 { (prompt, typed) = (.amount(state.selected), "") }
        default: break
        }
    }

    private func ask(_ verb: String, _ call: @escaping Target.Switch) {
        let id = state.selected
        guard id != 0 else { return }
        let children = (try? home.read(id))?.children ?? 0
        let below = state.pane == .budgets && children > 0 ? " and all below it" : ""
        let home = home
        prompt = .sure("\(verb) \(name(id))\(below)?") { "bursar top".withText { call(home.runtime, id, $0.data, $0.len) } }
    }

    private func type(_ byte: UInt8) {
        switch byte {
        case 13, 10:
            defer { typed = "" }
            if case .amount(let id) = prompt {
                let amount = typed
                let home = home
                prompt = .none
                if amount.isEmpty { return }
                var parsed = bursar_error_t.new
                var length = 0
                let status = amount.withText {
                    bursar_limits_parse(home.runtime, 0, $0.data, $0.len, nil, 0, &length, &parsed)
                }
                if status != BURSAR_OK, status != BURSAR_E_BUFFER {
                    state.message = Failure(parsed).description.visible
                    return
                }
                prompt = .sure("top up \(name(id)) by \(amount.visible)?") {
                    amount.withText { amount in
                        "bursar top".withText {
                            bursar_top_up(home.runtime, id, amount.data ?? emptyText, amount.len, 0, $0.data, $0.len, nil)
                        }
                    }
                }
            } else {
                state.filter = typed
                prompt = .none
                choose(0)
            }
        case 27: (prompt, typed) = (.none, "")
        case 8, 127: if !typed.isEmpty { typed.removeLast() }
        case 21: typed = ""
        case 32..<127: if typed.count < 80 { typed.unicodeScalars.append(Unicode.Scalar(byte)) }
        default: break
        }
    }
}
