// The home that a command works on, and the library's functions in Swift's clothes.

import ArgumentParser
import CBursar
import Glibc

/// `--home`, on every command.
struct HomeOption: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The home: a directory. Default: $BURSAR_HOME, else ~/.bursar.", valueName: "directory"), completion: Completion.home)
    var home: String?

    /// Opens the home, which must be there.
    func open(role: Int32 = BURSAR_ROLE_OPERATOR) throws -> Home {
        try Home(path, role: role)
    }

    var path: String {
        get throws {
            if home == "" { throw Failure("--home is empty: it names a home's directory", Code.usage) }
            if let home { return home }
            if let home = environment("BURSAR_HOME") { return home }
            guard let user = environment("HOME") else {
                throw Failure("no home: neither --home nor $BURSAR_HOME says which, and $HOME is not set", Code.usage)
            }
            return user + "/.bursar"
        }
    }
}

func environment(_ name: String) -> String? {
    guard let text = getenv(name), text.pointee != 0 else { return nil }
    return String(cString: text)
}

/// An open home. Closed with the last reference to it.
final class Home {
    let runtime: OpaquePointer
    let path: String

    init(_ path: String, role: Int32 = BURSAR_ROLE_OPERATOR, make: Bool = false, group: Bool = false) throws {
        self.path = path
        var isThere = stat()
        if !make, stat(path, &isThere) != 0, errno == ENOENT {
            throw Failure(
                "there is no home at \(path): name it with --home or $BURSAR_HOME, or make it with "
                    + "`bursar home create`", Code.notFound)
        }
        var opened: OpaquePointer?
        var error = bursar_error_t.new
        var options = bursar_open_options_t()
        options.size = UInt32(MemoryLayout<bursar_open_options_t>.size)
        options.role = role
        options.flags = (make ? 0 : UInt32(BURSAR_OPEN_EXISTING)) | (group ? UInt32(BURSAR_OPEN_GROUP) : 0)
        let status = path.withText { path in
            "bursar".withText { name in
                options.home = path
                options.name = name
                return bursar_open(&options, &opened, &error)
            }
        }
        guard status == BURSAR_OK, let opened else {
            let said = Failure(error)
            if make || status != BURSAR_E_HOME { throw said }
            var todo = "; --home or $BURSAR_HOME names another"
            if access(path, R_OK | W_OK | X_OK) != 0, errno == EACCES || errno == EROFS {
                todo = "; who uses a home writes there: it is its owner's, or its group's if it was made with --group"
            } else if stat(path + "/home", &isThere) != 0 {
                todo += ", `bursar home create` makes one"
            }
            throw Failure(said.description + todo, said.code)
        }
        runtime = opened
    }

    deinit { bursar_close(runtime) }

    /// Calls a function that answers with a status and an error. `given` are the texts that a status is about.
    func expect(
        _ given: [bursar_status_t: String] = [:], _ call: (inout bursar_error_t) throws -> bursar_status_t
    ) throws {
        var error = bursar_error_t.new
        let status = try call(&error)
        if status != BURSAR_OK {
            if error.status == BURSAR_OK { throw Failure(status, "the home \(path)") }
            throw Failure(error, of: given[error.status])
        }
    }

    // MARK: - Finding

    /// The budget or session that a word on the command line names: a path, or an id.
    func find(_ word: String) throws -> bursar_id_t {
        if let id = bursar_id_t(word), id > 0 {
            _ = try read(id, as: word.named)
            return id
        }
        var id: bursar_id_t = 0
        let status = word.withText { bursar_budget_find(runtime, $0.data ?? emptyText, $0.len, &id) }
        if status == BURSAR_E_NOT_FOUND {
            throw Failure("there is no budget \(word.named)\(closest(to: word))", Code.notFound)
        }
        if status == BURSAR_E_PATH {
            throw Failure(
                "\(word.named) is no path and no id: a path is up to 8 names of 1 to 64 bytes, such as acme/support",
                Code.text)
        }
        if status != BURSAR_OK { throw Failure(status, word.named) }
        return id
    }

    /// A path that some budget has, or had: others are a mistake.
    func expectKnown(_ path: String) throws {
        if path.isEmpty { throw Failure("--path is empty: it names a budget, such as acme/support", Code.text) }
        var isKnown = false
        try ask("SELECT 1 FROM v_budgets WHERE path = ? LIMIT 1", [.text(path)]) { _ in isKnown = true }
        if isKnown { return }
        // Says which one may be meant.
        let id = try find(path)
        if text(id, BURSAR_TEXT_PATH) != path { throw Failure("\(path.named) is an id: --path takes a path", Code.usage) }
    }

    /// A hint at the budget that was meant.
    private func closest(to word: String) -> String {
        guard word.utf8.count <= 8 * 65 else { return ": `bursar budget list` shows those there are" }
        var best: (distance: Int, path: String)?
        for node in (try? nodes(sessions: false)) ?? [] {
            let distance = editDistance(word, node.path)
            if distance < best?.distance ?? (word.count / 3 + 2) { best = (distance, node.path) }
        }
        return best.map { ": is it \($0.path.named)?" } ?? ": `bursar budget list` shows those there are"
    }

    // MARK: - Reading

    func read(_ id: bursar_id_t, as name: String = "it") throws -> bursar_view_t {
        var view = bursar_view_t()
        view.size = UInt32(MemoryLayout<bursar_view_t>.size)
        let status = bursar_read(runtime, id, &view)
        if status != BURSAR_OK {
            throw Failure(
                "\(name) names no budget or session that is there: `bursar status --sessions` shows their ids",
                Code.of(status))
        }
        return view
    }

    func text(_ id: Int64, _ which: Int32) -> String {
        text { bursar_text_read(self.runtime, id, which, $0, $1, $2) } ?? ""
    }

    /// What a function writes into a buffer of ours.
    func text(_ call: (UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>) -> bursar_status_t) -> String? {
        var capacity = 256
        while true {
            var length = 0
            var status = BURSAR_OK
            let found = withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
                status = call(buffer.baseAddress, capacity, &length)
                guard status == BURSAR_OK else { return nil as String? }
                return String(decoding: UnsafeRawBufferPointer(buffer).prefix(length), as: UTF8.self)
            }
            if status == BURSAR_E_BUFFER, length + 1 > capacity { capacity = length + 1 } else { return found }
        }
    }

    func children(_ id: bursar_id_t) throws -> [bursar_id_t] {
        var ids = [bursar_id_t](repeating: 0, count: 64)
        while true {
            var count = 0
            let status = bursar_children(runtime, id, &ids, ids.count, &count)
            if status == BURSAR_E_NOT_FOUND { return [] }
            if status != BURSAR_OK { throw Failure(status, "reading the home") }
            if count <= ids.count { return Array(ids.prefix(count)) }
            ids = [bursar_id_t](repeating: 0, count: count + 64)
        }
    }

    func limits(_ id: bursar_id_t, _ count: UInt32) -> [bursar_limit_view_t] {
        (0..<count).compactMap { position in
            var limit = bursar_limit_view_t()
            limit.size = UInt32(MemoryLayout<bursar_limit_view_t>.size)
            return bursar_limit_read(runtime, id, position, &limit) == BURSAR_OK ? limit : nil
        }
    }

    /// A budget or session as the tree is walked: parents first.
    struct Node {
        let id: bursar_id_t
        let depth: Int
        let path: String
        let view: bursar_view_t
    }

    /// Everything below `top` (0 = all), parents first, read many at a time. What goes away meanwhile is
    /// not among them. Without sessions those are not walked into either.
    func nodes(below top: bursar_id_t = 0, depth: Int = 0, sessions: Bool = true) throws -> [Node] {
        var level = try children(top)
        var below: [bursar_id_t: [bursar_view_t]] = [:]
        while !level.isEmpty {
            var next: [bursar_id_t] = []
            for view in try views(level) where view.id != 0 {
                if view.kind == BURSAR_KIND_SESSION, !sessions { continue }
                below[view.parent, default: []].append(view)
                if view.children > 0 { next += try children(view.id) }
            }
            level = next
        }
        var found: [Node] = []
        func add(_ parent: bursar_id_t, _ depth: Int, _ path: String) {
            for view in below[parent] ?? [] {
                // A session's path is that of its budget.
                let own = view.kind == BURSAR_KIND_SESSION && !path.isEmpty ? path : text(view.id, BURSAR_TEXT_PATH)
                found.append(Node(id: view.id, depth: depth, path: own, view: view))
                add(view.id, depth + 1, own)
            }
        }
        add(top, depth, top == 0 ? "" : text(top, BURSAR_TEXT_PATH))
        return found
    }

    /// Many at once; where one is gone, its id is 0.
    func views(_ ids: [bursar_id_t]) throws -> [bursar_view_t] {
        guard !ids.isEmpty else { return [] }
        var views = [bursar_view_t](repeating: bursar_view_t(), count: ids.count)
        views[0].size = UInt32(MemoryLayout<bursar_view_t>.size)
        let status = bursar_views(runtime, ids, ids.count, &views)
        if status != BURSAR_OK { throw Failure(status, "reading the home \(path.named)") }
        return views
    }
}

extension bursar_error_t {
    static var new: bursar_error_t {
        var error = bursar_error_t()
        error.size = UInt32(MemoryLayout<bursar_error_t>.size)
        return error
    }
}

extension bursar_limit_view_t {
    var canonical: String {
        withUnsafeBytes(of: text) { String(decoding: $0.prefix(Int(min(text_len, 123))), as: UTF8.self) }
    }
}

nonisolated(unsafe) let emptyText: UnsafePointer<CChar> = {
    let text = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
    text.pointee = 0
    return UnsafePointer(text)
}()

extension String {
    /// The text as the library takes it, for the call.
    func withText<R>(_ body: (bursar_text_t) throws -> R) rethrows -> R {
        var copy = self
        return try copy.withUTF8 { bytes in
            try bytes.withMemoryRebound(to: CChar.self) {
                try body(bursar_text_t(data: $0.baseAddress ?? emptyText, len: $0.count))
            }
        }
    }
}

/// Many texts as the library takes them, for the call.
func withTexts<R>(_ texts: [String], _ body: ([bursar_text_t]) throws -> R) rethrows -> R {
    var found: [bursar_text_t] = []
    func next(_ k: Int) throws -> R {
        if k == texts.count { return try body(found) }
        return try texts[k].withText {
            found.append($0)
            return try next(k + 1)
        }
    }
    return try next(0)
}

/// How many letters two words are apart (Levenshtein).
func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a.utf8), b = Array(b.utf8)
    var row = Array(0...b.count)
    for i in 0..<a.count {
        var corner = row[0]
        row[0] = i + 1
        for j in 0..<b.count {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, corner + (a[i] == b[j] ? 0 : 1))
            corner = above
        }
    }
    return row[b.count]
}
