"""``python -m msmtp``: the same as the command msmtp."""

from msmtp.sender.main import run

run()
