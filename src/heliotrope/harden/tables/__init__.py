"""Models of tables refitted so that they withstand more: by library how, by method what; `heliotrope.harden.table_check` brings it together."""
