/* SPDX-License-Identifier: Apache-2.0
 *
 * bursar.h: the budget runtime that lives inside AI agents.
 *
 * A program opens a runtime, declares budgets, opens a session for each run of
 * an agent, and wraps every priced step (a call to a language model, a call of
 * a tool) in reserve ... settle. Reserve holds the step's worst case at every
 * budget above the session, or says precisely why not; settle replaces it by
 * what was used. No grant ever passes a limit, with any number of threads.
 *
 *     bursar_runtime_t *rt;
 *     bursar_open(NULL, &rt, NULL);
 *     bursar_session_options_t so = BURSAR_SESSION_OPTIONS_INIT;
 *     so.path = BURSAR_TEXT("acme/support/triage");
 *     so.limits = BURSAR_TEXT("$2, 200 steps, 10m wall");
 *     bursar_id_t session;
 *     bursar_session_open(rt, &so, &session, NULL);
 *
 *     bursar_request_t rq = BURSAR_REQUEST_INIT;
 *     rq.model = gpt;  rq.input_tokens = 1200;  rq.max_output_tokens = 1024;
 *     bursar_decision_t d = BURSAR_DECISION_INIT;
 *     if (bursar_reserve(rt, session, &rq, &d) == BURSAR_OK) {
 *         ... call the provider with d.model and d.max_output_tokens ...
 *         bursar_usage_t u = BURSAR_USAGE_INIT;
 *         u.input_tokens = 1200;  u.output_tokens = 300;
 *         bursar_settle(rt, d.reservation, &u, NULL);
 *     }
 *
 * WORDS. runtime: an open handle; owns one event loop. budget: a node of a tree
 * named by a path, acme/support/triage, up to 8 levels. session: one run of one
 * agent, a leaf under a budget; a child session lives under another session.
 * step: one priced action in a session. meter: what is counted. limit: a meter,
 * an amount, a window and what happens at the end. reservation: a step's worst
 * case, held. decision: the answer to reserve. ladder: the models a session may
 * use, best first. home: the directory that names a set of budgets.
 *
 * MONEY is int64_t nano-dollars (1e-9 USD), prices are pico-dollars per token;
 * there is no floating point anywhere. Reserving rounds up, settling half to
 * even, once per step.
 *
 * THREADS. Every function may be called from any thread at the same time,
 * except where it says otherwise. Those marked "hot" never block, allocate, lock
 * or make a system call when they grant, but for one: they ring the loop's
 * descriptor (a write) when it sleeps and has to look, and the first of all starts
 * its thread. When they refuse they may fold the journal and read the exact clock;
 * an overrun is reported under a short lock. The others may take a short lock.
 * Those that say "configuration lock" wait for microseconds, in a home also for
 * another process that is at its configuration; where that one is stopped they
 * answer BURSAR_E_BUSY after 10 seconds, and nothing changed. A step waits for it 50
 * milliseconds at most, and so do explaining a decision and health, which then leave
 * out what they could not look at. Closing waits a second.
 * Callbacks run on the loop's thread (or in the caller's own loop).
 *
 * MEMORY. What you pass is borrowed for the call. Nothing is returned that must
 * be freed, but the runtime handle and a query. Structs you fill begin with their size (the
 * _INIT macros set it); zero means the default for every field; a larger struct
 * from a newer header is taken if its unknown tail is zero. Text goes in as
 * pointer and length, UTF-8, and comes out into a buffer of yours: the length
 * needed is always reported, and a buffer that is too small gets
 * BURSAR_E_BUFFER.
 *
 * HOME. A runtime opened with a home shares its budgets with every process that has
 * that home open: the tree, limits, sessions, what is spent and held, the prices of
 * tools. Not shared are price books that are loaded and prices of models that are set:
 * each runtime has its own, so that every process loads the same. The home is a
 * directory on this machine; its live state is one file on a memory file system
 * (the segment), as large as its options said when it was first made, and it stays
 * when all have left. A home never splits: who cannot reach that one segment is
 * refused with BURSAR_E_HOME and a sentence that says why; docs/security.md has the
 * list. `on_unavailable` says otherwise. When nobody is attached, a segment that was
 * removed, is of an earlier boot, or of another version, is replaced by a new one, with
 * a BURSAR_EVENT_HOME: what was spent before is not in it. A new home is made in a new
 * or empty directory only.
 * When the home's files are taken away under a running process, that event says so,
 * to callbacks and to bursar_events_poll(); steps in flight still settle, a charge with
 * BURSAR_CHARGE_FORCE is recorded, and everything new answers BURSAR_E_HOME, also to a
 * handle that the process opens there before it has closed those it has.
 *
 * A process that dies holds nothing for long: what it had in flight is settled at
 * an estimate by the others, within a second unless the process that looks after the
 * home is stopped, or by the next that opens the home.
 *
 * To remove a home, close it in all processes, remove the file that its `home` names
 * under `segment`, then the directory. Removing the file alone begins anew: the old
 * `ledger.<id>.log` stays in the directory, until somebody removes it.
 *
 * FORK. The handle of a home goes on working in a child of fork(): at its first call
 * there the child attaches as a process of its own, with a loop and thread of its
 * own. Set callbacks and take descriptors of events anew there. What was in flight
 * belongs to the parent; do not fork from a callback, but to exec. A private runtime
 * belongs to the process that opened it: in a child every call on it answers
 * BURSAR_E_FORKED; open a new one there. This is the library as it ships, which has
 * no Swift runtime in it. `make full` and a Swift program that builds Bursar into
 * itself have one, whose locks do not outlive fork(): a home may hang there in a
 * child. Fork before it is opened, or to exec.
 *
 * SIGNALS. The library installs no handler, and its thread blocks all signals.
 * No function is async-signal-safe.
 *
 * VERSIONS. Numbers are appended, never reused; readers must tolerate values
 * they do not know. Same major version: same ABI.
 */
#ifndef BURSAR_H
#define BURSAR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define BURSAR_API __attribute__((visibility("default")))
#else
#define BURSAR_API
#endif

#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-extension"
#define BURSAR_NONNULL _Nonnull
#define BURSAR_NULLABLE _Nullable
#else
#define BURSAR_NONNULL
#define BURSAR_NULLABLE
#endif

#ifdef __cplusplus
#define BURSAR_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define BURSAR_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

/* ------------------------------------------------------------------ Version */

#define BURSAR_VERSION_MAJOR 0
#define BURSAR_VERSION_MINOR 1
#define BURSAR_VERSION_PATCH 0
#define BURSAR_VERSION_NUMBER 1000 /* major * 1000000 + minor * 1000 + patch */
#define BURSAR_ABI_VERSION 1

/** The library's BURSAR_VERSION_NUMBER. Any thread. Since 0.1. */
BURSAR_API int32_t bursar_version_number(void);

/** The library's BURSAR_ABI_VERSION; bindings refuse another. Any thread. Since 0.1. */
BURSAR_API int32_t bursar_abi_version(void);

/* ------------------------------------------------------------------- Status */

/** 0 is good; negative is an error. Append-only. */
typedef int32_t bursar_status_t;

#define BURSAR_OK 0
#define BURSAR_E_INVALID (-1)     /* an argument is wrong; nothing changed */
#define BURSAR_E_SIZE (-2)        /* a struct's size field is 0, too small, or its unknown tail is set */
#define BURSAR_E_NOT_FOUND (-3)   /* an id or a path that names nothing (any more) */
#define BURSAR_E_CLOSED (-4)      /* the runtime or the session was closed */
#define BURSAR_E_FORKED (-5)      /* this handle belongs to the parent process */
#define BURSAR_E_BUFFER (-6)      /* the buffer is too small; the length needed was reported */
#define BURSAR_E_MEMORY (-7)      /* the system gave no memory */
#define BURSAR_E_CAPACITY (-8)    /* a table is full; the error names the option that raises it */
#define BURSAR_E_UNSUPPORTED (-9) /* not in this version; the error says what is */
#define BURSAR_E_REFUSED (-10)    /* reserve or charge was refused; the decision says why */
#define BURSAR_E_CONFLICT (-11)   /* settled or charged before, with other amounts */
#define BURSAR_E_RELEASED (-12)   /* settle after release */
#define BURSAR_E_EXPIRED (-13)    /* begin: the hold ran out; do not send */
#define BURSAR_E_BUSY (-14)       /* another thread is at the same reservation, or a process that is stopped has
                                     the home's configuration lock, after 10 seconds; try again */
#define BURSAR_E_EXISTS (-15)     /* the name is taken */
#define BURSAR_E_IN_USE (-16)     /* it still has children or live sessions */
#define BURSAR_E_LIMIT_TEXT (-20) /* malformed limit text; the error has column and sentence */
#define BURSAR_E_MONEY_TEXT (-21) /* malformed amount or rate */
#define BURSAR_E_PRICE (-22)      /* malformed price book, or no such price */
#define BURSAR_E_ZONE (-23)       /* unknown time zone */
#define BURSAR_E_PATH (-24)       /* malformed path, name or label */
#define BURSAR_E_QUERY (-25)      /* the query's SQL is wrong, not one that reads, or ran too long; the error has line,
                                     column and sentence */
#define BURSAR_E_LOOP (-30)       /* libuv refused; the error has its code */
#define BURSAR_E_CORRUPT (-31)    /* the segment contradicts itself: a bug */
#define BURSAR_E_HOME (-40)       /* the home cannot be used, or is gone; the error says why */
#define BURSAR_E_ROLE (-41)       /* not for a runtime opened as an agent; not for who produced the outcome */

/** Static English text for a status, never NULL. Any thread. Since 0.1. */
BURSAR_API const char *BURSAR_NONNULL bursar_status_string(bursar_status_t status);

/** Details of an error, owned and zeroed by the caller; filled only on failure. */
typedef struct bursar_error {
    uint32_t size;
    bursar_status_t status;
    int32_t line;      /* 1-based, 0 = none */
    int32_t column;    /* 1-based byte of the offending word, 0 = none */
    int64_t id;        /* the budget, session or reservation concerned, or 0 */
    int64_t values[2]; /* the two amounts that conflict, or what was found and what was expected */
    uint32_t message_len;
    uint32_t reserved;
    char message[464]; /* what was wrong, where, what was expected, what to do; NUL-terminated */
} bursar_error_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_error_t) == 512, "bursar_error_t");
#define BURSAR_ERROR_INIT {(uint32_t)sizeof(bursar_error_t), 0, 0, 0, 0, {0, 0}, 0, 0, {0}}

/* -------------------------------------------------------------------- Types */

/** An open handle. Opaque. */
typedef struct bursar_runtime bursar_runtime_t;

/** A budget or a session. Positive; never reused. 0 = none, or everything where said. */
typedef int64_t bursar_id_t;

/** A reservation. Positive; never reused. */
typedef int64_t bursar_reservation_t;

/** A model's name, resolved by bursar_model_find(). Positive; stable for the runtime's life. */
typedef int32_t bursar_model_t;

/** A tool's name, resolved by bursar_tool_find(). Positive; stable for the runtime's life. */
typedef int32_t bursar_tool_t;

/** Borrowed text: UTF-8, not NUL-terminated. {NULL, 0} is none. */
typedef struct bursar_text {
    const char *BURSAR_NULLABLE data;
    size_t len;
} bursar_text_t;
#define BURSAR_TEXT(literal) ((bursar_text_t){("" literal), sizeof("" literal) - 1})

/* What is counted. Values 8 to 31 are meters that the program names. */
typedef int32_t bursar_meter_t;
#define BURSAR_METER_COST 0          /* nano-dollars */
#define BURSAR_METER_TOKENS 1        /* input + output */
#define BURSAR_METER_INPUT_TOKENS 2  /* cached included */
#define BURSAR_METER_OUTPUT_TOKENS 3 /* reasoning included */
#define BURSAR_METER_FRESH_TOKENS 4  /* uncached input + output */
#define BURSAR_METER_STEPS 5         /* model calls */
#define BURSAR_METER_TOOL_CALLS 6
#define BURSAR_METER_IN_FLIGHT 7     /* steps reserved and not settled */
#define BURSAR_METER_NAMED 8
#define BURSAR_METER_WALL 32         /* nanoseconds since it opened, paused time excluded */
#define BURSAR_METER_IDLE 33         /* nanoseconds without a step */
#define BURSAR_METER_UNATTENDED 34   /* nanoseconds since somebody last attended */

/* What happens when a limit is reached. */
#define BURSAR_END_HALT 0
#define BURSAR_END_PAUSE 1
#define BURSAR_END_THROTTLE 2
#define BURSAR_END_OBSERVE 3

/* The answer to reserve. */
#define BURSAR_VERDICT_ALLOW 0
#define BURSAR_VERDICT_DOWNGRADE 1 /* granted: a lower rung or fewer output tokens than wanted */
#define BURSAR_VERDICT_THROTTLE 2  /* refused: wait retry_after_ns and try again */
#define BURSAR_VERDICT_PAUSE 3     /* refused until topped up, resumed or attended */
#define BURSAR_VERDICT_HALT 4      /* refused */

/* Why. */
#define BURSAR_REASON_NONE 0
#define BURSAR_REASON_LIMIT 1         /* an amount would pass its limit */
#define BURSAR_REASON_RATE 2          /* faster than a rate allows */
#define BURSAR_REASON_KILLED 3
#define BURSAR_REASON_PAUSED 4        /* by somebody; a limit that says `then pause` has the reason of that limit */
#define BURSAR_REASON_CLOSED 5        /* the session was closed */
#define BURSAR_REASON_WALL 6          /* the deadline has passed */
#define BURSAR_REASON_IDLE 7
#define BURSAR_REASON_UNATTENDED 8
#define BURSAR_REASON_UNDECLARED 9    /* no budget with a limit above the session */
#define BURSAR_REASON_PRICE_UNKNOWN 10
#define BURSAR_REASON_JOURNAL_FULL 11 /* more steps in flight than the journal has records, or the ledger takes none */
#define BURSAR_REASON_DOWNGRADE 12    /* a downgrade share, a rung cap or a too small remainder moved it down */
#define BURSAR_REASON_HOLDBACK 13     /* only what is held back for the final answer is left */

/* What the caller may do. */
#define BURSAR_REMEDY_NONE 0
#define BURSAR_REMEDY_WAIT 1            /* retry after retry_after_ns, or when steps in flight settle */
#define BURSAR_REMEDY_SMALLER 2         /* a smaller request fits */
#define BURSAR_REMEDY_CHEAPER_MODEL 3
#define BURSAR_REMEDY_ASK 4             /* ask the owner for more */
#define BURSAR_REMEDY_STOP 5
#define BURSAR_REMEDY_PRICE 6           /* set a price for the model */
#define BURSAR_REMEDY_DECLARE 7         /* declare a budget with a limit */

/* ---------------------------------------------------------------- Lifecycle */

#define BURSAR_POLICY_DEFAULT 0
#define BURSAR_UNKNOWN_MODEL_REFUSE 1  /* default: refused wherever a money limit applies */
#define BURSAR_UNKNOWN_MODEL_DEAREST 2 /* priced at the dearest of every class in the book */
#define BURSAR_UNKNOWN_MODEL_FREE 3    /* costs nothing, and every step of it is flagged */
#define BURSAR_UNDECLARED_ALLOW 1      /* default in a private runtime: allowed and flagged */
#define BURSAR_UNDECLARED_REFUSE 2     /* default in a home */

#define BURSAR_OPEN_OBSERVE 1u      /* count, decide and report, but stop nobody */
#define BURSAR_OPEN_PLAIN_CHARGE 2u /* for comparison only: add, check and undo even near a ceiling */
#define BURSAR_OPEN_GROUP 4u        /* a new home is shared with its directory's group: 2770, files 0660 */
#define BURSAR_OPEN_EXISTING 8u     /* the home must be there: none is made */

/* What to do when the home cannot be used. */
#define BURSAR_UNAVAILABLE_REFUSE 1  /* default: an error */
#define BURSAR_UNAVAILABLE_PRIVATE 2 /* a private runtime, and a BURSAR_EVENT_HOME that says why */
#define BURSAR_UNAVAILABLE_ALLOW 3   /* the same, and it observes: it counts, and stops nobody */

/* Who the program is. A guard against accidents, not against attackers. */
#define BURSAR_ROLE_OPERATOR 1 /* default: may do everything */
#define BURSAR_ROLE_AGENT 2    /* may not replace or remove budgets, set limits, top up, revive, resume,
                                  observe, or change the price of a tool that has one: BURSAR_E_ROLE */

typedef struct bursar_open_options {
    uint32_t size;
    uint32_t flags;               /* BURSAR_OPEN_* */
    bursar_text_t home;           /* a directory, made where its parent is there; `~` is not expanded; none = private */
    void *BURSAR_NULLABLE loop;   /* a uv_loop_t* of the caller's; NULL = a loop and thread of the runtime's own */
    uint32_t sessions_max;        /* live budgets and sessions, and one of the library's; default 65,536 (a home:
                                     10,240), at most 16,777,216 */
    uint32_t reservations_max;    /* steps in flight; default 16,384, at most 524,288 */
    uint32_t text_bytes_max;      /* names and labels in use; default 64 MiB (a home: 205 for each of sessions_max,
                                     no less than 2 MiB) */
    uint32_t events_max;          /* events waiting for a poll; default 1,024 */
    int32_t unknown_model;        /* BURSAR_UNKNOWN_MODEL_* */
    int32_t undeclared;           /* BURSAR_UNDECLARED_* */
    int64_t reservation_ttl_ns;   /* a step not settled by then is settled at an estimate; default 15 minutes */
    int32_t on_unavailable;       /* BURSAR_UNAVAILABLE_* */
    int32_t role;                 /* BURSAR_ROLE_* */
    bursar_text_t shm_dir;        /* where the segment of a new home goes; default /dev/shm */
    bursar_text_t name;           /* what this process calls itself, for people; up to 24 bytes are kept */
} bursar_open_options_t;
#define BURSAR_OPEN_OPTIONS_INIT \
    {(uint32_t)sizeof(bursar_open_options_t), 0, {0, 0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0, 0}, {0, 0}}

/**
 * Opens a runtime. Of a home that is there already, the three sizes, `shm_dir`,
 * BURSAR_OPEN_OBSERVE and BURSAR_OPEN_GROUP are as it was made with; who asks for
 * a larger size, to observe or for a group gets a BURSAR_EVENT_HOME that says so; so
 * does who makes a home whose `shm_dir` is on no memory file system (tmpfs, ramfs,
 * hugetlbfs), where steps may wait for the disk. Opening a home twice in one process
 * is fine: each handle has its own loop, events and role, and both are one process
 * to others. At most 255 processes can be attached to a home.
 *
 * Thread:  any; with `loop`, the thread that runs that loop.
 * Memory:  `options` may be NULL: private, all defaults. Close with bursar_close().
 * Blocks:  with a home, for the milliseconds in which another process makes it (for
 *          10 seconds where that one is stopped: then BURSAR_E_HOME).
 * Returns: BURSAR_OK, or an error with *out_runtime = NULL. BURSAR_E_HOME: see HOME
 *          above. BURSAR_E_MEMORY: no room for the segment; BURSAR_E_CAPACITY: too
 *          many processes.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_open(const bursar_open_options_t *BURSAR_NULLABLE options,
                                       bursar_runtime_t *BURSAR_NULLABLE *BURSAR_NONNULL out_runtime,
                                       bursar_error_t *BURSAR_NULLABLE out_error);

/**
 * Closes a runtime and ends its thread. NULL is allowed. What is in flight is
 * forgotten in a private runtime; in a home it settles at an estimate when it expires,
 * or when the next process looks. Pending events are delivered first. A call that races with close,
 * or comes after it, answers BURSAR_E_CLOSED (as long as fewer than 64 other
 * runtimes were closed since).
 *
 * Thread:  any, once, not from a callback; with the caller's loop, that loop's
 *          thread, and the loop must run once more for its handles to go.
 * Blocks:  until the loop's thread has ended: a callback of yours that runs.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_close(bursar_runtime_t *BURSAR_NULLABLE runtime);

#define BURSAR_HOME_SHARED 1u /* a home's; else the runtime is private */
#define BURSAR_HOME_GROUP 2u  /* shared with its group */

typedef struct bursar_home_info {
    uint32_t size;
    uint32_t flags;            /* BURSAR_HOME_* */
    uint32_t slot;             /* this process's number in the home */
    uint32_t processes;        /* attached, this one included */
    int64_t segment_id;        /* unix ns at which the segment was made */
    int64_t segment_bytes;
    uint32_t path_len;         /* of the whole texts; below they may be cut */
    uint32_t segment_path_len;
    char id[40];               /* 32 hexadecimal digits; NUL-terminated, as the others */
    char path[256];
    char segment_path[256];
} bursar_home_info_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_home_info_t) == 592, "bursar_home_info_t");

/**
 * What home a runtime has. A private one has slot 1, processes 0, no texts, and the
 * size of its own memory as segment_bytes.
 *
 * Thread:  any. Never blocks.
 * Returns: BURSAR_OK, also when the home's files were taken away; BURSAR_E_SIZE;
 *          BURSAR_E_CLOSED; BURSAR_E_FORKED; BURSAR_E_HOME in a child of fork() that
 *          could not attach.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_home_info(bursar_runtime_t *BURSAR_NONNULL runtime,
                                            bursar_home_info_t *BURSAR_NONNULL out_info);

typedef struct bursar_process {
    uint32_t size;
    uint32_t slot;
    uint32_t pid;              /* as that process sees itself: another in another container */
    int32_t role;              /* BURSAR_ROLE_* */
    int64_t since_unix_ns;
    uint32_t forked_from;      /* the slot of the process that forked it, or 0 */
    uint32_t reserved;
    char name[32];             /* as it calls itself; NUL-terminated. Hostile text: strip control bytes */
} bursar_process_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_process_t) == 64, "bursar_process_t");

/**
 * An attached process, by position from 0. Its role and name are those of the first
 * handle that it opened. Of processes that died a moment ago some may be among them.
 *
 * Thread:  any. Never blocks.
 * Returns: BURSAR_OK; BURSAR_E_NOT_FOUND past the last, and always in a private
 *          runtime; BURSAR_E_SIZE; BURSAR_E_CLOSED; BURSAR_E_FORKED.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_home_process(bursar_runtime_t *BURSAR_NONNULL runtime, uint32_t position,
                                               bursar_process_t *BURSAR_NONNULL out_process);

/* ------------------------------------------------------------------ Budgets */

/** Limit text of a node or of one session: see docs/limits.md. */
#define BURSAR_LIMITS_SESSION 1u /* bursar_limits_parse: as on a session */

/**
 * Parses limit text and writes its canonical form.
 *
 * Thread:  any. `runtime` may be NULL; with one, its named meters are known.
 * Returns: BURSAR_E_LIMIT_TEXT with column and sentence; BURSAR_E_BUFFER.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_limits_parse(bursar_runtime_t *BURSAR_NULLABLE runtime, uint32_t flags,
                                               const char *BURSAR_NULLABLE text, size_t text_len,
                                               char *BURSAR_NULLABLE out_text, size_t capacity,
                                               size_t *BURSAR_NONNULL out_len,
                                               bursar_error_t *BURSAR_NULLABLE out_error);

#define BURSAR_BUDGET_REPLACE 1u /* other text than stored: replace it (default: keep the stored, send an event) */
#define BURSAR_BUDGET_OBSERVE 2u /* count and report here, stop nobody */

typedef struct bursar_budget_options {
    uint32_t size;
    uint32_t flags;             /* BURSAR_BUDGET_* */
    bursar_text_t limits;       /* docs/limits.md */
    bursar_text_t owner;        /* who answers for it */
    bursar_text_t cost_center;  /* who pays */
    bursar_text_t purpose;      /* what for */
    uint8_t top_rung[4];        /* by BURSAR_COMPLEXITY_*: the highest rung (1 = best) it may use; 0 = any */
    int32_t complexity;         /* default for steps below that say nothing */
    bursar_text_t earn;         /* "$2": what each verified outcome adds to its limits on cost; none: it earns nothing */
    bursar_text_t earn_most;    /* "$20": all of them together add no more; needed with `earn` */
    bursar_text_t earn_outcome; /* only outcomes of this name count */
} bursar_budget_options_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_budget_options_t) == 128, "bursar_budget_options_t");
#define BURSAR_BUDGET_OPTIONS_INIT \
    {(uint32_t)sizeof(bursar_budget_options_t), 0, {0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0, 0, 0}, 0, {0, 0}, {0, 0}, {0, 0}}

/**
 * Makes sure that a budget is there. Absent (or only implied by a path below
 * it): created with these limits. Same limits: nothing happens. Other limits:
 * the stored ones stay and an event says so, unless BURSAR_BUDGET_REPLACE. So a
 * worker that restarts never undoes an operator's cut. Owner, cost centre, purpose
 * and the rest are stored when it is created, and replaced with its limits, all of
 * them: to change the owner, give the limits too. Steps stay their former owner's.
 * Ancestors that do not exist are created without limits.
 *
 * A budget that earns: outcomes that are credited to it, or to something below it,
 * and that somebody verified raise each of its limits on cost, as long as their
 * latest revision says so. Of a limit with a window those count that were first
 * verified since it began, so a new window has earned nothing. Each change is a
 * BURSAR_EVENT_TOP_UP, its text `earned` and its `amount` below 0 where something was
 * taken back. Outcomes are in a home's ledger; a private runtime's budgets earn nothing.
 *
 * Thread:  any.
 * Blocks:  for the configuration lock: BURSAR_E_BUSY.
 * Returns: BURSAR_E_PATH, BURSAR_E_LIMIT_TEXT, BURSAR_E_MONEY_TEXT, BURSAR_E_CAPACITY.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_budget_declare(bursar_runtime_t *BURSAR_NONNULL runtime,
                                                 const char *BURSAR_NONNULL path, size_t path_len,
                                                 const bursar_budget_options_t *BURSAR_NULLABLE options,
                                                 bursar_id_t *BURSAR_NULLABLE out_budget,
                                                 bursar_error_t *BURSAR_NULLABLE out_error);

/** The budget at `path`, or BURSAR_E_NOT_FOUND. Thread: any; configuration lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_budget_find(bursar_runtime_t *BURSAR_NONNULL runtime,
                                              const char *BURSAR_NONNULL path, size_t path_len,
                                              bursar_id_t *BURSAR_NONNULL out_budget);

/** Removes a budget without children. BURSAR_E_IN_USE while it has any. What was spent stays in its ancestors.
    Thread: any; configuration lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_budget_remove(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t budget,
                                                bursar_error_t *BURSAR_NULLABLE out_error);

/**
 * Replaces the limits of a budget or session, at once and for every thread. A
 * limit that stays the same keeps its window and its top-ups; a lower one holds
 * from the next reserve on, even below what is already committed. `unlimited`
 * removes them all. A meter that was not limited here before counts what was
 * settled by then (of input, output, tokens, steps and tool calls; fresh tokens and
 * named meters start at 0) and what is reserved from then on: steps in flight do
 * not count in it. A rate whose figures change refunds nothing to steps in flight.
 *
 * Thread:  any.
 * Blocks:  for the configuration lock: BURSAR_E_BUSY.
 * Returns: BURSAR_E_NOT_FOUND, BURSAR_E_LIMIT_TEXT, BURSAR_E_CAPACITY.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_limits_set(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                             const char *BURSAR_NONNULL text, size_t text_len,
                                             bursar_error_t *BURSAR_NULLABLE out_error);

/**
 * Adds to every limit that `id` has on a meter: "$5", "200k tokens", "10m wall".
 * On a calendar window it lasts until that ends, on a rolling window for its
 * span, on a total until it expires; never longer than `for_ns`. `for_ns` 0 = does not expire by itself. Wakes what `then pause` paused.
 *
 * Thread:  any.
 * Blocks:  for the configuration lock: BURSAR_E_BUSY.
 * Returns: BURSAR_E_NOT_FOUND when it has no such limit; BURSAR_E_LIMIT_TEXT.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_top_up(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                         const char *BURSAR_NONNULL amount, size_t amount_len, int64_t for_ns,
                                         const char *BURSAR_NULLABLE reason, size_t reason_len,
                                         bursar_error_t *BURSAR_NULLABLE out_error);

/** Counts, decides and reports at `id` (0 = everywhere) but stops nobody; `on` 0 undoes it. Thread: any;
    configuration lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_observe(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id, int32_t on);

/** Names a meter (`credits`, `gpu_seconds`), or finds it. At most 24 with those of `calls(tool)`. Thread: any;
    configuration lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_meter_define(bursar_runtime_t *BURSAR_NONNULL runtime, const char *BURSAR_NONNULL name,
                                               size_t name_len, bursar_meter_t *BURSAR_NONNULL out_meter,
                                               bursar_error_t *BURSAR_NULLABLE out_error);

/* ----------------------------------------------------------------- Sessions */

#define BURSAR_COMPLEXITY_DEFAULT 0
#define BURSAR_COMPLEXITY_ROUTINE 1
#define BURSAR_COMPLEXITY_STANDARD 2
#define BURSAR_COMPLEXITY_COMPLEX 3

typedef struct bursar_label {
    bursar_text_t key;   /* 1 to 64 bytes */
    bursar_text_t value; /* up to 256 bytes */
} bursar_label_t;

typedef struct bursar_session_options {
    uint32_t size;
    uint32_t flags;              /* none yet */
    bursar_text_t path;          /* the budget; ignored when `parent` is given */
    bursar_id_t parent;          /* a budget, or a session whose child this is */
    bursar_text_t agent;         /* who runs, for attribution */
    bursar_text_t limits;        /* its own, for its life: "$2, 200 steps, 10m wall, 2m idle" */
    bursar_text_t ladder;        /* model names, best first, separated by commas; up to 8 */
    const bursar_label_t *BURSAR_NULLABLE labels;
    uint32_t label_count;        /* at most 16 */
    int32_t complexity;          /* BURSAR_COMPLEXITY_*: default for its steps */
    int64_t holdback_nanos;      /* kept back for the final answer: only steps with BURSAR_REQUEST_FINAL get it */
} bursar_session_options_t;
#define BURSAR_SESSION_OPTIONS_INIT {(uint32_t)sizeof(bursar_session_options_t), 0, {0, 0}, 0, {0, 0}, {0, 0}, {0, 0}, 0, 0, 0, 0}

/**
 * Opens a session under a budget (created without limits when absent) or as a
 * child of a session. What it spends counts in every ancestor at once.
 *
 * Thread:  any.
 * Blocks:  for the configuration lock: BURSAR_E_BUSY.
 * Returns: BURSAR_E_PATH, BURSAR_E_LIMIT_TEXT, BURSAR_E_NOT_FOUND (parent),
 *          BURSAR_E_CLOSED (parent), BURSAR_E_CAPACITY.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_session_open(bursar_runtime_t *BURSAR_NONNULL runtime,
                                               const bursar_session_options_t *BURSAR_NONNULL options,
                                               bursar_id_t *BURSAR_NONNULL out_session,
                                               bursar_error_t *BURSAR_NULLABLE out_error);

/**
 * Closes a session and its children: nothing more is admitted. Steps in flight
 * can still be settled. Closing twice is BURSAR_E_NOT_FOUND or BURSAR_OK.
 *
 * Thread:  any.
 * Blocks:  for the configuration lock: BURSAR_E_BUSY.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_session_close(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t session);

/**
 * Hands a session to another process of the home, a sub-agent: writes the lines
 *
 *     BURSAR_HOME=/home/ada/.bursar
 *     BURSAR_SESSION=0000000300000007
 *
 * for its environment, each ended by a newline; a home's path has no control bytes.
 * From then on the session belongs to the home: it stays open when the process that
 * opened it dies, until somebody closes it. (A session that was not handed over is
 * closed with its process.)
 *
 * Thread:  any.
 * Blocks:  for the configuration lock: BURSAR_E_BUSY.
 * Returns: BURSAR_E_BUFFER with the length needed; BURSAR_E_NOT_FOUND;
 *          BURSAR_E_CLOSED; BURSAR_E_UNSUPPORTED in a private runtime.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_session_environ(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t session,
                                                  char *BURSAR_NULLABLE out_text, size_t capacity,
                                                  size_t *BURSAR_NONNULL out_len);

/**
 * The session that BURSAR_SESSION names, in a runtime that was opened on
 * BURSAR_HOME, with BURSAR_OPEN_EXISTING so that no home is made, and as an agent
 * where it need not raise anything: checks that it is an open session there. It is
 * the same session, with the same limits, and its id is good in every process of the
 * home.
 *
 * Thread:  any.
 * Blocks:  for the configuration lock: BURSAR_E_BUSY.
 * Memory:  `text` is the variable's value: 16 hexadecimal digits.
 * Returns: BURSAR_E_INVALID (no such digits, or a budget); BURSAR_E_NOT_FOUND;
 *          BURSAR_E_CLOSED.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_session_attach(bursar_runtime_t *BURSAR_NONNULL runtime,
                                                 const char *BURSAR_NONNULL text, size_t text_len,
                                                 bursar_id_t *BURSAR_NONNULL out_session,
                                                 bursar_error_t *BURSAR_NULLABLE out_error);

/** Somebody looked: `unattended` starts again, and what it paused goes on. Thread: any; configuration lock.
    Since 0.1. */
BURSAR_API bursar_status_t bursar_attend(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                         const char *BURSAR_NULLABLE who, size_t who_len);

/* -------------------------------------------------------------------- Steps */

#define BURSAR_REQUEST_HOLD 1u           /* hold without sending; bursar_begin() before the call goes out */
#define BURSAR_REQUEST_STREAM 2u         /* will call bursar_stream(); an orphan is settled at what was seen */
#define BURSAR_REQUEST_FINAL 4u          /* the final answer: may use what is held back */
#define BURSAR_REQUEST_CACHE_WRITE 8u    /* input may be written to the cache (5 minutes) */
#define BURSAR_REQUEST_CACHE_WRITE_1H 16u
#define BURSAR_REQUEST_AS_ASKED 32u      /* this model or nothing: no rung below it */

#define BURSAR_VARIANT_STANDARD 0
#define BURSAR_VARIANT_BATCH 1
#define BURSAR_VARIANT_FLEX 2
#define BURSAR_VARIANT_PRIORITY 3

typedef struct bursar_request {
    uint32_t size;
    uint32_t flags;              /* BURSAR_REQUEST_* */
    bursar_model_t model;        /* wanted; 0 = the ladder's best, or no model (a tool step) */
    bursar_tool_t tool;          /* a tool step: counts tool_calls and calls(tool), at the tool's price */
    int64_t input_tokens;        /* estimate, cached included */
    int64_t input_tokens_upper;  /* the estimate's upper end: held and priced where it is above input_tokens; 0 = none */
    int64_t max_output_tokens;   /* wanted */
    int64_t min_output_tokens;   /* least useful; 0 = the smaller of wanted and 256 */
    int64_t extra_nanos;         /* priced extras: hosted tools, per-unit charges */
    int64_t units;               /* of `meter` */
    bursar_meter_t meter;        /* a named meter, with `units` > 0 */
    int32_t choices;             /* answers asked for; 0 = 1 */
    int32_t variant;             /* BURSAR_VARIANT_* */
    int32_t complexity;          /* BURSAR_COMPLEXITY_* */
    int32_t attempt;             /* 0 = first; a retry says which */
    int32_t reserved;
    bursar_reservation_t parent; /* the step that this one retries or belongs to, or 0 */
    int64_t ttl_ns;              /* 0 = the runtime's */
} bursar_request_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_request_t) == 104, "bursar_request_t");
#define BURSAR_REQUEST_INIT {(uint32_t)sizeof(bursar_request_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

#define BURSAR_DECISION_TRANSIENT 1u   /* refused only for what steps in flight hold: without it the least useful request fits */
#define BURSAR_DECISION_CLAMPED 2u     /* fewer output tokens than wanted */
#define BURSAR_DECISION_LOWER_RUNG 4u  /* another model than wanted */
#define BURSAR_DECISION_UNPRICED 8u    /* unknown model, admitted by policy */
#define BURSAR_DECISION_OBSERVED 16u   /* an observed limit would have refused this */
#define BURSAR_DECISION_UNDECLARED 32u /* no budget with a limit above it */
#define BURSAR_DECISION_DOWNGRADING 64u/* a downgrade share is passed */

typedef struct bursar_decision {
    uint32_t size;
    int32_t verdict;             /* BURSAR_VERDICT_* */
    int32_t reason;              /* BURSAR_REASON_* */
    int32_t remedy;              /* BURSAR_REMEDY_* */
    bursar_reservation_t reservation; /* 0 = refused */
    int64_t max_output_tokens;   /* granted: tell the provider */
    int64_t reserved_nanos;      /* the worst case that is held */
    bursar_model_t model;        /* granted: call this one */
    uint32_t flags;              /* BURSAR_DECISION_* */
    /* A refusal (or an observed one) says which limit: */
    bursar_id_t budget;          /* the budget or session whose limit it is */
    bursar_meter_t meter;
    int32_t end;                 /* BURSAR_END_* of that limit */
    int64_t limit;               /* its amount with top-ups, in the meter's unit */
    int64_t committed;           /* spent + reserved in its window, without this request */
    int64_t remaining;           /* limit - committed, never below 0 */
    int64_t requested;           /* what this request would have added */
    int64_t retry_after_ns;      /* 0 = never by waiting (unless transient) */
    int64_t unused[3];
} bursar_decision_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_decision_t) == 128, "bursar_decision_t");
#define BURSAR_DECISION_INIT {(uint32_t)sizeof(bursar_decision_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0, 0, 0}}

/**
 * Holds the worst case of a step at every level, or says why not.
 *
 * When the full request does not fit, it tries, in this order: the full request
 * on a lower rung of the session's ladder; the highest rung on which at least
 * min_output_tokens fits, with the output clamped; then it refuses. A model that
 * is not on the ladder is never exchanged, only clamped. A step whose price is
 * zero passes a spent money budget.
 *
 * Thread:  any, concurrently. Hot.
 * Memory:  `out_decision` is filled up to its size, also on refusal.
 * Returns: BURSAR_OK: granted (verdict allow or downgrade). BURSAR_E_REFUSED:
 *          not (throttle, pause, halt). BURSAR_E_INVALID: negative or
 *          overflowing amounts, a model or tool that was never found. BURSAR_E_NOT_FOUND, BURSAR_E_CLOSED, BURSAR_E_FORKED.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_reserve(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t session,
                                          const bursar_request_t *BURSAR_NONNULL request,
                                          bursar_decision_t *BURSAR_NONNULL out_decision);

/** Before a held step goes out. BURSAR_E_EXPIRED: do not send. BURSAR_E_NOT_FOUND: never issued. Thread: any; hot. Since 0.1. */
BURSAR_API bursar_status_t bursar_begin(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_reservation_t reservation);

#define BURSAR_USAGE_INCOMPLETE 1u /* the answer was cut off: settle at what was seen or estimated, never below */
#define BURSAR_USAGE_COST 2u       /* cost_nanos is what the provider billed: do not price it */
#define BURSAR_USAGE_WORST 4u      /* nothing is known: settle at the full worst case, flagged estimated */

/* Sub-classes are part of their whole: cache_read and cache_write of input, reasoning of output. */
typedef struct bursar_usage {
    uint32_t size;
    uint32_t flags;                       /* BURSAR_USAGE_* */
    int64_t input_tokens;                 /* cached included */
    int64_t cache_read_input_tokens;
    int64_t cache_write_input_tokens;     /* all, those kept for 1 hour included */
    int64_t cache_write_1h_input_tokens;
    int64_t output_tokens;                /* reasoning included */
    int64_t reasoning_output_tokens;
    int64_t audio_input_tokens;
    int64_t cache_read_audio_input_tokens;
    int64_t audio_output_tokens;
    int64_t image_input_tokens;
    int64_t image_output_tokens;
    int64_t extra_nanos;                  /* priced extras that were used */
    int64_t cost_nanos;                   /* with BURSAR_USAGE_COST */
    int64_t units;                        /* of the request's named meter that were used */
    uint64_t key[2];                      /* idempotency key, or 0 */
} bursar_usage_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_usage_t) == 136, "bursar_usage_t");
#define BURSAR_USAGE_INIT {(uint32_t)sizeof(bursar_usage_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0, 0}}

#define BURSAR_RECEIPT_OVERRUN 1u   /* more than was reserved; recorded in full */
#define BURSAR_RECEIPT_ESTIMATED 2u /* the usage was not known */
#define BURSAR_RECEIPT_REPLAY 4u    /* was settled before: the first result again */
#define BURSAR_RECEIPT_LATE 8u      /* came after the estimate, which it corrects */
#define BURSAR_RECEIPT_UNPRICED 16u /* unknown model */

typedef struct bursar_receipt {
    uint32_t size;
    uint32_t flags;              /* BURSAR_RECEIPT_* */
    int64_t cost_nanos;          /* what the step cost */
    int64_t reserved_nanos;      /* what was held for it */
    int64_t overrun_nanos;       /* cost above what was held, or 0 */
    int64_t asked_cost_nanos;    /* what the model asked for would have cost */
    bursar_model_t model;        /* granted */
    uint32_t reserved;
} bursar_receipt_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_receipt_t) == 48, "bursar_receipt_t");
#define BURSAR_RECEIPT_INIT {(uint32_t)sizeof(bursar_receipt_t), 0, 0, 0, 0, 0, 0, 0}

/**
 * Replaces what `reservation` held by what the step used, at every level.
 * Usage larger than reserved is recorded in full, flagged, and trips the next
 * admission. Settling again with the same usage answers with the first result;
 * with other usage it is BURSAR_E_CONFLICT; long after, when another step has its
 * place in the journal, BURSAR_E_NOT_FOUND. After an expiry it corrects the
 * estimate.
 *
 * Thread:  any, concurrently. Hot.
 * Returns: BURSAR_OK; BURSAR_E_INVALID (negative, overflowing, or a sub-class
 *          above its whole; the reservation stays as it is); BURSAR_E_NOT_FOUND;
 *          BURSAR_E_CONFLICT; BURSAR_E_RELEASED; BURSAR_E_BUSY.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_settle(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_reservation_t reservation,
                                         const bursar_usage_t *BURSAR_NONNULL usage,
                                         bursar_receipt_t *BURSAR_NULLABLE out_receipt);

/**
 * Gives back what `reservation` held: the step did not happen and is not billed.
 * Releasing again is BURSAR_OK; after settle it is BURSAR_E_CONFLICT.
 *
 * Thread:  any, concurrently. Hot.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_release(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_reservation_t reservation);

/**
 * Reports how many output tokens a stream has brought so far, and renews the
 * reservation's time to live.
 *
 * Thread:  any, concurrently. Hot.
 * Returns: BURSAR_OK: go on. BURSAR_E_REFUSED: stop reading and settle: the
 *          session was killed, paused or closed, its deadline passed, or the
 *          output is used up; *out_reason has the BURSAR_REASON_*.
 *          BURSAR_E_EXPIRED: it has ended. BURSAR_E_NOT_FOUND: never issued.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_stream(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_reservation_t reservation,
                                         int64_t output_tokens, int32_t *BURSAR_NULLABLE out_reason);

#define BURSAR_CHARGE_FORCE 1u /* it has happened already: record it even past a limit, as an overrun */

typedef struct bursar_charge {
    uint32_t size;
    uint32_t flags;          /* BURSAR_CHARGE_* */
    int64_t nanos;           /* what it costs; with a tool and 0: the tool's price */
    bursar_tool_t tool;      /* counts tool_calls and calls(tool), or 0 */
    bursar_meter_t meter;    /* a named meter, with `units` > 0 */
    int64_t units;
    uint64_t key[2];         /* idempotency key, or 0: see bursar_charge() */
} bursar_charge_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_charge_t) == 48, "bursar_charge_t");
#define BURSAR_CHARGE_INIT {(uint32_t)sizeof(bursar_charge_t), 0, 0, 0, 0, 0, {0, 0}}

/**
 * Charges a priced thing that has no model: reserve and settle in one. With a key it
 * is charged once by this runtime, which alone remembers its keys: a retry in another
 * process, or through another handle, charges again.
 *
 * Thread:  any, concurrently. Hot, but with a key it takes a short lock.
 * Returns: BURSAR_OK; BURSAR_E_REFUSED with the decision filled;
 *          BURSAR_E_CONFLICT: the key was used with another amount.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_charge(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t session,
                                         const bursar_charge_t *BURSAR_NONNULL charge,
                                         bursar_decision_t *BURSAR_NULLABLE out_decision,
                                         bursar_receipt_t *BURSAR_NULLABLE out_receipt);

/**
 * Settles one step and reserves the next in the same session: one call for a
 * loop. The settle's status comes back in *out_settled; the function's own is
 * the reserve's. Nothing is reserved when settling failed.
 *
 * Thread:  any, concurrently. Hot.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_settle_and_reserve(bursar_runtime_t *BURSAR_NONNULL runtime,
                                                     bursar_reservation_t reservation,
                                                     const bursar_usage_t *BURSAR_NONNULL usage,
                                                     bursar_receipt_t *BURSAR_NULLABLE out_receipt,
                                                     bursar_status_t *BURSAR_NULLABLE out_settled,
                                                     bursar_id_t session,
                                                     const bursar_request_t *BURSAR_NONNULL request,
                                                     bursar_decision_t *BURSAR_NONNULL out_decision);

/** A sentence for a decision: which limit, how much was left, what to do. Thread: any; short lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_decision_explain(bursar_runtime_t *BURSAR_NONNULL runtime,
                                                   const bursar_decision_t *BURSAR_NONNULL decision,
                                                   char *BURSAR_NULLABLE out_text, size_t capacity,
                                                   size_t *BURSAR_NONNULL out_len);

/* ------------------------------------------------------------------ Control */

/**
 * Stops a session, a budget's whole subtree, or everything (id 0): the next
 * reserve there is refused in every thread, at the same cost for one session or
 * a million. Pausing is the same with another verdict. Revive undoes a kill,
 * resume a pause (also one by a limit's `then pause`: time limits start again).
 * Doing it twice is BURSAR_OK.
 *
 * A refusal tells the gravest stop on the path (killed, closed, halted, paused)
 * before any limit.
 *
 * Thread:  any. `reason` is recorded: one line of up to 256 bytes; what is longer is
 *          cut, control bytes are blanks.
 * Blocks:  for the configuration lock: BURSAR_E_BUSY.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_kill(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                       const char *BURSAR_NULLABLE reason, size_t reason_len);
BURSAR_API bursar_status_t bursar_revive(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                         const char *BURSAR_NULLABLE reason, size_t reason_len);
BURSAR_API bursar_status_t bursar_pause(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                        const char *BURSAR_NULLABLE reason, size_t reason_len);
BURSAR_API bursar_status_t bursar_resume(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                         const char *BURSAR_NULLABLE reason, size_t reason_len);

/* ------------------------------------------------------------------- Prices */

/** Resolves a model's name once. A name that no price is known for gets an id too. Thread: any; short lock, in a
    home the configuration lock for a new name. Since 0.1. */
BURSAR_API bursar_status_t bursar_model_find(bursar_runtime_t *BURSAR_NONNULL runtime, const char *BURSAR_NONNULL name,
                                             size_t name_len, bursar_model_t *BURSAR_NONNULL out_model);

/** The name that bursar_model_find() was given. Thread: any; short lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_model_name(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_model_t model,
                                             char *BURSAR_NULLABLE out_text, size_t capacity,
                                             size_t *BURSAR_NONNULL out_len);

/** Pico-dollars per token; -1 = as the class that it is part of (input or output). */
typedef struct bursar_rates {
    uint32_t size;
    uint32_t reserved;
    int64_t input_picos;
    int64_t output_picos;
    int64_t cache_read_picos;
    int64_t cache_write_picos;
    int64_t cache_write_1h_picos;
    int64_t reasoning_picos;
    int64_t request_nanos;       /* per request */
} bursar_rates_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_rates_t) == 64, "bursar_rates_t");
#define BURSAR_RATES_INIT {(uint32_t)sizeof(bursar_rates_t), 0, 0, 0, -1, -1, -1, -1, 0}

/** Overrides one model's prices in this runtime, from now on. Thread: any; short lock, in a home the
    configuration lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_price_set(bursar_runtime_t *BURSAR_NONNULL runtime, const char *BURSAR_NONNULL name,
                                            size_t name_len, const bursar_rates_t *BURSAR_NONNULL rates,
                                            bursar_error_t *BURSAR_NULLABLE out_error);

/** The rates in force for a model's standard variant and lowest tier; BURSAR_E_PRICE when unknown. Since 0.1. */
BURSAR_API bursar_status_t bursar_price_get(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_model_t model,
                                            bursar_rates_t *BURSAR_NONNULL out_rates);

/** What `usage` costs on `model`, half to even. BURSAR_E_PRICE when unknown. Thread: any. Since 0.1. */
BURSAR_API bursar_status_t bursar_price_quote(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_model_t model,
                                              int32_t variant, const bursar_usage_t *BURSAR_NONNULL usage,
                                              int64_t *BURSAR_NONNULL out_nanos);

/**
 * Loads a price book into this runtime: LiteLLM's
 * model_prices_and_context_window.json, or Bursar's own format (docs/prices.md). All or nothing. What the file has and a
 * step's price cannot express is listed in out_report, a line each.
 *
 * Thread:  any.
 * Blocks:  for the time of parsing; in a home for the configuration lock: BURSAR_E_BUSY.
 * Returns: BURSAR_E_PRICE with line and column. BURSAR_E_BUFFER: loaded, report cut.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_prices_load(bursar_runtime_t *BURSAR_NONNULL runtime, const char *BURSAR_NONNULL json,
                                              size_t json_len, char *BURSAR_NULLABLE out_report, size_t capacity,
                                              size_t *BURSAR_NULLABLE out_len, int32_t *BURSAR_NULLABLE out_models,
                                              bursar_error_t *BURSAR_NULLABLE out_error);

/** Resolves a tool's name once. Thread: any; configuration lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_tool_find(bursar_runtime_t *BURSAR_NONNULL runtime, const char *BURSAR_NONNULL name,
                                            size_t name_len, bursar_tool_t *BURSAR_NONNULL out_tool,
                                            bursar_error_t *BURSAR_NULLABLE out_error);

/** What one call of a tool costs, in the whole home; 0 is the default. Thread: any; configuration lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_tool_price_set(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_tool_t tool,
                                                 int64_t nanos);

/** Reads "$1.25", "1.25", "2 USD" exactly. BURSAR_E_MONEY_TEXT. Thread: any. Since 0.1. */
BURSAR_API bursar_status_t bursar_money_parse(const char *BURSAR_NONNULL text, size_t text_len,
                                              int64_t *BURSAR_NONNULL out_nanos,
                                              bursar_error_t *BURSAR_NULLABLE out_error);

/** Reads "$0.28/M", "$0.28/k", "$0.00000028/token" exactly. BURSAR_E_MONEY_TEXT. Thread: any. Since 0.1. */
BURSAR_API bursar_status_t bursar_rate_parse(const char *BURSAR_NONNULL text, size_t text_len,
                                             int64_t *BURSAR_NONNULL out_picos,
                                             bursar_error_t *BURSAR_NULLABLE out_error);

/** Writes nano-dollars as people read them, "$1.25". Thread: any. Since 0.1. */
BURSAR_API bursar_status_t bursar_money_format(int64_t nanos, char *BURSAR_NULLABLE out_text, size_t capacity,
                                               size_t *BURSAR_NONNULL out_len);

/* ---------------------------------------------------------------- Estimates */

/* What an input is made of. 4 to 255 are the program's own, and begin as text. */
#define BURSAR_CONTENT_TEXT 0    /* prose and code in ASCII */
#define BURSAR_CONTENT_WIDE 1    /* text with many characters beyond ASCII */
#define BURSAR_CONTENT_JSON 2    /* schemas, arguments, data */
#define BURSAR_CONTENT_COUNTED 3 /* `bytes` are tokens that a tokenizer of the program's counted */

/** An input whose tokens are wanted. The caller fills it down to `kind`. */
typedef struct bursar_estimate {
    uint32_t size;
    bursar_model_t model;      /* who counts: from bursar_model_find() */
    bursar_id_t session;       /* whose last input is known; 0 = none */
    uint64_t conversation;     /* any number, such as a hash of how it begins: inputs of a session
                                  with the same number continue each other */
    int64_t bytes;             /* of all text in it, UTF-8, at most 2 GiB */
    int64_t fixed_tokens;      /* at most, of what is no text: images, files */
    int32_t kind;              /* BURSAR_CONTENT_* */
    uint32_t basis;            /* filled in, as all below: how it was judged; for bursar_learn() */
    int64_t tokens;            /* the likely number */
    int64_t tokens_max;        /* what to reserve: fewer than billed once in 400 inputs */
    int64_t span;              /* for bursar_learn() */
} bursar_estimate_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_estimate_t) == 72, "bursar_estimate_t");
#define BURSAR_ESTIMATE_INIT {(uint32_t)sizeof(bursar_estimate_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/**
 * Estimates the tokens of an input from its bytes, by what this runtime has learnt of
 * the model, of the kind of content, and of the session's last input. Until something is
 * known, a token for every second byte is reserved, for BURSAR_CONTENT_WIDE one for every
 * byte. docs/estimation.md has the method and its figures.
 *
 * Thread:  any. Never allocates; a short lock of the process. Not part of a step: reserve
 *          takes any number.
 * Returns: BURSAR_OK; BURSAR_E_NOT_FOUND for a number that is no model's; BURSAR_E_INVALID.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_estimate(bursar_runtime_t *BURSAR_NONNULL runtime,
                                           bursar_estimate_t *BURSAR_NONNULL estimate);

/**
 * Tells what the provider billed for an input: `estimate` as bursar_estimate() left it, or
 * filled by the caller alone (`basis` 0). Where another model was granted, put that one in
 * `model`. Leave out what says nothing of the input: answers without usage, and those for
 * which the provider ran tools or called models of its own. An input that is new mostly in
 * `fixed_tokens` only moves the session's last input. Kept in memory, for this runtime: a
 * home's processes learn each for itself; up to 256 pairs of model and kind, and the last
 * 16,384 conversations.
 *
 * Thread:  any. Never allocates; a short lock of the process.
 * Returns: BURSAR_OK, also for 0 input_tokens, of which nothing is learnt; as above.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_learn(bursar_runtime_t *BURSAR_NONNULL runtime,
                                        const bursar_estimate_t *BURSAR_NONNULL estimate,
                                        int64_t input_tokens, int64_t output_tokens);

/** How far off the estimates were. Errors are |tokens - billed| / billed in millionths, read from a
    histogram: at most an eighth, or 122, too high; at most 8,000,000. */
typedef struct bursar_estimate_error {
    uint32_t size;
    uint32_t pairs;            /* of a model and a kind, counted here */
    int64_t steps;             /* inputs learnt from */
    int64_t below;             /* those billed at more than their tokens_max */
    int64_t median_ppm;        /* half of the errors are no larger */
    int64_t p99_ppm;           /* 99 of 100 are no larger */
    int64_t input_tokens;      /* billed, of all these inputs */
    int64_t reserved_tokens;   /* their tokens_max */
} bursar_estimate_error_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_estimate_error_t) == 56, "bursar_estimate_error_t");
#define BURSAR_ESTIMATE_ERROR_INIT {(uint32_t)sizeof(bursar_estimate_error_t), 0, 0, 0, 0, 0, 0, 0}

/** The error since the runtime was opened, of one model (0 = all) and one kind (-1 = all). Thread: any; short lock.
    BURSAR_E_SIZE. Since 0.1. */
BURSAR_API bursar_status_t bursar_estimate_error(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_model_t model,
                                                 int32_t kind, bursar_estimate_error_t *BURSAR_NONNULL out_error);

/* -------------------------------------------------------------------- Query */

#define BURSAR_KIND_BUDGET 1
#define BURSAR_KIND_SESSION 2

#define BURSAR_STATE_OPEN 0
#define BURSAR_STATE_PAUSED 1
#define BURSAR_STATE_HALTED 2 /* a time limit has ended it; topping up or resume revives it */
#define BURSAR_STATE_KILLED 3
#define BURSAR_STATE_CLOSED 4

typedef struct bursar_view {
    uint32_t size;
    int32_t kind;                /* BURSAR_KIND_* */
    int32_t state;               /* BURSAR_STATE_*, its own */
    int32_t effective_state;     /* the worst of its own and its ancestors' */
    int32_t reason;              /* BURSAR_REASON_* of the effective state */
    uint32_t flags;              /* BURSAR_VIEW_* */
    bursar_id_t id;
    bursar_id_t parent;          /* 0 = top level */
    int64_t spent_nanos;         /* for its life */
    int64_t reserved_nanos;      /* held by steps in flight */
    int64_t remaining_nanos;     /* the least remainder of its own money limits; INT64_MAX = no money limit */
    int64_t steps;
    int64_t tool_calls;
    int64_t input_tokens;
    int64_t output_tokens;
    int64_t refusals;            /* here and below, since it opened */
    int64_t opened_unix_ns;
    uint32_t children;           /* budgets and sessions directly below */
    uint32_t limits;             /* how many: bursar_limit_read() */
} bursar_view_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_view_t) == 120, "bursar_view_t");
#define BURSAR_VIEW_INIT {(uint32_t)sizeof(bursar_view_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
#define BURSAR_VIEW_OBSERVED 1u
#define BURSAR_VIEW_UNDECLARED 2u /* a budget implied by a path, or a session without a limit above it */

/**
 * Reads a budget or session. Spent and reserved are exact when nothing is in
 * the middle of a call; otherwise each is a value that was true a moment ago.
 *
 * Thread:  any.
 * Blocks:  folds what is settled, so it may wait for another folder; for the
 *          configuration lock: BURSAR_E_BUSY.
 * Returns: BURSAR_E_NOT_FOUND.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_read(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                       bursar_view_t *BURSAR_NONNULL out_view);

/**
 * Reads many at once, for who shows all of them: as of the last fold, which is 50 ms ago
 * at most where agents work, and it is tried first. Where an id is gone, all is 0.
 *
 * Thread:  any.
 * Memory:  `out_views` has `count` of them; the first says its size for all.
 * Blocks:  for the configuration lock, taken anew for every 256: BURSAR_E_BUSY.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_views(bursar_runtime_t *BURSAR_NONNULL runtime,
                                        const bursar_id_t *BURSAR_NONNULL ids, size_t count,
                                        bursar_view_t *BURSAR_NONNULL out_views);

/** spent, reserved and remaining of one meter. BURSAR_E_NOT_FOUND: `id` does not count that meter. Thread: any;
    configuration lock. Since 0.1. */
typedef struct bursar_meter_view {
    uint32_t size;
    bursar_meter_t meter;
    int64_t spent;      /* for its life, settled */
    int64_t reserved;   /* held by steps in flight */
    int64_t committed;  /* spent + reserved */
    int64_t remaining;  /* INT64_MAX = not limited here */
} bursar_meter_view_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_meter_view_t) == 40, "bursar_meter_view_t");
#define BURSAR_METER_VIEW_INIT {(uint32_t)sizeof(bursar_meter_view_t), 0, 0, 0, 0, 0}
BURSAR_API bursar_status_t bursar_meter_read(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                             bursar_meter_t meter, bursar_meter_view_t *BURSAR_NONNULL out_view);

/** One limit of a budget or session, by position from 0. Thread: any; configuration lock. Since 0.1. */
typedef struct bursar_limit_view {
    uint32_t size;
    bursar_meter_t meter;
    int32_t end;               /* BURSAR_END_* */
    uint32_t reserved;
    int64_t amount;            /* as declared */
    int64_t extra;             /* topped up, and earned */
    int64_t spent;             /* settled in this window (time limits: elapsed ns) */
    int64_t committed;         /* spent + reserved in this window */
    int64_t remaining;         /* amount + extra - committed, never below 0 */
    int64_t window_start_unix_ns; /* 0 = total */
    int64_t window_end_unix_ns;   /* 0 = never; a deadline's end */
    uint32_t text_len;
    char text[124];            /* canonical text, NUL-terminated */
    int64_t earned;            /* of `extra`: by verified outcomes */
} bursar_limit_view_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_limit_view_t) == 208, "bursar_limit_view_t");
BURSAR_API bursar_status_t bursar_limit_read(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id, uint32_t position,
                                             bursar_limit_view_t *BURSAR_NONNULL out_view);

#define BURSAR_TEXT_PATH 1         /* acme/support/triage; of a session: its budget's */
#define BURSAR_TEXT_AGENT 2
#define BURSAR_TEXT_OWNER 3        /* own or inherited */
#define BURSAR_TEXT_COST_CENTER 4  /* own or inherited */
#define BURSAR_TEXT_PURPOSE 5
#define BURSAR_TEXT_LIMITS 6       /* canonical */
#define BURSAR_TEXT_REASON 7       /* why it was killed or paused */
#define BURSAR_TEXT_LABELS 8       /* key=value lines, sorted by key */
#define BURSAR_TEXT_LADDER 9       /* comma-separated */
#define BURSAR_TEXT_METER 10       /* of a bursar_meter_t given as id: its name in limit text */
#define BURSAR_TEXT_TOOL 11        /* of a bursar_tool_t given as id: its name */

/** A text of a budget or session. Thread: any; configuration lock. BURSAR_E_NOT_FOUND, BURSAR_E_BUFFER. Since 0.1. */
BURSAR_API bursar_status_t bursar_text_read(bursar_runtime_t *BURSAR_NONNULL runtime, int64_t id, int32_t which,
                                            char *BURSAR_NULLABLE out_text, size_t capacity,
                                            size_t *BURSAR_NONNULL out_len);

/** The ids directly below `id` (0 = the top). *out_count is how many there are, also above capacity. Thread: any;
    configuration lock. Since 0.1. */
BURSAR_API bursar_status_t bursar_children(bursar_runtime_t *BURSAR_NONNULL runtime, bursar_id_t id,
                                           bursar_id_t *BURSAR_NULLABLE out_ids, size_t capacity,
                                           size_t *BURSAR_NONNULL out_count);

/** Spend by workflow (the session's path), agent and models: one row each, since the runtime's memory, or the home's
    segment, was made; the ledger has it for good. What comes after 65,536 rows is in one that names nothing. */
typedef struct bursar_spend {
    uint32_t size;
    uint32_t path_len, agent_len, reserved; /* of the whole texts; below they may be cut, between characters */
    bursar_model_t asked_model;  /* 0 = none (a tool or a charge) */
    bursar_model_t model;        /* granted */
    int64_t steps;
    int64_t tool_calls;
    int64_t input_tokens;
    int64_t cache_read_input_tokens;
    int64_t output_tokens;
    int64_t cost_nanos;
    int64_t asked_cost_nanos;    /* what the models asked for would have cost */
    int64_t estimated_steps;     /* settled without known usage */
    char path[256];
    char agent[128];
} bursar_spend_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_spend_t) == 472, "bursar_spend_t");

/** Row `position`, or BURSAR_E_NOT_FOUND past the last. Rows never move. Thread: any; folds first. Since 0.1. */
BURSAR_API bursar_status_t bursar_spend_read(bursar_runtime_t *BURSAR_NONNULL runtime, uint32_t position,
                                             bursar_spend_t *BURSAR_NONNULL out_row);

/* ------------------------------------------------------------------- Ledger */

#define BURSAR_OUTCOME_STATED 1    /* by who produced it */
#define BURSAR_OUTCOME_VERIFIED 2  /* by somebody else */
#define BURSAR_OUTCOME_DISPUTED 3
#define BURSAR_OUTCOME_CORRECTED 4 /* another value, or rework */
#define BURSAR_OUTCOME_WITHDRAWN 5

typedef struct bursar_outcome {
    uint32_t size;
    int32_t state;         /* BURSAR_OUTCOME_*; 0 = stated */
    bursar_text_t name;    /* what it is, "invoice_processed"; needed */
    bursar_text_t id;      /* your own, one for each outcome of a name; none: it can never be revised, and a
                              repeated call states another */
    bursar_id_t session;   /* whose it is, also when it was closed, by its id or the ledger's key of it
                              (v_sessions.session), which outlives a reboot; or */
    bursar_text_t workflow; /* a budget's path; or */
    bursar_text_t label;   /* "key=value": all sessions that have it. One of the three, when it is stated */
    bursar_text_t value;   /* "$3.20"; none: unknown, or as it was */
    int64_t rework_nanos;  /* what putting it right cost; 0 = none, or as it was */
    int64_t rework_ns;     /* somebody's time for that */
    bursar_text_t by;      /* who says so; none: the runtime's name, or else its user */
    bursar_text_t reason;
    int64_t at;            /* when it came about, unix nanoseconds; 0 = now */
} bursar_outcome_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_outcome_t) == 152, "bursar_outcome_t");
#define BURSAR_OUTCOME_INIT                                                                                            \
    {(uint32_t)sizeof(bursar_outcome_t), 0, {0, 0}, {0, 0}, 0, {0, 0}, {0, 0}, {0, 0}, 0, 0, {0, 0}, {0, 0}, 0}

/**
 * States a business result, or revises one by its name and id. Each revision that
 * says something new is kept with who, when and why; the latest holds. Stating it
 * again changes nothing. Nothing else makes one: a session that ends has none.
 *
 * When this returns the outcome is in the home's outbox. A private runtime keeps
 * none and only sends the event.
 *
 * Thread:  any. Blocks: folds, and with an id reads the ledger: milliseconds.
 * Returns: BURSAR_E_NOT_FOUND: no such session, workflow, or outcome to revise;
 *          BURSAR_E_CONFLICT: it is there with another value (`values`: that one,
 *          this one), or was withdrawn; BURSAR_E_ROLE: revised by an agent that did
 *          not state it, verified by an agent, or by who stated or corrected it;
 *          BURSAR_E_MONEY_TEXT; BURSAR_E_HOME, BURSAR_E_BUSY, BURSAR_E_CORRUPT: it
 *          could not be written, or what was said of it before not read, and it is
 *          not there: state it again later.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_outcome(bursar_runtime_t *BURSAR_NONNULL runtime,
                                          const bursar_outcome_t *BURSAR_NONNULL outcome,
                                          bursar_error_t *BURSAR_NULLABLE out_error);

/**
 * States or revises many, in their order, as bursar_outcome() does each: for an
 * import. Up to 1,024 of them are one write and one event, which says how many. What
 * is wrong with one keeps none of the others out.
 *
 * Memory:  out_results: of each 1 = it is in the outbox, 0 = it said nothing new, or
 *          what is wrong with it, whose error is then in out_errors. Both are NULL or
 *          have `count`; all structs of an array are of the first one's size.
 * Thread:  any. Blocks: folds and reads the ledger.
 * Returns: BURSAR_OK when each was looked at; what else keeps the home from being
 *          written: those with this as their result are not there. Call again.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_outcomes(bursar_runtime_t *BURSAR_NONNULL runtime,
                                           const bursar_outcome_t *BURSAR_NONNULL outcomes, size_t count,
                                           int32_t *BURSAR_NULLABLE out_results,
                                           bursar_error_t *BURSAR_NULLABLE out_errors);

#define BURSAR_VALUE_NULL 0 /* unknown */
#define BURSAR_VALUE_INTEGER 1
#define BURSAR_VALUE_REAL 2
#define BURSAR_VALUE_TEXT 3
#define BURSAR_VALUE_BLOB 4 /* bytes, in `text`; the documented views have none */

/** A parameter, or a column of a row. */
typedef struct bursar_value {
    int32_t type; /* BURSAR_VALUE_* */
    uint32_t reserved;
    int64_t integer;
    double real;
    bursar_text_t text; /* UTF-8 */
} bursar_value_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_value_t) == 40, "bursar_value_t");

/** A query that runs: for one thread at a time, until bursar_query_close(). Opaque. */
typedef struct bursar_query bursar_query_t;

#define BURSAR_QUERY_AS_WRITTEN 1u /* what the database has, without what was not written yet */

/**
 * Asks the ledger with SQL: one SELECT over the views that docs/ledger.md has, with
 * `?` for parameters. It sees all that was settled before the call, and the ledger as
 * it is at its first row. `timeout_ns` for all its rows together; 0 = none.
 *
 * What the home's writer has not written yet is written first, by this thread, which
 * waits for another that writes up to a second.
 *
 * Thread:  any. Blocks: reads and writes files.
 * Memory:  the query is the caller's to close, before or after the runtime.
 * Returns: BURSAR_E_QUERY with line and column; BURSAR_E_UNSUPPORTED: a private
 *          runtime has no ledger; BURSAR_E_BUSY: somebody else has the database;
 *          BURSAR_E_HOME: it cannot be written, or opened; BURSAR_E_CORRUPT.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_query(bursar_runtime_t *BURSAR_NONNULL runtime, uint32_t flags,
                                        const char *BURSAR_NONNULL sql, size_t sql_len,
                                        const bursar_value_t *BURSAR_NULLABLE parameters, size_t parameter_count,
                                        int64_t timeout_ns, bursar_query_t *BURSAR_NULLABLE *BURSAR_NONNULL out_query,
                                        size_t *BURSAR_NONNULL out_columns, bursar_error_t *BURSAR_NULLABLE out_error);

/** A column's name. BURSAR_E_NOT_FOUND past the last, BURSAR_E_BUFFER. Since 0.1. */
BURSAR_API bursar_status_t bursar_query_column(bursar_query_t *BURSAR_NONNULL query, size_t column,
                                               char *BURSAR_NULLABLE out_text, size_t capacity,
                                               size_t *BURSAR_NONNULL out_len);

/** The next row, a value for each column, the query's until the next call with it; *out_row is NULL after the
    last. BURSAR_E_QUERY, BURSAR_E_BUSY, BURSAR_E_CORRUPT; BURSAR_E_FORKED in a child of fork(). Since 0.1. */
BURSAR_API bursar_status_t bursar_query_next(bursar_query_t *BURSAR_NONNULL query,
                                             const bursar_value_t *BURSAR_NULLABLE *BURSAR_NONNULL out_row,
                                             bursar_error_t *BURSAR_NULLABLE out_error);

/** Ends a query; NULL is none. In a child of fork() its memory stays the parent's. Since 0.1. */
BURSAR_API bursar_status_t bursar_query_close(bursar_query_t *BURSAR_NULLABLE query);

/* ------------------------------------------------------------------- Events */

#define BURSAR_EVENT_THRESHOLD 1  /* an alert share was crossed: `percent` of `limit` */
#define BURSAR_EVENT_DOWNGRADE 2  /* a downgrade share was crossed */
#define BURSAR_EVENT_HALT 3       /* a limit refuses: once until it admits again */
#define BURSAR_EVENT_PAUSE 4
#define BURSAR_EVENT_RESUME 5
#define BURSAR_EVENT_KILL 6
#define BURSAR_EVENT_REVIVE 7
#define BURSAR_EVENT_DEADLINE 8   /* wall */
#define BURSAR_EVENT_IDLE 9
#define BURSAR_EVENT_UNATTENDED 10
#define BURSAR_EVENT_OVERRUN 11   /* more was billed than reserved: `amount` */
#define BURSAR_EVENT_ORPHAN 12    /* a step was settled at an estimate: it outlived its time to live, or was left */
#define BURSAR_EVENT_WINDOW 13    /* a new window began; with a text: one that a clock ahead of its time had opened */
#define BURSAR_EVENT_TOP_UP 14    /* by somebody, or `earned` */
#define BURSAR_EVENT_DECLARED 15  /* declared with other limits: the stored ones stay */
#define BURSAR_EVENT_LIMITS 16    /* limits were changed */
#define BURSAR_EVENT_OBSERVED 17  /* an observed limit would have refused */
#define BURSAR_EVENT_UNPRICED 18  /* a step of an unknown model was admitted by policy */
#define BURSAR_EVENT_STORM 19     /* a session keeps asking after refusals: `amount` in a row */
#define BURSAR_EVENT_LOST 20      /* `amount` events were lost here: the queue was full */
#define BURSAR_EVENT_LATE 21      /* a settle came after the estimate and corrected it by `amount` */
#define BURSAR_EVENT_THROTTLE 22  /* a rate refuses: once until it admits again */
#define BURSAR_EVENT_HOME 23      /* the home is not what was asked for, or is gone: the text says how */
#define BURSAR_EVENT_CORRUPT 24   /* something in the shared memory is what it cannot be; told once */
#define BURSAR_EVENT_LEDGER 25    /* the ledger cannot be read or written: records wait, and in time the journal is
                                     full; the text says why, `amount` is the code */
#define BURSAR_EVENT_OUTCOME 26   /* an outcome was stated or revised: its name, `amount` its value or 0 */

typedef struct bursar_event {
    uint32_t size;
    int32_t type;              /* BURSAR_EVENT_* */
    bursar_id_t id;            /* the budget or session */
    bursar_id_t session;       /* the session whose step caused it, or 0 */
    bursar_reservation_t reservation;
    int64_t unix_ns;
    int64_t sequence;          /* +1 each; a gap is a loss */
    bursar_meter_t meter;
    int32_t percent;
    int64_t amount;
    int64_t limit;
    int64_t committed;
    int32_t reason;
    uint32_t path_len;         /* of the whole text, which may be longer than its field */
    uint32_t text_len;
    uint32_t reserved;
    char path[256];            /* of `id`; NUL-terminated, cut between characters */
    char text[256];            /* a reason or a name; the same */
} bursar_event_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_event_t) == 608, "bursar_event_t");

/** Runs on the loop's thread; the event is valid for the call only; must not call bursar_close(). */
typedef void (*bursar_event_fn)(void *BURSAR_NULLABLE user_data, const bursar_event_t *BURSAR_NONNULL event);

/**
 * Sets, or with NULL removes, the one callback. When this returns, the former
 * callback is not running and will not be called again (unless this is called
 * from it).
 *
 * Thread:  any; waits for a running callback.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_events_callback(bursar_runtime_t *BURSAR_NONNULL runtime,
                                                  bursar_event_fn BURSAR_NULLABLE callback,
                                                  void *BURSAR_NULLABLE user_data);

/**
 * A descriptor that is readable while events wait: for epoll, asyncio, select.
 * It belongs to the runtime: do not read, write or close it. From the first call
 * on, events are kept for bursar_events_poll(). Both go on when the home is gone.
 *
 * Thread:  any. BURSAR_E_LOOP when the system has no more descriptors.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_events_fd(bursar_runtime_t *BURSAR_NONNULL runtime, int32_t *BURSAR_NONNULL out_fd);

/** Takes up to `capacity` waiting events, oldest first; *out_count may be 0. Never waits. Thread: any. Since 0.1. */
BURSAR_API bursar_status_t bursar_events_poll(bursar_runtime_t *BURSAR_NONNULL runtime,
                                              bursar_event_t *BURSAR_NULLABLE out_events, size_t capacity,
                                              size_t *BURSAR_NONNULL out_count);

/* -------------------------------------------------------------- Diagnostics */

typedef struct bursar_health {
    uint32_t size;
    uint32_t reserved;
    int64_t nodes;                 /* live budgets and sessions */
    int64_t nodes_max;
    int64_t reservations;          /* journal records in use */
    int64_t reservations_max;
    int64_t in_flight;             /* of them, not settled */
    int64_t refusals;
    int64_t transient_refusals;
    int64_t settled_steps;         /* folded */
    int64_t estimated_steps;
    int64_t late_settles;
    int64_t overrun_nanos;
    int64_t folds;
    int64_t fold_lag_ns;           /* age of the oldest settled step not yet folded */
    int64_t events;
    int64_t events_lost;
    int64_t timers;
    int64_t segment_bytes;         /* mapped; what is untouched takes no memory */
    int64_t prices_as_of_unix;     /* date of the built-in table */
    int64_t wake_ups;              /* of the loop */
} bursar_health_t;
BURSAR_STATIC_ASSERT(sizeof(bursar_health_t) == 160, "bursar_health_t");

/** Figures for a health page. Thread: any. Since 0.1. */
BURSAR_API bursar_status_t bursar_health(bursar_runtime_t *BURSAR_NONNULL runtime,
                                         bursar_health_t *BURSAR_NONNULL out_health);

/**
 * Checks, for every node and meter, committed = spent + held + settled and not
 * folded. Of a home also the ledger: every total of budgets and sessions against
 * what its steps add up to, and budgets against the segment's counters. Meaningful
 * when no other call is running.
 *
 * Thread:  any; O(nodes + journal + steps of the ledger). Blocks as bursar_query().
 * Returns: BURSAR_OK; BURSAR_E_CORRUPT with the first difference: the node and the two
 *          values, of a total the stored one first; what bursar_query() returns when
 *          the ledger cannot be read.
 * Since 0.1.
 */
BURSAR_API bursar_status_t bursar_verify(bursar_runtime_t *BURSAR_NONNULL runtime,
                                         bursar_error_t *BURSAR_NULLABLE out_error);

#ifdef __clang__
#pragma clang diagnostic pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* BURSAR_H */
