"""The `realign` command: thin, each subcommand imports what it needs when it runs."""

import os

from realign.errors import spoken

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def main() -> None:
    """Run one command; exits 2 with the message alone where the user can put something right."""
    from realign.cli.app import app

    os.environ.update(TELEMETRY_OFF)
    with spoken():
        app(prog_name="realign")
