-- All SQL of the ledger: `pack.py` makes Sources/CLedger/text.c of it. A section begins
-- with `--: name`; SQL of Sources/BursarCore/Ledger/Database has the same names.
--
-- The schema of `ledger.db`, and the statements that write it.
--
-- Tables hold what came, in rows that are small and cheap to write; the views
-- (Views.swift) are for readers. Money is INTEGER nano-dollars, times are INTEGER unix
-- nanoseconds, NULL is unknown. A segment's ids, `node` and `number`, are kept only to
-- find a row again; keys are the database's own and stay.
--
-- steps: the key is the time at which the step settled, made unique by counting on
--   within its clock tick, so that a stretch of time is a range of keys and needs no
--   index. A row is one step, or, without a handle, `count` of them that compaction
--   added up: of one hour of a session, the same in all that is not a sum, with the key
--   of the first of them.
-- progress: `compacted`: hours before this time were added up; `retention_days`: for how
--   long steps are kept single, 0 = for ever.
-- segments: the last batch of each segment. It is written with the batch itself, in
--   one transaction, so a batch that is redone is seen to be there.
-- sessions: with the sums of their own steps, so that no report has to add them up.
-- former_owners: whose a session's steps up to one were, when its budget has got another
--   owner or cost centre.
-- spent: a budget's sums by meter, of all that is below it; numbered like the meters in
--   `names`, whose keys up to 63 are the fixed ones, numbered as in bursar.h.
-- corrections: what a corrected step had been estimated at.

--: schema
CREATE TABLE segments(id INTEGER PRIMARY KEY, batch INTEGER NOT NULL) STRICT;
CREATE TABLE progress(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO progress VALUES('retention_days',90);
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
  paused_ns INTEGER, paused_since INTEGER, earn_nanos INTEGER, earn_most_nanos INTEGER,
  earn_outcome TEXT,
  UNIQUE(path, ordinal)) STRICT;
CREATE INDEX budgets_by_node ON budgets(segment, node);
CREATE TABLE limits(budget INTEGER, position INTEGER, text TEXT, meter INTEGER,
  window_start INTEGER, base INTEGER, since INTEGER, extra INTEGER, earned INTEGER, fired INTEGER,
  ring BLOB,
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
CREATE TABLE former_owners(session INTEGER, until INTEGER, owner TEXT NOT NULL,
  cost_center TEXT NOT NULL, PRIMARY KEY(session, until)) STRICT, WITHOUT ROWID;
CREATE TRIGGER keep_owner BEFORE UPDATE OF owner, cost_center ON sessions
  WHEN old.opened_at IS NOT NULL AND (old.owner IS NOT new.owner
  OR old.cost_center IS NOT new.cost_center)
  BEGIN INSERT OR IGNORE INTO former_owners SELECT old.id, ifnull(max(id),0),
  coalesce(old.owner,'(unowned)'), coalesce(old.cost_center,'(unowned)') FROM steps; END;
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
  reason INTEGER, path TEXT, text TEXT, actor TEXT, UNIQUE(segment, sequence)) STRICT;
CREATE INDEX events_by_time ON events(at);
CREATE TABLE outcomes(id INTEGER PRIMARY KEY, name TEXT, key TEXT, revision INTEGER NOT NULL,
  state INTEGER NOT NULL, session INTEGER, budget INTEGER, label_key TEXT, label_value TEXT,
  value_nanos INTEGER, rework_nanos INTEGER NOT NULL, rework_ns INTEGER NOT NULL,
  at INTEGER NOT NULL, who TEXT, why TEXT, actor TEXT, said_at INTEGER NOT NULL,
  UNIQUE(name, key, revision)) STRICT;
CREATE INDEX outcomes_verified ON outcomes(said_at) WHERE state=2;

-- The views: what readers ask. Columns are the project's words, money ends in `_nanos`,
-- times are unix nanoseconds (`_at`) or UTC text (`day`, `hour`).
--
-- v_steps     every dimension and every amount; group it by any of them. Rows that
--             compaction made stand for `count` steps: add up, do not count rows.
-- v_sessions  direct cost, and inclusive of child sessions: direct + children = inclusive
-- v_budgets   what the counters say, all below included; owner, state, limits
-- v_meters    the same for every meter
-- v_savings   what downgrades saved, by workflow and models
-- v_unowned   spend that nobody answers for
-- v_retries   steps and tries: a retried step is one request, its tries all cost
-- v_outcomes  the latest revision of each, with the cost of what it is credited to
-- v_revisions every revision of every outcome: who said what, when and why
-- v_workflow_value   cost per outcome, net value, value per dollar, of all at a path and below;
--             NULL when no value is known, and `unvalued` says how many outcomes have none. A
--             label's outcome is of a workflow only when all its sessions are
-- v_outcome_value    the same without costs, by workflow and name
-- v_burn      by minute (what was compacted stands at its first step's)
-- v_events    what happened; `type` is the word of bursar.h's BURSAR_EVENT_*, `code` its number
-- v_corrections

CREATE VIEW v_steps AS SELECT t.id settled_at, t.id-t.took_ns started_at,
  date(t.id/1000000000,'unixepoch') day,
  strftime('%Y-%m-%d %H:00',t.id/1000000000,'unixepoch') hour,
  b.level_1 organisation, b.level_2 team, b.level_3, b.level_4, b.level_5, b.level_6, b.level_7,
  b.level_8, b.path workflow, t.session, s.agent, s.user, coalesce(w.owner,s.owner,'(unowned)') owner,
  coalesce(w.cost_center,s.cost_center,'(unowned)') cost_center, s.label_set,
  (SELECT value FROM labels WHERE label_set=s.label_set AND key='feature') feature,
  (SELECT value FROM labels WHERE label_set=s.label_set AND key='customer') customer,
  a.name model_asked, g.name model, o.name tool, p.name price,
  CASE coalesce(t.complexity,s.complexity,b.complexity) WHEN 1 THEN 'routine' WHEN 2 THEN 'standard'
    WHEN 3 THEN 'complex' END complexity,
  CASE t.variant WHEN 1 THEN 'batch' WHEN 2 THEN 'flex' WHEN 3 THEN 'priority' ELSE 'standard' END
    variant,
  t.attempt, t.flags&1 estimated, t.flags>>7&1 corrected, t.flags>>3&1 unpriced, t.count, t.steps,
  t.tool_calls, t.input_tokens, t.cache_read_input_tokens, t.cache_write_input_tokens,
  t.cache_write_1h_input_tokens, t.output_tokens, t.reasoning_output_tokens, t.audio_input_tokens,
  t.cache_read_audio_input_tokens, t.audio_output_tokens, t.image_input_tokens,
  t.image_output_tokens, t.input_tokens+t.output_tokens tokens,
  t.input_tokens+t.output_tokens-t.cache_read_input_tokens fresh_tokens, t.cost_nanos,
  t.asked_cost_nanos, t.asked_cost_nanos-t.cost_nanos saved_nanos, t.extra_nanos, t.reserved_nanos,
  iif(t.flags&16,t.cost_nanos-t.reserved_nanos,0) overrun_nanos, m.name meter, t.units, t.took_ns,
  t.flags, t.handle, t.parent
  FROM steps t LEFT JOIN sessions s ON s.id=t.session LEFT JOIN budgets b ON b.id=s.budget
  LEFT JOIN names a ON a.id=t.asked LEFT JOIN names g ON g.id=t.granted
  LEFT JOIN names o ON o.id=t.tool LEFT JOIN names p ON p.id=t.price
  LEFT JOIN names m ON m.id=t.meter
  LEFT JOIN former_owners w ON w.session=t.session AND w.until=
    (SELECT min(until) FROM former_owners WHERE session=t.session AND until>=t.id);
CREATE VIEW v_sessions AS SELECT s.id session, b.path workflow, b.level_1 organisation,
  b.level_2 team, s.parent parent_session, s.agent, s.user, coalesce(s.owner,'(unowned)') owner,
  coalesce(s.cost_center,'(unowned)') cost_center, s.label_set, s.opened_at, s.closed_at, s.reason,
  s.steps, s.tool_calls, s.estimated, s.input_tokens, s.cache_read_input_tokens, s.output_tokens,
  s.cost_nanos direct_cost_nanos, s.asked_cost_nanos,
  (WITH RECURSIVE d(id,up) AS (SELECT s.id,s.parent UNION ALL
    SELECT c.id,c.parent FROM sessions c JOIN d ON c.id=d.up) SELECT id FROM d
    WHERE up IS NULL) top_session,
  (WITH RECURSIVE d(id) AS (SELECT c.id FROM sessions c WHERE c.parent=s.id UNION ALL
    SELECT c.id FROM sessions c JOIN d ON c.parent=d.id) SELECT coalesce(sum(x.cost_nanos),0)
    FROM d JOIN sessions x ON x.id=d.id) children_cost_nanos,
  (WITH RECURSIVE d(id) AS (SELECT s.id UNION ALL
    SELECT c.id FROM sessions c JOIN d ON c.parent=d.id) SELECT sum(x.cost_nanos)
    FROM d JOIN sessions x ON x.id=d.id) inclusive_cost_nanos
  FROM sessions s LEFT JOIN budgets b ON b.id=s.budget;
CREATE VIEW v_meters AS SELECT b.id budget, b.path, n.name meter, p.amount spent FROM spent p
  JOIN budgets b ON b.id=p.budget JOIN names n ON n.id=p.meter;
CREATE VIEW v_budgets AS SELECT b.id budget, b.parent, b.path, b.level_1 organisation,
  b.level_2 team, coalesce(b.owner,'(unowned)') owner,
  coalesce(b.cost_center,'(unowned)') cost_center, b.purpose, b.opened_at, b.closed_at, b.limits,
  CASE WHEN b.state&2 THEN 'killed' WHEN b.state&8 THEN 'halted' WHEN b.state&20 THEN 'paused'
    WHEN b.closed_at THEN 'removed' ELSE 'open' END state, b.state_who, b.state_why, b.state_at,
  coalesce((SELECT amount FROM spent WHERE budget=b.id AND meter=0),0) cost_nanos,
  coalesce((SELECT amount FROM spent WHERE budget=b.id AND meter=1),0) tokens,
  coalesce((SELECT amount FROM spent WHERE budget=b.id AND meter=5),0) steps,
  coalesce((SELECT amount FROM spent WHERE budget=b.id AND meter=6),0) tool_calls,
  coalesce((SELECT sum(cost_nanos) FROM sessions WHERE budget=b.id),0) direct_cost_nanos,
  b.earn_nanos, b.earn_most_nanos,
  (SELECT max(earned) FROM limits WHERE budget=b.id AND b.earn_nanos) earned_nanos FROM budgets b;
CREATE VIEW v_savings AS SELECT workflow, model_asked, model, sum(steps) steps,
  sum(cost_nanos) cost_nanos, sum(asked_cost_nanos) asked_cost_nanos, sum(saved_nanos) saved_nanos
  FROM v_steps WHERE model_asked IS NOT NULL GROUP BY 1,2,3;
CREATE VIEW v_unowned AS SELECT workflow, agent, user, sum(steps) steps,
  sum(cost_nanos) cost_nanos FROM v_steps WHERE owner='(unowned)' GROUP BY 1,2,3;
CREATE VIEW v_retries AS SELECT workflow, model, tool, sum(iif(attempt,0,steps+tool_calls)) requests,
  sum(steps+tool_calls) tries, sum(iif(attempt,steps+tool_calls,0)) retries, sum(cost_nanos) cost_nanos,
  sum(iif(attempt,cost_nanos,0)) retries_cost_nanos FROM v_steps GROUP BY 1,2,3;
CREATE VIEW v_revisions AS SELECT o.id, o.name, o.key, o.revision,
  CASE o.state WHEN 1 THEN 'stated' WHEN 2 THEN 'verified' WHEN 3 THEN 'disputed'
    WHEN 4 THEN 'corrected' ELSE 'withdrawn' END state, o.session, o.budget, o.label_key,
  o.label_value, o.value_nanos, o.rework_nanos, o.rework_ns, o.at, o.said_at, o.who, o.why,
  o.actor FROM outcomes o;
CREATE VIEW v_outcomes AS SELECT o.id, o.name, o.key, o.state, o.revision,
  b.path workflow, o.session, o.label_key, o.label_value, o.state<>'withdrawn' counts,
  o.value_nanos, o.rework_nanos, o.rework_ns, o.at, o.said_at, o.who, o.why,
  CASE WHEN o.session IS NOT NULL THEN (SELECT inclusive_cost_nanos FROM v_sessions v
      WHERE v.session=o.session)
    WHEN o.label_key IS NOT NULL THEN (SELECT sum(s.cost_nanos) FROM labels l
      JOIN sessions s ON s.label_set=l.label_set WHERE l.key=o.label_key AND l.value=o.label_value)
    END cost_nanos
  FROM v_revisions o LEFT JOIN budgets b ON b.id=coalesce(o.budget,
    (SELECT budget FROM sessions WHERE id=o.session), (SELECT iif(min(s.budget)=max(s.budget),s.budget,NULL)
      FROM labels l JOIN sessions s ON s.label_set=l.label_set
      WHERE l.key=o.label_key AND l.value=o.label_value))
  WHERE o.key IS NULL OR o.revision=
    (SELECT max(revision) FROM outcomes x WHERE x.name IS o.name AND x.key=o.key);
CREATE VIEW v_workflow_value AS WITH
  c AS MATERIALIZED (SELECT b.path, sum(s.cost_nanos) cost_nanos FROM sessions s
    LEFT JOIN budgets b ON b.id=s.budget GROUP BY 1),
  v AS MATERIALIZED (SELECT * FROM v_outcome_value),
  p AS (SELECT path FROM c UNION SELECT workflow FROM v)
  SELECT workflow, outcomes, verified, unvalued, cost_nanos, value_nanos, rework_nanos, rework_ns,
  cost_nanos/nullif(outcomes,0) cost_per_outcome_nanos,
  cost_nanos/nullif(verified,0) cost_per_verified_nanos,
  value_nanos-rework_nanos-cost_nanos net_value_nanos,
  round(1.0*value_nanos/nullif(cost_nanos,0),6) value_per_dollar
  FROM (SELECT p.path workflow, sum(v.outcomes) outcomes, sum(v.verified) verified,
    sum(v.unvalued) unvalued, sum(v.value_nanos) value_nanos, sum(v.rework_nanos) rework_nanos,
    sum(v.rework_ns) rework_ns, (SELECT sum(c.cost_nanos) FROM c WHERE c.path IS p.path
      OR substr(c.path,1,length(p.path)+1)=p.path||'/') cost_nanos
    FROM p LEFT JOIN v ON v.workflow IS p.path
      OR substr(v.workflow,1,length(p.path)+1)=p.path||'/' GROUP BY 1);
CREATE VIEW v_outcome_value AS SELECT workflow, name, sum(counts) outcomes,
  sum(state='verified') verified, sum(state='disputed') disputed,
  sum(counts AND value_nanos IS NULL) unvalued, sum(iif(counts,value_nanos,NULL)) value_nanos,
  sum(rework_nanos) rework_nanos, sum(rework_ns) rework_ns FROM v_outcomes GROUP BY 1,2;
CREATE VIEW v_burn AS SELECT strftime('%Y-%m-%d %H:%M',id/1000000000,'unixepoch') minute,
  sum(steps) steps, sum(tool_calls) tool_calls, sum(input_tokens+output_tokens) tokens,
  sum(cost_nanos) cost_nanos FROM steps GROUP BY 1;
CREATE VIEW v_events AS SELECT e.id, e.segment, e.sequence, e.at,
  CASE e.type WHEN 1 THEN 'threshold' WHEN 2 THEN 'downgrade' WHEN 3 THEN 'halt'
    WHEN 4 THEN 'pause' WHEN 5 THEN 'resume' WHEN 6 THEN 'kill' WHEN 7 THEN 'revive'
    WHEN 8 THEN 'deadline' WHEN 9 THEN 'idle' WHEN 10 THEN 'unattended' WHEN 11 THEN 'overrun'
    WHEN 12 THEN 'orphan' WHEN 13 THEN 'window' WHEN 14 THEN 'top_up' WHEN 15 THEN 'declared'
    WHEN 16 THEN 'limits' WHEN 17 THEN 'observed' WHEN 18 THEN 'unpriced' WHEN 19 THEN 'storm'
    WHEN 20 THEN 'lost' WHEN 21 THEN 'late' WHEN 22 THEN 'throttle' WHEN 23 THEN 'home'
    WHEN 24 THEN 'corrupt' WHEN 25 THEN 'ledger' WHEN 26 THEN 'outcome' END type, e.type code,
  e.path, e.session, e.step, n.name meter, e.percent, e.amount, e."limit", e.committed, e.reason, e.text, e.actor
  FROM events e LEFT JOIN names n ON n.id=e.meter;
CREATE VIEW v_corrections AS SELECT c.step settled_at, c.corrected_at, b.path workflow, c.session,
  c.estimated_cost_nanos, c.cost_nanos, c.cost_nanos-c.estimated_cost_nanos change_nanos
  FROM corrections c LEFT JOIN sessions s ON s.id=c.session LEFT JOIN budgets b ON b.id=s.budget;

PRAGMA application_id=1114993267; -- "Burs"
PRAGMA user_version=1;

--: begin
BEGIN IMMEDIATE

--: beginReading
BEGIN

--: commit
COMMIT

--: rollback
ROLLBACK

--: batch
SELECT batch FROM segments WHERE id=?

--: setBatch
INSERT INTO segments VALUES(?,?) ON CONFLICT DO UPDATE SET batch=excluded.batch

--: findName
SELECT id FROM names WHERE kind=? AND name=?

--: addName
INSERT INTO names(kind,name) VALUES(?,?)

--: findNumber
SELECT name FROM numbers WHERE segment=? AND kind=? AND number=?

--: setNumber
INSERT INTO numbers VALUES(?,?,?,?) ON CONFLICT DO UPDATE SET name=excluded.name

--: findLabels
SELECT id FROM label_sets WHERE packed=?

--: addLabels
INSERT INTO label_sets(packed) VALUES(?)

--: addLabel
INSERT OR REPLACE INTO labels VALUES(?,?,?)

--: budgetOfNode
SELECT id FROM budgets WHERE segment=? AND node=?

--: budgetOfPath
SELECT id,closed_at,segment,ordinal FROM budgets WHERE path=? ORDER BY ordinal DESC LIMIT 1

--: closeBudget
UPDATE budgets SET closed_at=?2 WHERE id=?1

--: addBudget
INSERT INTO budgets(path,ordinal,segment,node) VALUES(?,?,?,?)

--: adoptBudget
UPDATE budgets SET segment=?2,node=?3 WHERE id=?1

--: describeBudget
UPDATE budgets SET parent=?2,owner=?3,cost_center=?4,purpose=?5,
opened_at=coalesce(opened_at,?6),closed_at=?7,complexity=?8,level_1=?9,level_2=?10,
level_3=?11,level_4=?12,level_5=?13,level_6=?14,level_7=?15,level_8=?16 WHERE id=?1

--: setState
UPDATE budgets SET limits=?2,state=?3,state_reason=?4,state_who=?5,state_why=?6,state_at=?7,
flags=?8,top_rungs=?9,complexity=?10,paused_ns=?11,paused_since=?12,earn_nanos=?13,
earn_most_nanos=?14,earn_outcome=?15 WHERE id=?1

--: clearLimits
DELETE FROM limits WHERE budget=?

--: clearTopUps
DELETE FROM top_ups WHERE budget=?

--: addLimit
INSERT INTO limits VALUES(?,?,?,?,?,?,?,?,?,?,?)

--: addTopUp
INSERT INTO top_ups VALUES(?,?,?,?)

--: spent
SELECT amount FROM spent WHERE budget=? AND meter=?

--: addSpent
INSERT INTO spent VALUES(?,?,?)
ON CONFLICT DO UPDATE SET amount=cast(amount+excluded.amount AS INTEGER)

--: findSession
SELECT id FROM sessions WHERE segment=? AND node=?

--: openedAt
SELECT ifnull(opened_at,0) FROM sessions WHERE id=?

--: addSession
INSERT INTO sessions(segment,node) VALUES(?,?)

--: describeSession
UPDATE sessions SET budget=?2,parent=?3,agent=?4,user=?5,owner=?6,cost_center=?7,
complexity=?8,label_set=?9,opened_at=coalesce(?10,opened_at),closed_at=?11,reason=?12
WHERE id=?1

--: addToSession
UPDATE sessions SET steps=steps+?2,tool_calls=tool_calls+?3,estimated=estimated+?4,
input_tokens=cast(input_tokens+?5 AS INTEGER),
cache_read_input_tokens=cast(cache_read_input_tokens+?6 AS INTEGER),
output_tokens=cast(output_tokens+?7 AS INTEGER),
cost_nanos=cast(cost_nanos+?8 AS INTEGER),
asked_cost_nanos=cast(asked_cost_nanos+?9 AS INTEGER) WHERE id=?1

--: insertStep
INSERT INTO steps VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)

--: lastStep
SELECT max(id) FROM steps WHERE id>=?1 AND id<?1+1000000

--: estimatedStep
SELECT id,steps,tool_calls,input_tokens,cache_read_input_tokens,output_tokens,cost_nanos,
asked_cost_nanos FROM steps WHERE handle=? AND session=? AND flags&1

--: keepEstimate
INSERT INTO corrections SELECT id,session,handle,?2,?3,cost_nanos,asked_cost_nanos,input_tokens,
cache_read_input_tokens,output_tokens,steps,tool_calls,units FROM steps WHERE id=?1

--: correctStep
UPDATE steps SET steps=?4,tool_calls=?5,cost_nanos=?6,asked_cost_nanos=?7,input_tokens=?8,
cache_read_input_tokens=?9,output_tokens=?10,flags=(flags&~17)|(?14&16)|128,
cache_write_input_tokens=?22,cache_write_1h_input_tokens=?23,reasoning_output_tokens=?24,
audio_input_tokens=?25,cache_read_audio_input_tokens=?26,audio_output_tokens=?27,
image_input_tokens=?28,image_output_tokens=?29,extra_nanos=?30,units=?32 WHERE id=?1

--: addEvent
INSERT OR IGNORE INTO events VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)

--: addOutcome
INSERT INTO outcomes SELECT NULL,?1,?2,ifnull(o.revision,0)+1,?3,iif(o.id,o.session,?4),
iif(o.id,o.budget,?5),iif(o.id,o.label_key,?6),iif(o.id,o.label_value,?7),
coalesce(?8,o.value_nanos),coalesce(?9,o.rework_nanos,0),coalesce(?10,o.rework_ns,0),?11,?12,?13,
?14,?15 FROM (SELECT 1) LEFT JOIN outcomes o ON o.name=?1 AND o.key=?2 AND o.revision=
(SELECT max(revision) FROM outcomes WHERE name=?1 AND key=?2)
WHERE o.id IS NULL OR o.state<>?3 OR o.who IS NOT ?12 OR o.value_nanos IS NOT coalesce(?8,o.value_nanos)
OR o.rework_nanos<>coalesce(?9,o.rework_nanos) OR o.rework_ns<>coalesce(?10,o.rework_ns)

--: revisions
SELECT state,value_nanos,who,at,rework_nanos,rework_ns FROM outcomes WHERE name=? AND key=?
ORDER BY revision

--: earning
SELECT count(*) FROM (SELECT 1 FROM outcomes o WHERE o.state=2 AND o.said_at>=?3
AND (?2 IS NULL OR o.name=?2) AND o.revision=
(SELECT max(revision) FROM outcomes x WHERE x.name=o.name AND x.key=o.key) AND ?3<=
(SELECT min(said_at) FROM outcomes x WHERE x.name=o.name AND x.key=o.key AND x.state=2) AND ?1 IN
(WITH RECURSIVE up(id) AS (SELECT coalesce(o.budget,(SELECT budget FROM sessions WHERE id=o.session))
UNION ALL SELECT b.parent FROM up u JOIN budgets b ON b.id=u.id WHERE b.parent IS NOT NULL)
SELECT id FROM up) LIMIT ?4)

--: spentOfNodes
SELECT b.node,b.path,n.name,CASE n.id WHEN 0 THEN 0 WHEN 2 THEN 1 WHEN 3 THEN 2 WHEN 5 THEN 3 ELSE 4 END,
p.amount FROM budgets b JOIN spent p ON p.budget=b.id JOIN names n ON n.id=p.meter
WHERE b.segment=? AND p.meter IN (0,2,3,5,6)

--: segmentCount
SELECT count(*) FROM segments

--: lastBatch
SELECT max(batch) FROM segments

--: newestStep
SELECT max(id) FROM steps

--: closeSessions
UPDATE sessions SET closed_at=?2,reason=?3 WHERE closed_at IS NULL AND segment<>?1

--: compacted
SELECT value FROM progress WHERE name='compacted'

--: setCompacted
INSERT INTO progress VALUES('compacted',?) ON CONFLICT DO UPDATE SET value=excluded.value

--: nextStep
SELECT min(id) FROM steps WHERE id>=?

--: sliceEnd
SELECT id FROM steps WHERE id>=? AND id<? LIMIT 1 OFFSET ?

--: keepsFrom
SELECT ?-value*86400000000000 FROM progress WHERE name='retention_days' AND value>0

--: isRoomy
SELECT freelist_count*4>page_count FROM pragma_freelist_count,pragma_page_count

--: rollUp
SELECT min(id),session,sum(count),sum(steps),sum(tool_calls),sum(cost_nanos),sum(asked_cost_nanos),
sum(input_tokens),sum(cache_read_input_tokens),sum(output_tokens),asked,granted,tool,flags,
attempt,complexity,variant,price,sum(took_ns),NULL,NULL,sum(cache_write_input_tokens),
sum(cache_write_1h_input_tokens),sum(reasoning_output_tokens),sum(audio_input_tokens),
sum(cache_read_audio_input_tokens),sum(audio_output_tokens),sum(image_input_tokens),
sum(image_output_tokens),sum(extra_nanos),sum(reserved_nanos),sum(units),meter,call_meter
FROM steps WHERE id>=? AND id<? AND NOT flags&1
GROUP BY session,asked,granted,tool,flags,attempt,complexity,variant,price,took_ns IS NULL,
meter,call_meter,(SELECT min(until) FROM former_owners w WHERE w.session=steps.session AND until>=steps.id)

--: dropSteps
DELETE FROM steps WHERE id>=? AND id<? AND NOT flags&1

--: auditFile
SELECT quick_check FROM pragma_quick_check(10) WHERE quick_check<>'ok'

--: auditBudgets
WITH RECURSIVE up(budget,above) AS (SELECT id,id FROM budgets UNION ALL
  SELECT u.budget,b.parent FROM up u JOIN budgets b ON b.id=u.above WHERE b.parent IS NOT NULL),
t AS MATERIALIZED (SELECT s.budget, t.meter, t.call_meter, sum(t.cost_nanos) cost,
  sum(t.input_tokens) i, sum(t.output_tokens) o, sum(t.cache_read_input_tokens) c,
  sum(t.steps) steps, sum(t.tool_calls) calls, sum(t.units) units
  FROM steps t JOIN sessions s ON s.id=t.session GROUP BY 1,2,3),
both(budget,meter,stored,computed) AS (SELECT budget,meter,amount,0 FROM spent UNION ALL
  SELECT u.above, m.column1, 0, CASE m.column1 WHEN 0 THEN cost WHEN 1 THEN i+o WHEN 2 THEN i
    WHEN 3 THEN o WHEN 4 THEN i+o-c WHEN 5 THEN steps ELSE calls END
    FROM t JOIN up u ON u.budget=t.budget, (VALUES(0),(1),(2),(3),(4),(5),(6)) m UNION ALL
  SELECT u.above, t.meter, 0, units FROM t JOIN up u ON u.budget=t.budget
    WHERE t.meter IS NOT NULL UNION ALL
  SELECT u.above, call_meter, 0, calls FROM t JOIN up u ON u.budget=t.budget
    WHERE call_meter IS NOT NULL)
SELECT b.path, n.name, sum(stored), sum(computed) FROM both
  LEFT JOIN budgets b ON b.id=both.budget LEFT JOIN names n ON n.id=both.meter
  GROUP BY both.budget, both.meter HAVING sum(stored)<>sum(computed) LIMIT 100

--: auditSessions
SELECT 'session '||s.id, n.name, CASE n.id WHEN 0 THEN s.cost_nanos WHEN 2 THEN s.input_tokens
  WHEN 3 THEN s.output_tokens WHEN 5 THEN s.steps ELSE s.tool_calls END stored,
  CASE n.id WHEN 0 THEN cost WHEN 2 THEN i WHEN 3 THEN o WHEN 5 THEN st ELSE calls END computed
  FROM sessions s LEFT JOIN (SELECT session, sum(cost_nanos) cost, sum(input_tokens) i,
    sum(output_tokens) o, sum(steps) st, sum(tool_calls) calls FROM steps GROUP BY 1) t
    ON t.session=s.id
  JOIN names n ON n.id IN (0,2,3,5,6) WHERE stored<>coalesce(computed,0) LIMIT 100

--: meterNames
SELECT id,name FROM names WHERE kind=4 AND id>63 ORDER BY id

--: openBudgets
SELECT id,parent,path,owner,cost_center,purpose,opened_at,complexity,limits,state,state_reason,
state_who,state_why,state_at,flags,top_rungs,paused_ns,paused_since,earn_nanos,earn_most_nanos,
earn_outcome FROM budgets WHERE closed_at IS NULL
ORDER BY length(path)-length(replace(path,'/','')),path

--: limitStates
SELECT l.budget,l.text,l.meter,l.window_start,l.base,l.since,l.extra,l.fired,l.ring,s.amount,
l.earned
FROM limits l LEFT JOIN spent s ON s.budget=l.budget AND s.meter=l.meter
ORDER BY l.budget,l.position

--: openTopUps
SELECT budget,position,amount,ends_at FROM top_ups ORDER BY rowid

--: allSpent
SELECT budget,meter,amount FROM spent ORDER BY budget,meter
