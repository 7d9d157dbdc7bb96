// The undo log of a runtime's segment, as its methods write through it: `edit[word] = value`.

/// Holds no log itself, which each of some 150 places would have to keep and let go.
struct Edit {
    let runtime: Runtime

    subscript(word: Word) -> Int64 {
        get { word.value }
        @inline(never) nonmutating set { runtime.segment.edit[word] = newValue }
    }

    subscript(half: Half) -> UInt32 {
        get { half.value }
        @inline(never) nonmutating set { runtime.segment.edit[half] = newValue }
    }

    @inline(never)
    func update(_ half: Half, setting: UInt32 = 0, clearing: UInt32 = 0) {
        runtime.segment.edit.update(half, setting: setting, clearing: clearing)
    }

    @discardableResult
    @inline(never)
    func update(state: Word, setting: Int64 = 0, clearing: Int64 = 0) -> Int64 {
        runtime.segment.edit.update(state: state, setting: setting, clearing: clearing)
    }

    func store(state: Word, _ value: Int64) { runtime.segment.edit.store(state: state, value) }

    func copy(_ from: UnsafeRawBufferPointer, to p: UnsafeMutableRawPointer) {
        runtime.segment.edit.copy(from, to: p)
    }

    func zero(_ p: UnsafeMutableRawPointer, _ count: Int) { runtime.segment.edit.zero(p, count) }

    func set(ceiling: Word, to value: Int64) { runtime.segment.edit.set(ceiling: ceiling, to: value) }

    @inline(never)
    func commit() { runtime.segment.edit.commit() }
}
