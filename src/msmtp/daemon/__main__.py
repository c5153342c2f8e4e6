"""``python -m msmtp.daemon``: the same as the console script msmtpd."""

from msmtp.daemon.main import run

run()
