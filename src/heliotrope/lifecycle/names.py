"""Names of files that people and scripts see."""

__all__ = ["CONFIG_NAME", "LEDGER_NAME", "STATE_NAME"]

CONFIG_NAME = "heliotrope.yaml"
STATE_NAME = ".heliotrope"
LEDGER_NAME = "ledger.db"
