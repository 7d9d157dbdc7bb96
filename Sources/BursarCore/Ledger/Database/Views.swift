// The views: what readers ask. Columns are the project's words, money ends in `_nanos`,
// times are unix nanoseconds (`_at`) or UTC text (`day`, `hour`).
//
// v_steps     every dimension and every amount; group it by any of them. Rows that
//             compaction made stand for `count` steps: add up, do not count rows.
// v_sessions  direct cost, and inclusive of child sessions: direct + children = inclusive
// v_budgets   what the counters say, all below included; owner, state, limits
// v_meters    the same for every meter
// v_savings   what downgrades saved, by workflow and models
// v_unowned   spend that nobody answers for
// v_retries   steps and tries: a retried step is one request, its tries all cost
// v_outcomes  the latest revision of each, with the cost of what it is credited to
// v_workflow_value   cost per outcome, net value, value per dollar
// v_burn      by minute (what was compacted stands at its hour)
// v_events, v_corrections

enum Views {
    static let text: StaticString = """
        CREATE VIEW v_steps AS SELECT t.id settled_at, t.id-t.took_ns started_at,
          date(t.id/1000000000,'unixepoch') day,
          strftime('%Y-%m-%d %H:00',t.id/1000000000,'unixepoch') hour,
          b.level_1 organisation, b.level_2 team, b.level_3, b.level_4, b.level_5, b.level_6, b.level_7,
          b.level_8, b.path workflow, t.session, s.agent, s.user, coalesce(s.owner,'(unowned)') owner,
          coalesce(s.cost_center,'(unowned)') cost_center, s.label_set,
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
          LEFT JOIN names m ON m.id=t.meter;
        CREATE VIEW v_sessions AS SELECT s.id session, b.path workflow, b.level_1 organisation,
          b.level_2 team, s.parent parent_session, s.agent, s.user, coalesce(s.owner,'(unowned)') owner,
          coalesce(s.cost_center,'(unowned)') cost_center, s.label_set, s.opened_at, s.closed_at, s.reason,
          s.steps, s.tool_calls, s.estimated, s.input_tokens, s.cache_read_input_tokens, s.output_tokens,
          s.cost_nanos direct_cost_nanos, s.asked_cost_nanos,
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
          coalesce((SELECT sum(cost_nanos) FROM sessions WHERE budget=b.id),0) direct_cost_nanos
          FROM budgets b;
        CREATE VIEW v_savings AS SELECT workflow, model_asked, model, sum(steps) steps,
          sum(cost_nanos) cost_nanos, sum(asked_cost_nanos) asked_cost_nanos, sum(saved_nanos) saved_nanos
          FROM v_steps WHERE model_asked IS NOT NULL GROUP BY 1,2,3;
        CREATE VIEW v_unowned AS SELECT workflow, agent, user, sum(steps) steps,
          sum(cost_nanos) cost_nanos FROM v_steps WHERE owner='(unowned)' GROUP BY 1,2,3;
        CREATE VIEW v_retries AS SELECT workflow, model, tool, sum(iif(attempt,0,steps)) requests,
          sum(steps) tries, sum(iif(attempt,steps,0)) retries, sum(cost_nanos) cost_nanos,
          sum(iif(attempt,cost_nanos,0)) retries_cost_nanos FROM v_steps GROUP BY 1,2,3;
        CREATE VIEW v_outcomes AS SELECT o.id, o.key, o.name,
          CASE o.state WHEN 1 THEN 'stated' WHEN 2 THEN 'verified' WHEN 3 THEN 'disputed'
            WHEN 4 THEN 'corrected' ELSE 'withdrawn' END state, o.revision,
          b.path workflow, o.session, o.label_key, o.label_value, iif(o.state=5,0,1) counts,
          o.value_nanos, o.rework_nanos, o.rework_ns, o.at, o.who, o.why,
          CASE WHEN o.session IS NOT NULL THEN (SELECT inclusive_cost_nanos FROM v_sessions v
              WHERE v.session=o.session)
            WHEN o.label_key IS NOT NULL THEN (SELECT sum(s.cost_nanos) FROM labels l
              JOIN sessions s ON s.label_set=l.label_set WHERE l.key=o.label_key AND l.value=o.label_value)
            END cost_nanos
          FROM outcomes o LEFT JOIN budgets b ON b.id=coalesce(o.budget,
            (SELECT budget FROM sessions WHERE id=o.session), (SELECT s.budget FROM labels l
              JOIN sessions s ON s.label_set=l.label_set
              WHERE l.key=o.label_key AND l.value=o.label_value LIMIT 1))
          WHERE o.key IS NULL OR o.revision=(SELECT max(revision) FROM outcomes x WHERE x.key=o.key);
        CREATE VIEW v_workflow_value AS SELECT workflow, outcomes, verified, cost_nanos, value_nanos,
          rework_nanos, rework_ns, cost_nanos/nullif(outcomes,0) cost_per_outcome_nanos,
          cost_nanos/nullif(verified,0) cost_per_verified_nanos,
          value_nanos-rework_nanos-cost_nanos net_value_nanos,
          round(1.0*value_nanos/nullif(cost_nanos,0),6) value_per_dollar
          FROM (SELECT b.path workflow, sum(s.cost_nanos) cost_nanos FROM sessions s
            LEFT JOIN budgets b ON b.id=s.budget GROUP BY 1) c
          LEFT JOIN (SELECT workflow w, sum(counts) outcomes, sum(state='verified') verified,
            coalesce(sum(iif(counts,value_nanos,0)),0) value_nanos, sum(rework_nanos) rework_nanos,
            sum(rework_ns) rework_ns FROM v_outcomes GROUP BY 1) o ON o.w IS c.workflow;
        CREATE VIEW v_burn AS SELECT strftime('%Y-%m-%d %H:%M',id/1000000000,'unixepoch') minute,
          sum(steps) steps, sum(tool_calls) tool_calls, sum(input_tokens+output_tokens) tokens,
          sum(cost_nanos) cost_nanos FROM steps GROUP BY 1;
        CREATE VIEW v_events AS SELECT e.id, e.segment, e.sequence, e.at, e.type, e.path, e.session,
          e.step, n.name meter, e.percent, e.amount, e."limit", e.committed, e.reason, e.text, e.actor
          FROM events e LEFT JOIN names n ON n.id=e.meter;
        CREATE VIEW v_corrections AS SELECT c.step settled_at, c.corrected_at, b.path workflow, c.session,
          c.estimated_cost_nanos, c.cost_nanos, c.cost_nanos-c.estimated_cost_nanos change_nanos
          FROM corrections c LEFT JOIN sessions s ON s.id=c.session LEFT JOIN budgets b ON b.id=s.budget;
        """
}
