/* The ledger's SQL, which lies packed in the library: see tools/ledger/ledger.sql. */
#ifndef BURSAR_CLEDGER_H
#define BURSAR_CLEDGER_H

#include <stddef.h>

#include "ledgertext.h"

#define BURSAR__SQL_MAX 16384 /* no text is longer */

/* Writes a text and a NUL into `out`, of BURSAR__SQL_MAX bytes; its length. */
size_t bursar__sql_text(enum bursar__sql which, char *out);

#endif
