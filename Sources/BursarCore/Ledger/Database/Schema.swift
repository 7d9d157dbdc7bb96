// The schema of `ledger.db`, and the statements that write it.
//
// Tables hold what came, in rows that are small and cheap to write; the views
// (Views.swift) are for readers. Money is INTEGER nano-dollars, times are INTEGER unix
// nanoseconds, NULL is unknown. A segment's ids, `node` and `number`, are kept only to
// find a row again; keys are the database's own and stay.
//
// steps: the key is the time at which the step settled, made unique by counting on
//   within its clock tick, so that a stretch of time is a range of keys and needs no
//   index. A row is one step, or, without a handle, `count` of them that compaction
//   added up: one hour of a session, the same in all that is not a sum.
// segments: the last batch of each segment. It is written with the batch itself, in
//   one transaction, so a batch that is redone is seen to be there.
// sessions: with the sums of their own steps, so that no report has to add them up.
// spent: a budget's sums by meter, of all that is below it; numbered like the meters in
//   `names`, whose keys up to 63 are the fixed ones, numbered as in bursar.h.
// corrections: what a corrected step had been estimated at.

enum Schema {
    /// "Burs", 1114993267: what `file` and SQLite know the file by.
    static let application: Int64 = 0x4275_7273

    /// `versions[n]` makes of version n the next one, and ends by saying so in
    /// `user_version`. Version 0 is an empty file.
    static let versions: [[StaticString]] = [[tables, Views.text]]

    private static let tables: StaticString = """
        CREATE TABLE segments(id INTEGER PRIMARY KEY, batch INTEGER NOT NULL) STRICT;
        CREATE TABLE progress(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE names(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL,
          UNIQUE(kind, name)) STRICT;
        INSERT INTO names VALUES(0,4,'cost'),(1,4,'tokens'),(2,4,'input_tokens'),
          (3,4,'output_tokens'),(4,4,'fresh_tokens'),(5,4,'steps'),(6,4,'tool_calls'),(7,4,'in_flight'),
          (32,4,'wall'),(33,4,'idle'),(34,4,'unattended'),(63,0,'');
        CREATE TABLE numbers(segment INTEGER, kind INTEGER, number INTEGER, name INTEGER NOT NULL,
          PRIMARY KEY(segment, kind, number)) STRICT, WITHOUT ROWID;
        CREATE TABLE label_sets(id INTEGER PRIMARY KEY, packed BLOB NOT NULL UNIQUE) STRICT;
        CREATE TABLE labels(label_set INTEGER, key TEXT, value TEXT NOT NULL,
          PRIMARY KEY(label_set, key)) STRICT, WITHOUT ROWID;
        CREATE INDEX labels_by_value ON labels(key, value);
        CREATE TABLE budgets(id INTEGER PRIMARY KEY, parent INTEGER, path TEXT NOT NULL,
          ordinal INTEGER NOT NULL, segment INTEGER, node INTEGER, level_1 TEXT, level_2 TEXT,
          level_3 TEXT, level_4 TEXT, level_5 TEXT, level_6 TEXT, level_7 TEXT, level_8 TEXT,
          owner TEXT, cost_center TEXT, purpose TEXT, opened_at INTEGER, closed_at INTEGER,
          limits TEXT, state INTEGER NOT NULL DEFAULT 0, state_reason INTEGER, state_who TEXT,
          state_why TEXT, state_at INTEGER, flags INTEGER, top_rungs INTEGER, complexity INTEGER,
          UNIQUE(path, ordinal)) STRICT;
        CREATE INDEX budgets_by_node ON budgets(segment, node);
        CREATE TABLE limits(budget INTEGER, position INTEGER, text TEXT, meter INTEGER,
          window_start INTEGER, base INTEGER, since INTEGER, extra INTEGER, fired INTEGER, ring BLOB,
          PRIMARY KEY(budget, position)) STRICT, WITHOUT ROWID;
        CREATE TABLE top_ups(budget INTEGER, position INTEGER, amount INTEGER, ends_at INTEGER) STRICT;
        CREATE INDEX top_ups_by_budget ON top_ups(budget);
        CREATE TABLE spent(budget INTEGER, meter INTEGER, amount INTEGER NOT NULL,
          PRIMARY KEY(budget, meter)) STRICT, WITHOUT ROWID;
        CREATE TABLE sessions(id INTEGER PRIMARY KEY, segment INTEGER NOT NULL, node INTEGER NOT NULL,
          budget INTEGER, parent INTEGER, agent TEXT, user TEXT, owner TEXT, cost_center TEXT,
          complexity INTEGER, label_set INTEGER, opened_at INTEGER, closed_at INTEGER, reason TEXT,
          steps INTEGER NOT NULL DEFAULT 0, tool_calls INTEGER NOT NULL DEFAULT 0,
          estimated INTEGER NOT NULL DEFAULT 0, input_tokens INTEGER NOT NULL DEFAULT 0,
          cache_read_input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
          cost_nanos INTEGER NOT NULL DEFAULT 0, asked_cost_nanos INTEGER NOT NULL DEFAULT 0,
          UNIQUE(segment, node)) STRICT;
        CREATE INDEX sessions_by_parent ON sessions(parent) WHERE parent IS NOT NULL;
        CREATE INDEX sessions_by_labels ON sessions(label_set) WHERE label_set IS NOT NULL;
        CREATE TABLE steps(id INTEGER PRIMARY KEY, session INTEGER NOT NULL, count INTEGER NOT NULL,
          steps INTEGER NOT NULL, tool_calls INTEGER NOT NULL, cost_nanos INTEGER NOT NULL,
          asked_cost_nanos INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
          cache_read_input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, asked INTEGER,
          granted INTEGER, tool INTEGER, flags INTEGER NOT NULL, attempt INTEGER NOT NULL,
          complexity INTEGER, variant INTEGER NOT NULL, price INTEGER, took_ns INTEGER, handle INTEGER,
          parent INTEGER, cache_write_input_tokens INTEGER NOT NULL,
          cache_write_1h_input_tokens INTEGER NOT NULL, reasoning_output_tokens INTEGER NOT NULL,
          audio_input_tokens INTEGER NOT NULL, cache_read_audio_input_tokens INTEGER NOT NULL,
          audio_output_tokens INTEGER NOT NULL, image_input_tokens INTEGER NOT NULL,
          image_output_tokens INTEGER NOT NULL, extra_nanos INTEGER NOT NULL,
          reserved_nanos INTEGER NOT NULL, units INTEGER NOT NULL, meter INTEGER, call_meter INTEGER) STRICT;
        CREATE INDEX steps_estimated ON steps(handle) WHERE flags & 1;
        CREATE TABLE corrections(step INTEGER PRIMARY KEY, session INTEGER NOT NULL, handle INTEGER NOT NULL,
          corrected_at INTEGER, cost_nanos INTEGER NOT NULL, estimated_cost_nanos INTEGER NOT NULL,
          estimated_asked_cost_nanos INTEGER NOT NULL, estimated_input_tokens INTEGER NOT NULL,
          estimated_cache_read_input_tokens INTEGER NOT NULL, estimated_output_tokens INTEGER NOT NULL,
          estimated_steps INTEGER NOT NULL, estimated_tool_calls INTEGER NOT NULL,
          estimated_units INTEGER NOT NULL) STRICT;
        CREATE TABLE events(id INTEGER PRIMARY KEY, segment INTEGER NOT NULL, sequence INTEGER NOT NULL,
          at INTEGER NOT NULL, type INTEGER NOT NULL, budget INTEGER, session INTEGER, step INTEGER,
          meter INTEGER, percent INTEGER, amount INTEGER, "limit" INTEGER, committed INTEGER,
          reason INTEGER, path TEXT, text TEXT, actor TEXT) STRICT;
        CREATE INDEX events_by_time ON events(at);
        CREATE TABLE outcomes(id INTEGER PRIMARY KEY, key TEXT, revision INTEGER NOT NULL, name TEXT,
          state INTEGER NOT NULL, session INTEGER, budget INTEGER, label_key TEXT, label_value TEXT,
          value_nanos INTEGER, rework_nanos INTEGER NOT NULL, rework_ns INTEGER NOT NULL,
          at INTEGER NOT NULL, who TEXT, why TEXT, UNIQUE(key, revision)) STRICT;
        PRAGMA application_id=1114993267;
        PRAGMA user_version=1;
        """
}

/// The statements that stay prepared.
enum SQL: Int {
    case begin, commit, rollback, batch, setBatch
    case findName, addName, findNumber, setNumber
    case findLabels, addLabels, addLabel
    case budgetOfNode, budgetOfPath, closeBudget, addBudget, adoptBudget, describeBudget
    case setState, clearLimits, clearTopUps, addLimit, addTopUp
    case spent, addSpent, findSession, addSession, describeSession, addToSession
    case insertStep, lastStep, estimatedStep, correctStep, keepEstimate
    case addEvent, addOutcome, closeSessions
    case progress, setProgress, nextStep, rollUp, dropSteps

    var text: StaticString {
        switch self {
        case .begin: "BEGIN IMMEDIATE"
        case .commit: "COMMIT"
        case .rollback: "ROLLBACK"
        case .batch: "SELECT batch FROM segments WHERE id=?"
        case .setBatch:
            "INSERT INTO segments VALUES(?,?) ON CONFLICT DO UPDATE SET batch=excluded.batch"
        case .findName: "SELECT id FROM names WHERE kind=? AND name=?"
        case .addName: "INSERT INTO names(kind,name) VALUES(?,?)"
        case .findNumber: "SELECT name FROM numbers WHERE segment=? AND kind=? AND number=?"
        case .setNumber:
            "INSERT INTO numbers VALUES(?,?,?,?) ON CONFLICT DO UPDATE SET name=excluded.name"
        case .findLabels: "SELECT id FROM label_sets WHERE packed=?"
        case .addLabels: "INSERT INTO label_sets(packed) VALUES(?)"
        case .addLabel: "INSERT OR REPLACE INTO labels VALUES(?,?,?)"
        case .budgetOfNode: "SELECT id FROM budgets WHERE segment=? AND node=?"
        case .budgetOfPath:
            """
            SELECT id,closed_at,segment,ordinal FROM budgets WHERE path=? ORDER BY ordinal DESC LIMIT 1
            """
        case .closeBudget: "UPDATE budgets SET closed_at=?2 WHERE id=?1"
        case .addBudget: "INSERT INTO budgets(path,ordinal,segment,node) VALUES(?,?,?,?)"
        case .adoptBudget: "UPDATE budgets SET segment=?2,node=?3 WHERE id=?1"
        case .describeBudget:
            """
            UPDATE budgets SET parent=?2,owner=?3,cost_center=?4,purpose=?5,
            opened_at=coalesce(opened_at,?6),closed_at=?7,complexity=?8,level_1=?9,level_2=?10,
            level_3=?11,level_4=?12,level_5=?13,level_6=?14,level_7=?15,level_8=?16 WHERE id=?1
            """
        case .setState:
            """
            UPDATE budgets SET limits=?2,state=?3,state_reason=?4,state_who=?5,state_why=?6,state_at=?7,
            flags=?8,top_rungs=?9,complexity=?10 WHERE id=?1
            """
        case .clearLimits: "DELETE FROM limits WHERE budget=?"
        case .clearTopUps: "DELETE FROM top_ups WHERE budget=?"
        case .addLimit: "INSERT INTO limits VALUES(?,?,?,?,?,?,?,?,?,?)"
        case .addTopUp: "INSERT INTO top_ups VALUES(?,?,?,?)"
        case .spent: "SELECT amount FROM spent WHERE budget=? AND meter=?"
        case .addSpent:
            """
            INSERT INTO spent VALUES(?,?,?)
            ON CONFLICT DO UPDATE SET amount=cast(amount+excluded.amount AS INTEGER)
            """
        case .findSession: "SELECT id FROM sessions WHERE segment=? AND node=?"
        case .addSession: "INSERT INTO sessions(segment,node) VALUES(?,?)"
        case .describeSession:
            """
            UPDATE sessions SET budget=?2,parent=?3,agent=?4,user=?5,owner=?6,cost_center=?7,
            complexity=?8,label_set=?9,opened_at=coalesce(?10,opened_at),closed_at=?11,reason=?12
            WHERE id=?1
            """
        case .addToSession:
            """
            UPDATE sessions SET steps=steps+?2,tool_calls=tool_calls+?3,estimated=estimated+?4,
            input_tokens=cast(input_tokens+?5 AS INTEGER),
            cache_read_input_tokens=cast(cache_read_input_tokens+?6 AS INTEGER),
            output_tokens=cast(output_tokens+?7 AS INTEGER),
            cost_nanos=cast(cost_nanos+?8 AS INTEGER),
            asked_cost_nanos=cast(asked_cost_nanos+?9 AS INTEGER) WHERE id=?1
            """
        case .insertStep:
            """
            INSERT INTO steps VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
            """
        case .lastStep: "SELECT max(id) FROM steps WHERE id>=?1 AND id<?1+1000000"
        case .estimatedStep:
            """
            SELECT id,steps,tool_calls,input_tokens,cache_read_input_tokens,output_tokens,cost_nanos,
            asked_cost_nanos FROM steps WHERE handle=? AND session=? AND flags&1
            """
        case .keepEstimate:
            """
            INSERT INTO corrections SELECT id,session,handle,?2,?3,cost_nanos,asked_cost_nanos,input_tokens,
            cache_read_input_tokens,output_tokens,steps,tool_calls,units FROM steps WHERE id=?1
            """
        case .correctStep:
            """
            UPDATE steps SET steps=?4,tool_calls=?5,cost_nanos=?6,asked_cost_nanos=?7,input_tokens=?8,
            cache_read_input_tokens=?9,output_tokens=?10,flags=(flags&~17)|(?14&16)|128,
            cache_write_input_tokens=?22,cache_write_1h_input_tokens=?23,reasoning_output_tokens=?24,
            audio_input_tokens=?25,cache_read_audio_input_tokens=?26,audio_output_tokens=?27,
            image_input_tokens=?28,image_output_tokens=?29,extra_nanos=?30,units=?32 WHERE id=?1
            """
        case .addEvent: "INSERT INTO events VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        case .addOutcome:
            """
            INSERT INTO outcomes VALUES(NULL,?1,(SELECT coalesce(max(revision),0)+1 FROM outcomes
            WHERE key=?1),?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)
            """
        case .closeSessions:
            "UPDATE sessions SET closed_at=?2,reason=?3 WHERE closed_at IS NULL AND segment<>?1"
        case .progress: "SELECT value FROM progress WHERE name=?"
        case .setProgress:
            "INSERT INTO progress VALUES(?,?) ON CONFLICT DO UPDATE SET value=excluded.value"
        case .nextStep: "SELECT min(id) FROM steps WHERE id>=?"
        case .rollUp:
            """
            SELECT 0,session,sum(count),sum(steps),sum(tool_calls),sum(cost_nanos),sum(asked_cost_nanos),
            sum(input_tokens),sum(cache_read_input_tokens),sum(output_tokens),asked,granted,tool,flags,
            attempt,complexity,variant,price,sum(took_ns),NULL,NULL,sum(cache_write_input_tokens),
            sum(cache_write_1h_input_tokens),sum(reasoning_output_tokens),sum(audio_input_tokens),
            sum(cache_read_audio_input_tokens),sum(audio_output_tokens),sum(image_input_tokens),
            sum(image_output_tokens),sum(extra_nanos),sum(reserved_nanos),sum(units),meter,call_meter
            FROM steps WHERE id>=? AND id<? AND handle IS NOT NULL AND NOT flags&1
            GROUP BY session,asked,granted,tool,flags,attempt,complexity,variant,price,took_ns IS NULL,
            meter,call_meter
            """
        case .dropSteps: "DELETE FROM steps WHERE id>=? AND id<? AND handle IS NOT NULL AND NOT flags&1"
        }
    }
}
