"""Making models more robust, and saying what that is worth: registered by heliotrope.harden.checks."""
