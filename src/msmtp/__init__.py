"""msmtp: hand a mail to an SMTP server (``msmtp``), take mail on this machine (``msmtpd``).

Nothing is imported here: a program that runs once per mail pays for every import.  The public library is
:mod:`msmtp.smtp` and :mod:`msmtp.sasl`.
"""

__version__ = "0.1.0"
