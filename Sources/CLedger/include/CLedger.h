/* The ledger's SQL, which lies packed in the library (tools/ledger/ledger.sql), and what of SQLite is C. */
#ifndef BURSAR_CLEDGER_H
#define BURSAR_CLEDGER_H

#include <stddef.h>

#include "ledgertext.h"

#define BURSAR__SQL_MAX 16384 /* no text is longer */

/* Writes a text and a NUL into `out`, of BURSAR__SQL_MAX bytes; its length. */
size_t bursar__sql_text(enum bursar__sql which, char *out);

/* Makes a full disk an error for a connection (a sqlite3 *), where it could be a SIGBUS: populate.c. */
void bursar__sqlite_populate(void *db);

#endif
