// What a shell offers after a tab: paths of the home's budgets, ids of its sessions.

import ArgumentParser
import CBursar

enum Completion {
    static let paths = CompletionKind.custom { words, _, _ in names(words, budgets: true, sessions: false) }
    static let sessions = CompletionKind.custom { words, _, _ in names(words, budgets: false, sessions: true) }
    static let targets = CompletionKind.custom { words, _, _ in names(words, budgets: true, sessions: true) }
    static let home = CompletionKind.directory
    static let file = CompletionKind.file()

    /// A home that is not there, or cannot be opened, has none to offer.
    private static func names(_ words: [String], budgets: Bool, sessions: Bool) -> [String] {
        var option = HomeOption()
        option.home = nil
        for (k, word) in words.enumerated() {
            if word == "--home", k + 1 < words.count { option.home = words[k + 1] }
            if word.hasPrefix("--home=") { option.home = String(word.dropFirst("--home=".count)) }
        }
        var found: [String] = []
        for node in (try? option.open().nodes(sessions: sessions)) ?? [] {
            if node.view.kind == BURSAR_KIND_SESSION {
                if sessions, node.view.state != BURSAR_STATE_CLOSED { found.append(String(node.id)) }
            } else if budgets, node.path.visible == node.path {
                found.append(node.path)
            }
        }
        return found
    }
}
