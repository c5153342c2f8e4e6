"""EXITS: what an exit code of msmtp means, as sysexits(3) names it, and whether trying again later can help.

The whole mail system speaks in these codes: cron, mutt and msmtpd read them.  ``temporary`` is what decides msmtpd's
answer to its client (451 or 554), so it is declared here once.
"""

from __future__ import annotations


class Exit:
    """One exit code: ``code`` 0 to 78, ``name`` as in sysexits(3), ``temporary`` if a later try may succeed."""

    __slots__ = ("code", "meaning", "name", "temporary")

    def __init__(self, code: int, name: str, temporary: bool, meaning: str) -> None:
        self.code = code
        self.name = name
        self.temporary = temporary
        self.meaning = meaning

    def __repr__(self) -> str:
        return f"Exit({self.code}, {self.name})"


EX_OK = 0
EX_USAGE = 64
EX_DATAERR = 65
EX_NOINPUT = 66
EX_NOUSER = 67
EX_NOHOST = 68
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_OSERR = 71
EX_OSFILE = 72
EX_CANTCREAT = 73
EX_IOERR = 74
EX_TEMPFAIL = 75
EX_PROTOCOL = 76
EX_NOPERM = 77
EX_CONFIG = 78

# 68, 69, 71 and 75 are the codes that msmtpd has always answered with 451 (reference manual, chapter 11).
EXITS = (
    Exit(EX_OK, "EX_OK", False, "the mail was handed over"),
    Exit(EX_USAGE, "EX_USAGE", False, "the command line is wrong"),
    Exit(EX_DATAERR, "EX_DATAERR", False, "the server refused the mail or one of its addresses for good"),
    Exit(EX_NOINPUT, "EX_NOINPUT", False, "a key, certificate, trust or revocation file cannot be read"),
    Exit(EX_NOUSER, "EX_NOUSER", False, "the recipient is not known"),
    Exit(EX_NOHOST, "EX_NOHOST", True, "the server's name was not found"),
    Exit(EX_UNAVAILABLE, "EX_UNAVAILABLE", True, "the server lacks something the account asks for"),
    Exit(EX_SOFTWARE, "EX_SOFTWARE", False, "a library could not be set up as asked, or msmtp has a fault"),
    Exit(EX_OSERR, "EX_OSERR", True, "the system refused a socket, a process or memory"),
    Exit(EX_OSFILE, "EX_OSFILE", False, "a system file is missing or wrong"),
    Exit(EX_CANTCREAT, "EX_CANTCREAT", False, "an output file cannot be made"),
    Exit(EX_IOERR, "EX_IOERR", False, "a file could not be read or written"),
    Exit(EX_TEMPFAIL, "EX_TEMPFAIL", True, "try again later"),
    Exit(EX_PROTOCOL, "EX_PROTOCOL", False, "the server does not speak the protocol"),
    Exit(EX_NOPERM, "EX_NOPERM", False, "the server refused the user name or password"),
    Exit(EX_CONFIG, "EX_CONFIG", False, "the configuration is wrong"),
)

BY_CODE = {row.code: row for row in EXITS}


def name_of(code: int) -> str:
    """Name of an exit code for the log line: ``EX_TEMPFAIL``, or the number where sysexits(3) has no name."""
    row = BY_CODE.get(code)
    return row.name if row else str(code)
