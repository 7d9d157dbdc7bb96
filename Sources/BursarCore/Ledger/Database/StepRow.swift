// A step as a row: 34 integers, bound in one loop. SQLite keeps what was bound, so a
// column is bound again only when it differs from the row before, and most do not.

internal import CLedger
internal import CSQLite

final class StepRow {
    static let columns = 34
    private let values: UnsafeMutablePointer<Int64>
    private let bound: UnsafeMutablePointer<Int64>
    private var isBound = false

    init() {
        values = .allocate(capacity: StepRow.columns * 2)
        bound = values + StepRow.columns
    }

    deinit { values.deallocate() }

    /// What was bound is not any more.
    func clear() { isBound = false }

    /// A column by its number from 0.
    subscript(_ column: Int) -> Int64 {
        get { values[column] }
        set { values[column] = newValue }
    }

    /// All amounts of a step; keys are the caller's. Columns in the order of the table.
    @inline(__always)
    func fill(_ step: StepEntry, session: Int64) {
        let v = values
        v[1] = session
        v[2] = 1
        v[3] = step.steps
        v[4] = step.toolCalls
        v[5] = step.cost
        v[6] = step.askedCost
        v[7] = step.input
        v[8] = step.cacheRead
        v[9] = step.output
        v[13] = Int64(step.flags)
        v[14] = Int64(step.attempt)
        v[15] = step.complexity == 0 ? null : Int64(step.complexity)
        v[16] = Int64(step.variant)
        v[18] = step.started == 0 ? null : max(step.settled &- step.started, 0)
        v[19] = step.handle
        v[20] = step.parent == 0 ? null : step.parent
        v[21] = step.cacheWrite
        v[22] = step.cacheWrite1h
        v[23] = step.reasoning
        v[24] = step.audioInput
        v[25] = step.cacheReadAudio
        v[26] = step.audioOutput
        v[27] = step.imageInput
        v[28] = step.imageOutput
        v[29] = step.extraNanos
        v[30] = step.reserved
        v[31] = step.units
    }

    /// Binds what the statement for insertion does not have yet.
    @inline(__always)
    fileprivate func bindChanges(_ statement: OpaquePointer?) {
        for k in 0..<StepRow.columns where !isBound || values[k] != bound[k] {
            let value = values[k]
            if value == null {
                sqlite3_bind_null(statement, Int32(k + 1))
            } else {
                sqlite3_bind_int64(statement, Int32(k + 1), value)
            }
            bound[k] = value
        }
        isBound = true
    }

    /// Takes a row that has the table's columns.
    func take(_ statement: Statement) {
        for k in 0..<StepRow.columns { values[k] = statement.isNull(k) ? null : statement.int(k) }
    }
}

extension Database {
    /// Inserts `row` at its first column's time, or as soon after it as there is room:
    /// steps of one tick of a coarse clock follow one another.
    @inline(never)
    func insertRow() throws(Failure) {
        let statement = connection[.insertStep]
        for _ in 0..<1_000 {
            row.bindChanges(statement.handle)
            let code = sqlite3_step(statement.handle)
            if code == SQLITE_DONE {
                sqlite3_reset(statement.handle)
                return
            }
            let failure = code == bursar__sqlite_taken ? nil : connection.failure(code)
            sqlite3_reset(statement.handle)
            if let failure { throw failure }
            row[0] = max(try connection.first(.lastStep, row[0]) ?? 0, row[0]) + 1
        }
        throw connection.failure(bursar__sqlite_taken)
    }
}
