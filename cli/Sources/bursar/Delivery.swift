// Where alerts go: a command, or an address that takes JSON. What fails is tried again.

import CBursar
import CLaunch
import Glibc

enum Delivery {
    /// Runs a shell command with JSON on its standard input and facts in its environment.
    static func execute(_ command: String, _ alert: Alert) -> String? {
        let event = alert.event
        let facts = [
            "BURSAR_ALERT=\(alert.resolvedAt == nil ? "firing" : "resolved")", "BURSAR_EVENT=\(event.type)",
            "BURSAR_PATH=\(event.path)", "BURSAR_SUMMARY=\(alert.sentence.visible)", "BURSAR_PERCENT=\(event.percent)",
            "BURSAR_METER=\(event.meter)", "BURSAR_LIMIT=\(event.limit)", "BURSAR_COMMITTED=\(event.committed)",
        ]
        return spawn(["/bin/sh", "-c", command], facts, input: alert.json + "\n", timeout: 60)
    }

    /// Posts JSON. https is left to curl.
    static func post(_ url: String, _ body: String) -> String? {
        if url.hasPrefix("http://") { return postPlainly(url, body) }
        return spawn(
            [
                "curl", "--silent", "--show-error", "--fail", "--max-time", "10", "--header",
                "Content-Type: application/json", "--data-binary", "@-", "--output", "/dev/null", "--", url,
            ], [], input: body, timeout: 15)
    }

    /// Tries each, and those that fail again 1, 2 and 4 seconds later; what went wrong with them last.
    /// Those that are `down`, since even that was in vain, are tried once: alerts to others do not wait.
    static func insist(
        _ places: [(name: String, attempt: () -> String?)], _ down: inout Set<String>
    ) -> [(name: String, wrong: String)] {
        var wrong = places.compactMap { place in place.attempt().map { (place, $0) } }
        for pause: UInt32 in [1, 2, 4] where wrong.contains(where: { !down.contains($0.0.name) }) {
            sleep(pause)
            wrong = wrong.compactMap { place, was in
                down.contains(place.name) ? (place, was) : place.attempt().map { (place, $0) }
            }
        }
        down = Set(wrong.map { $0.0.name })
        return wrong.map { ($0.0.name, $0.1) }
    }

    // MARK: - Processes

    private static func spawn(_ words: [String], _ facts: [String], input: String, timeout: Int32) -> String? {
        var ends: [Int32] = [0, 0]
        guard launch_pipe(&ends) == 0 else { return String(cString: strerror(errno)) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var lines = facts.map { strdup($0) }
        var at = environ
        while let line = at.pointee {
            lines.append(strdup(line))
            at += 1
        }
        lines.append(nil)
        var arguments = words.map { strdup($0) }
        arguments.append(nil)
        defer { for text in lines + arguments { free(text) } }
        var pid: pid_t = 0
        let error = posix_spawnp(&pid, words[0], &actions, &attributes, arguments, lines)
        close(ends[0])
        if error != 0 {
            close(ends[1])
            return error == ENOENT ? "`\(words[0])` is not there" : String(cString: strerror(error))
        }
        // It fits into the pipe: nobody waits here for a command that does not read.
        let text = Array(input.utf8.prefix(60_000))
        signal(SIGPIPE, SIG_IGN)
        _ = write(ends[1], text, text.count)
        signal(SIGPIPE, SIG_DFL)
        close(ends[1])
        let descriptor = launch_process_descriptor(pid)
        var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let hasEnded = poll(&watched, 1, timeout * 1000) > 0
        if !hasEnded { kill(-pid, SIGKILL) }
        close(descriptor)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        if !hasEnded { return "it had not ended after \(timeout) s" }
        let code = launch_exit_code(status)
        return code == 0 ? nil : "`\(words[0])` ended with \(code)"
    }

    // MARK: - HTTP

    /// One POST (RFC 9110, 9112): a status of 200 to 299 is good.
    private static func postPlainly(_ url: String, _ body: String) -> String? {
        let rest = url.dropFirst("http://".count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        var target = String(rest.dropFirst(authority.count).prefix { $0 != "#" })
        if !target.hasPrefix("/") { target = "/" + target }
        var host = String(authority)
        var port = "80"
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            (host, port) = (String(authority[..<colon]), String(authority[authority.index(after: colon)...]))
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let error = getaddrinfo(host, port, &hints, &found)
        if error != 0 { return "\(host): \(String(cString: gai_strerror(error)))" }
        defer { freeaddrinfo(found) }
        var wrong = "\(host): no address"
        var next = found
        while let address = next {
            next = address.pointee.ai_next
            let kind = address.pointee.ai_socktype | Int32(SOCK_CLOEXEC.rawValue)
            let descriptor = socket(address.pointee.ai_family, kind, address.pointee.ai_protocol)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            var patience = timeval(tv_sec: 10, tv_usec: 0)
            for option in [SO_SNDTIMEO, SO_RCVTIMEO] {
                setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
            }
            if connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) != 0 {
                wrong = "\(authority): \(String(cString: strerror(errno)))"
                continue
            }
            let head =
                "POST \(target) HTTP/1.1\r\nHost: \(authority)\r\nUser-Agent: bursar\r\n"
                + "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n"
            let bytes = Array((head + body).utf8)
            var sent = 0
            while sent < bytes.count {
                let count = bytes.withUnsafeBytes {
                    send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
                }
                if count <= 0 { return "\(authority): \(String(cString: strerror(errno)))" }
                sent += count
            }
            // "HTTP/1.1 204 No Content"
            var answer: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 512)
            while answer.count < 12 {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                if count <= 0 { return "\(authority): no answer" }
                answer += buffer[..<count]
            }
            let words = String(decoding: answer.prefix { $0 != 13 && $0 != 10 }, as: UTF8.self).split(separator: " ")
            guard words.count >= 2, words[0].hasPrefix("HTTP/"), let code = Int(words[1]) else {
                return "\(authority): that is no HTTP"
            }
            return (200..<300).contains(code) ? nil : "\(authority): status \(code)"
        }
        return wrong
    }
}
