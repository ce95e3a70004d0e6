//! What waits to be told, folded from the ledger's entries.
